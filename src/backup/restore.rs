//! Restoring a backup: looked at from all sides first, then swapped in as one, with a safety copy of what was there.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use time::OffsetDateTime;

use super::count::Counted;
use super::journal::Priority;
use super::layout::LaidOut;
use super::newest::newest;
use super::save::OF_THIS_HOST;
use super::{BackupError, Backups, Kind, Restic, Snapshot};
use crate::engine::{EngineError, Exchange, Installed, Lock, Place};
use crate::host::Invocation;
use crate::model::{BackupRecord, Layout, Mode};
use crate::resource::{Owner, ResourceId};
use crate::stack::{Container, Stack, Target};

/// What Redis keeps its data in.
const DATA: &str = "appendonlydir";

/// A backup that lies ready to be restored: whole, of this stack, and counted.
pub struct Restorable<'a> {
    snapshot: Snapshot,
    laid: LaidOut,
    restic: Restic<'a>,
    key: Vec<u8>,
    counted: Counted,
    _alone: Lock,
}

impl Restorable<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.snapshot.short_id
    }

    /// When it was made.
    pub fn at(&self) -> OffsetDateTime {
        self.snapshot.at()
    }

    /// What is in it, a line each.
    pub fn contents(&self) -> Vec<String> {
        let manifest = &self.laid.manifest;
        let dumps = manifest.clusters.iter().flat_map(|one| one.files());
        let mut lines = vec![format!(
            "stack file, accounts and keys ({} files)",
            manifest.files.len() - manifest.stores.len() - manifest.databases.len() - dumps.count()
        )];
        let names = manifest.stores.iter().map(|store| store.container.as_str());
        let names: Vec<&str> = names.collect();
        if !names.is_empty() {
            lines.push(format!("{}: {} keys", names.join(", "), self.counted.keys));
        }
        let names = manifest.clusters.iter().map(|one| one.container.as_str());
        let names: Vec<&str> = names.collect();
        if !names.is_empty() {
            lines.push(format!("{}: {} rows", names.join(", "), self.counted.rows));
        }
        let databases = manifest.databases.iter().map(|one| &one.path);
        let paths = databases.chain(&manifest.trees);
        lines.extend(paths.map(|path| path.display().to_string()));
        lines
    }
}

impl<'a> Backups<'a> {
    /// Fetches a backup and looks whether it may be restored. Nothing of the host is touched by it.
    ///
    /// # Errors
    /// When there is none of that name, or it is of another stack, of a newer form, damaged, or the key is not its.
    pub fn restorable(
        &self,
        stack: &Stack,
        id: Option<&str>,
        key: Option<&Path>,
    ) -> Result<Restorable<'a>, BackupError> {
        let alone = self.alone()?;
        let restic = self.repository(stack, key)?;
        let key = self
            .engine
            .host
            .files
            .read(&restic.key)?
            .unwrap_or_default();
        if !is_key(&key) {
            return Err(BackupError::refused(
                format!("{} holds no key of Tavern's", restic.key.display()),
                "it is one line of 64 hexadecimal digits, as `sudo tavernctl backup key` shows it",
            ));
        }
        restic.open()?;
        restic.unlock()?;
        let record = self.record(&stack.name).unwrap_or_default();
        let snapshot = chosen(&restic, id, &record, self.now())?;
        let laid = self
            .lay_out(stack, &restic, &snapshot, "restore")
            .and_then(|laid| self.fits(stack, &laid).map(|()| laid))
            .and_then(|laid| Ok((self.count(stack, &laid)?, laid)));
        match laid {
            Ok((counted, laid)) => Ok(Restorable {
                snapshot,
                laid,
                restic,
                key,
                counted,
                _alone: alone,
            }),
            Err(error) => {
                self.engine.host.files.remove_tree(&self.restore_place())?;
                Err(error)
            }
        }
    }

    fn restore_place(&self) -> PathBuf {
        self.engine.layout.backups().join("restore")
    }

    /// Every store of the backup must have its place on this host.
    fn fits(&self, stack: &Stack, laid: &LaidOut) -> Result<(), BackupError> {
        self.authority_is_sound(laid)?;
        let stores = laid.manifest.stores.iter().map(|one| &one.container);
        let clusters = laid.manifest.clusters.iter().map(|one| &one.container);
        for name in stores.chain(clusters) {
            let of = |stack: &Stack| -> Option<Container> {
                let mut all = stack.containers.iter();
                all.find(|one| one.name.as_str() == name).cloned()
            };
            let (now, then) = (of(stack), of(&laid.stack));
            let major = |one: &Option<Container>| Some(one.as_ref()?.postgres.as_ref()?.major);
            if major(&now) != major(&then) {
                return Err(BackupError::refused(
                    format!("{name} is of another major version of PostgreSQL than in this backup"),
                    "give it the image and a `volume` as then, `sudo tavernctl install`, then restore",
                ));
            }
            if now.is_none() || now.map(|one| one.volume) != then.map(|one| one.volume) {
                return Err(BackupError::refused(
                    format!("this host's stack file has no container {name} on the same volume"),
                    "name container and volume as in the backup, `sudo tavernctl install`, then restore",
                ));
            }
        }
        Ok(())
    }

    /// Saves what is there, then swaps the backup in, brings the host in line, and counts.
    ///
    /// # Errors
    /// When the safety copy cannot be made, or any part fails: then all is as it was.
    pub fn restore(
        &self,
        stack: &Stack,
        restorable: &Restorable<'_>,
    ) -> Result<Installed, BackupError> {
        let outcome = self.restore_from(stack, restorable);
        let cleared = self.engine.host.files.remove_tree(&self.restore_place());
        let (id, name) = (restorable.name(), &stack.name);
        match &outcome {
            Ok(_) => {
                let text = format!("backup {id} of stack {name} restored");
                self.tell(Priority::Notice, "restored", name, Some(id), &text);
            }
            Err(error) => {
                let text = format!("backup {id} of stack {name} was not restored: {error}");
                self.tell(Priority::Error, "restore-failed", name, Some(id), &text);
            }
        }
        let installed = outcome?;
        cleared?;
        Ok(installed)
    }

    /// Forgets what was fetched.
    ///
    /// # Errors
    /// When it stays.
    pub fn leave(&self, _restorable: Restorable<'_>) -> Result<(), BackupError> {
        Ok(self.engine.host.files.remove_tree(&self.restore_place())?)
    }

    fn restore_from(
        &self,
        stack: &Stack,
        restorable: &Restorable<'_>,
    ) -> Result<Installed, BackupError> {
        self.has_room_for_all(&restorable.laid)?;
        self.engine
            .progress
            .begin("making a safety copy of what is there");
        let safety = self.save_as(stack, &restorable.restic, Kind::Safety)?;
        self.engine
            .progress
            .begin(&format!("the safety copy is backup {safety}"));
        let laid = &restorable.laid;
        let places = self.places(stack, laid)?;
        let prepare = |live: &Path, ready: &Path| {
            self.prepare(stack, restorable, live, ready)
                .map_err(as_engine_error)
        };
        let password = self.redis_password(stack)?;
        let seen = RefCell::new(BTreeSet::new());
        let count = || {
            self.count_live(laid, &password, &seen)
                .map_err(as_engine_error)
        };
        let prove = || self.prove(laid, &seen.borrow()).map_err(as_engine_error);
        let stores = laid.manifest.stores.iter();
        let clusters = laid.manifest.clusters.iter();
        Ok(self.engine.exchange(&Exchange {
            what: format!("the restore of backup {}", restorable.name()),
            places,
            containers: stores
                .map(|store| store.container.clone())
                .chain(clusters.map(|cluster| cluster.container.clone()))
                .collect(),
            restarts: services(&laid.stack),
            prepare: &prepare,
            count: &count,
            prove: &prove,
        })?)
    }

    /// What changes places.
    fn places(&self, stack: &Stack, laid: &LaidOut) -> Result<Vec<Place>, BackupError> {
        let layout = &self.engine.layout;
        let place = |path: PathBuf| Place {
            path,
            contained: false,
        };
        let mut places = vec![
            place(layout.stack_file(&stack.name)),
            place(layout.credentials().join(stack.name.as_str())),
        ];
        for name in laid.manifest.files.keys() {
            if let Some(file) = name.strip_prefix("etc/htpasswd/") {
                places.push(place(layout.etc.join("htpasswd").join(file)));
            }
        }
        places.extend(laid.manifest.trees.iter().cloned().map(place));
        places.extend(super::sqlite::places(laid).into_iter().map(place));
        places.extend(self.authority_places(stack, laid)?);
        for store in &laid.manifest.stores {
            if let Some(container) = laid.container(&store.container) {
                places.push(Place {
                    path: self.own_volume(container)?.join(DATA),
                    contained: true,
                });
            }
        }
        for cluster in &laid.manifest.clusters {
            if let Some(container) = laid.container(&cluster.container) {
                places.push(Place {
                    path: self.own_volume(container)?,
                    contained: true,
                });
            }
        }
        Ok(places)
    }

    /// Lays out what comes in the place of `live`.
    fn prepare(
        &self,
        stack: &Stack,
        restorable: &Restorable<'_>,
        live: &Path,
        ready: &Path,
    ) -> Result<(), BackupError> {
        let (files, layout) = (&self.engine.host.files, &self.engine.layout);
        let laid = &restorable.laid;
        let name = &stack.name;
        if *live == layout.stack_file(name) {
            let from = laid.file(&format!("etc/stacks/{name}.toml"));
            files.copy(&from, ready, Mode(0o644), &Owner::root())?;
        } else if *live == layout.credentials().join(name.as_str()) {
            self.prepare_credentials(stack, restorable, live, ready)?;
        } else if live.starts_with(layout.etc.join("htpasswd")) {
            let file = live.file_name().unwrap_or_default().to_string_lossy();
            let from = laid.file(&format!("etc/htpasswd/{file}"));
            files.copy(&from, ready, Mode(0o640), &Owner::root_and("www-data"))?;
        } else if laid.manifest.trees.iter().any(|tree| tree == live) {
            self.copy(&laid.tree(live), ready)?;
        } else if super::sqlite::is_place(laid, live) {
            self.prepare_database(laid, live, ready)?;
        } else if !self.prepare_authority(stack, laid, live, ready)? {
            for store in &laid.manifest.stores {
                let container = laid.container(&store.container);
                if let Some(container) = container
                    && self.volume(container)?.join(DATA) == *live
                {
                    self.prepare_redis(&laid.file(&store.file), live, ready)?;
                }
            }
            for cluster in &laid.manifest.clusters {
                let container = laid.container(&cluster.container);
                if let Some(container) = container
                    && self.volume(container)? == *live
                {
                    self.load_postgres(stack, laid, cluster, ready)?;
                }
            }
        }
        // On the disk before the names change.
        // The directory, for a link is followed.
        let place = ready.parent().unwrap_or(ready).to_string_lossy();
        let sync = Invocation::new("sync", &["-f", "--", &*place]).limit(Duration::from_secs(600));
        self.engine.host.processes.run_ok(&sync)?;
        Ok(())
    }

    /// Credentials come from the backup; the key that opened it and the access to the store were never in it.
    fn prepare_credentials(
        &self,
        stack: &Stack,
        restorable: &Restorable<'_>,
        live: &Path,
        ready: &Path,
    ) -> Result<(), BackupError> {
        let files = &self.engine.host.files;
        let write = |name: &str, bytes: &[u8]| {
            files.write(&ready.join(name), bytes, Mode(0o600), &Owner::root())
        };
        self.make_private(ready)?;
        for name in restorable.laid.manifest.files.keys() {
            if let Some(file) = name.strip_prefix("etc/credentials/") {
                let bytes = files.read(&restorable.laid.file(name))?.unwrap_or_default();
                if let Some((folder, _)) = file.split_once('/') {
                    self.make_private(&ready.join(folder))?;
                }
                write(file, &bytes)?;
            }
        }
        write("backup-key", &restorable.key)?;
        let mut kept = OF_THIS_HOST.to_vec();
        if let Some(Target::S3 { credentials, .. }) = stack.backup.as_ref().map(|b| &b.to) {
            kept.push(credentials.as_str());
        }
        for name in kept {
            if let Some(bytes) = files.read(&live.join(name))? {
                write(name, &bytes)?;
            }
        }
        Ok(())
    }

    /// A Redis that appends to a file begins with what its list of files names: the saved data as their base.
    fn prepare_redis(&self, rdb: &Path, live: &Path, ready: &Path) -> Result<(), BackupError> {
        const BASE: &str = "appendonly.aof.1.base.rdb";
        let files = &self.engine.host.files;
        files.make_directory(ready, Mode(0o755), &Owner::root())?;
        files.copy(rdb, &ready.join(BASE), Mode(0o644), &Owner::root())?;
        let list = format!("file {BASE} seq 1 type b\n");
        let path = ready.join("appendonly.aof.manifest");
        files.write(&path, list.as_bytes(), Mode(0o644), &Owner::root())?;
        // The volume is the container's user's; a link in it is taken for what it is.
        let volume = live.parent().unwrap_or(live);
        let reference = format!("--reference={}", volume.display());
        let ready = ready.to_string_lossy();
        let chown = Invocation::new("chown", &["-R", "-P", "-h", &reference, "--", &ready]);
        self.engine.host.processes.run_ok(&chown)?;
        Ok(())
    }
}

/// The apps of a stack: they have read their credentials.
fn services(stack: &Stack) -> Vec<ResourceId> {
    let units = stack.apps.iter();
    units
        .map(|app| Layout::unit_stem(&stack.name, &app.name))
        .map(|stem| ResourceId(format!("unit:{stem}.service")))
        .collect()
}

fn as_engine_error(error: BackupError) -> EngineError {
    match error {
        BackupError::Engine(error) => error,
        BackupError::Host(error) => error.into(),
        BackupError::Refused { what, help } | BackupError::NoRoom { what, help } => {
            EngineError::NotReady { what, help }
        }
    }
}

fn is_key(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim();
    text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit())
}

/// The backup that was asked for by the beginning of its name, else the newest that is no safety copy.
fn chosen(
    restic: &Restic<'_>,
    id: Option<&str>,
    record: &BackupRecord,
    now: i64,
) -> Result<Snapshot, BackupError> {
    let all = restic.snapshots()?;
    let help = "`sudo tavernctl backup list` shows what there is";
    let found: Vec<Snapshot> = match id {
        Some(id) => all
            .into_iter()
            .filter(|one| one.id.starts_with(id))
            .collect(),
        None => newest(all, record, now).into_iter().collect(),
    };
    match (found.as_slice(), id) {
        ([one], _) if one.kind().is_some() => Ok(one.clone()),
        ([one], _) => Err(BackupError::refused(
            format!("{} was not made by Tavern", one.short_id),
            "`sudo restic restore` takes what Tavern does not know",
        )),
        ([], Some(id)) => Err(BackupError::refused(
            format!("there is no backup `{}`", id.escape_default()),
            help,
        )),
        ([], None) => Err(BackupError::refused(
            format!("there is no backup at {}", restic.repository),
            help,
        )),
        (_, id) => Err(BackupError::refused(
            format!(
                "`{}` begins more than one backup's name",
                id.unwrap_or_default()
            ),
            help,
        )),
    }
}
