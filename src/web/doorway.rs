//! The listener as the server sees it: it can be closed without dropping the socket, and the
//! watchdog can come in through it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::traffic::{Counted, Traffic};

/// Says that the service is leaving.
#[derive(Debug, Default)]
pub struct Drain(AtomicBool);

impl Drain {
    pub fn is_draining(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub fn start(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A listener with a side door for the watchdog.
#[derive(Debug)]
pub struct Doorway {
    listener: UnixListener,
    visitors: mpsc::Receiver<UnixStream>,
    open: watch::Receiver<bool>,
    traffic: Arc<Traffic>,
    drain: Arc<Drain>,
}

/// The side door: what goes in here is accepted as if it had come through the socket.
#[derive(Clone, Debug)]
pub struct SideDoor(mpsc::Sender<UnixStream>);

impl Doorway {
    /// `open` turns false when no connection shall be accepted any more.
    pub fn new(
        listener: std::os::unix::net::UnixListener,
        open: watch::Receiver<bool>,
        traffic: Arc<Traffic>,
        drain: Arc<Drain>,
    ) -> io::Result<(Self, SideDoor)> {
        let (sender, visitors) = mpsc::channel(1);
        let doorway = Self {
            listener: UnixListener::from_std(listener)?,
            visitors,
            open,
            traffic,
            drain,
        };
        Ok((doorway, SideDoor(sender)))
    }
}

impl SideDoor {
    /// Connects to the service through its own accept loop.
    pub async fn connect(&self) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        let gone = |_| io::Error::from(io::ErrorKind::ConnectionRefused);
        self.0.send(theirs).await.map_err(gone)?;
        Ok(ours)
    }
}

impl Doorway {
    /// The next connection, or nothing once the door is closed: by then every one that came in is counted.
    pub async fn accept(&mut self) -> Option<Counted> {
        loop {
            tokio::select! {
                biased;
                () = closed(&mut self.open) => return None,
                Some(visitor) = self.visitors.recv() => return Some(Counted::uncounted(visitor)),
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => return Some(Counted::new(stream, &self.traffic, &self.drain)),
                    Err(error) if is_of_the_peer(&error) => {}
                    Err(error) => {
                        // out of descriptors or memory: what is open goes on, new ones wait
                        warn!(error = %error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                },
            }
        }
    }
}

/// The lock that `wait_for` returns must not live across an await.
async fn closed(open: &mut watch::Receiver<bool>) {
    let _ = open.wait_for(|open| !open).await;
}

fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
