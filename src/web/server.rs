//! HTTP/1 on what comes through a door. Not `axum::serve`: it does not say when its last connection has
//! been accepted, and one that was accepted but not yet read from would be dropped with its request.

use std::pin::pin;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::debug;

use super::doorway::Doorway;
use super::traffic::Counted;

/// Serves until the door is closed, and hands back the connections that are still open.
pub(super) async fn serve(
    mut door: Doorway,
    router: Router,
    leaving: watch::Receiver<bool>,
) -> JoinSet<()> {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            arrived = door.accept() => match arrived {
                Some(stream) => {
                    connections.spawn(converse(stream, router.clone(), leaving.clone()));
                }
                None => return connections,
            },
            // So that those that have ended take no memory.
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection to its end. Once the service leaves it ends with the request under way, or the next one.
async fn converse(stream: Counted, router: Router, mut leaving: watch::Receiver<bool>) {
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = said(&mut leaving) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(error = %error, "a connection broke off");
    }
}

/// The lock that `wait_for` returns must not live across an await.
async fn said(leaving: &mut watch::Receiver<bool>) {
    let _ = leaving.wait_for(|leave| *leave).await;
}
