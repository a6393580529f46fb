//! Which image a tag is on this host: one and the same for every install, mend and rollback, until somebody asks for
//! what the registry has now.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::receipt::Receipt;
use super::source::Source;
use super::{Engine, EngineError, Request};
use crate::host::{FoundImage, HostError, RegistryLogin};
use crate::model::ImageRef;
use crate::resource::{Desired, Image, PathState, Pin, Resource};

/// Where `docker login` of root writes.
const ROOTS_LOGINS: &str = "/root/.docker/config.json";

/// Images by their reference.
#[derive(Debug, Clone, Default)]
pub(super) struct Images(BTreeMap<ImageRef, Image>);

impl Images {
    pub(super) fn among<'r>(resources: impl IntoIterator<Item = &'r Resource>) -> Self {
        let images = resources.into_iter().filter_map(|resource| match resource {
            Resource::Image(image) => Some((image.reference.clone(), image.clone())),
            _ => None,
        });
        Self(images.collect())
    }

    pub(super) fn of(receipt: &Receipt) -> Self {
        Self::among(receipt.entries.iter().map(|entry| &entry.resource))
    }

    /// The image of a reference; one that is not pinned, if none is known.
    pub(super) fn get(&self, reference: &ImageRef) -> Image {
        let known = self.0.get(reference).cloned();
        known.unwrap_or_else(|| Image::new(reference.clone()))
    }

    /// These, and what else the other ones have.
    pub(super) fn or(mut self, others: Self) -> Self {
        for (reference, image) in others.0 {
            self.0.entry(reference).or_insert(image);
        }
        self
    }

    pub(super) fn put(&mut self, image: Image) {
        self.0.insert(image.reference.clone(), image);
    }

    fn pin(&self, reference: &ImageRef) -> Option<Pin> {
        self.0.get(reference)?.pin.clone()
    }
}

impl Engine<'_> {
    /// Pins what is wanted: as it was, or to what is there, or to what the registry has.
    pub(super) fn pin_images(
        &self,
        request: &Request,
        receipt: &Receipt,
        desired: &mut [Desired],
    ) -> Result<(), EngineError> {
        let known = Images::of(receipt);
        let then = match request.source {
            Source::Generation(number) => {
                // One that cannot be read is no reason not to go back.
                Images::of(&self.generation_receipt(number).unwrap_or_default())
            }
            _ => Images::default(),
        };
        let is_there = self.is_docker_there()?;
        for item in desired {
            let Resource::Image(image) = &mut item.resource else {
                continue;
            };
            let reference = &image.reference;
            let before = then.pin(reference).or_else(|| known.pin(reference));
            image.pin = match reference.digest() {
                Some(digest) => Some(Pin {
                    digest: Some(digest.to_owned()),
                    id: before.and_then(|pin| pin.id),
                }),
                None if !is_there => before,
                None if request.pull => Some(self.newest(image, before)?),
                None => match before {
                    Some(pin) => Some(pin),
                    None => self.first_pin(image)?,
                },
            };
        }
        Ok(())
    }

    pub(super) fn is_docker_there(&self) -> Result<bool, HostError> {
        let socket = self.host.files.state(Path::new("/var/run/docker.sock"))?;
        Ok(socket != PathState::Absent)
    }

    /// What the tag is here, or else what the registry says it is. Where neither is known it is once it was got.
    fn first_pin(&self, image: &Image) -> Result<Option<Pin>, EngineError> {
        if let Some(found) = self.host.docker.image(image.reference.as_str())? {
            return Ok(Some(pin(&image.reference, &found)));
        }
        if self.host.files.exists(&self.image_file(&image.reference)) {
            return Ok(None);
        }
        let login = self.login(image)?;
        let asked = self.host.docker.digest(&image.reference, login.as_ref());
        Ok(asked.ok().map(|digest| Pin {
            digest: Some(digest),
            id: None,
        }))
    }

    /// What the registry has now. Where it cannot be asked: what somebody loaded from a file since.
    fn newest(&self, image: &Image, before: Option<Pin>) -> Result<Pin, EngineError> {
        let login = self.login(image)?;
        let reference = &image.reference;
        match self.host.docker.digest(reference, login.as_ref()) {
            Ok(digest) => Ok(match before {
                Some(pin) if pin.digest.as_ref() == Some(&digest) => pin,
                _ => {
                    let id = self.host.docker.image(&reference.at(&digest))?;
                    Pin {
                        digest: Some(digest),
                        id: id.map(|found| found.id),
                    }
                }
            }),
            Err(error) => match self.host.docker.image(reference.as_str())? {
                Some(found)
                    if before
                        .as_ref()
                        .is_none_or(|pin| pin.id.as_ref() != Some(&found.id)) =>
                {
                    Ok(pin(reference, &found))
                }
                _ => Err(error.into()),
            },
        }
    }

    /// A pinned image that is on this host.
    pub(super) fn local_image(&self, image: &Image) -> Result<Option<FoundImage>, EngineError> {
        for name in image.names() {
            if let Some(found) = self.host.docker.image(&name)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// By which name to make a container from an image: its reference if that is the one, as people expect to see it.
    pub(super) fn name_to_run(&self, image: &Image) -> Result<String, EngineError> {
        let reference = image.reference.to_string();
        let Some(found) = self.local_image(image)? else {
            return Ok(reference);
        };
        match self.host.docker.image(&reference)? {
            Some(named) if named.id == found.id => Ok(reference),
            _ => Ok(image.names().into_iter().next().unwrap_or(reference)),
        }
    }

    /// Gets an image: from its file below `/var/lib/tavern/images`, if somebody put one there, else by the network.
    /// What it was is pinned from then on.
    pub(super) fn fetch_image(&self, image: &Image) -> Result<Image, EngineError> {
        let docker = &self.host.docker;
        let reference = &image.reference;
        let file = self.image_file(reference);
        if self.host.files.exists(&file) {
            self.progress.detail(&format!("from {}", file.display()));
            docker.load(&file)?;
            if let Some(found) = self.local_image(image)? {
                return Ok(pinned(image, &found));
            }
            self.progress.begin(&format!(
                "note: {} has another image than {}",
                file.display(),
                image.names().join(" or ")
            ));
        }
        let digest = image.pin.as_ref().and_then(|pin| pin.digest.as_ref());
        let name = digest.map_or_else(|| reference.to_string(), |digest| reference.at(digest));
        let login = self.login(image)?;
        docker.pull(&name, login.as_ref(), &mut |text| {
            self.progress.detail(text);
        })?;
        let Some(found) = self.local_image(image)? else {
            return Err(EngineError::NotReady {
                what: format!(
                    "{reference} is another image by now than {}, which this host has, and which came from a file",
                    image.names().join(" or ")
                ),
                help: format!(
                    "put that file back as {}, or take the new image: `sudo tavernctl install --pull`",
                    file.display()
                ),
            });
        };
        // A tag of somebody's stays where it is.
        if reference.is_tagged() && docker.image(reference.as_str())?.is_none() {
            docker.tag(&found.id, reference)?;
        }
        Ok(pinned(image, &found))
    }

    /// Takes the names from an image that a run got.
    pub(super) fn remove_image(&self, image: &Image) -> Result<(), EngineError> {
        let docker = &self.host.docker;
        let reference = image.reference.as_str();
        let (found, named) = (self.local_image(image)?, docker.image(reference)?);
        if let Some(named) = named
            && found.as_ref().is_none_or(|found| found.id == named.id)
        {
            docker.remove_image(reference)?;
        }
        // Not by its id: that would take it from whoever gave it a name of their own.
        match image.pin.as_ref().and_then(|pin| pin.digest.as_ref()) {
            Some(digest) => Ok(docker.remove_image(&image.reference.at(digest))?),
            None => Ok(()),
        }
    }

    /// Where an image may lie that is to come from a file.
    fn image_file(&self, image: &ImageRef) -> PathBuf {
        let name = image.as_str().replace(['/', ':', '@'], "_");
        self.layout.state.join("images").join(format!("{name}.tar"))
    }

    /// The login for an image's registry, if anybody wrote one down.
    fn login(&self, image: &Image) -> Result<Option<RegistryLogin>, EngineError> {
        let path = image
            .auth_file
            .clone()
            .unwrap_or_else(|| ROOTS_LOGINS.into());
        let refuse = |what: &str, help: &str| EngineError::NotReady {
            what: format!("{}: {what}", path.display()),
            help: help.to_owned(),
        };
        let (bytes, mode) = match self.host.files.state(&path) {
            Ok(PathState::File { content, mode, .. }) => (content, mode),
            // A sandbox may hide root's home.
            _ if image.auth_file.is_none() => return Ok(None),
            Err(error) => return Err(error.into()),
            _ => {
                return Err(refuse(
                    "the stack file names it for the login of a registry, and there is no such file",
                    "`docker --config DIR login REGISTRY` writes one",
                ));
            }
        };
        if mode.0 & 0o077 != 0 && image.auth_file.is_some() {
            return Err(refuse(
                "others may read this login",
                "`chmod 600` it, as root's",
            ));
        }
        let login = RegistryLogin::find(&bytes, &image.reference)
            .map_err(|error| refuse(&error, "`docker login` writes it anew"))?;
        if login.is_none() && image.auth_file.is_some() {
            let registry = image.reference.registry();
            return Err(refuse(
                &format!("it has no login for {registry}"),
                "`docker --config DIR login REGISTRY` adds one; logins in a credential helper are not used",
            ));
        }
        Ok(login)
    }
}

fn pinned(image: &Image, found: &FoundImage) -> Image {
    let known = image.pin.as_ref().and_then(|pin| pin.digest.clone());
    let now = pin(&image.reference, found);
    Image {
        pin: Some(Pin {
            digest: known.or(now.digest),
            id: now.id,
        }),
        ..image.clone()
    }
}

fn pin(reference: &ImageRef, found: &FoundImage) -> Pin {
    let digests = found.digests.iter().filter_map(|text| text.split_once('@'));
    let digest = digests
        .filter(|(name, _)| reference.is_named(name))
        .map(|(_, digest)| digest.to_owned())
        .next();
    Pin {
        digest,
        id: Some(found.id.clone()),
    }
}
