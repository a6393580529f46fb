use std::path::Path;

use super::UpError;
use crate::host::{Events, Host, Invocation, NginxBuild};
use crate::model::{Layout, Mode, NginxVersion};
use crate::resource::{Owner, PathState};

/// Debian's way to say that no service may start while packages are installed.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Finds nginx, or as root installs it without letting its public server start.
pub(super) fn ensure(
    host: &Host,
    events: &Events,
    say: &dyn Fn(&str),
) -> Result<NginxBuild, UpError> {
    if let Some(build) = host.nginx.build() {
        return Ok(build);
    }
    let apt = host
        .processes
        .run(&Invocation::new("apt-get", &["--version"]));
    if !apt.is_ok_and(|outcome| outcome.success()) {
        return Err(UpError::refused(
            "nginx is not installed, and this system has no apt-get",
            "install nginx by this system's own means, then run it again",
        ));
    }
    if !nix::unistd::geteuid().is_root() {
        return Err(UpError::refused(
            "nginx is not installed",
            "sudo apt-get install nginx, then run it again; or run it with sudo, which installs it",
        ));
    }
    say("installing nginx from this system's packages; its own service stays off …");
    install_quietly(host)?;
    if events.is_stop_wanted() {
        return Err(UpError::Stopped);
    }
    host.nginx.build().ok_or_else(|| {
        UpError::refused(
            "nginx was installed, but does not run",
            "`nginx -V` shows why",
        )
    })
}

fn install_quietly(host: &Host) -> Result<(), UpError> {
    let installed = if host.systemd.is_booted() {
        // Until the next boot at most, should we be killed.
        host.systemd.act("mask", &["--runtime", "nginx.service"])?;
        let installed = host.packages.install(&["nginx"]);
        host.systemd
            .act("unmask", &["--runtime", "nginx.service"])?;
        installed
    } else {
        let policy = Path::new(POLICY);
        let theirs = host.files.state(policy)? != PathState::Absent;
        if !theirs {
            let refuse = b"#!/bin/sh\nexit 101\n";
            host.files
                .write(policy, refuse, Mode(0o755), &Owner::root())?;
        }
        let installed = host.packages.install(&["nginx"]);
        if !theirs {
            host.files.remove(policy)?;
        }
        installed
    };
    installed?;
    // The package enables it for the next boot. `install` enables it again; where there is no systemctl,
    // nothing is enabled either.
    let _ = host.systemd.act("disable", &["nginx.service"]);
    Ok(())
}

/// What nginx is started with: the private configuration, and no word to the system's log.
pub(super) fn command(layout: &Layout, version: NginxVersion) -> (&'static str, Vec<String>) {
    let at = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let (program, mut arguments) = (
        "nginx",
        vec![
            "-p".to_owned(),
            at(layout.run.clone()),
            "-c".to_owned(),
            at(layout.nginx.join("nginx.conf")),
        ],
    );
    // Older ones try the system's log first, and complain.
    if version >= NginxVersion(1, 19, 5) {
        arguments.extend(["-e".to_owned(), at(layout.logs.join("error.log"))]);
    }
    (program, arguments)
}
