//! Containers that are no longer as they were applied, one at a time. A mend makes no generation: it only brings back
//! what the newest one has.

use super::journal::{Record, Verb};
use super::pins::Images;
use super::prior::Prior;
use super::{Engine, EngineError, Lock};
use crate::host::FoundContainer;
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
            Ok(None) => match self.local_image(&self.image_of(container)) {
                Err(_) => Sight::NoDocker,
                Ok(None) => Sight::NoImage,
                Ok(Some(_)) => Sight::Missing,
            },
        }
    }

    /// Whether it has other settings than it was applied with, or is of another image. Its label says what it was
    /// made from; a newer tavernctl may make it otherwise, and that is for an install.
    fn is_changed(
        &self,
        container: &Container,
        found: &FoundContainer,
    ) -> Result<bool, EngineError> {
        let image = self.image_of(container);
        if image.pin.is_some() && !self.is_made_of(&image, &found.image_id)? {
            return Ok(true);
        }
        Ok(!self.changes_of(container)?.is_empty())
    }

    /// The image that a container was made from, and is to be made from again.
    fn image_of(&self, container: &Container) -> Image {
        let receipt = self.receipt().unwrap_or_default();
        Images::of(&receipt).get(&container.image)
    }

    fn judge(&self, container: &Container, found: &FoundContainer) -> Sight {
        if found.stack.as_ref() != Some(&container.stack) {
            return Sight::Foreign;
        }
        match self.is_changed(container, found) {
            Ok(false) => {}
            Ok(true) => return Sight::Changed,
            Err(_) => return Sight::NoDocker,
        }
        if found.restarting {
            return Sight::Restarting;
        }
        if !found.running {
            return Sight::Stopped;
        }
        // Its last verdict from before, for Docker does not ask a paused one.
        if found.paused {
            return Sight::Silent;
        }
        // Docker asks the same, every half minute.
        if found.health == "healthy" {
            return Sight::Right;
        }
        let answer = self
            .host
            .docker
            .exec(&container.name, &container.probe.argv());
        let (is_ready, said) = match answer {
            Ok(outcome) => (
                container.probe.is_ready(outcome.code, &outcome.stdout),
                format!("{}{}", outcome.stdout, outcome.stderr),
            ),
            Err(error) => (false, error.to_string()),
        };
        if is_ready {
            Sight::Right
        } else if said.contains("LOADING") || said.contains("database system is starting up") {
            Sight::Loading
        } else if found.health == "unhealthy" {
            Sight::Unhealthy
        } else {
            Sight::Silent
        }
    }

    /// Puts a container back as it was applied. Where it already is, or may not be, nothing is done. `from` is what
    /// was found to be wrong; what is wrong by now is looked at again. Gives what was done, if anything was.
    ///
    /// # Errors
    /// When another run is at work, or a step failed: the next mend goes on there.
    pub fn mend(&self, name: &str, from: Mend) -> Result<Option<Mend>, Unmended> {
        let not_now = |error| Unmended {
            at: None,
            error: Box::new(error),
        };
        let failed = |error| Unmended {
            at: Some(from),
            error: Box::new(error),
        };
        // It may take minutes, and nobody else is to wait for it.
        self.fetch_before(name).map_err(|error| Unmended {
            at: Some(Mend::Image),
            error: Box::new(error),
        })?;
        let _lock = Lock::take_briefly(&self.layout.lock).map_err(not_now)?;
        // Its data may lie beside its place: started now, it would begin with none.
        self.refuse_open_exchange().map_err(failed)?;
        self.end_cut_off_mend().map_err(failed)?;
        if self.unfinished().map_err(failed)?.is_some() {
            return Err(failed(EngineError::NotReady {
                what: "a run did not end, and what it did is not settled".into(),
                help: "`sudo tavernctl recover`; then it is mended by itself".into(),
            }));
        }
        let wanted = self.containers().map_err(failed)?;
        let Some(wanted) = wanted.into_iter().find(|one| one.name == name) else {
            return Ok(None);
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
            return Ok(None);
        };
        // What runs already, and is restarted, has been beside it all the time.
        if first != Mend::Answer {
            let alone = self.is_alone_on_its_data(&wanted);
            alone.map_err(|error| Unmended {
                at: Some(first.max(Mend::Create)),
                error: Box::new(error),
            })?;
        }
        let outcome = self.mend_from(&wanted, first);
        // Whatever came of it: every step leads to what is wanted, and none is taken back.
        let closed = self.close_journal().map_err(failed);
        outcome.and(closed).map(|()| Some(first))
    }

    /// Gets a container's image without the lock, if it is lacking and may be mended.
    fn fetch_before(&self, name: &str) -> Result<(), EngineError> {
        if self.is_changing() {
            return Ok(());
        }
        let wanted = self.containers()?.into_iter().find(|one| one.name == name);
        let Some(wanted) = wanted else {
            return Ok(());
        };
        let id = Resource::Container(wanted.clone()).id();
        let is_held = self.holds()?.is_held(&id, self.host.clock.now());
        let image = self.image_of(&wanted);
        let is_lacking = match self.glance(&wanted) {
            Sight::NoImage => true,
            // It runs, and is to be made anew.
            Sight::Changed => self.local_image(&image)?.is_none(),
            _ => false,
        };
        if !is_held && is_lacking {
            self.fetch_image(&image)?;
        }
        Ok(())
    }

    fn mend_from(&self, container: &Container, first: Mend) -> Result<(), Unmended> {
        let mut steps = Vec::new();
        let failed = |at| {
            move |error| Unmended {
                at: Some(at),
                error: Box::new(error),
            }
        };
        let image = self.image_of(container);
        let is_lacking = match first {
            Mend::Image => true,
            Mend::Renew => self.local_image(&image).map_err(failed(first))?.is_none(),
            _ => false,
        };
        if is_lacking {
            steps.push((Mend::Image, Resource::Image(image), Action::Create));
        }
        let action = match first {
            Mend::Image | Mend::Create => Action::Create,
            Mend::Renew => Action::Update,
            Mend::Start | Mend::Answer => Action::Restart,
        };
        let last = first.max(Mend::Create);
        steps.push((last, Resource::Container(container.clone()), action));
        let verb = Verb::Mend {
            container: container.name.clone(),
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
            (Resource::Image(image), _) => self.fetch_image(image).map(|_| ()),
            (_, Action::Restart) => Ok(docker.restart(&container.name)?),
            (_, action) => {
                self.has_its_data(container)?;
                if action == Action::Update {
                    docker.remove(&container.name)?;
                }
                self.run_container(container, &Images::of(&self.receipt()?))
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
}

/// What is to be done about what is seen; nothing if it is well, or not ours to touch.
fn needed(sight: Sight, from: Mend) -> Option<Mend> {
    match sight {
        Sight::NoImage => Some(Mend::Image),
        Sight::Missing => Some(Mend::Create),
        Sight::Changed => Some(Mend::Renew),
        Sight::Stopped | Sight::Restarting => Some(Mend::Start),
        Sight::Unhealthy => Some(Mend::Answer),
        // Whoever asks for it has waited long enough.
        Sight::Silent if from == Mend::Answer => Some(Mend::Answer),
        Sight::Silent | Sight::Right | Sight::Loading | Sight::Foreign | Sight::NoDocker => None,
    }
}
