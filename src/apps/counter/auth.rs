//! Logging in, and recognising who did.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use utoipa::ToSchema;

use crate::web::json::JsonBody;
use crate::web::problem::{Problem, ProblemBody};
use crate::web::request_id::RequestId;
use crate::web::token::Identity;

use super::App;

#[derive(Deserialize, ToSchema)]
pub(super) struct Login {
    #[schema(example = "admin")]
    username: String,
    #[schema(format = Password)]
    password: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Token {
    /// Good for one hour, as `Authorization: Bearer …`.
    token: String,
}

/// Exchanges a name and a password for a token.
#[utoipa::path(
    post,
    path = "/auth/login",
    tag = "login",
    request_body = Login,
    responses(
        (status = 200, description = "Logged in", body = Token),
        (status = 400, description = "Not JSON, or a field is missing",
         body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "Wrong name or password",
         body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too long",
         body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The body is not sent as JSON",
         body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many attempts",
         body = ProblemBody, content_type = "application/problem+json",
         headers(("Retry-After" = i32, description = "Seconds"))),
        (status = 503, description = "Too many logins at once",
         body = ProblemBody, content_type = "application/problem+json",
         headers(("Retry-After" = i32, description = "Seconds"))),
    ),
)]
pub(super) async fn login(
    State(app): State<Arc<App>>,
    Extension(id): Extension<RequestId>,
    headers: HeaderMap,
    JsonBody(login): JsonBody<Login>,
) -> Result<impl IntoResponse, Problem> {
    let address = client(&headers);
    app.limiter
        .admit(address, &login.username)
        .map_err(|throttled| Problem::too_many(throttled.seconds()))?;
    // an unknown name is not logged: people type their password there
    let known = app.accounts.contains(&login.username);
    let user = known.then_some(login.username.as_str());
    let from = address.map(|address| address.to_string());
    let request_id = id.as_str();
    let verified = app.accounts.verify(&login.username, login.password).await;
    match verified {
        Ok(true) => {
            let token = app.tokens.issue(&login.username);
            let token = token.ok_or_else(|| Problem::internal("a token cannot be signed"))?;
            info!(
                user,
                address = from,
                request_id,
                outcome = "accepted",
                "login"
            );
            Ok(Json(Token { token }))
        }
        Ok(false) => {
            warn!(
                user,
                address = from,
                request_id,
                outcome = "refused",
                "login"
            );
            Err(wrong())
        }
        Err(busy) => Err(Problem::unavailable(busy.to_string(), 2)),
    }
}

/// The same for an unknown name and a wrong password.
fn wrong() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "Wrong username or password").header(
        header::WWW_AUTHENTICATE,
        axum::http::HeaderValue::from_static("Bearer"),
    )
}

/// Only nginx reaches our socket, and it overwrites this header.
fn client(headers: &HeaderMap) -> Option<IpAddr> {
    headers.get("x-real-ip")?.to_str().ok()?.parse().ok()
}

/// Who calls, by the token of the request.
pub(super) struct Caller(#[allow(dead_code, reason = "for logout, to come")] pub Identity);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Problem::token_missing());
        };
        let token = value.to_str().ok().and_then(bearer);
        let token = token.ok_or_else(Problem::token_missing)?;
        let identity = app.tokens.check(token);
        identity
            .map(Self)
            .map_err(|refusal| Problem::token_refused(refusal.text()))
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
