//! What comes from outside: Docker's events, and the signal to end.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use super::keeper::Message;
use crate::host::{Docker as _, Events, Host, HostError, RealDocker};

/// How soon Docker is asked again once it has gone.
const AGAIN: Duration = Duration::from_secs(1);

/// Passes Docker's events on, for ever, from one engine to the next.
pub(super) fn docker(host: &Arc<Host>, to: Sender<Message>) -> Result<(), HostError> {
    let host = Arc::clone(host);
    spawn("docker", move || {
        let mut is_there = true;
        loop {
            // A connection of its own: it is in use all the time.
            let docker = RealDocker::default();
            let reached = is_installed(&host) && docker.version().is_ok();
            if reached {
                is_there = true;
                if to.send(Message::Docker(true)).is_err() {
                    return;
                }
                let mut each = |event| to.send(Message::Event(event)).is_ok();
                let _ = docker.follow_events(&mut each);
            }
            // Once is enough.
            if std::mem::take(&mut is_there) && to.send(Message::Docker(false)).is_err() {
                return;
            }
            std::thread::sleep(AGAIN);
        }
    })
}

fn is_installed(host: &Host) -> bool {
    host.files
        .exists(std::path::Path::new("/var/run/docker.sock"))
}

/// Says when it is time to end.
pub(super) fn signals(to: Sender<Message>) -> Result<(), HostError> {
    let events = Events::catch()?;
    spawn("signals", move || {
        while let Some(event) = events.wait(None) {
            if event == crate::host::Event::Stop && to.send(Message::Stop).is_err() {
                return;
            }
        }
    })
}

/// A thread of its own.
pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), HostError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map(|_| ())
        .map_err(|error| HostError::Unexpected(format!("cannot start a thread: {error}")))
}
