//! Listeners handed over by systemd. The socket unit owns the socket, so connections queue in it
//! while the service restarts.

use std::io;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use thiserror::Error;

/// How the name of the numbers' socket ends.
const PRIVATE: &str = ".metrics.sock";

#[derive(Debug, Error)]
pub enum ActivationError {
    #[error(
        "no listening socket was handed over\nhelp: start the socket unit and let systemd start \
         the service, or try it with `systemd-socket-activate -l /tmp/app.sock tavernctl serve …`"
    )]
    NoSocket,
    #[error("socket {index} handed over is not a Unix stream listener: {source}")]
    WrongKind { index: usize, source: io::Error },
    #[error("cannot make socket {index} non-blocking: {source}")]
    Blocking { index: usize, source: io::Error },
}

/// Takes all listeners. Call it before any thread starts: it clears `LISTEN_FDS` from the
/// environment.
pub fn listeners() -> Result<Vec<UnixListener>, ActivationError> {
    collect(ListenFd::from_env())
}

/// The listeners for everybody, and those for numbers: systemd gives all of a unit's one name, so
/// they are told by their file.
pub fn apart(listeners: Vec<UnixListener>) -> (Vec<UnixListener>, Vec<UnixListener>) {
    let is_private = |listener: &UnixListener| {
        let address = listener.local_addr().ok();
        address
            .as_ref()
            .and_then(|address| address.as_pathname()?.to_str())
            .is_some_and(|path| path.ends_with(PRIVATE))
    };
    listeners
        .into_iter()
        .partition(|listener| !is_private(listener))
}

fn collect(mut handed: ListenFd) -> Result<Vec<UnixListener>, ActivationError> {
    let mut listeners = Vec::with_capacity(handed.len());
    for index in 0..handed.len() {
        let listener = handed
            .take_unix_listener(index)
            .map_err(|source| ActivationError::WrongKind { index, source })?;
        let Some(listener) = listener else { continue };
        // tokio requires it; a blocking listener would stall a worker for good
        listener
            .set_nonblocking(true)
            .map_err(|source| ActivationError::Blocking { index, source })?;
        listeners.push(listener);
    }
    if listeners.is_empty() {
        return Err(ActivationError::NoSocket);
    }
    Ok(listeners)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_have_a_listener_of_their_own() {
        let directory = tempfile::tempdir().unwrap();
        let bind = |name: &str| UnixListener::bind(directory.path().join(name)).unwrap();
        let (public, private) = apart(vec![bind("a.sock"), bind("a.metrics.sock")]);
        assert_eq!((public.len(), private.len()), (1, 1));
        let address = private[0].local_addr().unwrap();
        assert!(address.as_pathname().unwrap().ends_with("a.metrics.sock"));
    }

    #[test]
    fn without_a_socket_the_error_says_what_to_do() {
        let error = collect(ListenFd::empty()).unwrap_err().to_string();
        assert!(error.contains("systemd-socket-activate"), "{error}");
    }
}
