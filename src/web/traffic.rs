//! Counts open connections, so that a service on its way out knows when nobody is on the line.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use super::doorway::Drain;

/// How many connections are open: those from before the drain, and all.
#[derive(Debug, Default)]
pub struct Traffic {
    early: AtomicUsize,
    all: AtomicUsize,
}

impl Traffic {
    /// Connections accepted before the drain began.
    pub fn early(&self) -> usize {
        self.early.load(Ordering::Relaxed)
    }

    /// All connections.
    pub fn all(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }
}

/// A connection, counted while it is open.
#[derive(Debug)]
pub struct Counted {
    stream: UnixStream,
    /// Nothing for the watchdog's own visits.
    _place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    traffic: Arc<Traffic>,
    is_early: bool,
}

impl Counted {
    pub(super) fn new(stream: UnixStream, traffic: &Arc<Traffic>, drain: &Drain) -> Self {
        let is_early = !drain.is_draining();
        traffic.all.fetch_add(1, Ordering::Relaxed);
        traffic
            .early
            .fetch_add(usize::from(is_early), Ordering::Relaxed);
        let place = Place {
            traffic: Arc::clone(traffic),
            is_early,
        };
        Self {
            stream,
            _place: Some(place),
        }
    }

    pub(super) fn uncounted(stream: UnixStream) -> Self {
        Self {
            stream,
            _place: None,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.traffic.all.fetch_sub(1, Ordering::Relaxed);
        self.traffic
            .early
            .fetch_sub(usize::from(self.is_early), Ordering::Relaxed);
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
