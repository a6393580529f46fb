//! What changes, as it changes: server-sent events. Every stream has an end, and a browser then asks for another.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Page;
use super::feed::{Shown, seconds};
use crate::web::problem::Problem;

/// Windows that are told at a time.
const MOST: usize = 64;
/// So often something is said: a browser learns that the line is dead.
const BEAT: Duration = Duration::from_secs(15);
/// nginx's old workers wait for open streams after a reload.
const LONGEST: Duration = Duration::from_secs(300);
/// A service that leaves waits for nobody who only listens.
const LOOK: Duration = Duration::from_millis(500);

/// How many listen.
#[derive(Debug, Default, Clone)]
pub(super) struct Streams(Arc<AtomicUsize>);

impl Streams {
    fn enter(&self) -> Option<Seat> {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        let seat = Seat(Arc::clone(&self.0));
        (before < MOST).then_some(seat)
    }
}

struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Listener {
    page: Arc<Page>,
    shown: watch::Receiver<Shown>,
    begun: Instant,
    said: Option<Instant>,
    _seat: Seat,
}

pub(super) async fn events(State(page): State<Arc<Page>>) -> Response {
    let Some(seat) = page.streams.enter() else {
        let busy = "Too many windows are open";
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, busy)
            .header(header::RETRY_AFTER, HeaderValue::from_static("30"))
            .into_response();
    };
    let listener = Listener {
        shown: page.feed.subscribe(),
        page,
        begun: Instant::now(),
        said: None,
        _seat: seat,
    };
    let mut response = Sse::new(unfold(listener, next)).into_response();
    response.headers_mut().insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    response
}

async fn next(mut listener: Listener) -> Option<(Result<Event, Infallible>, Listener)> {
    let event = loop {
        if listener.page.drain.is_draining() || listener.begun.elapsed() > LONGEST {
            return None;
        }
        let is_first = listener.said.is_none();
        if is_first
            || tokio::time::timeout(LOOK, listener.shown.changed())
                .await
                .is_ok()
        {
            let shown = listener.shown.borrow_and_update().clone();
            break Event::default().event("now").data(shown.now.as_ref());
        }
        if listener.said.is_some_and(|said| said.elapsed() >= BEAT) {
            break Event::default().event("beat").data(seconds().to_string());
        }
    };
    listener.said = Some(Instant::now());
    Some((Ok(event), listener))
}
