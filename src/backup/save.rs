//! Making a backup: what must be consistent is put together first, then restic takes it. A Postgres gives a dump of
//! one moment whatever else goes on; all the rest is put together under the engine's lock.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::journal::Priority;
use super::manifest::{Manifest, Store};
use super::redis::Session;
use super::{BackupError, Backups, Kind, Restic, asked_for};
use crate::engine::Lock;
use crate::host::Invocation;
use crate::mint;
use crate::model::{Mode, Saved, Tried};
use crate::resource::{BACKUP_USER, Owner, PathState};
use crate::stack::{Container, ContainerKind, Issuer, Stack, Target};

/// A large tree on a slow disk takes its time.
const COPYING: Duration = Duration::from_secs(12 * 3600);

/// Where it is put together; the same for all stacks, so that a manifest has one place in every backup.
const STAGE: &str = "stage";

/// What is saved as it lies.
#[derive(Default)]
struct Raw {
    paths: Vec<PathBuf>,
    /// Containers that stand still until it is saved.
    stopped: Vec<String>,
    lock: Option<Lock>,
}

/// Credentials that are true of a volume of this host, which no backup has: they stay where it is.
pub(super) const OF_THIS_HOST: [&str; 2] = ["grafana-admin-password", "grafana-secret-key"];

impl Backups<'_> {
    /// Makes a backup of a stack, forgets the old ones, and notes what became of it.
    ///
    /// # Errors
    /// When anything of it could not be saved: the record and the journal have it then.
    pub fn save(&self, stack: &Stack) -> Result<String, BackupError> {
        // That has a probe of its own, and no backup has failed for it.
        self.engine.refuse_open_exchange()?;
        let at = self.now();
        // Killed, it leaves no other word. Nor is a disk that takes no note a reason not to try.
        let _ = self.note(&stack.name, |record| {
            record.since.get_or_insert(at);
            record.begun.get_or_insert(at);
        });
        let outcome = self.alone().and_then(|_alone| {
            let restic = self.repository(stack, None)?;
            let id = self.save_as(stack, &restic, Kind::Regular)?;
            self.engine.progress.begin("forgetting old backups");
            restic.forget(stack.name.as_str(), asked_for(stack)?.keep)?;
            Ok(id)
        });
        let at = self.now();
        match &outcome {
            Ok(id) => {
                let place = asked_for(stack)?.to.repository(&stack.name);
                self.note(&stack.name, |record| {
                    record.place = Some(place);
                    record.newest = Some(Saved { id: id.clone(), at });
                    record.failure = None;
                    record.begun = None;
                })?;
                let text = format!("backup {id} of stack {} made", stack.name);
                self.tell(
                    Priority::Notice,
                    "backup-made",
                    &stack.name,
                    Some(id),
                    &text,
                );
            }
            Err(error) => {
                let fault = Some(error.to_string());
                let text = format!("no backup of stack {}: {error}", stack.name);
                self.tell(Priority::Error, "backup-failed", &stack.name, None, &text);
                // The first error is the one to be told.
                let _ = self.note(&stack.name, |record| {
                    record.begun = None;
                    record.failure = Some(Tried {
                        at,
                        id: None,
                        fault,
                    });
                });
            }
        }
        outcome
    }

    pub(super) fn save_as(
        &self,
        stack: &Stack,
        restic: &Restic<'_>,
        kind: Kind,
    ) -> Result<String, BackupError> {
        // Half of a restore is no state to be saved.
        self.engine.refuse_open_exchange()?;
        let progress = self.engine.progress;
        progress.begin(&format!("opening {}", restic.repository));
        let record = self.record(&stack.name)?;
        let place = record.place.as_ref();
        // It is only made where none was: an empty mount point is no place for a new one.
        if record.newest.is_some() && place.is_none_or(|place| *place == restic.repository) {
            let path = self.engine.layout.backup_record(&stack.name);
            restic.open_again(&path)?;
        } else {
            restic.make()?;
        }
        restic.unlock()?;
        let stage = self.fresh(STAGE)?;
        let mut raw = Raw::default();
        let saved = self
            .put_together(stack, kind, &stage, &mut raw)
            .and_then(|manifest| {
                let mut paths = vec![stage.clone()];
                paths.extend(raw.paths.iter().cloned());
                paths.extend(manifest.trees.iter().cloned());
                progress.begin(&format!(
                    "saving {} files and {} directories",
                    manifest.files.len(),
                    manifest.trees.len()
                ));
                let made = restic.save(kind, stack.name.as_str(), &paths)?;
                if let Some(unread) = made.unread {
                    progress.begin(&format!("note: not all of it could be read: {unread}"));
                }
                Ok(made.id)
            });
        let started = self.start_again(raw);
        let cleared = self.engine.host.files.remove_tree(&stage);
        let id = saved?;
        started?;
        cleared?;
        Ok(id.chars().take(8).collect())
    }

    fn put_together(
        &self,
        stack: &Stack,
        kind: Kind,
        stage: &Path,
        raw: &mut Raw,
    ) -> Result<Manifest, BackupError> {
        let mut manifest = Manifest::new(&stack.name, self.now());
        let mut broken = Vec::new();
        // It may take hours, in which the host is kept as it must be. A password is set anew with what is restored.
        for container in &stack.containers {
            if let Some(postgres) = &container.postgres {
                match self.save_postgres(container, postgres, stage, &mut manifest) {
                    Err(error) if kind == Kind::Safety && !(self.engine.is_stop_wanted)() => {
                        self.note_raw(&error);
                        broken.push(container);
                    }
                    saved => saved?,
                }
            }
        }
        // No run of the engine changes a credential meanwhile.
        let lock = Lock::wait(&self.engine.layout.lock, self.patience)?;
        // It may have been a restore that was waited for.
        self.engine.refuse_open_exchange()?;
        for (name, path) in self.small_files(stack)? {
            let Some(bytes) = self.engine.host.files.read(&path)? else {
                continue;
            };
            self.lay(stage, &name, &bytes)?;
            manifest.files.insert(name, mint::sha256(&bytes));
        }
        for container in &stack.containers {
            if container.kind != ContainerKind::Redis {
                continue;
            }
            match self.save_redis(stack, container, stage, &mut manifest) {
                // A store that is broken is what people restore for: its files are saved as they lie.
                Err(error) if kind == Kind::Safety => {
                    self.note_raw(&error);
                    raw.paths.extend(self.volume(container).ok());
                }
                saved => saved?,
            }
        }
        for (number, path) in stack.backup.iter().flat_map(|one| &one.sqlite).enumerate() {
            match self.save_database(path, number, stage, &mut manifest) {
                // As above; and on a new host there is none yet.
                Err(error) if kind == Kind::Safety => {
                    self.engine
                        .progress
                        .begin(&format!("{error}: it is saved as it is"));
                    raw.paths
                        .extend(self.engine.host.files.exists(path).then(|| path.clone()));
                }
                saved => saved?,
            }
        }
        manifest.trees = self.trees(stack)?;
        let bytes = manifest.to_bytes()?;
        self.lay(stage, "manifest.json", &bytes)?;
        // Whoever mends the host would start them.
        raw.lock = (!broken.is_empty()).then_some(lock);
        for container in broken {
            self.still(container, raw)?;
        }
        Ok(manifest)
    }

    fn note_raw(&self, error: &BackupError) {
        let text = format!("{error}: its files are saved as they are");
        self.engine.progress.begin(&text);
    }

    /// The files of a server that writes are of no one moment, and no server starts on their copy: it stands still
    /// until they are saved.
    fn still(&self, container: &Container, raw: &mut Raw) -> Result<(), BackupError> {
        let docker = &self.engine.host.docker;
        let name = container.name.as_str();
        let found = docker.container(name)?;
        if found.is_some_and(|found| found.running || found.restarting) {
            raw.stopped.push(name.to_owned());
            docker.stop(name)?;
        }
        raw.paths.extend(self.volume(container).ok());
        Ok(())
    }

    fn start_again(&self, raw: Raw) -> Result<(), BackupError> {
        let docker = &self.engine.host.docker;
        let starts = raw.stopped.iter().map(|name| docker.start(name));
        let all: Vec<_> = starts.collect();
        Ok(all.into_iter().collect::<Result<(), _>>()?)
    }

    pub(super) fn lay(&self, stage: &Path, name: &str, bytes: &[u8]) -> Result<(), BackupError> {
        let files = &self.engine.host.files;
        let path = stage.join(name);
        if let Some(parent) = path.parent() {
            files.make_directory(parent, Mode(0o700), &Owner::root())?;
        }
        Ok(files.write(&path, bytes, Mode(0o600), &Owner::root())?)
    }

    /// Declarations, credentials and password files, by their names in the backup. Never the backups' own key.
    pub(super) fn small_files(&self, stack: &Stack) -> Result<Vec<(String, PathBuf)>, BackupError> {
        let layout = &self.engine.layout;
        let files = &self.engine.host.files;
        let name = &stack.name;
        let mut found = vec![(format!("etc/stacks/{name}.toml"), layout.stack_file(name))];
        let mut left_out = vec![layout.backup_key(name)];
        left_out.extend(OF_THIS_HOST.map(|one| layout.credential(name, one)));
        if let Some(Target::S3 { credentials, .. }) = stack.backup.as_ref().map(|b| &b.to) {
            left_out.push(layout.credential(name, credentials.as_str()));
        }
        let folder = layout.credentials().join(name.as_str());
        let mut paths = files.list(&folder)?;
        // An app may have a folder of its own there.
        for path in paths.clone() {
            if matches!(files.outline(&path)?, PathState::Directory { .. }) {
                paths.extend(files.list(&path)?);
            }
        }
        for path in paths {
            let is_file = matches!(files.outline(&path)?, PathState::File { .. });
            let within = path.strip_prefix(&folder).unwrap_or(&path);
            let within = within.to_string_lossy();
            let is_hidden = within.split('/').any(|part| part.starts_with('.'));
            if is_file && !left_out.contains(&path) && !is_hidden {
                found.push((format!("etc/credentials/{within}"), path.clone()));
            }
        }
        for site in &stack.sites {
            let path = layout.htpasswd(name, &site.name);
            found.push((format!("etc/htpasswd/{name}-{}", site.name), path));
        }
        if stack.issuer == Issuer::LocalCa {
            for file in [crate::model::CHAIN, crate::model::KEY] {
                found.push((format!("etc/local-ca/{file}"), layout.local_ca().join(file)));
            }
        }
        Ok(found)
    }

    /// Directories that are saved where they are.
    pub(super) fn trees(&self, stack: &Stack) -> Result<Vec<PathBuf>, BackupError> {
        let files = &self.engine.host.files;
        let is_there = |path: &Path| -> Result<bool, BackupError> {
            Ok(matches!(files.outline(path)?, PathState::Directory { .. }))
        };
        let mut trees = Vec::new();
        let pages = self.engine.layout.www.join(stack.name.as_str());
        if is_there(&pages)? {
            trees.push(pages);
        }
        for directory in stack.backup.iter().flat_map(|backup| &backup.directories) {
            if !is_there(directory)? {
                return Err(BackupError::refused(
                    format!(
                        "{} is no directory, and is to be saved",
                        directory.display()
                    ),
                    "make it, or take it out of `directories` in `[backup]`",
                ));
            }
            // A mount point cannot change its name, so it could not be swapped.
            let parent = directory.parent().unwrap_or(directory);
            if files.space(directory)?.device != files.space(parent)?.device {
                return Err(BackupError::refused(
                    format!(
                        "{} is a file system of its own: a restore could not swap it for another",
                        directory.display()
                    ),
                    "name a directory in it in `directories` in `[backup]`",
                ));
            }
            trees.push(directory.clone());
        }
        Ok(trees)
    }

    fn save_redis(
        &self,
        stack: &Stack,
        container: &Container,
        stage: &Path,
        manifest: &mut Manifest,
    ) -> Result<(), BackupError> {
        let progress = self.engine.progress;
        progress.begin(&format!("having {} save", container.name));
        let mut session = self.session(stack, container)?;
        let before = session.lasting_keys()?;
        session.save(&mut || progress.detail("it is writing"))?;
        let after = session.lasting_keys()?;
        let volume = self.volume(container)?;
        let file = format!("redis/{}.rdb", container.name);
        let to = stage.join(&file);
        self.make_private(&stage.join("redis"))?;
        // A link that the container planted is copied as a link, and refused.
        let from = volume.join("dump.rdb");
        self.has_room(stage, self.size(&from)?)?;
        self.copy(&from, &to)?;
        if !matches!(self.engine.host.files.outline(&to)?, PathState::File { .. }) {
            return Err(BackupError::refused(
                format!("{} is no plain file", from.display()),
                "the container put something else in its place: look at it, then make the container anew",
            ));
        }
        manifest.files.insert(file.clone(), self.sha256(&to)?);
        manifest.stores.push(Store {
            container: container.name.to_string(),
            file,
            least: before.min(after),
            most: before.max(after),
        });
        Ok(())
    }

    /// Logged in to a stack's Redis as the user of backups.
    pub(super) fn session(
        &self,
        stack: &Stack,
        container: &Container,
    ) -> Result<Session, BackupError> {
        self.session_with(&self.redis_password(stack)?, container)
    }

    pub(super) fn redis_password(&self, stack: &Stack) -> Result<String, BackupError> {
        let layout = &self.engine.layout;
        let path = layout.credential(&stack.name, "redis-password");
        let password = self.engine.host.files.read(&path)?.unwrap_or_default();
        let ring = String::from_utf8_lossy(&password);
        // The first is in use, the one below was.
        Ok(mint::keys(&ring).next().unwrap_or_default().to_owned())
    }

    pub(super) fn session_with(
        &self,
        password: &str,
        container: &Container,
    ) -> Result<Session, BackupError> {
        let layout = &self.engine.layout;
        let name = container.name.as_str();
        let socket = layout.container_run(name).join("redis.sock");
        Session::open(name, &socket, BACKUP_USER, password)
    }

    /// Its data volume, where a swap of names changes what the container sees: not below what a driver mounts there as
    /// it starts.
    pub(super) fn own_volume(&self, container: &Container) -> Result<PathBuf, BackupError> {
        let name = &container.volume;
        let found = self.engine.host.docker.volume(name)?;
        if found.is_some_and(|found| found.is_mounted) {
            return Err(BackupError::refused(
                format!(
                    "the volume {name} is mounted by its driver as its container starts, over what would be restored"
                ),
                format!(
                    "give `[container.{}]` another `volume` in the stack file, and restore into that",
                    container.role
                ),
            ));
        }
        self.volume(container)
    }

    /// Where a container's data is on this host.
    pub(super) fn volume(&self, container: &Container) -> Result<PathBuf, BackupError> {
        let found = self.engine.host.docker.volume(&container.volume)?;
        found.map(|volume| volume.path).ok_or_else(|| {
            BackupError::refused(
                format!("there is no volume {}", container.volume),
                "`sudo tavernctl install` makes it",
            )
        })
    }

    /// Copies a tree or file, whose it is and when it was made included; links stay links.
    pub(super) fn copy(&self, from: &Path, to: &Path) -> Result<(), BackupError> {
        let (from, to) = (from.to_string_lossy(), to.to_string_lossy());
        let args = ["-a", "--no-target-directory", "--", &from, &to];
        let copy = Invocation::new("cp", &args).limit(COPYING);
        self.engine.host.processes.run_ok(&copy)?;
        Ok(())
    }

    /// Of a file of any size.
    pub(super) fn sha256(&self, path: &Path) -> Result<String, BackupError> {
        let args = ["--binary", "--zero", "--", &path.to_string_lossy()];
        let sum = Invocation::new("sha256sum", &args).limit(Duration::from_secs(3600));
        let outcome = self.engine.host.processes.run_ok(&sum)?;
        Ok(outcome.stdout.chars().take(64).collect())
    }
}
