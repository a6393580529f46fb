//! JSON request bodies, with refusals as problems.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request, rejection::BytesRejection};
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// A parsed JSON body: 415 without the right content type, 413 when too long, 400 when malformed.
pub struct JsonBody<T>(pub T);

impl<S, T> FromRequest<S> for JsonBody<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(&request) {
            return Err(
                Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Body is not JSON")
                    .detail("Send it with `Content-Type: application/json`."),
            );
        }
        let bytes = Bytes::from_request(request, state).await.map_err(refused)?;
        serde_json::from_slice(&bytes).map(Self).map_err(malformed)
    }
}

fn is_json(request: &Request) -> bool {
    let value = request.headers().get(header::CONTENT_TYPE);
    let text = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = text.split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case("application/json")
}

fn refused(rejection: BytesRejection) -> Problem {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "Body is too long")
        }
        _ => Problem::bad_request("Body could not be read"),
    }
}

/// Says where it broke, never what was sent: it may be a password.
fn malformed(error: serde_json::Error) -> Problem {
    let what = match error.classify() {
        serde_json::error::Category::Data => "JSON has a missing or wrong field",
        _ => "Body is not valid JSON",
    };
    Problem::bad_request(what).detail(format!("Line {}, column {}.", error.line(), error.column()))
}
