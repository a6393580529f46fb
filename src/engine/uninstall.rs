use std::collections::BTreeSet;
use std::path::PathBuf;

use super::generations::FOLDERS;
use super::prior::Prior;
use super::receipt::{Entry, Receipt};
use super::{Engine, EngineError, Lock, Verb};
use crate::host::gather;
use crate::model::Mode;
use crate::resource::{BinaryState, Opening, Owner, PathState, Resource, ResourceId};

/// What goes beside what Tavern made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purge {
    /// Volumes, pages, credentials and stack files go too.
    pub data: bool,
    /// Packages that Tavern installed go too, with what came with them.
    pub packages: bool,
}

/// A thing of ours that an uninstall keeps.
#[derive(Debug)]
pub struct Kept {
    /// Its name.
    pub id: ResourceId,
    /// How to remove what `--purge` keeps too; nothing for data.
    pub hint: Option<String>,
}

/// What an uninstall left on the host.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// What was kept on purpose.
    pub kept: Vec<Kept>,
    /// What should be gone and is not, with the reason.
    pub failed: Vec<String>,
    /// Something to know of how it was done.
    pub notes: Vec<String>,
}

impl Engine<'_> {
    /// Removes what Tavern made and gives back what was there. Goes on when something fails, and lists it.
    ///
    /// # Errors
    /// When another run holds the lock or the disk takes nothing more.
    pub fn uninstall(&self, purge: Purge) -> Result<Leftovers, EngineError> {
        let _lock = Lock::take(&self.layout.lock)?;
        let mut left = Leftovers::default();
        if let Err(error) = self.recover_locked(true) {
            left.notes.push(format!("a run that did not end: {error}"));
        }
        // What waited to be confirmed goes like all the rest, and what was held is held no more.
        if let Err(error) = self.disarm().and_then(|()| self.forget_holds()) {
            left.failed.push(error.to_string());
        }
        // The CA's key may stay with the data: nobody is to trust it meanwhile.
        match self.distrust_locked() {
            Ok(report) => left.failed.extend(report.failed),
            Err(error) => left.failed.push(error.to_string()),
        }
        let mut receipt = self.receipt_or_rebuilt(&mut left)?;
        if receipt.entries.is_empty() {
            self.finish(purge, &receipt, &mut left)?;
            if left.failed.is_empty() {
                self.remove_this_binary()?;
            }
            self.host.files.remove_tree(&self.doomed())?;
            return Ok(left);
        }
        self.host
            .files
            .make_directory(&self.layout.state, Mode(0o700), &Owner::root())?;
        let verb = Verb::Uninstall {
            purge: purge.data,
            purge_packages: purge.packages,
        };
        // A full disk must not keep anybody from making room.
        let _ = self.begin_journal(verb, receipt.generation, false);
        let entries: Vec<Entry> = receipt.entries.iter().rev().cloned().collect();
        // Units stop before their files go, the rest in the order opposite to how it was made, directories last,
        // packages and the binary after everything: whoever is cut off half-way can still run it again.
        let rank = |entry: &Entry| match entry.resource {
            Resource::Opening(_) | Resource::Nginx(_) => 0,
            Resource::Unit(_) => 1,
            Resource::Container(_) => 2,
            Resource::Directory(_) => 4,
            Resource::Group(_) => 5,
            Resource::Package(_) => 6,
            Resource::Binary(_) => 7,
            _ => 3,
        };
        let mut ordered: Vec<&Entry> = entries.iter().collect();
        ordered.sort_by_key(|entry| rank(entry));
        let (things, places): (Vec<&Entry>, Vec<&Entry>) =
            ordered.into_iter().partition(|entry| rank(entry) < 4);
        for entry in &things {
            self.give_back(entry, purge, &mut receipt, &mut left)?;
        }
        if purge.data && left.failed.is_empty() {
            self.remove_brought_images(&mut receipt, &mut left);
        }
        if let Err(error) = self.host.systemd.act("daemon-reload", &[]) {
            left.failed.push(format!("systemd: {error}"));
        }
        // What a unit needs is back by now: container, sockets, files.
        for entry in things {
            if let Err(error) = self.start_given_back(&entry.prior) {
                left.failed.push(format!("{}: {error}", entry.id));
            }
        }
        let (binary, places): (Vec<&Entry>, Vec<&Entry>) =
            places.into_iter().partition(|entry| rank(entry) == 7);
        for entry in places {
            if let Resource::Package(_) = entry.resource {
                self.give_back_package(entry, purge, &mut receipt, &mut left)?;
            } else {
                self.give_back(entry, purge, &mut receipt, &mut left)?;
            }
        }
        for entry in binary {
            if left.failed.is_empty() {
                receipt.forget(&entry.id);
            } else {
                let stays = "stays, to run `tavernctl uninstall` again";
                left.failed.push(format!("{}: {stays}", entry.id));
            }
        }
        self.finish(purge, &receipt, &mut left)?;
        if left.failed.is_empty() {
            for entry in entries.iter().filter(|entry| rank(entry) == 7) {
                // An older tavernctl that was there before is no thing to give back.
                self.undo_one(&entry.resource, &Prior::Absent)?;
            }
        }
        // Where something is left the run has ended all the same: it said so.
        self.host.files.remove_tree(&self.doomed())?;
        Ok(left)
    }

    /// Whoever was cut off before the very last step runs it again from there: the binary itself.
    fn remove_this_binary(&self) -> Result<(), EngineError> {
        let facts = gather(self.host)?;
        let files = &self.host.files;
        if !facts.binary_is_packaged && files.binary_state(&facts.binary)? == BinaryState::Same {
            files.remove(&facts.binary)?;
        }
        Ok(())
    }

    /// Whether it must stay because something before it could not be undone: a unit without its file cannot be
    /// disabled, and Docker does not say whose container keeps an image.
    fn is_needed_yet(&self, resource: &Resource, left: &Leftovers) -> bool {
        match resource {
            Resource::Image(_) => !left.failed.is_empty(),
            Resource::File(file) if file.path.starts_with(&self.layout.units) => {
                let name = file.path.file_name().unwrap_or_default().to_string_lossy();
                let line = format!("unit:{name}: ");
                left.failed.iter().any(|failed| failed.starts_with(&line))
            }
            _ => false,
        }
    }

    fn give_back_package(
        &self,
        entry: &Entry,
        purge: Purge,
        receipt: &mut Receipt,
        left: &mut Leftovers,
    ) -> Result<(), EngineError> {
        let Prior::Brought { packages } = &entry.prior else {
            if entry.prior != Prior::Present && purge.packages {
                left.notes.push(format!(
                    "{}: came with an older Tavern, which did not note what else it brought: it stays",
                    entry.id
                ));
            }
            return Ok(());
        };
        if !purge.packages {
            return Ok(());
        }
        // Purged, both would take along what is in their directories, whoever put it there.
        if let Some(reason) = self.holds_others_things(packages) {
            left.notes.push(format!("{}: stays: {reason}", entry.id));
            return Ok(());
        }
        self.progress.begin(&format!("- {}", entry.id));
        match self.host.packages.purge(packages) {
            Ok(stay) if stay.contains(entry.id.0.trim_start_matches("package:")) => left
                .notes
                .push(format!("{}: stays, another package needs it", entry.id)),
            Ok(_) => {
                receipt.forget(&entry.id);
                self.note_receipt(receipt, left);
            }
            Err(error) => left.failed.push(format!("{}: {error}", entry.id)),
        }
        Ok(())
    }

    fn give_back(
        &self,
        entry: &Entry,
        purge: Purge,
        receipt: &mut Receipt,
        left: &mut Leftovers,
    ) -> Result<(), EngineError> {
        if entry.resource.is_data() && !purge.data {
            if entry.prior != Prior::Present {
                left.kept.push(Kept {
                    id: entry.id.clone(),
                    hint: None,
                });
            }
            return Ok(());
        }
        if self.is_needed_yet(&entry.resource, left) {
            let stays = "stays until what failed before it is undone";
            left.failed.push(format!("{}: {stays}", entry.id));
            return Ok(());
        }
        if let Resource::Opening(opening) = &entry.resource
            && entry.prior != Prior::Present
            && opening.is_way_in()
        {
            return self.keep_way_in(entry, opening, receipt, left);
        }
        if entry.prior != Prior::Present {
            self.progress.begin(&format!("- {}", entry.id));
        }
        if !purge.data
            && let Err(error) = self.keep_edits_of(&entry.resource, receipt.generation, left)
        {
            left.failed.push(format!("{}: {error}", entry.id));
            return Ok(());
        }
        let undone = match &entry.resource {
            Resource::Nginx(tree) => self.give_back_nginx(tree, &entry.prior),
            resource => self.undo_one(resource, &entry.prior),
        };
        match undone {
            Ok(()) if self.outlives(entry)? => {
                // Kept data, or the owner's own files, are in it: it stays ours until it is empty.
                if purge.data {
                    left.failed.push(format!(
                        "{}: not empty: files of others are in it",
                        entry.id
                    ));
                }
            }
            Ok(()) => {
                receipt.forget(&entry.id);
                if !matches!(entry.resource, Resource::Directory(_)) {
                    self.note_receipt(receipt, left);
                }
            }
            Err(error) => left.failed.push(format!("{}: {error}", entry.id)),
        }
        Ok(())
    }

    /// What somebody else keeps where these packages' scripts remove all.
    fn holds_others_things(&self, packages: &BTreeSet<String>) -> Option<String> {
        if packages.contains("docker.io") {
            let docker = &self.host.docker;
            let (Ok(containers), Ok(volumes)) = (docker.containers(), docker.volumes()) else {
                return Some("Docker does not answer, so what is in it is not known".to_owned());
            };
            let names = containers.into_iter().chain(volumes).map(|(name, _)| name);
            let names: Vec<String> = names.collect();
            if !names.is_empty() {
                return Some(format!("in Docker there is {}", names.join(", ")));
            }
        }
        if packages.contains("nginx") {
            let found = self
                .host
                .packages
                .not_of_packages(packages, &self.layout.nginx);
            return match found {
                Ok(paths) if paths.is_empty() => None,
                Ok(paths) => {
                    let paths: Vec<_> = paths.iter().map(|p| p.display().to_string()).collect();
                    Some(format!("files of yours: {}", paths.join(", ")))
                }
                Err(error) => Some(error.to_string()),
            };
        }
        None
    }

    /// What somebody edited is theirs: a copy of it stays.
    fn keep_edits_of(
        &self,
        resource: &Resource,
        generation: u64,
        left: &mut Leftovers,
    ) -> Result<(), EngineError> {
        for path in resource.edits(&self.look_at(resource)?, None) {
            self.keep_edit(&path, generation)?;
            let kept = self
                .edited(generation)
                .join(path.strip_prefix("/").unwrap_or(&path));
            left.kept.push(Kept {
                id: ResourceId(format!("edited:{}", kept.display())),
                hint: None,
            });
        }
        Ok(())
    }

    /// A disk that takes nothing more must not keep anybody from making room: the next uninstall finds what is gone.
    fn note_receipt(&self, receipt: &Receipt, left: &mut Leftovers) {
        if let Err(error) = self.save_receipt(receipt) {
            let line = format!("receipt: {error}");
            if !left.failed.contains(&line) {
                left.failed.push(line);
            }
        }
    }

    /// Lists a rule of ours that somebody may be logged in by; it is only ever the operator who removes it.
    fn keep_way_in(
        &self,
        entry: &Entry,
        opening: &Opening,
        receipt: &mut Receipt,
        left: &mut Leftovers,
    ) -> Result<(), EngineError> {
        if matches!(self.host.firewall.is_open(opening.port), Ok(false)) {
            receipt.forget(&entry.id);
            self.note_receipt(receipt, left);
            return Ok(());
        }
        left.kept.push(Kept {
            id: entry.id.clone(),
            hint: Some(format!(
                "`ufw delete allow {}/tcp` if there is another way in",
                opening.port
            )),
        });
        Ok(())
    }

    /// A directory that we made and that is still there.
    fn outlives(&self, entry: &Entry) -> Result<bool, EngineError> {
        let Resource::Directory(directory) = &entry.resource else {
            return Ok(false);
        };
        let is_frame = [&self.layout.state, &self.layout.etc]
            .iter()
            .any(|ours| directory.path.starts_with(ours));
        let still_there = self.host.files.state(&directory.path)? != PathState::Absent;
        Ok(entry.prior == Prior::Absent && still_there && !is_frame)
    }

    /// The name that the state has while it is removed. Its directory goes after the binary, so that a run that is
    /// cut off before that is still known.
    pub(super) fn doomed(&self) -> PathBuf {
        self.layout.state.with_extension("gone")
    }

    fn finish(
        &self,
        purge: Purge,
        receipt: &Receipt,
        left: &mut Leftovers,
    ) -> Result<(), EngineError> {
        let files = &self.host.files;
        let stays = !left.failed.is_empty() || (!purge.data && !left.kept.is_empty());
        if stays {
            // The receipt stays with the data, so that a later `--purge` knows what is ours.
            self.note_receipt(receipt, left);
            return self.close_journal();
        }
        if purge.data {
            // Also those that no install has seen yet.
            for folder in FOLDERS {
                for path in files.list(&self.layout.etc.join(folder))? {
                    if path
                        .extension()
                        .is_some_and(|extension| extension == "toml")
                    {
                        files.remove(&path)?;
                    }
                }
            }
        }
        // It goes at one instant: half of it would say what is no longer so.
        let doomed = self.doomed();
        if files.state(&self.layout.state)? != PathState::Absent {
            files.remove_tree(&doomed)?;
            // A file system of its own cannot be renamed.
            if files.rename(&self.layout.state, &doomed).is_err() {
                files.remove_tree(&self.layout.state)?;
            }
        }
        for path in files.list(&doomed)? {
            match files.state(&path)? {
                PathState::Directory { .. } => files.remove_tree(&path)?,
                _ => files.remove(&path)?,
            }
        }
        // Forgotten by an earlier uninstall that kept what was in them.
        for folder in [
            self.layout.credentials(),
            self.layout.etc.join("containers"),
        ] {
            for directory in files.list(&folder)? {
                files.remove_directory(&directory)?;
            }
        }
        for directory in [
            self.layout.etc.join("tls"),
            self.layout.etc.join("htpasswd"),
            self.layout.etc.join("containers"),
            self.layout.etc.join("overlays"),
            self.layout.credentials(),
            self.layout.stacks(),
            self.layout.etc.clone(),
        ] {
            if !files.remove_directory(&directory)? {
                left.failed.push(format!(
                    "{}: not empty: somebody else's files are in it",
                    directory.display()
                ));
            }
        }
        Ok(())
    }
}
