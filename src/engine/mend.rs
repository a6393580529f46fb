//! Containers that are no longer as they were applied, one at a time. A mend makes no generation: it only brings back
//! what the newest one has.

use super::journal::{Record, Verb};
use super::prior::Prior;
use super::{Engine, EngineError, Lock};
use crate::host::FoundContainer;
use crate::model::ImageRef;
use crate::resource::{Action, Container, Image, Mend, Resource, Sight};

/// Why a container was not mended.
#[derive(Debug)]
pub struct Unmended {
    /// Where it failed; nothing if it is not the time for it: another run is at work, or it is held.
    pub at: Option<Mend>,
    /// Why.
    pub error: Box<EngineError>,
}

impl Engine<'_> {
    /// The containers that the newest generation made.
    ///
    /// # Errors
    /// When the receipt cannot be read.
    pub fn containers(&self) -> Result<Vec<Container>, EngineError> {
        let entries = self.receipt()?.entries.into_iter();
        Ok(entries
            .filter(|entry| entry.prior != Prior::Present)
            .filter_map(|entry| match entry.resource {
                Resource::Container(container) => Some(container),
                _ => None,
            })
            .collect())
    }

    /// How a container is. Changes nothing.
    pub fn glance(&self, container: &Container) -> Sight {
        let docker = &self.host.docker;
        match docker.container(&container.name) {
            Err(_) => Sight::NoDocker,
            Ok(Some(found)) => self.judge(container, &found),
            Ok(None) => match docker.image_id(&container.image) {
                Err(_) => Sight::NoDocker,
                Ok(None) => Sight::NoImage,
                Ok(Some(_)) => Sight::Missing,
            },
        }
    }

    fn judge(&self, container: &Container, found: &FoundContainer) -> Sight {
        if found.stack.as_ref() != Some(&container.stack) {
            return Sight::Foreign;
        }
        if found.restarting {
            return Sight::Restarting;
        }
        if !found.running {
            return Sight::Stopped;
        }
        // Docker asks the same, every half minute.
        if found.health == "healthy" {
            return Sight::Right;
        }
        let answer = self.host.docker.exec(&container.name, &PING);
        let said = answer.map_or_else(
            |error| error.to_string(),
            |outcome| format!("{}{}", outcome.stdout, outcome.stderr),
        );
        if said.trim() == "PONG" {
            Sight::Right
        } else if said.contains("LOADING") {
            Sight::Loading
        } else if found.health == "unhealthy" {
            Sight::Unhealthy
        } else {
            Sight::Silent
        }
    }

    /// Puts a container back as it was applied. Where it already is, or may not be, nothing is done. `from` is what
    /// was found to be wrong; what is wrong by now is looked at again.
    ///
    /// # Errors
    /// When another run is at work, or a step failed: the next mend goes on there.
    pub fn mend(&self, name: &str, from: Mend) -> Result<(), Unmended> {
        let not_now = |error| Unmended {
            at: None,
            error: Box::new(error),
        };
        let failed = |error| Unmended {
            at: Some(from),
            error: Box::new(error),
        };
        let _lock = Lock::take_briefly(&self.layout.lock).map_err(not_now)?;
        // Its data may lie beside its place: started now, it would begin with none.
        self.refuse_open_exchange().map_err(failed)?;
        self.end_cut_off_renewal().map_err(failed)?;
        if self.unfinished().map_err(failed)?.is_some() {
            return Err(failed(EngineError::NotReady {
                what: "a run did not end, and what it did is not settled".into(),
                help: "`sudo tavernctl recover`; then it is mended by itself".into(),
            }));
        }
        let wanted = self.containers().map_err(failed)?;
        let Some(wanted) = wanted.into_iter().find(|one| one.name == name) else {
            return Ok(());
        };
        let id = Resource::Container(wanted.clone()).id();
        let now = self.host.clock.now();
        if let Some(hold) = self.holds().map_err(failed)?.on(&id, now) {
            return Err(not_now(EngineError::NotReady {
                what: format!("{id} is {}", hold.describe(now)),
                help: "`sudo tavernctl hold --end` ends it".into(),
            }));
        }
        let Some(first) = needed(self.glance(&wanted), from) else {
            return Ok(());
        };
        let outcome = self.mend_from(&wanted, first);
        // Whatever came of it: every step leads to what is wanted, and none is taken back.
        let closed = self.close_journal().map_err(failed);
        outcome.and(closed)
    }

    fn mend_from(&self, container: &Container, first: Mend) -> Result<(), Unmended> {
        let mut steps = Vec::new();
        if first == Mend::Image {
            let image = Image {
                reference: container.image.clone(),
            };
            steps.push((Mend::Image, Resource::Image(image), Action::Create));
        }
        let action = match first {
            Mend::Image | Mend::Create => Action::Create,
            Mend::Start | Mend::Answer => Action::Restart,
        };
        let last = first.max(Mend::Create);
        steps.push((last, Resource::Container(container.clone()), action));
        let verb = Verb::Mend {
            container: container.name.clone(),
        };
        let failed = |at| {
            move |error| Unmended {
                at: Some(at),
                error: Box::new(error),
            }
        };
        let generation = self
            .receipt()
            .and_then(|receipt| self.next_generation(&receipt))
            .map_err(failed(first))?;
        let mut journal = self
            .begin_journal(verb, generation, false)
            .map_err(failed(first))?;
        for (at, resource, action) in steps {
            let observed = self.look_at(&resource).map_err(failed(at))?;
            let record = Record {
                action,
                prior: self.capture(&resource, &observed).map_err(failed(at))?,
                resource,
                restarts: Vec::new(),
            };
            journal.step(&record).map_err(failed(at))?;
            self.mend_step(&record, container).map_err(failed(at))?;
            journal.done(record.resource.id());
        }
        Ok(())
    }

    fn mend_step(&self, record: &Record, container: &Container) -> Result<(), EngineError> {
        let docker = &self.host.docker;
        match (&record.resource, record.action) {
            (Resource::Image(image), _) => self.fetch_image(&image.reference),
            (_, Action::Restart) => Ok(docker.restart(&container.name)?),
            _ => {
                self.has_its_data(container)?;
                self.run_container(container)
            }
        }
    }

    /// A container on an empty volume would look well, and everything would be lost without a word.
    fn has_its_data(&self, container: &Container) -> Result<(), EngineError> {
        for volume in container.mounts.iter().filter_map(|mount| mount.volume()) {
            if self.host.docker.volume(volume)?.is_none() {
                return Err(EngineError::NotReady {
                    what: format!("its volume {volume} is gone, and its data with it"),
                    help: "bring the data back, or begin without any: `sudo tavernctl install` makes an empty one"
                        .into(),
                });
            }
        }
        Ok(())
    }

    /// Gets an image: from its file below `/var/lib/tavern/images`, if somebody put one there, else by the network.
    pub(super) fn fetch_image(&self, image: &ImageRef) -> Result<(), EngineError> {
        let docker = &self.host.docker;
        let name = image.as_str().replace(['/', ':', '@'], "_");
        let file = self.layout.state.join("images").join(format!("{name}.tar"));
        if self.host.files.exists(&file) {
            self.progress.detail(&format!("from {}", file.display()));
            docker.load(&file)?;
            if docker.image_id(image)?.is_some() {
                return Ok(());
            }
            self.progress.begin(&format!(
                "note: {} has another image than {image}",
                file.display()
            ));
        }
        Ok(docker.pull(image, &mut |text| self.progress.detail(text))?)
    }
}

const PING: [&str; 3] = ["redis-cli", "-e", "ping"];

/// What is to be done about what is seen; nothing if it is well, or not ours to touch.
fn needed(sight: Sight, from: Mend) -> Option<Mend> {
    match sight {
        Sight::NoImage => Some(Mend::Image),
        Sight::Missing => Some(Mend::Create),
        Sight::Stopped | Sight::Restarting => Some(Mend::Start),
        Sight::Unhealthy => Some(Mend::Answer),
        // Whoever asks for it has waited long enough.
        Sight::Silent if from == Mend::Answer => Some(Mend::Answer),
        Sight::Silent | Sight::Right | Sight::Loading | Sight::Foreign | Sight::NoDocker => None,
    }
}
