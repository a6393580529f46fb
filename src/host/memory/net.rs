//! Addresses, listeners, requests, other programs and the time.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};

use time::OffsetDateTime;

use super::MemoryHost;
use super::systemd::{NGINX, PID};
use crate::host::{
    Answer, Clock, HostError, Http, Invocation, Listener, Logins, Net, Outcome, Processes, Request,
    Session, Sessions, Uptime,
};

impl Net for MemoryHost {
    fn addresses(&self) -> Vec<IpAddr> {
        vec![Ipv4Addr::new(192, 0, 2, 7).into()]
    }

    fn has_ipv4(&self) -> bool {
        true
    }

    fn has_ipv6(&self) -> bool {
        true
    }

    fn listeners(&self) -> Vec<Listener> {
        let mut listeners = vec![listener(22, (1, "sshd"))];
        if self.look().units.contains_key(NGINX) {
            listeners.extend([80, 443].map(|port| listener(port, (PID, "nginx"))));
        }
        listeners
    }
}

fn listener(port: u16, (pid, name): (u32, &str)) -> Listener {
    Listener {
        address: Ipv4Addr::UNSPECIFIED.into(),
        port,
        owner: Some((pid, name.to_owned())),
    }
}

impl Http for MemoryHost {
    fn send_all(&self, requests: &[Request]) -> Vec<Result<Answer, HostError>> {
        let refusal = |_| Err(HostError::Unexpected("nobody answers here".to_owned()));
        requests.iter().map(refusal).collect()
    }
}

impl Processes for MemoryHost {
    fn run(&self, invocation: &Invocation) -> Result<Outcome, HostError> {
        match invocation.program() {
            // What systemd listens on for sshd.
            "systemctl" => Ok(Outcome {
                code: 0,
                stdout: "ActiveState=inactive\n".to_owned(),
                stderr: String::new(),
            }),
            "update-ca-certificates" => self.update_ca_certificates(),
            "runuser" => self.certutil(invocation.words()),
            _ => Err(no_such(invocation)),
        }
    }

    fn stream(
        &self,
        invocation: &Invocation,
        _line: &mut dyn FnMut(&str) -> bool,
    ) -> Result<(), HostError> {
        Err(no_such(invocation))
    }
}

fn no_such(invocation: &Invocation) -> HostError {
    HostError::Spawn {
        program: invocation.program().to_owned(),
        source: ErrorKind::NotFound.into(),
    }
}

impl Clock for MemoryHost {
    fn now(&self) -> OffsetDateTime {
        let machine = self.machine();
        time::macros::datetime!(2026-11-20 12:00 UTC) - machine.set_back + machine.gone_on
    }

    fn uptime(&self) -> Result<Uptime, HostError> {
        Ok(Uptime {
            boot: format!("boot {}", self.machine().boots),
            length: self.machine().up,
        })
    }
}

impl Logins for MemoryHost {
    fn own(&self) -> Session {
        Session {
            audit: self.machine().session,
            scope: None,
        }
    }

    fn all(&self) -> Sessions {
        Sessions {
            audit: self.machine().session.into_iter().collect(),
            ..Sessions::default()
        }
    }
}
