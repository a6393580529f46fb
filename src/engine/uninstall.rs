use super::prior::Prior;
use super::receipt::{Entry, Receipt};
use super::{Engine, EngineError, Lock};
use crate::resource::{Opening, PathState, Resource, ResourceId};

/// Whether data goes too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purge {
    /// Volumes, pages, credentials and stack files stay.
    KeepData,
    /// All of it goes.
    Everything,
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
}

impl Engine<'_> {
    /// Removes what Tavern made and gives back what was there. Goes on when something fails, and lists it.
    ///
    /// # Errors
    /// When another run holds the lock or the receipt cannot be read.
    pub fn uninstall(&self, purge: Purge) -> Result<Leftovers, EngineError> {
        let _lock = Lock::take(&self.layout.lock)?;
        let mut receipt = self.receipt()?;
        self.fold_journal(&mut receipt)?;
        if receipt.entries.is_empty() && self.has_marks()? {
            return Err(EngineError::NotReady {
                what: "the receipt is gone, but Tavern's things are on this host".into(),
                help: "`sudo tavernctl install` finds them by their marks; then `sudo tavernctl uninstall`".into(),
            });
        }
        let mut left = Leftovers::default();
        let entries: Vec<Entry> = receipt.entries.iter().rev().cloned().collect();
        // Units stop before their files go, the rest in the order opposite to how it was made, directories last,
        // and the binary after everything: whoever is cut off half-way can still run it again.
        let rank = |entry: &Entry| match entry.resource {
            Resource::Opening(_) | Resource::Nginx(_) => 0,
            Resource::Unit(_) => 1,
            Resource::Container(_) => 2,
            Resource::Directory(_) => 4,
            Resource::Group(_) => 5,
            Resource::Binary(_) => 6,
            _ => 3,
        };
        let mut ordered: Vec<&Entry> = entries.iter().collect();
        ordered.sort_by_key(|entry| rank(entry));
        let (things, places): (Vec<&Entry>, Vec<&Entry>) =
            ordered.into_iter().partition(|entry| rank(entry) < 4);
        for entry in &things {
            self.give_back(entry, purge, &mut receipt, &mut left)?;
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
        for entry in places {
            self.give_back(entry, purge, &mut receipt, &mut left)?;
        }
        self.finish(purge, &receipt, &mut left)?;
        Ok(left)
    }

    fn give_back(
        &self,
        entry: &Entry,
        purge: Purge,
        receipt: &mut Receipt,
        left: &mut Leftovers,
    ) -> Result<(), EngineError> {
        if entry.resource.is_data() && purge == Purge::KeepData {
            if entry.prior != Prior::Present {
                left.kept.push(Kept {
                    id: entry.id.clone(),
                    hint: None,
                });
            }
            return Ok(());
        }
        if matches!(entry.resource, Resource::Binary(_)) && !left.failed.is_empty() {
            left.failed.push(format!(
                "{}: stays, to run `tavernctl uninstall` again",
                entry.id
            ));
            return Ok(());
        }
        if let Resource::Opening(opening) = &entry.resource
            && entry.prior != Prior::Present
            && opening.is_way_in()
        {
            return self.keep_way_in(entry, opening, receipt, left);
        }
        let stays = entry.prior == Prior::Present || matches!(entry.resource, Resource::Package(_));
        if !stays {
            self.progress.begin(&format!("- {}", entry.id));
        }
        // An older tavernctl that was there before is no thing to give back.
        let prior = match entry.resource {
            Resource::Binary(_) => &Prior::Absent,
            _ => &entry.prior,
        };
        let undone = match &entry.resource {
            Resource::Nginx(tree) => self.give_back_nginx(tree, prior),
            resource => self.undo_one(resource, prior),
        };
        match undone {
            Ok(()) if self.outlives(entry)? => {
                // Kept data, or the owner's own files, are in it: it stays ours until it is empty.
                if purge == Purge::Everything {
                    left.failed.push(format!(
                        "{}: not empty: files of others are in it",
                        entry.id
                    ));
                }
            }
            Ok(()) => {
                receipt.forget(&entry.id);
                if !matches!(entry.resource, Resource::Directory(_)) {
                    self.save_receipt(receipt)?;
                }
            }
            Err(error) => left.failed.push(format!("{}: {error}", entry.id)),
        }
        Ok(())
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
            return self.save_receipt(receipt);
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

    fn finish(
        &self,
        purge: Purge,
        receipt: &Receipt,
        left: &mut Leftovers,
    ) -> Result<(), EngineError> {
        let files = &self.host.files;
        if !left.failed.is_empty() {
            return self.save_receipt(receipt);
        }
        if purge == Purge::KeepData && !left.kept.is_empty() {
            // The receipt stays with the data, so that a later `--purge` knows what is ours.
            return self.save_receipt(receipt);
        }
        files.remove_tree(&self.layout.state)?;
        // Forgotten by an earlier uninstall that kept what was in them.
        for directory in files.list(&self.layout.credentials())? {
            files.remove_directory(&directory)?;
        }
        for directory in [
            self.layout.etc.join("tls"),
            self.layout.etc.join("htpasswd"),
            self.layout.etc.join("containers"),
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
