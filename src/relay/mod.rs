//! Numbers on loopback for a Prometheus, which asks no Unix socket: `tavern-metrics.service`.
//!
//! What asks here is any process of the host, so nothing of what it says is passed on: a question for a path that is
//! known is asked anew of the socket behind it, and the answer handed over. Neither `tavernd` nor an app reads a byte
//! of a stranger's.

mod source;

use std::convert::Infallible;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use sd_notify::NotifyState;
use tokio::sync::{Mutex, Semaphore};

/// Whoever is slower has left.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// All of a question and its answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// A Prometheus and a person at a time, not a crowd.
const AT_ONCE: usize = 16;
/// Whoever asks again sooner is given the same: a crowd here is no work for `tavernd`.
const FRESH: Duration = Duration::from_secs(5);

/// A path, and the socket where it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// As Prometheus asks for it.
    pub path: String,
    /// Where the numbers are.
    pub socket: PathBuf,
}

impl std::str::FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((path, socket)) if path.starts_with('/') && socket.starts_with('/') => Ok(Self {
                path: path.to_owned(),
                socket: socket.into(),
            }),
            _ => Err("write `/path=/run/….sock`".to_owned()),
        }
    }
}

/// A source, and what it said last.
struct Known {
    source: Source,
    last: Mutex<Option<(Instant, Bytes)>>,
}

impl Known {
    /// Asked by one at a time.
    async fn numbers(&self) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
        let mut last = self.last.lock().await;
        if let Some((at, text)) = last.as_ref()
            && at.elapsed() < FRESH
        {
            return Ok(text.clone());
        }
        let text = source::numbers(&self.source.socket).await?;
        *last = Some((Instant::now(), text.clone()));
        Ok(text)
    }
}

/// Why there are no numbers.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// systemd gave no socket, or another kind.
    #[error("no listening TCP socket was handed over")]
    NoSocket,
    /// The kernel refused something.
    #[error("cannot serve: {0}")]
    Refused(#[from] std::io::Error),
}

/// Serves these sources on the listener from systemd until it is told to stop.
///
/// # Errors
/// When there is no listener, or the kernel refuses something.
pub fn serve(sources: Vec<Source>) -> Result<(), RelayError> {
    // First, while there is one thread: this changes the environment.
    let mut handed = listenfd::ListenFd::from_env();
    let listener = handed.take_tcp_listener(0).ok().flatten();
    let listener = listener.ok_or(RelayError::NoSocket)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(accept(listener, sources))
}

async fn accept(listener: TcpListener, sources: Vec<Source>) -> Result<(), RelayError> {
    let known = sources.into_iter().map(|source| Known {
        source,
        last: Mutex::default(),
    });
    let sources: Arc<[Known]> = known.collect();
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(AT_ONCE));
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    tokio::spawn(keep_alive());
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return Ok(());
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // Out of descriptors, or the peer has left already.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let sources = Arc::clone(&sources);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let sources = Arc::clone(&sources);
                async move { Ok::<_, Infallible>(answer(&sources, &request).await) }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_LIMIT)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(PATIENCE, served).await;
            drop(place);
        });
    }
}

async fn keep_alive() {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    loop {
        let _ = sd_notify::notify(&[NotifyState::Watchdog]);
        tokio::time::sleep(limit / 3).await;
    }
}

async fn answer(sources: &[Known], request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let is_get = request.method() == Method::GET;
    let mut known = sources.iter();
    let found = known.find(|one| is_get && one.source.path == request.uri().path());
    let (status, text) = match found {
        None => (StatusCode::NOT_FOUND, Bytes::from("no such numbers\n")),
        Some(source) => match source.numbers().await {
            Ok(text) => (StatusCode::OK, text),
            Err(error) => (
                StatusCode::BAD_GATEWAY,
                Bytes::from(format!("no numbers: {error}\n")),
            ),
        },
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests;
