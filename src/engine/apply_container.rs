use std::time::{Duration, Instant};

use super::observe::settings_hash;
use super::pins::Images;
use super::{Engine, EngineError};
use crate::host::{ContainerSpec, HostError};
use crate::resource::{Action, Container, Probe};

/// How long a store may take to load its data before the step counts as failed.
const READY_LIMIT: Duration = Duration::from_secs(60);

impl Engine<'_> {
    pub(super) fn apply_container(
        &self,
        container: &Container,
        action: Action,
        images: &Images,
    ) -> Result<(), EngineError> {
        let docker = &self.host.docker;
        match action {
            Action::Restart => docker.restart(&container.name)?,
            Action::Reload => return self.read_again(container),
            Action::TakeOver => {
                self.keep_aside(&container.name)?;
                self.run_container(container, images)?;
            }
            _ => {
                self.is_alone_on_its_data(container)?;
                docker.remove(&container.name)?;
                self.run_container(container, images)?;
            }
        }
        self.wait_until_ready(&container.name, &container.probe)?;
        self.settle(container)
    }

    /// Has a running container read again what it can as it runs.
    pub(super) fn read_again(&self, container: &Container) -> Result<(), EngineError> {
        if container.settle.is_empty() {
            self.read_rules_again(&container.name)?;
        }
        self.wait_until_ready(&container.name, &container.probe)?;
        self.settle(container)
    }

    /// Runs the program that puts right what a container keeps in its data: a role's password, say.
    pub(super) fn settle(&self, container: &Container) -> Result<(), EngineError> {
        let argv: Vec<&str> = container.settle.iter().map(String::as_str).collect();
        if argv.is_empty() {
            return Ok(());
        }
        let outcome = self.host.docker.exec(&container.name, &argv)?;
        if outcome.success() {
            return Ok(());
        }
        let said = outcome.stderr.chars().filter(|c| !c.is_control());
        Err(EngineError::NotReady {
            what: format!(
                "{} does not take what it is told: {}",
                container.name,
                said.take(300).collect::<String>()
            ),
            help: format!("`docker logs {}` has more", container.name),
        })
    }

    /// Has a running Redis read its access list. One that was started by an older Tavern permits nobody to ask for
    /// that, and is restarted.
    fn read_rules_again(&self, name: &str) -> Result<(), EngineError> {
        let asked = self
            .host
            .docker
            .exec(name, &["redis-cli", "-e", "ACL", "LOAD"]);
        match asked {
            Ok(outcome) if outcome.stdout.trim() == "OK" => Ok(()),
            _ => Ok(self.host.docker.restart(name)?),
        }
    }

    pub(super) fn run_container(
        &self,
        container: &Container,
        images: &Images,
    ) -> Result<(), EngineError> {
        let gid = self
            .host
            .accounts
            .group_id(&container.group)
            .ok_or_else(|| HostError::NoAccount(format!("group `{}`", container.group)))?;
        let image = self.name_to_run(&images.get(&container.image))?;
        Ok(self.host.docker.run(&spec(container, gid, image))?)
    }

    /// What somebody changed of a container since it was made, in words.
    pub(super) fn changes_of(&self, container: &Container) -> Result<Vec<String>, EngineError> {
        let Some(gid) = self.host.accounts.group_id(&container.group) else {
            return Ok(Vec::new());
        };
        let spec = spec(container, gid, container.image.to_string());
        Ok(self.host.docker.differences(&spec)?)
    }

    /// Waits for a container of ours, by its own probe.
    pub(super) fn wait_for(&self, name: &str) -> Result<(), EngineError> {
        let known = self.containers()?.into_iter().find(|one| one.name == name);
        let probe = known.map_or_else(Probe::of_redis, |container| container.probe);
        self.wait_until_ready(name, &probe)
    }

    pub(super) fn wait_for_pong(&self, name: &str) -> Result<(), EngineError> {
        self.wait_until_ready(name, &Probe::of_redis())
    }

    pub(super) fn wait_until_ready(&self, name: &str, probe: &Probe) -> Result<(), EngineError> {
        let argv = probe.argv();
        let begun = Instant::now();
        loop {
            let answer = self.host.docker.exec(name, &argv);
            let said = match answer {
                Ok(outcome) if probe.is_ready(outcome.code, &outcome.stdout) => return Ok(()),
                Ok(outcome) => format!("{}{}", outcome.stdout, outcome.stderr),
                Err(error) => error.to_string(),
            };
            if begun.elapsed() > READY_LIMIT {
                let logs = self.host.docker.logs(name, 5).unwrap_or_default();
                return Err(EngineError::NotReady {
                    what: format!(
                        "{name} is not ready: `{}` says {}\n{}",
                        argv.join(" "),
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
}

fn spec(container: &Container, gid: u32, image: String) -> ContainerSpec {
    ContainerSpec {
        name: container.name.clone(),
        stack: container.stack.clone(),
        settings: settings_hash(container, gid),
        image,
        command: container.command.clone(),
        user: format!("{}:{gid}", container.uid),
        mounts: container.mounts.clone(),
        memory: container.memory,
        pids: container.pids,
        health: container.probe.argv.clone(),
        network: container.network,
        environment: container.environment.clone(),
    }
}
