//! What a browser gets. All of it is in the binary; nothing is inline, nothing from elsewhere.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::Page;

/// Scripts cannot make markup of text, whatever they try.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; \
     frame-ancestors 'none'; base-uri 'none'; form-action 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'",
);

/// Another version of the page is seen at once.
const ASKED: HeaderValue = HeaderValue::from_static("no-cache");

pub(super) async fn index() -> Response {
    let mut response = asset("text/html; charset=utf-8", include_str!("page/index.html"));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

pub(super) async fn style() -> Response {
    asset("text/css; charset=utf-8", include_str!("page/style.css"))
}

pub(super) async fn script() -> Response {
    asset(
        "text/javascript; charset=utf-8",
        include_str!("page/page.js"),
    )
}

pub(super) async fn drawing() -> Response {
    asset(
        "text/javascript; charset=utf-8",
        include_str!("page/draw.js"),
    )
}

pub(super) async fn icon() -> Response {
    asset("image/svg+xml", include_str!("page/favicon.svg"))
}

pub(super) async fn now(State(page): State<Arc<Page>>) -> Response {
    json(page.feed.shown().now.to_string())
}

pub(super) async fn history(State(page): State<Arc<Page>>) -> Response {
    json(page.feed.shown().history.to_string())
}

fn json(text: String) -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, ASKED),
    ];
    (headers, text).into_response()
}
