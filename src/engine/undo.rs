use std::collections::BTreeMap;
use std::path::Path;

use super::journal::Record;
use super::pins::Images;
use super::prior::{PathPrior, Prior};
use super::receipt::Receipt;
use super::{Engine, EngineError};
use crate::host::HostError;
use crate::resource::{
    Action, Container, Htpasswd, NginxTree, PathState, Resource, Secret, SecretKind, Unit,
};

impl Engine<'_> {
    /// Undoes the steps of a run that failed, newest first, then starts again what ran before it.
    /// Says what could not be put back.
    pub(super) fn undo_run(&self, records: &[Record], before: &Receipt) -> Vec<String> {
        let mut left = Vec::new();
        let mut note = |what: &Resource, result: Result<(), EngineError>| {
            if let Err(error) = result {
                left.push(format!("{}: {error}", what.id()));
            }
        };
        for record in records.iter().rev() {
            match (&record.resource, &record.prior) {
                _ if record.action == Action::Remove => {
                    note(&record.resource, self.undo_removal(record))
                }
                (Resource::Package(_), _) => {}
                // The key before may be in wrong hands: it stays gone.
                _ if record.ends_a_key() => {}
                // Docker keeps an image as long as a container is made from it: below.
                (Resource::Image(_), _) => {}
                // Was ours and ran: its files come back first, then it starts again, below.
                (
                    Resource::Unit(_),
                    Prior::Unit {
                        active: true,
                        alias: None,
                        ..
                    },
                ) => {}
                (Resource::Container(_), Prior::Present) => {}
                // Nobody was served by ours yet: the snapshot that the old one left is the newest there is.
                (resource @ Resource::Container(container), Prior::Container(kept)) => {
                    note(resource, self.give_back_container(&container.name, kept));
                }
                (resource, prior) => note(resource, self.undo_one(resource, prior)),
            }
        }
        // Units that the run made are gone from the disk, not from systemd's memory.
        if let Err(error) = self.host.systemd.act("daemon-reload", &[]) {
            left.push(format!("systemd: {error}"));
        }
        let mut note = |what: &Resource, result: Result<(), EngineError>| {
            if let Err(error) = result {
                left.push(format!("{}: {error}", what.id()));
            }
        };
        let has_certificate = records
            .iter()
            .any(|record| matches!(record.resource, Resource::Certificate(_)));
        for record in records.iter().filter(|record| record.ends_a_key()) {
            note(&record.resource, self.go_on_with_new_key(record, records));
        }
        for record in records {
            match (&record.resource, &record.prior) {
                // Its files came back, and were read, before the certificate did.
                (resource @ Resource::Nginx(tree), prior) if has_certificate => {
                    note(resource, self.settle_nginx(tree, prior));
                }
                (
                    Resource::Unit(unit),
                    Prior::Unit {
                        active: true,
                        alias: None,
                        ..
                    },
                ) => {
                    note(&record.resource, self.restart_unit(unit));
                }
                (resource @ Resource::Unit(_), prior) => {
                    note(resource, self.start_given_back(prior));
                }
                (resource @ Resource::Container(container), Prior::Present)
                    if record.action == Action::Reload =>
                {
                    note(resource, self.read_again(container));
                }
                (Resource::Container(container), Prior::Present) => {
                    let old = before
                        .entries
                        .iter()
                        .find_map(|entry| match &entry.resource {
                            Resource::Container(old) if old.name == container.name => Some(old),
                            _ => None,
                        });
                    if let Some(old) = old {
                        let again = self
                            .host
                            .docker
                            .remove(&old.name)
                            .map_err(EngineError::from);
                        note(
                            &record.resource,
                            again
                                .and_then(|()| self.run_container(old, &Images::of(before)))
                                .and_then(|()| self.settle_again(old)),
                        );
                    }
                }
                _ => {}
            }
        }
        let images = records.iter().rev().filter(|record| {
            matches!(record.resource, Resource::Image(_)) && record.action != Action::Remove
        });
        for Record {
            resource, prior, ..
        } in images
        {
            note(resource, self.undo_one(resource, prior));
        }
        left
    }

    /// A server that keeps in its data what it was told was told something else meanwhile.
    fn settle_again(&self, old: &Container) -> Result<(), EngineError> {
        if old.settle.is_empty() {
            return Ok(());
        }
        self.wait_until_ready(&old.name, &old.probe)?;
        self.settle(old)
    }

    /// Whatever else is undone, apps run with the key that is on the disk now. The run may have been cut off before
    /// it wrote one; then it is the old one still, and a restart does no harm.
    fn go_on_with_new_key(&self, record: &Record, records: &[Record]) -> Result<(), EngineError> {
        self.progress
            .begin("note: the key that was to end is not taken back into use");
        for id in &record.restarts {
            // Those that the run got to are started again with the others.
            let is_known = records.iter().any(|other| other.resource.id() == *id);
            if let (Some(unit), false) = (id.0.strip_prefix("unit:"), is_known) {
                self.host.systemd.act("restart", &[unit])?;
            }
        }
        Ok(())
    }

    /// Brings back what a step removed.
    fn undo_removal(&self, record: &Record) -> Result<(), EngineError> {
        match (&record.resource, &record.prior) {
            (Resource::Container(container), Prior::Present) => {
                if self.found_container(&container.name)?.is_some() {
                    return Ok(());
                }
                self.run_container(container, &Images::of(&self.receipt()?))
            }
            (resource, Prior::Path(prior)) => resource
                .path()
                .map_or(Ok(()), |path| self.restore_path(path, prior)),
            // Removals of other kinds come after the commit.
            _ => Ok(()),
        }
    }

    fn restart_unit(&self, unit: &Unit) -> Result<(), EngineError> {
        self.host.systemd.act("daemon-reload", &[])?;
        self.host.systemd.act("reenable", &[&unit.name])?;
        self.restart_as_it_must(unit)
    }

    /// Gives back what was there before a resource was ours. Safe to repeat. A unit that is given back is not
    /// started yet.
    pub(super) fn undo_one(&self, resource: &Resource, prior: &Prior) -> Result<(), EngineError> {
        let files = &self.host.files;
        match (resource, prior) {
            (Resource::Unit(unit), prior) => self.undo_unit(unit, prior),
            (Resource::Nginx(tree), prior) => self.undo_nginx(tree, prior),
            (Resource::Container(container), Prior::Container(kept)) => {
                self.leave_snapshot(&container.name)?;
                self.give_back_container(&container.name, kept)
            }
            // Whatever the receipt says, a container without our label is not ours to remove.
            (Resource::Container(container), _) => match self.found_container(&container.name)? {
                Some(Some(_)) => Ok(self.host.docker.remove(&container.name)?),
                _ => Ok(()),
            },
            (_, Prior::Present) => Ok(()),
            (Resource::Package(_), _) => Ok(()),
            (Resource::Group(group), _) => Ok(self.host.accounts.remove_group(&group.name)?),
            (Resource::Directory(directory), Prior::Path(prior)) => {
                self.restore_path(&directory.path, prior)
            }
            // Sockets of a container that somebody removed by force; it is emptied at every boot anyway.
            (Resource::Directory(directory), _) if directory.path.starts_with(&self.layout.run) => {
                Ok(files.remove_tree(&directory.path)?)
            }
            (Resource::Directory(directory), _) => files
                .remove_directory(&directory.path)
                .map(|_| ())
                .map_err(Into::into),
            (Resource::Binary(binary), Prior::Path(prior)) => {
                self.restore_path(&binary.path, prior)
            }
            (Resource::File(file), Prior::Path(prior)) => self.restore_path(&file.path, prior),
            (Resource::Link(link), Prior::Path(prior)) => self.restore_path(&link.path, prior),
            (Resource::Certificate(certificate), Prior::Path(prior)) => {
                self.restore_path(&certificate.path, prior)?;
                self.collect_pair(&certificate.path)
            }
            (Resource::Certificate(certificate), _) => self.remove_certificate(&certificate.path),
            (
                Resource::Secret(Secret {
                    path, passwords, ..
                })
                | Resource::Htpasswd(Htpasswd {
                    path, passwords, ..
                }),
                Prior::Credential {
                    file,
                    passwords: noted,
                },
            ) => {
                self.restore_path(path, file)?;
                self.restore_path(passwords, noted)
            }
            (Resource::Secret(secret), _) => {
                files.remove(&secret.path)?;
                match &secret.kind {
                    SecretKind::Key | SecretKind::BackupKey { .. } | SecretKind::KeyRing => Ok(()),
                    SecretKind::Accounts { app, .. } => {
                        self.note_passwords(&format!("app {app}"), &[], &[], &secret.passwords)
                    }
                }
            }
            (Resource::Htpasswd(htpasswd), _) => {
                files.remove(&htpasswd.path)?;
                self.note_passwords(&htpasswd.heading, &[], &[], &htpasswd.passwords)
            }
            (Resource::Image(image), _) => self.remove_image(image),
            // Somebody may have made another of that name.
            (Resource::Volume(volume), _) => match self.host.docker.volume(&volume.name)? {
                Some(found) if found.stack.is_some() => {
                    Ok(self.host.docker.remove_volume(&volume.name)?)
                }
                _ => Ok(()),
            },
            (Resource::Link(link), Prior::Absent)
                if !matches!(
                    files.state(&link.path)?,
                    PathState::Link { .. } | PathState::Absent
                ) =>
            {
                Err(HostError::Unexpected(format!(
                    "{} is no link any more: somebody put something else there",
                    link.path.display()
                ))
                .into())
            }
            (Resource::Opening(opening), _) => Ok(self.host.firewall.close(opening.port)?),
            (resource, _) => match resource.path() {
                Some(path) => Ok(files.remove(path)?),
                None => Ok(()),
            },
        }
    }

    /// Whether there is such a container, and whose.
    fn found_container(&self, name: &str) -> Result<Option<Option<String>>, EngineError> {
        Ok(self.host.docker.container(name)?.map(|found| found.stack))
    }

    fn remove_certificate(&self, link: &Path) -> Result<(), EngineError> {
        self.host.files.remove(link)?;
        self.collect_pair(link)
    }

    /// Removes the pairs of a certificate that its link does not point to.
    fn collect_pair(&self, link: &Path) -> Result<(), EngineError> {
        let files = &self.host.files;
        let used = match files.state(link)? {
            PathState::Absent => None,
            PathState::Link { target } => Some(link.with_file_name(target)),
            // Somebody's own.
            _ => return Ok(()),
        };
        let stem = format!(
            "{}.",
            link.file_name().unwrap_or_default().to_string_lossy()
        );
        for path in files.list(link.parent().unwrap_or(Path::new("/")))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_pair = name.strip_prefix(&stem).is_some_and(|serial| {
                serial.len() == 16 && serial.bytes().all(|byte| byte.is_ascii_hexdigit())
            });
            if is_pair && Some(&path) != used.as_ref() {
                files.remove_tree(&path)?;
            }
        }
        Ok(())
    }

    /// Removes the pairs that the run replaced: nginx has been told by now.
    pub(super) fn collect_pairs(&self, receipt: &Receipt) -> Result<(), EngineError> {
        for entry in &receipt.entries {
            if let Resource::Certificate(certificate) = &entry.resource {
                self.collect_pair(&certificate.path)?;
            }
        }
        Ok(())
    }

    fn undo_unit(&self, unit: &Unit, prior: &Prior) -> Result<(), EngineError> {
        let systemd = &self.host.systemd;
        let (enabled, active, alias) = match prior {
            Prior::Unit {
                enabled,
                active,
                alias,
            } => (*enabled, *active, alias.as_ref()),
            _ => (false, false, None),
        };
        // One whose file somebody removed may still run, and have links that lead to it.
        let known = systemd
            .reports(&[&unit.name])?
            .first()
            .is_some_and(|report| report.load == "loaded" || report.active != "inactive");
        if known && !active {
            systemd.act("stop", &[&unit.name])?;
            // One that failed would stay in the list of failed units after its file is gone.
            let report = systemd.reports(&[&unit.name])?;
            if report
                .first()
                .is_some_and(|report| report.active == "failed")
            {
                systemd.act("reset-failed", &[&unit.name])?;
            }
        }
        if !enabled && (known || self.is_linked(unit)?) {
            systemd.act("disable", &[&unit.name])?;
        }
        alias.map_or(Ok(()), |alias| self.give_back_alias(alias))
    }

    fn is_linked(&self, unit: &Unit) -> Result<bool, EngineError> {
        let wanted = self
            .layout
            .units
            .join("multi-user.target.wants")
            .join(&unit.name);
        if self.host.files.state(&wanted)? != PathState::Absent {
            return Ok(true);
        }
        let Some(alias) = &unit.alias else {
            return Ok(false);
        };
        let link = self.host.files.state(&self.layout.units.join(alias))?;
        Ok(matches!(link, PathState::Link { target } if target.ends_with(&unit.name)))
    }

    /// Gives back what nginx had before the first install, and removes whatever else bears our mark:
    /// one file of ours that is left enabled would keep nginx from starting again.
    pub(super) fn give_back_nginx(
        &self,
        tree: &NginxTree,
        prior: &Prior,
    ) -> Result<(), EngineError> {
        let restored = self.restore_nginx(tree, prior);
        let nothing = NginxTree {
            files: BTreeMap::new(),
            links: BTreeMap::new(),
            ..tree.clone()
        };
        for path in self.host.nginx.stale(&nothing)? {
            self.host.files.remove(&path)?;
        }
        restored.and_then(|()| self.settle_nginx(tree, prior))
    }

    fn undo_nginx(&self, tree: &NginxTree, prior: &Prior) -> Result<(), EngineError> {
        self.restore_nginx(tree, prior)?;
        self.settle_nginx(tree, prior)
    }

    fn restore_nginx(&self, tree: &NginxTree, prior: &Prior) -> Result<(), EngineError> {
        let absent = PathPrior::Absent;
        let paths = match prior {
            Prior::Nginx { paths, .. } => Some(paths),
            _ => None,
        };
        let stale = match prior {
            Prior::Nginx { stale, .. } => Some(stale),
            _ => None,
        };
        let before = |path: &Path| paths.and_then(|paths| paths.get(path)).unwrap_or(&absent);
        // Links first, so that no half of ours is ever enabled.
        for path in tree.links.keys().chain(tree.files.keys()) {
            self.restore_path(path, before(path))?;
        }
        for (path, prior) in paths.into_iter().flatten() {
            if !tree.links.contains_key(path) && !tree.files.contains_key(path) {
                self.restore_path(path, prior)?;
            }
        }
        for (path, prior) in stale.into_iter().flatten() {
            self.restore_path(path, prior)?;
        }
        Ok(())
    }

    /// Has a running nginx read what is there now, or stops it where it did not run before.
    fn settle_nginx(&self, tree: &NginxTree, prior: &Prior) -> Result<(), EngineError> {
        let active = !matches!(prior, Prior::Nginx { active: false, .. });
        let running = self
            .host
            .systemd
            .reports(&["nginx.service"])?
            .first()
            .is_some_and(|r| r.active == "active");
        if running && active {
            self.host.nginx.test(&tree.ports)?;
            self.host.systemd.act("reload", &["nginx.service"])?;
        } else if running {
            self.host.systemd.act("stop", &["nginx.service"])?;
        }
        Ok(())
    }
}
