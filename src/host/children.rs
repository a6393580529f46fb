#![allow(clippy::disallowed_methods, reason = "the door for children that stay")]

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getppid};

use super::process::command;
use super::{HostError, Invocation};

/// How often a child that was told to end is looked after.
const GLANCE: Duration = Duration::from_millis(5);

/// How long a killed process group may take to be gone.
const BURIAL: Duration = Duration::from_secs(2);

/// A child that stays until it is told to end. It ends with this process, whatever ends this process.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    group: Pid,
    /// How it ended, once it has.
    ended: Option<String>,
}

impl Child {
    /// Starts a program in a process group of its own, so that a terminal's Ctrl-C reaches only us.
    ///
    /// What starts is this binary's `tether`, which asks the kernel for `farewell` at our death and
    /// then becomes the program: safe code on both sides of the fork. Call it on the main thread, for
    /// the kernel takes the death of the thread that forked. A `listener` becomes the child's standard
    /// input and is handed over as systemd would (`LISTEN_FDS`). The log begins anew.
    ///
    /// # Errors
    /// When the log cannot be opened or the program cannot be started.
    pub fn start(
        program: &str,
        args: &[String],
        farewell: Signal,
        log: &Path,
        listener: Option<UnixListener>,
    ) -> Result<Self, HostError> {
        let own = own_binary()?;
        let me = std::process::id().to_string();
        let mut all = vec!["tether", &me, farewell.as_str(), "--", program];
        all.extend(args.iter().map(String::as_str));
        let mut invocation = Invocation::new(&own, &all);
        if listener.is_some() {
            invocation = invocation
                .env("LISTEN_FDS", "1")
                .env("LISTEN_FDS_FIRST_FD", "0");
        }
        let file = std::fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .open(log)
            .map_err(|error| HostError::io("write", log, error))?;
        let second = file
            .try_clone()
            .map_err(|error| HostError::io("write", log, error))?;
        let mut command = command(&invocation);
        command.stdout(file).stderr(second);
        if let Some(listener) = listener {
            command.stdin(Stdio::from(OwnedFd::from(listener)));
        }
        let failed = |source| HostError::Spawn {
            program: program.to_owned(),
            source,
        };
        let process = command.spawn().map_err(failed)?;
        let group = i32::try_from(process.id())
            .map(Pid::from_raw)
            .map_err(|error| failed(std::io::Error::other(error)))?;
        Ok(Self {
            process,
            group,
            ended: None,
        })
    }

    /// Starts this binary with other arguments.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_own(
        args: &[String],
        farewell: Signal,
        log: &Path,
        listener: Option<UnixListener>,
    ) -> Result<Self, HostError> {
        Self::start(&own_binary()?, args, farewell, log, listener)
    }

    /// How it ended; nothing while it runs.
    pub fn ended(&mut self) -> Option<&str> {
        if self.ended.is_none()
            && let Ok(Some(status)) = self.process.try_wait()
        {
            self.ended = Some(match (status.code(), status.signal()) {
                (Some(code), _) => format!("exit code {code}"),
                (None, Some(number)) => match Signal::try_from(number) {
                    Ok(signal) => format!("killed by {signal}"),
                    Err(_) => format!("killed by signal {number}"),
                },
                (None, None) => "for no reason given".to_owned(),
            });
        }
        self.ended.as_deref()
    }

    /// Tells it to end by `signal`, and waits until it has or `enough` says so.
    pub fn end(&mut self, signal: Signal, enough: &mut dyn FnMut() -> bool) {
        if self.ended().is_none() {
            let _ = kill(self.group, signal);
        }
        while self.ended().is_none() && !enough() {
            std::thread::sleep(GLANCE);
        }
    }
}

impl Drop for Child {
    /// Leaves nothing of its group: a dead master's workers neither.
    fn drop(&mut self) {
        let until = Instant::now() + BURIAL;
        while killpg(self.group, Signal::SIGKILL).is_ok() && Instant::now() < until {
            let _ = self.ended();
            std::thread::sleep(GLANCE);
        }
        let _ = self.ended();
    }
}

fn own_binary() -> Result<String, HostError> {
    let path =
        std::env::current_exe().map_err(|error| HostError::io("find", "/proc/self/exe", error))?;
    path.into_os_string()
        .into_string()
        .map_err(|path| HostError::Unexpected(format!("this program's path {path:?} is not UTF-8")))
}

/// Becomes `program`, which the kernel will send `farewell` when the process `parent` dies. Returns only
/// what went wrong.
pub fn tether(parent: u32, farewell: Signal, program: &str, args: &[String]) -> HostError {
    let failed = |source| HostError::Spawn {
        program: program.to_owned(),
        source,
    };
    if let Err(error) = set_pdeathsig(farewell) {
        return failed(error.into());
    }
    // It may have died before we asked.
    if u32::try_from(getppid().as_raw()) != Ok(parent) {
        return HostError::Unexpected(format!("process {parent} is not our parent any more"));
    }
    failed(Command::new(program).args(args).exec())
}

/// Listens on a Unix socket, which only this user may reach.
///
/// # Errors
/// When the kernel refuses.
pub fn listen(path: &Path) -> Result<UnixListener, HostError> {
    let failed = |error| HostError::io("listen on", path, error);
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    UnixListener::bind(path).map_err(failed)
}
