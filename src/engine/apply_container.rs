use std::time::{Duration, Instant};

use super::observe::settings_hash;
use super::{Engine, EngineError};
use crate::host::{ContainerSpec, HostError};
use crate::resource::{Action, Container};

/// How long Redis may take to load its data before the step counts as failed.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// How long a foreign Redis may take to write its append-only file.
const HANDOVER_LIMIT: Duration = Duration::from_secs(300);

impl Engine<'_> {
    pub(super) fn apply_container(
        &self,
        container: &Container,
        action: Action,
    ) -> Result<(), EngineError> {
        let docker = &self.host.docker;
        match action {
            Action::Restart => docker.restart(&container.name)?,
            Action::TakeOver => {
                self.keep_aside(&container.name)?;
                self.run_container(container)?;
            }
            _ => {
                docker.remove(&container.name)?;
                self.run_container(container)?;
            }
        }
        self.wait_for_pong(&container.name)
    }

    pub(super) fn run_container(&self, container: &Container) -> Result<(), EngineError> {
        let gid = self
            .host
            .accounts
            .group_id(&container.group)
            .ok_or_else(|| HostError::NoAccount(format!("group `{}`", container.group)))?;
        let spec = ContainerSpec {
            name: container.name.clone(),
            stack: container.stack.clone(),
            settings: settings_hash(container, gid),
            image: container.image.clone(),
            command: container.command.clone(),
            user: format!("{}:{gid}", container.uid),
            mounts: container.mounts.clone(),
            memory: container.memory,
            pids: container.pids,
            health: ["redis-cli", "-e", "ping"].map(str::to_owned).to_vec(),
        };
        Ok(self.host.docker.run(&spec)?)
    }

    fn wait_for_pong(&self, name: &str) -> Result<(), EngineError> {
        let begun = Instant::now();
        loop {
            let answer = self.host.docker.exec(name, &["redis-cli", "-e", "ping"]);
            let said = match answer {
                Ok(outcome) if outcome.stdout.trim() == "PONG" => return Ok(()),
                Ok(outcome) => format!("{}{}", outcome.stdout, outcome.stderr),
                Err(error) => error.to_string(),
            };
            if begun.elapsed() > READY_LIMIT {
                let logs = self.host.docker.logs(name, 5).unwrap_or_default();
                return Err(EngineError::NotReady {
                    what: format!(
                        "{name} does not answer PONG: {}\n{}",
                        said.trim(),
                        logs.trim()
                    ),
                    help: format!(
                        "`docker logs {name}` has more; damaged data is never repaired by guessing"
                    ),
                });
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Stops a container of somebody else's and keeps it under another name.
    ///
    /// A Redis that only writes snapshots is first made to write an append-only file: one that starts with
    /// `appendonly yes` beside a snapshot alone begins empty.
    fn keep_aside(&self, name: &str) -> Result<(), EngineError> {
        let docker = &self.host.docker;
        let found = docker.container(name)?.unwrap_or_default();
        if !found.running {
            docker.start(name)?;
            self.wait_for_pong(name)?;
        }
        let cli = |argv: &[&str]| -> Result<String, HostError> {
            let outcome = docker.exec(name, &[&["redis-cli"], argv].concat())?;
            Ok(outcome.stdout.trim().to_owned())
        };
        self.progress
            .detail("the old Redis writes its append-only file");
        let answer = cli(&["CONFIG", "SET", "appendonly", "yes"])?;
        if answer != "OK" {
            return Err(EngineError::NotReady {
                what: format!("the Redis in `{name}` refuses CONFIG SET appendonly: {answer}"),
                help: "its data cannot be taken over safely: save it by hand, remove the container, then run it again".into(),
            });
        }
        let begun = Instant::now();
        loop {
            let info = cli(&["INFO", "persistence"])?;
            let has = |line: &str| info.lines().any(|l| l.trim() == line);
            let idle = has("aof_rewrite_in_progress:0") && has("aof_rewrite_scheduled:0");
            if idle && has("aof_last_bgrewrite_status:ok") && has("aof_enabled:1") {
                break;
            }
            if begun.elapsed() > HANDOVER_LIMIT {
                return Err(EngineError::NotReady {
                    what: format!("the Redis in `{name}` did not finish its append-only file"),
                    help: format!("`docker logs {name}` says why; nothing was changed in its data"),
                });
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        docker.stop(name)?;
        Ok(docker.rename(name, &format!("{name}.before-tavern"), "no")?)
    }
}
