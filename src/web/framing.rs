//! What no proxy of ours would send. nginx reads bodies to their end and states their length; whoever reaches the
//! socket past it and frames a request in two ways, or without measure, is not listened to.

use axum::extract::Request;
use axum::http::{StatusCode, header};

use super::problem::Problem;

/// As nginx's `large_client_header_buffers`: one line, and all of them.
const LINE: usize = 8 * 1024;
const LINES: usize = 32 * 1024;

/// Why a request is refused by its form alone.
pub fn refusal(request: &Request) -> Option<Problem> {
    let headers = request.headers();
    // hyper takes `Content-Length` away where both are there, so that either alone must be enough.
    if headers.contains_key(header::TRANSFER_ENCODING) {
        let problem = Problem::new(
            StatusCode::BAD_REQUEST,
            "A body needs a Content-Length, not a Transfer-Encoding",
        );
        // What follows is nobody's next request.
        let close = axum::http::HeaderValue::from_static("close");
        return Some(problem.header(header::CONNECTION, close));
    }
    let uri = request.uri();
    if uri.path().len() + uri.query().map_or(0, str::len) > LINE {
        return Some(Problem::new(
            StatusCode::URI_TOO_LONG,
            "The address is too long",
        ));
    }
    let sizes = || {
        headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
    };
    if sizes().any(|size| size > LINE) || sizes().sum::<usize>() > LINES {
        return Some(Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "The header is too large",
        ));
    }
    let stated = headers.get(header::CONTENT_LENGTH);
    let stated = stated.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    stated
        .filter(|length| *length > BODY)
        .map(|_| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"))
}

/// nginx's default for a site; a route may take less.
const BODY: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn status(path: &str, headers: &[(&str, String)]) -> Option<u16> {
        let mut request = axum::http::Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let problem = refusal(&request.body(Body::empty()).unwrap())?;
        Some(
            axum::response::IntoResponse::into_response(problem)
                .status()
                .as_u16(),
        )
    }

    /// Rows 59 and 60, at the app itself.
    #[test]
    fn two_lengths_and_oversize_are_refused_by_the_app_itself() {
        let both = [
            ("content-length", "6".to_owned()),
            ("transfer-encoding", "chunked".to_owned()),
        ];
        assert_eq!(status("/", &both), Some(400));
        assert_eq!(status("/", &both[1..]), Some(400));
        assert_eq!(status("/", &both[..1]), None);
        assert_eq!(status(&format!("/{}", "a".repeat(9000)), &[]), Some(414));
        assert_eq!(status("/", &[("x-a", "a".repeat(9000))]), Some(431));
        let many: Vec<_> = (0..40).map(|_| ("x-a", "a".repeat(1000))).collect();
        assert_eq!(status("/", &many), Some(431));
        assert_eq!(
            status("/", &[("content-length", "2097152".to_owned())]),
            Some(413)
        );
        assert_eq!(status("/a?b", &[("x-a", "a".repeat(7000))]), None);
    }
}
