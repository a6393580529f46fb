//! Things that are swapped for others, as one: all of them, or none. What a restore does.
//!
//! What is to come lies ready beside what is there; both change names. A note on the disk says what is under way from
//! before the first byte until the host is proven, so that whoever is killed in between is undone.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::generations::json;
use super::{Engine, EngineError, Installed, Lock, Recovered, Request, format};
use crate::model::Mode;
use crate::resource::{Owner, PathState, ResourceId};

/// The version of the note's form that this build writes.
const VERSION: u32 = 1;

/// A set of things to be swapped.
pub struct Exchange<'a> {
    /// What it is for, in a few words.
    pub what: String,
    /// What changes.
    pub places: Vec<Place>,
    /// Containers that must not run meanwhile.
    pub containers: Vec<String>,
    /// What has read it, and must restart.
    pub restarts: Vec<ResourceId>,
    /// Puts what is to come at the second path, for the one that is there; nothing, and that one goes away.
    pub prepare: &'a dyn Fn(&Path, &Path) -> Result<(), EngineError>,
    /// Whether the containers have what came: asked once they run, before the apps start anew and change it.
    pub count: &'a dyn Fn() -> Result<(), EngineError>,
    /// Whether the host is as it should be with it.
    pub prove: &'a dyn Fn() -> Result<(), EngineError>,
}

/// A path that changes.
pub struct Place {
    /// The path.
    pub path: PathBuf,
    /// The containers may write beside it: nothing is laid out there before they stand still.
    pub contained: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    version: u32,
    what: String,
    containers: Vec<String>,
    restarts: Vec<ResourceId>,
    swaps: Vec<Swap>,
    /// All is proven: only what was there before is to be cleared away.
    is_over: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Swap {
    live: PathBuf,
    was_there: bool,
}

impl Swap {
    fn beside(&self, word: &str) -> PathBuf {
        let name = self.live.file_name().unwrap_or_default().to_string_lossy();
        self.live.with_file_name(format!(".{name}.tavern-{word}"))
    }

    /// What is to come.
    fn ready(&self) -> PathBuf {
        self.beside("ready")
    }

    /// What was there.
    fn aside(&self) -> PathBuf {
        self.beside("before")
    }
}

impl Engine<'_> {
    /// Swaps all of it, brings the host in line with it, and asks for the proof. If any of that fails, all is as it
    /// was.
    ///
    /// # Errors
    /// When another run holds the lock or did not end, or a part of it failed: then it was undone.
    pub fn exchange(&self, exchange: &Exchange<'_>) -> Result<Installed, EngineError> {
        let _lock = Lock::take(&self.layout.lock)?;
        self.may_renew()?;
        self.refuse_open_exchange()?;
        let mut note = Note {
            version: VERSION,
            what: exchange.what.clone(),
            containers: exchange.containers.clone(),
            restarts: exchange.restarts.clone(),
            swaps: Vec::new(),
            is_over: false,
        };
        for Place { path, .. } in &exchange.places {
            note.swaps.push(Swap {
                was_there: self.is_there(path)?,
                live: path.clone(),
            });
        }
        self.refuse_what_was_left(&note)?;
        self.save_exchange(&note)?;
        match self.carry_exchange(exchange, &note) {
            Ok(installed) => {
                note.is_over = true;
                self.save_exchange(&note)?;
                self.close_exchange(&note)?;
                Ok(installed)
            }
            Err(error) => {
                self.progress.begin("putting back what was there");
                // Whoever asks once more for a stop does not get half of the way back.
                let through = Engine {
                    layout: self.layout.clone(),
                    edge: self.edge.clone(),
                    is_stop_wanted: &|| false,
                    ..*self
                };
                let back = through.undo_exchange(&note).and_then(|()| {
                    // What was made from what came is to be made from what is back.
                    let request = Request::default();
                    through.install_locked(None, &request).map(|_| ())
                });
                Err(match back {
                    Ok(()) => EngineError::NotReady {
                        what: format!("{}: {error}", exchange.what),
                        help: "all is as it was before".to_owned(),
                    },
                    Err(left) => EngineError::NotReady {
                        what: format!(
                            "{}: {error}; and it could not all be put back: {left}",
                            exchange.what
                        ),
                        help: "mend that, then `sudo tavernctl recover`".to_owned(),
                    },
                })
            }
        }
    }

    fn carry_exchange(
        &self,
        exchange: &Exchange<'_>,
        note: &Note,
    ) -> Result<Installed, EngineError> {
        self.lay_out(exchange, note, false)?;
        for container in &note.containers {
            self.goes_on()?;
            self.progress.begin(&format!("stopping {container}"));
            self.host.docker.stop(container)?;
        }
        self.lay_out(exchange, note, true)?;
        for swap in &note.swaps {
            self.goes_on()?;
            self.progress
                .begin(&format!("swapping {}", swap.live.display()));
            if swap.was_there {
                self.host.files.rename(&swap.live, &swap.aside())?;
            }
            if self.is_there(&swap.ready())? {
                self.host.files.rename(&swap.ready(), &swap.live)?;
            }
        }
        for container in &note.containers {
            self.host.docker.start(container)?;
            self.wait_for(container)?;
        }
        (exchange.count)()?;
        self.owe_restarts(note)?;
        let installed = self.install_locked(None, &Request::default())?;
        (exchange.prove)()?;
        Ok(installed)
    }

    fn lay_out(
        &self,
        exchange: &Exchange<'_>,
        note: &Note,
        contained: bool,
    ) -> Result<(), EngineError> {
        for (place, swap) in exchange.places.iter().zip(&note.swaps) {
            if place.contained == contained {
                self.goes_on()?;
                self.progress
                    .begin(&format!("laying out {}", swap.live.display()));
                self.remove_any(&swap.ready())?;
                (exchange.prepare)(&swap.live, &swap.ready())?;
            }
        }
        Ok(())
    }

    fn goes_on(&self) -> Result<(), EngineError> {
        if (self.is_stop_wanted)() {
            return Err(EngineError::Interrupted);
        }
        Ok(())
    }

    /// What an exchange that did not end was for.
    ///
    /// # Errors
    /// When its note cannot be read.
    pub fn open_exchange(&self) -> Result<Option<String>, EngineError> {
        Ok(self.read_exchange()?.map(|note| note.what))
    }

    /// Refuses to go on while one has not ended.
    ///
    /// # Errors
    /// When it is so, or its note cannot be read.
    pub fn refuse_open_exchange(&self) -> Result<(), EngineError> {
        match self.open_exchange()? {
            None => Ok(()),
            Some(what) => Err(EngineError::NotReady {
                what: format!("{what} did not end"),
                help: "`sudo tavernctl recover` undoes it; then run this again".to_owned(),
            }),
        }
    }

    /// What lies where ours would be set aside is of a run whose note is gone: nobody knows which of the two counts,
    /// and whatever came of ours, it would be taken for it.
    fn refuse_what_was_left(&self, note: &Note) -> Result<(), EngineError> {
        for swap in &note.swaps {
            let aside = swap.aside();
            if self.is_there(&aside)? {
                return Err(EngineError::NotReady {
                    what: format!(
                        "{} is there: what {} was before a restore that did not end",
                        aside.display(),
                        swap.live.display()
                    ),
                    help: "keep what you want of the two, move the one with `.tavern-before` away, then run this again"
                        .to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Undoes an exchange that was cut off, or clears away after one that was not.
    pub(super) fn recover_exchange(&self) -> Result<Option<Recovered>, EngineError> {
        // Of one that was killed before its first word was on the disk.
        self.host.files.sweep(&self.exchange_path())?;
        let Some(note) = self.read_exchange()? else {
            return Ok(None);
        };
        let what = note.what.clone();
        // What was fetched for it has credentials in it.
        let fetched = self.layout.backups().join("restore");
        self.host.files.remove_tree(&fetched)?;
        if note.is_over {
            self.close_exchange(&note)?;
            return Ok(Some(Recovered::Finished { what }));
        }
        self.undo_exchange(&note)?;
        Ok(Some(Recovered::Undone { what }))
    }

    /// Removes the containers in which a killed drill or restore had its data.
    ///
    /// # Errors
    /// When one stays.
    pub fn end_throw_aways(&self) -> Result<(), EngineError> {
        // Without an engine there is none that runs.
        for (name, label) in self.host.docker.containers().unwrap_or_default() {
            let is_drill = label.is_some_and(|label| label.ends_with(".drill"));
            if is_drill && name.starts_with("tavern-drill-") {
                self.host.docker.remove(&name)?;
            }
        }
        Ok(())
    }

    fn undo_exchange(&self, note: &Note) -> Result<(), EngineError> {
        // It may be writing to what is to go.
        self.end_throw_aways()?;
        let files = &self.host.files;
        for container in &note.containers {
            self.host.docker.stop(container)?;
        }
        for swap in note.swaps.iter().rev() {
            let is_live = self.is_there(&swap.live)?;
            if swap.was_there {
                if self.is_there(&swap.aside())? {
                    if is_live {
                        // Both are there if somebody made what was missing between the two names.
                        self.remove_any(&swap.ready())?;
                        files.rename(&swap.live, &swap.ready())?;
                    }
                    files.rename(&swap.aside(), &swap.live)?;
                }
            } else if is_live {
                self.remove_any(&swap.ready())?;
                files.rename(&swap.live, &swap.ready())?;
            }
        }
        for container in &note.containers {
            if self.host.docker.container(container)?.is_some() {
                self.host.docker.start(container)?;
                // One that was broken before is broken again: that is as it was.
                let _ = self.wait_for(container);
            }
        }
        self.owe_restarts(note)?;
        self.close_exchange(note)
    }

    /// The next run restarts what has read the things that changed.
    fn owe_restarts(&self, note: &Note) -> Result<(), EngineError> {
        let mut receipt = self.receipt()?;
        receipt.owed.extend(note.restarts.iter().cloned());
        self.save_receipt(&receipt)
    }

    /// Clears away what lies beside the things, then the note.
    fn close_exchange(&self, note: &Note) -> Result<(), EngineError> {
        for swap in &note.swaps {
            self.remove_any(&swap.ready())?;
            self.remove_any(&swap.aside())?;
        }
        let path = self.exchange_path();
        self.host.files.sweep(&path)?;
        Ok(self.host.files.remove(&path)?)
    }

    fn is_there(&self, path: &Path) -> Result<bool, EngineError> {
        Ok(self.host.files.outline(path)? != PathState::Absent)
    }

    fn remove_any(&self, path: &Path) -> Result<(), EngineError> {
        match self.host.files.outline(path)? {
            PathState::Absent => Ok(()),
            PathState::Directory { .. } => Ok(self.host.files.remove_tree(path)?),
            _ => Ok(self.host.files.remove(path)?),
        }
    }

    fn exchange_path(&self) -> PathBuf {
        self.layout.state.join("exchange.json")
    }

    fn save_exchange(&self, note: &Note) -> Result<(), EngineError> {
        let path = self.exchange_path();
        let bytes = json(note)?;
        Ok(self
            .host
            .files
            .write(&path, &bytes, Mode(0o600), &Owner::root())?)
    }

    fn read_exchange(&self) -> Result<Option<Note>, EngineError> {
        let path = self.exchange_path();
        let Some(bytes) = self.host.files.read(&path)? else {
            return Ok(None);
        };
        match format::read(&bytes, VERSION) {
            Ok(note) => Ok(Some(note)),
            Err(error) => Err(EngineError::NotReady {
                what: format!("cannot read {}: {error}", path.display()),
                help: "what lies beside the restored things is called `.NAME.tavern-before`"
                    .to_owned(),
            }),
        }
    }
}
