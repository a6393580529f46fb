//! The outermost layer around every request: its id, the body of its errors, the record of what
//! went wrong or slowly. Nothing is logged for a request that went well: nginx does that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;
use tracing::{error, warn};

use super::doorway::Drain;
use super::framing;
use super::metrics::{Metrics, Requests};
use super::problem::Problem;
use super::request_id::{HEADER, RequestId};

const REQUEST_ID: HeaderName = HeaderName::from_static(HEADER);

#[derive(Clone, Debug)]
pub struct Limits {
    /// The longest request body.
    pub body_bytes: usize,
    /// A request is given up after this.
    pub timeout: Duration,
    /// A request that took longer leaves a record.
    pub slow: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 16 * 1024,
            timeout: Duration::from_secs(10),
            slow: Duration::from_secs(1),
        }
    }
}

struct Envelope {
    drain: Arc<Drain>,
    slow: Duration,
    requests: Arc<Requests>,
}

/// Wraps a service's routes.
pub fn wrap(router: Router, limits: &Limits, drain: Arc<Drain>, metrics: &Metrics) -> Router {
    let envelope = Arc::new(Envelope {
        drain,
        slow: limits.slow,
        requests: metrics.requests(),
    });
    router
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(limits.body_bytes))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            limits.timeout,
        ))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(envelope, enclose))
}

async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "Not found")
}

/// The panic hook has logged the message; the client learns only that it happened.
fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    Problem::internal("the handler panicked").into_response()
}

async fn enclose(
    State(envelope): State<Arc<Envelope>>,
    mut request: Request,
    next: Next,
) -> Response {
    let sent = request.headers().get(REQUEST_ID);
    let (id, id_header) = match sent.and_then(|value| RequestId::parse(value.as_bytes())) {
        Some(id) => (id, sent.cloned()),
        None => {
            let id = RequestId::make();
            (id, id.header())
        }
    };
    request.extensions_mut().insert(id);
    let route = request.extensions().get::<MatchedPath>().cloned();
    let is_options = request.method() == Method::OPTIONS;
    let method = known(request.method());
    let started = Instant::now();

    let mut response = match framing::refusal(&request) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    };

    let route = route.as_ref().map_or("-", MatchedPath::as_str);
    if is_options && response.status() == StatusCode::METHOD_NOT_ALLOWED {
        // axum adds Allow on its way out
        *response.status_mut() = StatusCode::NO_CONTENT;
    } else if response.status().is_client_error() || response.status().is_server_error() {
        write_problem(&mut response, id, route);
    }
    let elapsed = started.elapsed();
    envelope
        .requests
        .note(route, method, response.status().as_u16(), elapsed);
    if elapsed >= envelope.slow {
        warn!(
            request_id = id.as_str(),
            route,
            status = response.status().as_u16(),
            duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            "slow request"
        );
    }
    let headers = response.headers_mut();
    if let Some(value) = id_header {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    if envelope.drain.is_draining() {
        // tells nginx not to reuse this connection: none is idle when we leave
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A method's name for a label: a stranger may make up others.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn write_problem(response: &mut Response, id: RequestId, route: &str) {
    let status = response.status();
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None => bare(status, response),
    };
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        error!(
            request_id = id.as_str(),
            route,
            status = status.as_u16(),
            error = problem.cause().unwrap_or("unknown"),
            "request failed"
        );
    }
    problem.write_into(response, id);
}

/// A status that axum or a layer set by itself.
fn bare(status: StatusCode, response: &mut Response) -> Problem {
    match status {
        StatusCode::METHOD_NOT_ALLOWED => Problem::new(status, "Method not allowed"),
        StatusCode::SERVICE_UNAVAILABLE => {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            Problem::new(status, "The request took too long")
        }
        _ => Problem::of_status(status),
    }
}
