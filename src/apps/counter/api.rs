//! The counter itself, and how it fares.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::web::problem::{Problem, ProblemBody};

use super::App;
use super::auth::Caller;
use super::store::StoreError;

/// When to try again while the store is away.
pub(super) const COME_BACK_SECONDS: u64 = 2;

#[derive(Serialize, ToSchema)]
pub(super) struct Visit {
    /// The number of this visit: no other visit ever gets it.
    visits: u64,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Status {
    #[schema(example = "ok")]
    status: &'static str,
}

/// Says that the service answers.
#[utoipa::path(
    get,
    path = "/api/ping",
    tag = "counter",
    responses((status = 200, description = "It answers", body = Status)),
)]
pub(super) async fn ping() -> Response {
    ok()
}

/// Counts one visit and returns its number.
#[utoipa::path(
    get,
    path = "/api/count",
    tag = "counter",
    security(("token" = [])),
    responses(
        (status = 200, description = "Counted", body = Visit),
        (status = 401, description = "No token, or one that does not hold",
         body = ProblemBody, content_type = "application/problem+json",
         headers(("WWW-Authenticate" = String, description = "Bearer"))),
        (status = 503, description = "The store is away; nothing was lost",
         body = ProblemBody, content_type = "application/problem+json",
         headers(("Retry-After" = i32, description = "Seconds"))),
    ),
)]
pub(super) async fn count(State(app): State<Arc<App>>, _: Caller) -> Result<Json<Visit>, Problem> {
    // while it is known to be away nobody waits for it
    if app.health.is_down() {
        return Err(store_away());
    }
    match app.visits.increment().await {
        Ok(visits) => Ok(Json(Visit { visits })),
        Err(StoreError::Busy) => Err(Problem::unavailable("Too many requests at once", 1)),
        Err(_) => {
            app.health.doubt();
            Err(store_away())
        }
    }
}

/// HEAD must have no effect, so it only checks the token.
pub(super) async fn count_head(_: Caller) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], ()).into_response()
}

pub(super) async fn live() -> Response {
    ok()
}

pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    match app.visits.ping().await {
        Ok(()) => Ok(ok()),
        Err(_) => {
            app.health.doubt();
            Err(store_away())
        }
    }
}

fn ok() -> Response {
    let json = HeaderValue::from_static("application/json");
    (
        StatusCode::OK,
        [(header::CONTENT_TYPE, json)],
        r#"{"status":"ok"}"#,
    )
        .into_response()
}

pub(super) fn store_away() -> Problem {
    Problem::unavailable("The counter's store is not available", COME_BACK_SECONDS)
        .detail("It is being reconnected; try again soon.")
}
