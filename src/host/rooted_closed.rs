//! The doors that an image has not: what is asked of them would be asked of the running host.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use super::{
    Answer, ContainerEvent, ContainerSpec, Docker, Entrance, Firewall, FoundContainer, FoundImage,
    FoundVolume, HostError, Http, Invocation, Listener, Logins, Net, Outcome, Processes, Reception,
    RegistryLogin, Request, Session, Sessions,
};
use crate::model::{ImageRef, UfwFacts};

/// A door that stays closed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closed;

pub(super) fn closed() -> HostError {
    HostError::Unexpected(
        "nothing runs in an image: this can be asked of the host that it boots".into(),
    )
}

impl Processes for Closed {
    fn run(&self, _invocation: &Invocation) -> Result<Outcome, HostError> {
        Err(closed())
    }

    fn stream(
        &self,
        _invocation: &Invocation,
        _line: &mut dyn FnMut(&str) -> bool,
    ) -> Result<(), HostError> {
        Err(closed())
    }
}

impl Firewall for Closed {
    fn state(&self) -> Result<UfwFacts, HostError> {
        Err(closed())
    }

    fn is_open(&self, _port: u16) -> Result<bool, HostError> {
        Err(closed())
    }

    fn is_open_to_some(&self, _port: u16) -> Result<bool, HostError> {
        Err(closed())
    }

    fn is_open_over_ipv6(&self, _port: u16) -> Result<bool, HostError> {
        Err(closed())
    }

    fn opened_by_us(&self) -> Result<BTreeSet<u16>, HostError> {
        Err(closed())
    }

    fn knock(&self, _entrances: &[Entrance]) -> Result<Vec<Reception>, HostError> {
        Err(closed())
    }

    fn open(&self, _port: u16) -> Result<(), HostError> {
        Err(closed())
    }

    fn close(&self, _port: u16) -> Result<(), HostError> {
        Err(closed())
    }
}

impl Logins for Closed {
    fn own(&self) -> Session {
        Session::default()
    }

    fn all(&self) -> Sessions {
        Sessions::default()
    }
}

impl Net for Closed {
    fn addresses(&self) -> Vec<IpAddr> {
        Vec::new()
    }

    fn has_ipv4(&self) -> bool {
        false
    }

    fn has_ipv6(&self) -> bool {
        false
    }

    fn listeners(&self) -> Vec<Listener> {
        Vec::new()
    }
}

impl Http for Closed {
    fn send_all(&self, requests: &[Request]) -> Vec<Result<Answer, HostError>> {
        requests.iter().map(|_| Err(closed())).collect()
    }
}

impl Docker for Closed {
    fn version(&self) -> Result<String, HostError> {
        Err(closed())
    }

    fn image(&self, _name: &str) -> Result<Option<FoundImage>, HostError> {
        Err(closed())
    }

    fn images(&self) -> Result<BTreeSet<String>, HostError> {
        Err(closed())
    }

    fn images_in_use(&self) -> Result<BTreeSet<String>, HostError> {
        Err(closed())
    }

    fn digest(
        &self,
        _image: &ImageRef,
        _login: Option<&RegistryLogin>,
    ) -> Result<String, HostError> {
        Err(closed())
    }

    fn pull(
        &self,
        _name: &str,
        _login: Option<&RegistryLogin>,
        _progress: &mut dyn FnMut(&str),
    ) -> Result<(), HostError> {
        Err(closed())
    }

    fn tag(&self, _id: &str, _reference: &ImageRef) -> Result<(), HostError> {
        Err(closed())
    }

    fn load(&self, _file: &Path) -> Result<(), HostError> {
        Err(closed())
    }

    fn follow_events(
        &self,
        _each: &mut dyn FnMut(ContainerEvent) -> bool,
    ) -> Result<(), HostError> {
        Err(closed())
    }

    fn remove_image(&self, _name: &str) -> Result<(), HostError> {
        Err(closed())
    }

    fn volume(&self, _name: &str) -> Result<Option<FoundVolume>, HostError> {
        Err(closed())
    }

    fn create_volume(&self, _name: &str, _stack: &str) -> Result<(), HostError> {
        Err(closed())
    }

    fn remove_volume(&self, _name: &str) -> Result<(), HostError> {
        Err(closed())
    }

    fn volumes(&self) -> Result<Vec<(String, Option<String>)>, HostError> {
        Err(closed())
    }

    fn writers(&self, _volume: &str) -> Result<Vec<String>, HostError> {
        Err(closed())
    }

    fn containers(&self) -> Result<Vec<(String, Option<String>)>, HostError> {
        Err(closed())
    }

    fn container(&self, _name: &str) -> Result<Option<FoundContainer>, HostError> {
        Err(closed())
    }

    fn differences(&self, _spec: &ContainerSpec) -> Result<Vec<String>, HostError> {
        Err(closed())
    }

    fn run(&self, _spec: &ContainerSpec) -> Result<(), HostError> {
        Err(closed())
    }

    fn start(&self, _name: &str) -> Result<(), HostError> {
        Err(closed())
    }

    fn restart(&self, _name: &str) -> Result<(), HostError> {
        Err(closed())
    }

    fn stop(&self, _name: &str) -> Result<(), HostError> {
        Err(closed())
    }

    fn remove(&self, _name: &str) -> Result<(), HostError> {
        Err(closed())
    }

    fn set_restart_policy(&self, _name: &str, _policy: &str) -> Result<(), HostError> {
        Err(closed())
    }

    fn rename(&self, _name: &str, _new: &str, _policy: &str) -> Result<(), HostError> {
        Err(closed())
    }

    fn exec(&self, _name: &str, _argv: &[&str]) -> Result<Outcome, HostError> {
        Err(closed())
    }

    fn exec_to_file(
        &self,
        _: &str,
        _: &[&str],
        _: &Path,
        _: &dyn Fn() -> bool,
    ) -> Result<Outcome, HostError> {
        Err(closed())
    }

    fn follow_logs(
        &self,
        _name: &str,
        _line: &mut dyn FnMut(&str) -> bool,
    ) -> Result<(), HostError> {
        Err(closed())
    }

    fn logs(&self, _name: &str, _lines: u32) -> Result<String, HostError> {
        Err(closed())
    }
}
