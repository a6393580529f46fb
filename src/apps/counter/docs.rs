//! The API's own description, and Swagger UI to try it, served from here: no script of another
//! host, no inline script.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContactBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Server};

use crate::web::problem::Problem;

use super::pages::{self, page};

const INDEX: &str = include_str!("page/swagger.html");
const START: &str = include_str!("page/swagger.js");
/// What of Swagger UI our page uses.
const VENDORED: [&str; 4] = [
    "swagger-ui.css",
    "swagger-ui-bundle.js",
    "favicon-16x16.png",
    "favicon-32x32.png",
];

pub(super) fn openapi(base: &str) -> OpenApi {
    let info = InfoBuilder::new()
        .title("Counter")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Counts visits. Log in for a token, then count with it. Errors are problem documents \
             (RFC 9457).",
        ))
        .contact(Some(
            ContactBuilder::new()
                .name(Some("the operator of this host"))
                .build(),
        ))
        .build();
    let mut openapi = OpenApiBuilder::new()
        .info(info)
        .servers(Some([Server::new(if base.is_empty() {
            "/"
        } else {
            base
        })]))
        .build();
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("The token that the login returned."))
        .build();
    openapi
        .components
        .get_or_insert_default()
        .add_security_scheme("token", SecurityScheme::Http(token));
    openapi
}

/// Written once, when the routes are made.
pub(super) fn document<S: Clone + Send + Sync + 'static>(openapi: &OpenApi) -> MethodRouter<S> {
    let text: Arc<str> = openapi.to_json().unwrap_or_default().into();
    get(move || async move {
        let json = HeaderValue::from_static("application/json");
        ([(header::CONTENT_TYPE, json)], text.to_string()).into_response()
    })
}

pub(super) async fn swagger_index() -> Response {
    page(INDEX)
}

pub(super) async fn swagger_file(Path(file): Path<String>) -> Result<Response, Problem> {
    if file == "start.js" {
        return Ok(pages::asset("text/javascript; charset=utf-8", START));
    }
    vendored(&file).ok_or_else(|| Problem::of_status(axum::http::StatusCode::NOT_FOUND))
}

fn vendored(name: &str) -> Option<Response> {
    let name = VENDORED.into_iter().find(|vendored| *vendored == name)?;
    let config = Arc::new(utoipa_swagger_ui::Config::from(""));
    let file = utoipa_swagger_ui::serve(name, config).ok()??;
    let body = match file.bytes {
        Cow::Borrowed(bytes) => axum::body::Body::from(bytes),
        Cow::Owned(bytes) => axum::body::Body::from(bytes),
    };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    let content_type = HeaderValue::try_from(file.content_type).ok()?;
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CACHE_CONTROL, pages::CACHED);
    if file.gzpipped {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Some(response)
}
