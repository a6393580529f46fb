//! Numbers for Prometheus, on a socket that only root may open. Made anew for each question, from the files that
//! `status` reads and by one question to systemd, on a thread of its own: nothing here can hold up the loop.

mod numbers;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use nix::unistd::{Group, chown};
use tokio::net::UnixListener;
use tracing::warn;

use super::watch::spawn;
use crate::engine::{Engine, Silent};
use crate::host::{Host, HostError};
use crate::model::Layout;

/// Whoever is slower has left.
const HEAD_LIMIT: Duration = Duration::from_secs(5);

/// Where the socket is.
fn socket(engine: &Engine<'_>) -> PathBuf {
    engine.layout.own_metrics_socket()
}

/// Serves the numbers on a thread of its own.
pub(super) fn serve(host: &Arc<Host>) -> Result<(), HostError> {
    let host = Arc::clone(host);
    spawn("metrics", move || {
        if let Err(error) = serve_here(&host) {
            warn!(%error, "no numbers for Prometheus");
        }
    })
}

/// Takes the socket away.
pub(super) fn close(host: &Host) {
    let _ = host.files.remove(&socket(&Engine::new(host, &Silent)));
}

fn serve_here(host: &Arc<Host>) -> Result<(), HostError> {
    let failed = |error: std::io::Error| HostError::Unexpected(error.to_string());
    // What a killed one left.
    close(host);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    runtime.block_on(async {
        let path = socket(&Engine::new(host, &Silent));
        let listener = UnixListener::bind(&path).map_err(failed)?;
        share(&path);
        loop {
            // One after the other: there is one Prometheus.
            let (stream, _) = listener.accept().await.map_err(failed)?;
            let service = service_fn(|request| {
                let host = Arc::clone(host);
                async move { Ok::<_, Infallible>(answer(&host, &request)) }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_LIMIT)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(2 * HEAD_LIMIT, served).await;
        }
    })
}

/// Lets the group in that passes the numbers on, where its unit gave it that group. The owner of a file may give it to
/// a group of its own without any power; without the group, the numbers stay root's.
fn share(path: &Path) {
    let Ok(Some(group)) = Group::from_name(Layout::METRICS_GROUP) else {
        return;
    };
    if chown(path, None, Some(group.gid)).is_ok() {
        let _ = fchmodat(
            AT_FDCWD,
            path,
            Mode::from_bits_truncate(0o660),
            FchmodatFlags::FollowSymlink,
        );
    }
}

fn answer(host: &Host, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let is_asked = request.method() == Method::GET && request.uri().path() == "/metrics";
    let (status, text) = if is_asked {
        (StatusCode::OK, numbers::text(&Engine::new(host, &Silent)))
    } else {
        (StatusCode::NOT_FOUND, "ask for /metrics\n".to_owned())
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let plain = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4");
    response
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, plain);
    response
}
