//! Sets right what a killed run left: before its commit it is undone, after it it is finished.

use std::path::{Path, PathBuf};

use super::alias::AliasPrior;
use super::journal::{Record, Unfinished, Verb};
use super::preflight_nginx::STAGE;
use super::prior::Prior;
use super::receipt::{Entry, Receipt};
use super::{Engine, EngineError, Lock, Request};
use crate::plan::{self, Orphan, Plan};
use crate::resource::{Action, Resource};

/// What became of a run that did not end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovered {
    /// It was undone: the host is as it was before it.
    Undone {
        /// What it was for.
        what: String,
    },
    /// It was past its commit, and is recorded now; what it was still to remove is gone, or an orphan.
    Finished {
        /// What it was for.
        what: String,
    },
    /// Its journal could not be read: it is kept, and what the run had done stays as it is.
    SetAside {
        /// Where.
        kept: PathBuf,
    },
    /// An uninstall only goes forward; it is to be run again.
    Uninstall {
        /// Data goes too.
        purge: bool,
        /// Packages go too.
        purge_packages: bool,
    },
}

impl Engine<'_> {
    /// Whether another run holds the lock.
    pub fn is_at_work(&self) -> bool {
        matches!(
            Lock::is_free(&self.layout.lock),
            Err(EngineError::Locked { .. })
        )
    }

    /// Whether a run is under way that changes what is to be. A mend does not.
    pub fn is_changing(&self) -> bool {
        Lock::is_held_for_long(&self.layout.lock)
    }

    /// Sets right what a killed run left, if there is anything.
    ///
    /// # Errors
    /// When another run holds the lock, or something cannot be put back. With `give_up` that is left as it is.
    pub fn recover(&self, give_up: bool) -> Result<Option<Recovered>, EngineError> {
        let _lock = Lock::take(&self.layout.lock)?;
        let exchange = self.open_exchange()?;
        let recovered = self.recover_locked(give_up)?;
        if exchange.is_some() {
            // What was made from what came is to be made from what is back.
            self.install_locked(None, &Request::default())?;
        }
        Ok(recovered)
    }

    pub(super) fn recover_locked(&self, give_up: bool) -> Result<Option<Recovered>, EngineError> {
        // The run of an exchange first: it was on top.
        let run = self.recover_run(give_up)?;
        Ok(self.recover_exchange()?.or(run))
    }

    fn recover_run(&self, give_up: bool) -> Result<Option<Recovered>, EngineError> {
        // A copy of nginx's configuration that a killed preflight left.
        self.host.files.remove_tree(Path::new(STAGE))?;
        let mut set_aside = None;
        let unfinished = match self.unfinished() {
            Err(EngineError::Receipt { .. }) if give_up => {
                let journal = self.journal_path();
                let kept = journal.with_extension("jsonl.damaged");
                // What it replaced may be in blobs that only it speaks of.
                let receipt = self.receipt()?;
                self.forget_generation(receipt.generation + 1)?;
                self.save_receipt(&Receipt {
                    spares_blobs: true,
                    ..receipt
                })?;
                self.host.files.rename(&journal, &kept)?;
                set_aside = Some(kept);
                None
            }
            other => other?,
        };
        let Some(run) = unfinished else {
            // The first run of all, killed before its journal: all that it made.
            self.host.files.remove_directory(&self.layout.state)?;
            self.host.files.remove_tree(&self.doomed())?;
            return Ok(set_aside.map(|kept| Recovered::SetAside { kept }));
        };
        self.sweep_temporaries(&run)?;
        self.cut_torn_line()?;
        let what = run.what();
        let Some(begin) = &run.begin else {
            // Its first line never reached the disk, or it is of the first version.
            self.fold_first_version(&run.records)?;
            return Ok(Some(if run.records.is_empty() {
                Recovered::Undone { what }
            } else {
                Recovered::Finished { what }
            }));
        };
        if let Verb::Uninstall {
            purge,
            purge_packages,
        } = begin.verb
        {
            // What it had given back is no longer in the receipt.
            self.close_journal()?;
            return Ok(Some(Recovered::Uninstall {
                purge,
                purge_packages,
            }));
        }
        if let Verb::Mend { .. } = begin.verb {
            self.close_journal()?;
            return Ok(Some(Recovered::Undone { what }));
        }
        if run.is_committed {
            let mut receipt = self.generation_receipt(begin.generation)?;
            let removals = self.removals(&run.pending)?;
            receipt.entries.extend(run.pending);
            let mut journal = self.reopen_journal(begin.generation);
            let outcome = self.remove_orphans(&removals, &mut receipt, &mut journal);
            self.record_run(&receipt)?;
            // What cannot be removed is an orphan, for the next install to try again.
            outcome?;
            return Ok(Some(Recovered::Finished { what }));
        }
        // Where the first run was killed right before its commit, its own copy would pass for the lost receipt.
        self.forget_generation(begin.generation)?;
        let before = self.receipt()?;
        self.note_abort()?;
        let (records, kept) = without_used_volumes(&run.records, &before);
        let left = self.undo_run(&records, &before);
        if !left.is_empty() && !give_up {
            return Err(EngineError::NotUndone(
                left.iter().map(|line| format!("  {line}")).collect(),
            ));
        }
        let mut before = before;
        for record in kept {
            before.record(record.resource, record.prior);
        }
        self.forget_run(&before, &records, begin.first, &left)?;
        Ok(Some(Recovered::Undone { what }))
    }

    /// What a run was still to remove, in the order of its plan.
    fn removals(&self, pending: &[Entry]) -> Result<Plan, EngineError> {
        let mut steps = Vec::new();
        for entry in pending.iter().rev() {
            steps.push(plan::removal(&Orphan {
                resource: entry.resource.clone(),
                edited: entry.resource.edits(&self.look_at(&entry.resource)?, None),
                first: false,
            }));
        }
        Ok(Plan {
            steps,
            ..Plan::default()
        })
    }

    /// Takes back what an undone run wrote of itself: all of it, if the host had no state of ours before.
    pub(super) fn forget_run(
        &self,
        before: &Receipt,
        done: &[Record],
        is_first: bool,
        left: &[String],
    ) -> Result<(), EngineError> {
        let files = &self.host.files;
        let mut receipt = before.clone();
        for record in done {
            // Packages stay, and that they are ours must be known to whoever purges them.
            if let (Resource::Package(_), Prior::Packages { .. }) =
                (&record.resource, &record.prior)
            {
                let prior = self.settled(&record.resource, record.prior.clone())?;
                receipt.record(record.resource.clone(), prior);
            }
        }
        receipt.spares_blobs |= !left.is_empty();
        let generation = self.next_generation(before)?;
        let begun = self.unfinished()?.and_then(|run| run.begin);
        let generation = begun.map_or(generation, |begin| begin.generation);
        files.remove_tree(&self.layout.state.join("stage"))?;
        self.forget_generation(generation)?;
        self.forget_edits(generation)?;
        let is_clean = is_first && left.is_empty() && receipt.entries.is_empty();
        if is_clean {
            files.remove_tree(&self.blobs())?;
            files.remove(&self.receipt_path())?;
            self.close_journal()?;
            return Ok(files.remove_tree(&self.layout.state)?);
        }
        // A full disk may refuse a receipt that is there already, word for word.
        if self.receipt().ok().as_ref() != Some(&receipt) {
            self.save_receipt(&receipt)?;
        }
        self.collect_blobs(&receipt)?;
        self.close_journal()
    }

    fn sweep_temporaries(&self, run: &Unfinished) -> Result<(), EngineError> {
        let files = &self.host.files;
        files.remove_tree(&self.layout.state.join("stage"))?;
        let own = [
            self.receipt_path(),
            self.generation_path_of(run),
            self.journal_path(),
        ];
        let steps = run.records.iter().flat_map(paths);
        for path in own.into_iter().chain(steps) {
            files.sweep(&path)?;
        }
        Ok(())
    }

    fn generation_path_of(&self, run: &Unfinished) -> PathBuf {
        let generation = run.begin.as_ref().map_or(0, |begin| begin.generation);
        self.generation_dir(generation).join("receipt.json")
    }

    /// A journal of the first version has no commit: what it did is taken for done, the rest for owed.
    fn fold_first_version(&self, records: &[Record]) -> Result<(), EngineError> {
        if records.is_empty() {
            self.close_journal()?;
            // Nothing but that file was made, if this was to be the first run.
            self.host.files.remove_directory(&self.layout.state)?;
            return Ok(());
        }
        let mut receipt = self.receipt()?;
        fold(records, &mut receipt);
        self.save_receipt(&receipt)?;
        self.close_journal()
    }

    /// The receipt as the next run will find it.
    pub(super) fn receipt_as_if_recovered(&self) -> Result<Receipt, EngineError> {
        self.refuse_open_exchange()?;
        let mut receipt = self.receipt()?;
        if let Some(run) = self.unfinished()?.filter(|run| !run.is_mend()) {
            if run.begin.is_some() && !run.is_committed {
                return Err(EngineError::NotReady {
                    what: format!(
                        "a run ({}) did not end, and what it half did would pass for what is there",
                        run.what()
                    ),
                    help: "`sudo tavernctl recover` undoes it; then run this again".into(),
                });
            }
            fold(&run.records, &mut receipt);
        }
        Ok(receipt)
    }
}

fn fold(records: &[Record], receipt: &mut Receipt) {
    for record in records {
        receipt.owed.extend(record.restarts.iter().cloned());
        if record.action != Action::Remove {
            receipt.owed.insert(record.resource.id());
            receipt.record(record.resource.clone(), record.prior.clone());
        }
    }
}

/// A volume that the run made and a site that was up may have written to since is data: it stays.
fn without_used_volumes(records: &[Record], before: &Receipt) -> (Vec<Record>, Vec<Record>) {
    let was_up = before
        .entries
        .iter()
        .any(|entry| matches!(entry.resource, Resource::Nginx(_)));
    let is_used = |record: &Record| {
        let Resource::Volume(volume) = &record.resource else {
            return false;
        };
        was_up
            && record.prior == Prior::Absent
            && records.iter().any(|other| {
                matches!(&other.resource, Resource::Container(container)
                    if container.mounts.iter().any(|mount| mount.volume() == Some(&volume.name)))
            })
    };
    let (kept, undone): (Vec<&Record>, Vec<&Record>) =
        records.iter().partition(|record| is_used(record));
    (
        undone.into_iter().cloned().collect(),
        kept.into_iter().cloned().collect(),
    )
}

/// The paths that a step may have been writing when it was killed.
fn paths(record: &Record) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = record.resource.path().cloned().into_iter().collect();
    match &record.resource {
        Resource::Secret(secret) => found.push(secret.passwords.clone()),
        Resource::Htpasswd(htpasswd) => found.push(htpasswd.passwords.clone()),
        Resource::Nginx(tree) => {
            found.extend(tree.files.keys().chain(tree.links.keys()).cloned());
        }
        _ => {}
    }
    match &record.prior {
        Prior::Nginx { paths, stale, .. } => {
            found.extend(paths.keys().chain(stale.keys()).cloned());
        }
        Prior::Unit {
            alias: Some(AliasPrior { path, drop_ins, .. }),
            ..
        } => {
            found.push(path.clone());
            found.extend(drop_ins.keys().cloned());
        }
        _ => {}
    }
    found.retain(|path| path != Path::new(""));
    found
}
