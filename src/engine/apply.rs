use super::apply_secret::NewAccount;
use super::{Engine, EngineError};
use crate::host::HostError;
use crate::model::Mode;
use crate::plan::{Plan, Step};
use crate::resource::{Action, File, Owner, PathState, Resource, Unit};

use super::journal::Record;
use super::prior::Prior;
use super::receipt::Receipt;

/// What a run learnt on the way that its caller must be told.
#[derive(Default)]
pub(super) struct Gains {
    pub(super) accounts: Vec<NewAccount>,
}

impl Engine<'_> {
    /// Carries a plan out. When a step fails, the steps before it are undone.
    pub(super) fn apply(
        &self,
        plan: &Plan,
        receipt: &mut Receipt,
        gains: &mut Gains,
    ) -> Result<(), EngineError> {
        let before = receipt.clone();
        let state = &self.layout.state;
        let is_first = self.host.files.state(state)? == PathState::Absent;
        self.host
            .files
            .make_directory(state, Mode(0o700), &Owner::root())?;
        let mut done: Vec<Record> = Vec::new();
        let outcome = self
            .steps(plan, receipt, gains, &mut done)
            .and_then(|()| self.record_run(&done, receipt));
        let Err(error) = outcome else {
            let known = known_blobs(&before, &done);
            self.close_journal()?;
            return self.collect_blobs(&known, receipt);
        };
        self.progress.begin("undoing this run");
        let mut left = self.undo_run(&done, &before);
        if let Err(error) = self.forget_run(&before, &done, is_first && left.is_empty(), &left) {
            left.push(error.to_string());
        }
        Err(match error {
            EngineError::Interrupted if left.is_empty() => EngineError::Interrupted,
            EngineError::Step { step, source, .. } => EngineError::Step { step, source, left },
            other => EngineError::Step {
                step: "receipt".to_owned(),
                source: Box::new(other),
                left,
            },
        })
    }

    fn steps(
        &self,
        plan: &Plan,
        receipt: &mut Receipt,
        gains: &mut Gains,
        done: &mut Vec<Record>,
    ) -> Result<(), EngineError> {
        let mut journal = self.open_journal()?;
        for step in &plan.steps {
            if (self.is_stop_wanted)() {
                return Err(EngineError::Interrupted);
            }
            self.progress
                .begin(&format!("{} {}", step.change.action.sign(), step.id));
            self.capture_for(step)
                .and_then(|prior| {
                    let record = Record {
                        action: step.change.action,
                        resource: step.resource.clone(),
                        prior,
                        restarts: step.restarts.clone(),
                    };
                    journal.write(&record)?;
                    done.push(record);
                    self.carry_out(step, receipt, gains)
                })
                .map_err(|error| EngineError::Step {
                    step: step.id.to_string(),
                    source: Box::new(error),
                    left: Vec::new(),
                })?;
        }
        Ok(())
    }

    fn record_run(&self, done: &[Record], receipt: &mut Receipt) -> Result<(), EngineError> {
        for record in done {
            receipt.owed.remove(&record.resource.id());
            if record.action != Action::Remove {
                receipt.record(record.resource.clone(), record.prior.clone());
            }
        }
        receipt.generation += 1;
        self.save_receipt(receipt)
    }

    /// Takes back what an undone run wrote of itself: all of it, if the host had no state of ours before.
    fn forget_run(
        &self,
        before: &Receipt,
        done: &[Record],
        leaves_no_trace: bool,
        left: &[String],
    ) -> Result<(), EngineError> {
        if leaves_no_trace {
            return Ok(self.host.files.remove_tree(&self.layout.state)?);
        }
        // A full disk may refuse a receipt that is there already, word for word.
        if self.receipt().ok().as_ref() != Some(before) {
            self.save_receipt(before)?;
        }
        self.close_journal()?;
        // What could not be put back may yet be wanted by hand.
        if left.is_empty() {
            self.collect_blobs(&known_blobs(before, done), before)?;
        }
        Ok(())
    }

    fn capture_for(&self, step: &Step) -> Result<Prior, EngineError> {
        // systemd-sysusers makes all groups of its file at once: a later group's step finds it made by an earlier's.
        if matches!(step.resource, Resource::Group(_)) && step.change.action == Action::Create {
            return Ok(Prior::Absent);
        }
        let observed = self.look_at(&step.resource)?;
        self.capture(&step.resource, &observed)
    }

    fn carry_out(
        &self,
        step: &Step,
        receipt: &mut Receipt,
        gains: &mut Gains,
    ) -> Result<(), EngineError> {
        if step.change.action == Action::Remove {
            let prior = receipt
                .entries
                .iter()
                .find(|entry| entry.id == step.id)
                .map(|entry| entry.prior.clone());
            self.undo_one(&step.resource, &prior.unwrap_or(Prior::Absent))?;
            receipt.forget(&step.id);
            return Ok(());
        }
        match &step.resource {
            Resource::Package(package) => {
                // Debian's own start of the service is welcome; its questions are not asked.
                self.host.packages.install(&[package.name.as_str()])?;
                if package.name == "docker.io" {
                    self.host.systemd.act("start", &["docker.service"])?;
                }
                Ok(())
            }
            Resource::Group(_) => Ok(self
                .host
                .accounts
                .make(std::path::Path::new("/etc/sysusers.d/tavern.conf"))?),
            Resource::Directory(directory) => Ok(self.host.files.make_directory(
                &directory.path,
                directory.mode,
                &directory.owner,
            )?),
            Resource::File(file) => self.write_file(file),
            Resource::Link(link) => Ok(self.host.files.link(&link.path, &link.target)?),
            Resource::Binary(binary) => Ok(self.host.files.install_binary(&binary.path)?),
            Resource::Secret(secret) => self.apply_secret(secret, gains),
            Resource::Htpasswd(htpasswd) => self.apply_htpasswd(htpasswd, gains),
            Resource::Certificate(certificate) => self.apply_certificate(certificate),
            Resource::Image(image) => Ok(self
                .host
                .docker
                .pull(&image.reference, &mut |text| self.progress.detail(text))?),
            Resource::Volume(volume) => match self.host.docker.volume(&volume.name)? {
                None => Ok(self
                    .host
                    .docker
                    .create_volume(&volume.name, &volume.stack)?),
                Some(_) => Ok(()),
            },
            Resource::Container(container) => self.apply_container(container, step.change.action),
            Resource::Unit(unit) => self.apply_unit(unit, step.change.action),
            Resource::Nginx(tree) => self.apply_nginx(tree),
            Resource::Opening(opening) => Ok(self.host.firewall.open(opening.port)?),
        }
    }

    fn write_file(&self, file: &File) -> Result<(), EngineError> {
        let content = self.content(&file.content)?.ok_or_else(|| {
            HostError::Unexpected(format!(
                "{} rests on a credential that is missing",
                file.path.display()
            ))
        })?;
        self.host
            .files
            .write(&file.path, &content, file.mode, &file.owner)?;
        Ok(())
    }

    fn apply_unit(&self, unit: &Unit, action: Action) -> Result<(), EngineError> {
        let systemd = &self.host.systemd;
        if let (Action::TakeOver, Some(alias)) = (action, &unit.alias) {
            self.set_unit_aside(alias)?;
        }
        systemd.act("daemon-reload", &[])?;
        // Anew, not only added to: an alias that left the stack must not lead to it any longer.
        systemd.act("reenable", &[&unit.name])?;
        if let Some(service) = &unit.service {
            // A socket cannot restart under its service.
            systemd.act("stop", &[service])?;
        }
        systemd.act("restart", &[&unit.name])?;
        let report = systemd
            .reports(&[&unit.name])?
            .into_iter()
            .next()
            .unwrap_or_default();
        if report.active == "active" {
            return Ok(());
        }
        Err(EngineError::NotReady {
            what: format!("{} is {} ({})", unit.name, report.active, report.sub),
            help: format!("`journalctl -u {} -n 20` says why", unit.name),
        })
    }
}

/// Where the names of all blobs stand that the receipt or this run made.
fn known_blobs(before: &Receipt, done: &[Record]) -> String {
    let receipt = serde_json::to_string(before).unwrap_or_default();
    receipt + &serde_json::to_string(done).unwrap_or_default()
}
