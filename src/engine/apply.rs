use super::amend::ChosenPassword;
use super::apply_secret::NewAccount;
use super::generations::Snapshot;
use super::journal::{Journal, Record, Verb};
use super::pins::Images;
use super::prior::Prior;
use super::receipt::Receipt;
use super::{Engine, EngineError};
use crate::host::HostError;
use crate::model::Mode;
use crate::plan::{Plan, Step};
use crate::resource::{Action, File, Owner, PathState, Resource, Unit};

/// What a run learnt on the way that its caller must be told, and the one secret that it was given.
#[derive(Default)]
pub(super) struct Gains {
    pub(super) accounts: Vec<NewAccount>,
    pub(super) chosen: Option<ChosenPassword>,
    /// The images that containers are made from, pinned as far as is known.
    pub(super) images: Images,
}

/// What a run is, apart from its steps.
pub(super) struct Run<'a> {
    pub(super) verb: Verb,
    /// The stack files that the host is made from.
    pub(super) snapshot: &'a Snapshot,
    /// What needed no change and is to be known all the same.
    pub(super) found: Vec<(Resource, Prior)>,
}

impl Engine<'_> {
    /// Carries a plan out. When a step before the commit fails, the steps before it are undone; what fails after it
    /// is left for the next run.
    pub(super) fn apply(
        &self,
        run: Run<'_>,
        plan: &Plan,
        receipt: &mut Receipt,
        gains: &mut Gains,
    ) -> Result<(), EngineError> {
        let before = receipt.clone();
        let state = &self.layout.state;
        let is_first = self.host.files.state(state)? == PathState::Absent;
        let made = self
            .host
            .files
            .make_directory(state, Mode(0o700), &Owner::root());
        if let (Err(_), true) = (&made, is_first) {
            self.host.files.remove_directory(state)?;
        }
        made?;
        let generation = self.next_generation(receipt)?;
        let mut done: Vec<Record> = Vec::new();
        let committed = self
            .begin_journal(run.verb.clone(), generation, is_first)
            .and_then(|mut journal| {
                self.steps(plan, receipt, gains, &mut journal, &mut done)?;
                self.take_into_receipt(&done, run.found, &gains.images, receipt)?;
                receipt.owed.extend(plan.owed());
                receipt.generation = generation;
                let (recorded, pending) = receipt.split(plan);
                self.write_generation(run.verb, run.snapshot, &recorded)?;
                journal.commit(pending)?;
                Ok(journal)
            });
        let mut journal = match committed {
            Ok(journal) => journal,
            Err(error) => {
                *receipt = before;
                return Err(self.take_back(error, receipt, &done, is_first));
            }
        };
        let outcome = self.remove_orphans(plan, receipt, &mut journal);
        if let Err(error) = self.collect_images(receipt) {
            self.progress.begin(&format!(
                "note: old images stay until the next run: {error}"
            ));
        }
        self.record_run(receipt)
            .map_err(|error| EngineError::NotReady {
                what: format!("all is done and proven, but could not be recorded: {error}"),
                help: "mend that, then `sudo tavernctl recover` records it".into(),
            })?;
        outcome
    }

    fn steps(
        &self,
        plan: &Plan,
        receipt: &mut Receipt,
        gains: &mut Gains,
        journal: &mut Journal<'_>,
        done: &mut Vec<Record>,
    ) -> Result<(), EngineError> {
        for step in plan.steps.iter().filter(|step| !step.after_commit) {
            if (self.is_stop_wanted)() {
                return Err(EngineError::Interrupted);
            }
            self.begin_step(step, journal)
                .and_then(|record| {
                    done.push(record);
                    self.carry_out(step, receipt, gains)
                })
                .map_err(|error| failed_step(step, error))?;
            journal.done(step.id.clone());
            self.prove_firewall(plan, step)?;
            self.prove_certificates(plan, step)?;
        }
        Ok(())
    }

    fn begin_step(&self, step: &Step, journal: &mut Journal<'_>) -> Result<Record, EngineError> {
        self.progress
            .begin(&format!("{} {}", step.change.action.sign(), step.id));
        let observed = self.look_at(&step.resource)?;
        let record = Record {
            action: step.change.action,
            resource: step.resource.clone(),
            prior: self.capture(&step.resource, &observed)?,
            restarts: step.restarts.clone(),
        };
        for path in &step.change.edited {
            self.keep_edit(path, journal.generation)?;
        }
        journal.step(&record)?;
        Ok(record)
    }

    /// All is proven: what cannot be removed now stays in the receipt, and the next run tries again.
    pub(super) fn remove_orphans(
        &self,
        plan: &Plan,
        receipt: &mut Receipt,
        journal: &mut Journal<'_>,
    ) -> Result<(), EngineError> {
        let mut left = Vec::new();
        for step in plan.steps.iter().filter(|step| step.after_commit) {
            let removed = self
                .begin_step(step, journal)
                .and_then(|_| self.remove(step, receipt, left.is_empty()));
            match removed {
                Ok(()) => journal.done(step.id.clone()),
                Err(error) => left.push(format!("  {}: {error}", step.id)),
            }
        }
        if left.is_empty() {
            Ok(())
        } else {
            Err(EngineError::NotRemoved(left))
        }
    }

    fn take_into_receipt(
        &self,
        done: &[Record],
        found: Vec<(Resource, Prior)>,
        images: &Images,
        receipt: &mut Receipt,
    ) -> Result<(), EngineError> {
        for record in done {
            receipt.owed.remove(&record.resource.id());
            if record.action != Action::Remove {
                let prior = self.settled(&record.resource, record.prior.clone())?;
                let resource = match &record.resource {
                    Resource::Image(image) => Resource::Image(images.get(&image.reference)),
                    resource => resource.clone(),
                };
                receipt.record(resource, prior);
            }
        }
        for (resource, prior) in found {
            receipt.record(resource, prior);
        }
        Ok(())
    }

    /// The run is over: the receipt says so, the journal goes to its generation.
    pub(super) fn record_run(&self, receipt: &Receipt) -> Result<(), EngineError> {
        self.save_receipt(receipt)?;
        self.archive_journal(receipt.generation)?;
        if let Err(error) = self.collect(receipt) {
            self.progress.begin(&format!(
                "note: what is no longer needed stays until the next run: {error}"
            ));
        }
        Ok(())
    }

    /// Clears away what no generation speaks of any more. The run is recorded by then and has not failed if this does.
    fn collect(&self, receipt: &Receipt) -> Result<(), EngineError> {
        self.collect_pairs(receipt)?;
        self.collect_acme(receipt)?;
        self.collect_blobs(receipt)?;
        self.collect_generations(receipt.generation)
    }

    /// Undoes a run that failed, and says so.
    fn take_back(
        &self,
        error: EngineError,
        before: &Receipt,
        done: &[Record],
        is_first: bool,
    ) -> EngineError {
        self.progress.begin("undoing this run");
        // A full disk may refuse the line; without it a kill from here on is undone all the same.
        let _ = self.note_abort();
        let mut left = self.undo_run(done, before);
        if let Err(error) = self.forget_run(before, done, is_first, &left) {
            left.push(error.to_string());
        }
        match error {
            EngineError::Interrupted if left.is_empty() => EngineError::Interrupted,
            EngineError::Step { step, source, .. } => EngineError::Step { step, source, left },
            other => EngineError::Step {
                step: "receipt".to_owned(),
                source: Box::new(other),
                left,
            },
        }
    }

    fn carry_out(
        &self,
        step: &Step,
        receipt: &mut Receipt,
        gains: &mut Gains,
    ) -> Result<(), EngineError> {
        if step.change.action == Action::Remove {
            return self.remove(step, receipt, true);
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
            Resource::Group(group) => Ok(self.host.accounts.make_group(&group.name)?),
            Resource::Directory(directory) => Ok(self.host.files.make_directory(
                &directory.path,
                directory.mode,
                &directory.owner,
            )?),
            Resource::File(file) => self.write_file(file),
            Resource::Link(link) => Ok(self.host.files.link(&link.path, &link.target)?),
            Resource::Binary(binary) => Ok(self.host.files.install_binary(&binary.path)?),
            Resource::Secret(secret) => self.apply_secret(secret, step.change.action, gains),
            Resource::Htpasswd(htpasswd) => self.apply_htpasswd(htpasswd, gains),
            Resource::Certificate(certificate) => self.apply_certificate(certificate),
            Resource::Image(image) => {
                let before = self.host.docker.images()?;
                let image = self.fetch_image(image)?;
                receipt.note_brought(&image, &before);
                gains.images.put(image);
                Ok(())
            }
            Resource::Volume(volume) => match self.host.docker.volume(&volume.name)? {
                None => Ok(self
                    .host
                    .docker
                    .create_volume(&volume.name, &volume.stack)?),
                Some(_) => Ok(()),
            },
            Resource::Container(container) => {
                self.apply_container(container, step.change.action, &gains.images)
            }
            Resource::Unit(unit) => self.apply_unit(unit, step.change.action),
            Resource::Nginx(tree) if step.change.action == Action::Restart => {
                self.reload_nginx(tree)
            }
            Resource::Nginx(tree) => self.apply_nginx(tree),
            Resource::Opening(opening) => Ok(self.host.firewall.open(opening.port)?),
        }
    }

    /// Gives back what was there before the thing was ours.
    fn remove(
        &self,
        step: &Step,
        receipt: &mut Receipt,
        all_went: bool,
    ) -> Result<(), EngineError> {
        let entries = receipt.entries.iter();
        let prior = entries
            .filter(|entry| entry.id == step.id)
            .map(|entry| entry.prior.clone())
            .next();
        self.undo_one(&step.resource, &prior.unwrap_or(Prior::Absent))?;
        if let (Resource::Directory(directory), false) = (&step.resource, all_went)
            && self.host.files.state(&directory.path)? != PathState::Absent
        {
            // What could not be removed may be in it: the next run tries both again.
            return Ok(());
        }
        receipt.forget(&step.id);
        Ok(())
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

    pub(super) fn restart_as_it_must(&self, unit: &Unit) -> Result<(), EngineError> {
        let systemd = &self.host.systemd;
        match &unit.service {
            // The service wants it: while that restarts it starts, and the first socket goes on listening.
            Some(service) if unit.is_beside => {
                systemd.act("stop", &[&unit.name])?;
                // At the first install its own step is still to come, and must find it as it was.
                let reports = systemd.reports(&[service])?;
                let is_up = reports
                    .iter()
                    .any(|report| report.active != "inactive" && report.active != "failed");
                let started = if is_up { service } else { &unit.name };
                systemd.act("restart", &[started])?;
            }
            // A socket cannot restart under its service.
            Some(service) => {
                systemd.act("stop", &[service])?;
                systemd.act("restart", &[&unit.name])?;
            }
            None => systemd.act("restart", &[&unit.name])?,
        }
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
        self.restart_as_it_must(unit)?;
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

fn failed_step(step: &Step, error: EngineError) -> EngineError {
    match error {
        EngineError::Interrupted => EngineError::Interrupted,
        error => EngineError::Step {
            step: step.id.to_string(),
            source: Box::new(error),
            left: Vec::new(),
        },
    }
}
