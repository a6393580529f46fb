//! The pages for people. They are read from here whole, so their policy can be strict.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

/// Nothing inline, nothing from elsewhere; the main page of the host may frame it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; \
     connect-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'self'",
);
/// An hour, so that a new version is seen soon.
pub(super) const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=3600");
const REFERRER: HeaderName = header::REFERRER_POLICY;

pub(super) async fn index() -> Response {
    page(include_str!("page/index.html"))
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

pub(super) fn page(html: &'static str) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (REFERRER, HeaderValue::from_static("same-origin")),
    ];
    (headers, html).into_response()
}

pub(super) fn asset(content_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CACHE_CONTROL, CACHED),
    ];
    (headers, text).into_response()
}
