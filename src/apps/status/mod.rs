//! The status page: shows what the supervisor wrote for it, and knows nothing else of the host.

mod charts;
mod feed;
mod pages;
mod stream;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use thiserror::Error;

use crate::web::activation::{self, ActivationError};
use crate::web::doorway::Drain;
use crate::web::envelope::{self, Limits};
use crate::web::health::Health;
use crate::web::lifecycle::{self, LifecycleError, Service};
use crate::web::memory;
use crate::web::metrics::Metrics;
use crate::web::telemetry;

use feed::Feed;
use stream::Streams;

const NAME: &str = "tavern-status";
const ALIVE: &str = "/health/live";
/// How soon a new snapshot is seen.
const LOOK: Duration = Duration::from_secs(1);

/// Why the page is not served.
#[derive(Debug, Error)]
pub enum ServeError {
    /// systemd gave no socket.
    #[error(transparent)]
    Activation(#[from] ActivationError),
    /// No runtime.
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
    /// The server.
    #[error(transparent)]
    Lifecycle(#[from] LifecycleError),
}

/// What the handlers share.
struct Page {
    feed: Feed,
    streams: Streams,
    drain: Arc<Drain>,
}

/// Serves the page from `snapshot` until it is told to stop, at the root and below each of `prefixes`. Takes its listener from systemd.
///
/// # Errors
/// When there is no listener, or the kernel refuses something.
pub fn serve(snapshot: PathBuf, prefixes: &BTreeSet<&str>) -> Result<(), ServeError> {
    // first, while there is one thread: this changes the environment
    let listeners = activation::listeners()?;
    let _telemetry = telemetry::start(NAME);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .thread_stack_size(512 * 1024)
        .enable_all()
        .build()
        .map_err(ServeError::Runtime)?;
    let served = runtime.block_on(async {
        let metrics = Metrics::new();
        let drain = Arc::new(Drain::default());
        let page = Arc::new(Page {
            feed: Feed::new(snapshot),
            streams: Streams::default(),
            drain: Arc::clone(&drain),
        });
        let health = Arc::new(Health::default());
        let upkeep = tokio::spawn(upkeep(
            Arc::clone(&page),
            Arc::clone(&health),
            metrics.clone(),
        ));
        let giving_back = tokio::spawn(memory::keep_small());
        let service = Service {
            router: envelope::wrap(
                router(page, prefixes),
                &Limits::default(),
                Arc::clone(&drain),
                &metrics,
            ),
            listeners,
            private: Router::new(),
            private_listeners: Vec::new(),
            health,
            drain,
            liveness_path: ALIVE.to_owned(),
        };
        let served = lifecycle::run(service).await;
        upkeep.abort();
        giving_back.abort();
        served.map_err(ServeError::from)
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

/// At its own root, and where the sites have it: nginx passes a path on as it came. One that nginx took the prefix from
/// would have been decoded on the way.
fn router(page: Arc<Page>, prefixes: &BTreeSet<&str>) -> Router {
    let pages = pages_of(page);
    let below = prefixes.iter().filter(|prefix| !prefix.is_empty());
    below.fold(pages.clone(), |router, prefix| {
        router.nest(&format!("{prefix}/"), pages.clone())
    })
}

fn pages_of(page: Arc<Page>) -> Router {
    Router::new()
        .route("/", get(pages::index))
        .route("/style.css", get(pages::style))
        .route("/page.js", get(pages::script))
        .route("/draw.js", get(pages::drawing))
        .route("/favicon.svg", get(pages::icon))
        .route("/now.json", get(pages::now))
        .route("/history.json", get(pages::history))
        .route("/events", get(stream::events))
        .route(ALIVE, get(|| async { "alive\n" }))
        .with_state(page)
}

/// What goes on beside the requests.
async fn upkeep(page: Arc<Page>, health: Arc<Health>, metrics: Metrics) {
    let look = async {
        loop {
            page.feed.look();
            metrics.upkeep();
            tokio::time::sleep(LOOK).await;
        }
    };
    let ask = || async { page.feed.trouble().map_or(Ok(()), Err) };
    tokio::join!(look, health.keep_asking(ask));
}

#[cfg(test)]
mod tests;
