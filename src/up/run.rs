use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Placed, UpError, program, web_server};
use crate::check::{self, Report, Setting};
use crate::host::{self, Child, Event, Events, Host};
use crate::model::Layout;
use crate::stack::Stack;

/// How long requests in flight may take at the end.
const GRACE: Duration = Duration::from_secs(3);

/// A process of the stack.
pub(super) struct Member {
    name: String,
    child: Child,
    /// The signal by which it ends with grace.
    goodbye: Signal,
    /// Where it says why it ended, the likeliest place first.
    pub(super) logs: [PathBuf; 2],
}

/// A stack that serves.
pub struct Running<'a> {
    pub(super) host: &'a Host,
    /// In the order in which they end.
    pub(super) members: Vec<Member>,
    // After the members: fields are dropped in order, and the directory goes last.
    pub(super) placed: Placed,
}

impl<'a> Running<'a> {
    /// Starts everything and waits until it answers at the front door.
    ///
    /// # Errors
    /// When a process ends or does not answer; then all are ended.
    pub fn start(host: &'a Host, placed: Placed, events: &Events) -> Result<Self, UpError> {
        let mut running = Self {
            host,
            members: Vec::new(),
            placed,
        };
        running.members.push(running.nginx()?);
        for index in 0..running.placed.stack.apps.len() {
            let app = running.app(index)?;
            running.members.push(app);
        }
        running.wait_until_ready(events)?;
        Ok(running)
    }

    fn nginx(&self) -> Result<Member, UpError> {
        let layout = &self.placed.layout;
        let (log, errors) = (layout.logs.join("nginx.log"), layout.logs.join("error.log"));
        self.host.files.remove(&errors)?;
        let (program, arguments) = web_server::command(layout, self.placed.version);
        Ok(Member {
            name: "nginx".to_owned(),
            // The master ends its workers on SIGTERM, and would leave them on SIGKILL.
            child: Child::start(program, &arguments, Signal::SIGTERM, &log, None)?,
            goodbye: Signal::SIGQUIT,
            logs: [log, errors],
        })
    }

    fn app(&self, index: usize) -> Result<Member, UpError> {
        let Placed { layout, stack, .. } = &self.placed;
        let app = &stack.apps[index];
        let listener = host::listen(&layout.app_socket(&stack.name, &app.name))?;
        let log = layout.logs.join(format!("{}.log", app.name));
        let arguments = program::arguments(stack, app, layout);
        Ok(Member {
            name: format!("app {}", app.name),
            // Every count it has answered is on disk: it may go at once.
            child: Child::start_own(&arguments, Signal::SIGKILL, &log, Some(listener))?,
            goodbye: Signal::SIGTERM,
            logs: [log.clone(), log],
        })
    }

    pub(super) fn all_alive(&mut self) -> Result<(), UpError> {
        let dead = self.members.iter_mut().find_map(|member| {
            let how = member.child.ended()?.to_owned();
            Some((member.name.clone(), how, member.logs.clone()))
        });
        let Some((name, how, logs)) = dead else {
            return Ok(());
        };
        Err(UpError::Broken {
            what: format!("{name} ended unexpectedly ({how})"),
            log: self.tail(&logs),
        })
    }

    /// Every probe, once.
    pub fn check(&self) -> Report {
        let mut setting = Setting::private(
            self.placed.dir.path(),
            self.placed.edge.http_port,
            self.placed.edge.https_port,
        );
        setting.generation = Some(self.placed.generation.clone());
        check::run(
            self.host,
            std::slice::from_ref(&self.placed.stack),
            &setting,
        )
    }

    /// Serves until it is told to end.
    ///
    /// # Errors
    /// When a process ends before.
    pub fn wait(&mut self, events: &Events) -> Result<(), UpError> {
        loop {
            self.all_alive()?;
            match events.wait(None) {
                Some(Event::Child) => {}
                Some(Event::Stop) | None => return Ok(()),
            }
        }
    }

    /// Ends everything with grace; told again, at once.
    pub fn stop(mut self, events: &Events) {
        let until = Instant::now() + GRACE;
        let mut hurry = false;
        let mut enough = || {
            hurry |= events.is_stop_wanted();
            hurry || Instant::now() > until
        };
        for member in &mut self.members {
            member.child.end(member.goodbye, &mut enough);
        }
    }

    /// The stack as it runs here.
    pub fn stack(&self) -> &Stack {
        &self.placed.stack
    }

    /// Where its files are.
    pub fn layout(&self) -> &Layout {
        &self.placed.layout
    }

    /// The ports: HTTP, HTTPS.
    pub fn ports(&self) -> (u16, u16) {
        (self.placed.edge.http_port, self.placed.edge.https_port)
    }

    /// The directory, and whether it goes at the end.
    pub fn directory(&self) -> (&std::path::Path, bool) {
        (self.placed.dir.path(), self.placed.dir.is_passing())
    }
}
