//! A service from its first breath to its last: readiness, status and watchdog for systemd, and a
//! way out that loses no request.

use std::future::IntoFuture;
use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use sd_notify::NotifyState;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::doorway::{Doorway, Drain, SideDoor};
use super::health::{Health, State};
use super::server;
use super::traffic::Traffic;

/// After this a service without its store is ready all the same, and says that it is degraded.
const READY_BOUND: Duration = Duration::from_millis(1500);
/// While leaving, answers go out with `Connection: close` until no connection from before is left:
/// one closed under nginx could take a request along. nginx gives up its idle ones after a second
/// (`keepalive_timeout` of the upstream), so this is reached before the bound.
const FAREWELL_BOUND: Duration = Duration::from_millis(1500);
/// For connections accepted just before the door closed: their request is on its way.
const LAST_ARRIVALS_BOUND: Duration = Duration::from_millis(500);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Requests still running after this are cut off.
const DRAIN_BOUND: Duration = Duration::from_secs(10);

#[derive(Debug, Error)]
pub enum LifecycleError {
    #[error("cannot take over a listener: {0}")]
    Listener(io::Error),
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
    #[error("the server stopped by itself")]
    Stopped,
}

pub struct Service {
    pub router: Router,
    pub listeners: Vec<UnixListener>,
    /// What only the operator reaches.
    pub private: Router,
    pub private_listeners: Vec<UnixListener>,
    pub health: Arc<Health>,
    pub drain: Arc<Drain>,
    /// What the watchdog asks for; answers 200 while the service lives.
    pub liveness_path: String,
}

/// Serves until SIGTERM or SIGINT, then drains. A second signal ends the drain.
pub async fn run(service: Service) -> Result<(), LifecycleError> {
    let (sender, stop) = mpsc::channel(1);
    forward_signals(sender).map_err(LifecycleError::Signals)?;
    run_until(service, stop).await
}

async fn run_until(service: Service, mut stop: mpsc::Receiver<()>) -> Result<(), LifecycleError> {
    let (door, open) = watch::channel(true);
    let (leave, leaving) = watch::channel(false);
    let traffic = Arc::new(Traffic::default());
    let mut servers = JoinSet::new();
    let mut side_doors = Vec::new();
    for listener in service.listeners {
        let (doorway, side_door) = Doorway::new(
            listener,
            open.clone(),
            Arc::clone(&traffic),
            Arc::clone(&service.drain),
        )
        .map_err(LifecycleError::Listener)?;
        side_doors.push(side_door);
        servers.spawn(server::serve(
            doorway,
            service.router.clone(),
            leaving.clone(),
        ));
    }
    let mut companions = JoinSet::new();
    companions.spawn(report(service.health.subscribe()));
    for listener in service.private_listeners {
        let listener = tokio::net::UnixListener::from_std(listener);
        let listener = listener.map_err(LifecycleError::Listener)?;
        let served = axum::serve(listener, service.private.clone()).into_future();
        companions.spawn(async move {
            let _ = served.await;
        });
    }
    if let Some(period) = sd_notify::watchdog_enabled() {
        companions.spawn(watchdog(period, side_doors, service.liveness_path));
    }

    tokio::select! {
        _ = stop.recv() => {}
        _ = servers.join_next() => return Err(LifecycleError::Stopped),
    }
    companions.shutdown().await;
    notify(&[NotifyState::Stopping, NotifyState::Status("draining")]);
    info!(state = "stopping", "draining");
    let started = Instant::now();
    service.drain.start();
    let goodbye = async {
        until(FAREWELL_BOUND, || traffic.early() == 0).await;
        let _ = door.send(false);
        // Nobody is between the door and the count any more.
        let mut connections = Vec::new();
        while let Some(open) = servers.join_next().await {
            connections.extend(open.ok());
        }
        until(LAST_ARRIVALS_BOUND, || traffic.all() == 0).await;
        let _ = leave.send(true);
        let drained = async {
            for mut open in connections {
                while open.join_next().await.is_some() {}
            }
        };
        timeout(DRAIN_BOUND, drained).await.is_ok()
    };
    let in_time = tokio::select! {
        in_time = goodbye => in_time,
        _ = stop.recv() => false,
    };
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    if in_time {
        info!(state = "stopped", duration_ms, "drained");
    } else {
        warn!(
            state = "stopped",
            duration_ms, "requests still running were cut off"
        );
    }
    Ok(())
}

/// Waits until it is so, but no longer than `bound`.
async fn until(bound: Duration, is_so: impl Fn() -> bool) {
    let end = Instant::now() + bound;
    while !is_so() && Instant::now() < end {
        sleep(LOOK_AGAIN).await;
    }
}

fn forward_signals(sender: mpsc::Sender<()>) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if sender.send(()).await.is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// Tells systemd and the journal how the service fares: ready as soon as its store answers, or
/// after a short bound without it.
async fn report(mut health: watch::Receiver<State>) {
    let first_up = health.wait_for(|state| *state == State::Up);
    let _ = timeout(READY_BOUND, first_up).await;
    let mut ready = false;
    loop {
        let state = health.borrow_and_update().clone();
        let status = match &state {
            State::Up => {
                info!(state = "up", "serving");
                "serving".to_owned()
            }
            State::Down(reason) => {
                warn!(state = "degraded", error = %reason, "store is not available");
                format!("degraded: {reason}")
            }
            State::Unknown => "degraded: the store has not answered yet".to_owned(),
        };
        if ready {
            notify(&[NotifyState::Status(&status)]);
        } else {
            notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
            ready = true;
        }
        if health.changed().await.is_err() {
            return;
        }
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(error = %error, "cannot notify systemd");
    }
}

/// Pets the watchdog only after a request has gone through each accept loop and come back.
async fn watchdog(period: Duration, doors: Vec<SideDoor>, path: String) {
    let pause = period / 4;
    loop {
        let mut alive = true;
        for door in &doors {
            let answer = timeout(period / 4, visit(door, &path)).await;
            alive &= matches!(answer, Ok(Ok(true)));
        }
        if alive {
            notify(&[NotifyState::Watchdog]);
        } else {
            warn!(state = "stuck", "the service did not answer its watchdog");
        }
        sleep(pause).await;
    }
}

async fn visit(door: &SideDoor, path: &str) -> io::Result<bool> {
    let mut stream = door.connect().await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: watchdog\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut start = [0u8; 12];
    stream.read_exact(&mut start).await?;
    Ok(&start == b"HTTP/1.1 200")
}

#[cfg(test)]
#[path = "lifecycle_tests.rs"]
mod tests;
