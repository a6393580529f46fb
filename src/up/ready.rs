use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Placed, Running, UpError};
use crate::host::{Door, Event, Events, Request};
use crate::stack::SiteContent;

/// All of it answers within this, or something is wrong.
const READY_BOUND: Duration = Duration::from_secs(15);

/// Between two looks whether all of it answers.
const LOOK: Duration = Duration::from_millis(15);

/// Lines of a log that are shown.
const TAIL: usize = 8;

impl Running<'_> {
    pub(super) fn wait_until_ready(&mut self, events: &Events) -> Result<(), UpError> {
        let until = Instant::now() + READY_BOUND;
        loop {
            self.all_alive()?;
            let wrong = match self.ask() {
                None => return Ok(()),
                Some(wrong) => wrong,
            };
            if Instant::now() > until {
                return Err(UpError::Broken {
                    what: format!("{wrong} after {} s", READY_BOUND.as_secs()),
                    log: self.tail(&self.members[0].logs),
                });
            }
            if events.wait(Some(LOOK)) == Some(Event::Stop) {
                return Err(UpError::Stopped);
            }
        }
    }

    /// What does not answer yet, of nginx and each app through it.
    fn ask(&self) -> Option<String> {
        let Placed { stack, edge, .. } = &self.placed;
        let running = self.host.nginx.generation(edge.http_port);
        if running.as_deref() != Some(&self.placed.generation) {
            return Some("nginx does not answer".to_owned());
        }
        let sites: Vec<_> = stack
            .sites
            .iter()
            .filter(|site| matches!(site.content, SiteContent::App(_)))
            .collect();
        let requests: Vec<_> = sites
            .iter()
            .map(|site| {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, edge.https_port));
                let door = Door::Tls {
                    address,
                    name: None,
                };
                Request::get(door, format!("{}/", site.path.prefix()))
            })
            .collect();
        let answers = self.host.http.send_all(&requests);
        sites.iter().zip(answers).find_map(|(site, answer)| {
            let served = answer.is_ok_and(|answer| answer.status < 500);
            (!served).then(|| format!("{} does not answer", site.path))
        })
    }

    /// The end of the first log that says anything.
    pub(super) fn tail(&self, logs: &[PathBuf]) -> Vec<String> {
        for log in logs {
            let bytes = self.host.files.read(log).ok().flatten().unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
            if !lines.is_empty() {
                let from = lines.len().saturating_sub(TAIL);
                return lines[from..]
                    .iter()
                    .map(|line| (*line).to_owned())
                    .collect();
            }
        }
        Vec::new()
    }
}
