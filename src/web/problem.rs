//! Errors as RFC 9457 problem documents. What the client may know goes out; the cause is logged.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::allowance;
use super::limit::Allowance;
use super::request_id::RequestId;

pub const MEDIA_TYPE: &str = "application/problem+json";

/// An error on its way out. As a response it is only a status, headers and this value; the
/// [envelope](super::envelope) writes the body, because it knows the request id.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    error: Cow<'static, str>,
    detail: Option<Cow<'static, str>>,
    cause: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The body of every error.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody<'a> {
    /// Always `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'a str,
    status: u16,
    /// The error in one short sentence.
    error: &'a str,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    /// The id under which the server's log knows this request.
    request_id: &'a str,
}

impl Problem {
    pub fn new(status: StatusCode, error: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            error: error.into(),
            detail: None,
            cause: None,
            headers: Vec::new(),
        }
    }

    /// The problem that a bare status stands for.
    pub fn of_status(status: StatusCode) -> Self {
        Self::new(status, status.canonical_reason().unwrap_or("Error"))
    }

    pub fn bad_request(error: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// 401 for a request without a token.
    pub fn token_missing() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Token is missing")
            .detail("Send the token from the login as `Authorization: Bearer …`.")
            .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// 401 for a token that does not hold.
    pub fn token_refused(error: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, error).header(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer error=\"invalid_token\""),
        )
    }

    pub fn too_many(used_up: Allowance) -> Self {
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many attempts")
            .retry_after(used_up.retry_after());
        allowance::fields(&[used_up])
            .into_iter()
            .fold(problem, |problem, (name, value)| {
                problem.header(name, value)
            })
    }

    pub fn unavailable(error: impl Into<Cow<'static, str>>, seconds: u64) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error).retry_after(seconds)
    }

    /// 500: the client learns nothing, the log learns the cause.
    pub fn internal(cause: impl Into<String>) -> Self {
        let mut problem = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal error");
        problem.cause = Some(cause.into());
        problem
    }

    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    fn retry_after(self, seconds: u64) -> Self {
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// Puts the document into a response that so far has only status and headers.
    pub fn write_into(&self, response: &mut Response, id: RequestId) {
        let body = ProblemBody {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            error: &self.error,
            detail: self.detail.as_deref(),
            request_id: id.as_str(),
        };
        let text = serde_json::to_vec(&body).unwrap_or_default();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        *response.body_mut() = Body::from(text);
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        for (name, value) in &self.headers {
            response.headers_mut().append(name, value.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}
