use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Machine;
use super::docker::{Contained, refused};
use crate::host::{FoundContainer, FoundImage, HostError, RegistryLogin};

/// Where images come from. It has all that anybody asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Registry {
    /// How often a tag was given to another image.
    pub(crate) moved: BTreeMap<String, u32>,
    /// The names of images that it gives to nobody without a login.
    pub(crate) closed: BTreeSet<String>,
    /// Nobody reaches it.
    pub(crate) is_away: bool,
}

/// What an engine calls the first image of a reference.
pub(crate) fn id_of(reference: &str) -> String {
    format!("sha256:{reference}")
}

impl Registry {
    pub(super) fn digest(
        &self,
        reference: &str,
        login: Option<&RegistryLogin>,
    ) -> Result<String, HostError> {
        let (name, tag) = reference.rsplit_once(':').unwrap_or((reference, ""));
        self.reach(name, login)?;
        let moved = self.moved.get(reference).copied().unwrap_or_default();
        Ok(format!("sha256:{moved}-{tag}"))
    }

    /// What a pull brings: names, with the image's id.
    pub(super) fn pull(
        &self,
        name: &str,
        login: Option<&RegistryLogin>,
    ) -> Result<Vec<(String, String)>, HostError> {
        if let Some((repository, digest)) = name.split_once('@') {
            self.reach(repository, login)?;
            let text = digest.trim_start_matches("sha256:");
            let (moved, tag) = text.split_once('-').unwrap_or(("0", text));
            let first = id_of(&format!("{repository}:{tag}"));
            let id = match moved {
                "0" => first,
                moved => format!("{first}#{moved}"),
            };
            return Ok(vec![(name.to_owned(), id)]);
        }
        let digest = self.digest(name, login)?;
        let repository = name
            .rsplit_once(':')
            .map_or(name, |(repository, _)| repository);
        let mut brought = self.pull(&format!("{repository}@{digest}"), login)?;
        let id = brought[0].1.clone();
        brought.push((name.to_owned(), id));
        Ok(brought)
    }

    fn reach(&self, name: &str, login: Option<&RegistryLogin>) -> Result<(), HostError> {
        if self.is_away {
            return Err(refused("no such host"));
        }
        if self.closed.contains(name) && login.is_none() {
            return Err(refused("no basic auth credentials"));
        }
        Ok(())
    }
}

impl Machine {
    /// A container of the operator's own: a Redis on a volume of its own.
    pub(crate) fn operate_container(&mut self, name: &str, image: &str, volume: &str) {
        self.images.insert(image.to_owned(), id_of(image));
        self.volumes.entry(volume.to_owned()).or_insert(None);
        let found = FoundContainer {
            running: true,
            image_id: id_of(image),
            image: image.to_owned(),
            restart_policy: "always".to_owned(),
            volumes: HashMap::from([("/data".to_owned(), volume.to_owned())]),
            ..FoundContainer::default()
        };
        let contained = Contained {
            found,
            ..Contained::default()
        };
        self.containers.insert(name.to_owned(), contained);
    }

    /// An image by reference, digest or id.
    pub(super) fn found_image(&self, name: &str) -> Option<FoundImage> {
        let by_id = || self.images.values().find(|id| *id == name);
        let id = self.images.get(name).or_else(by_id)?.clone();
        let names = self.images.iter();
        let digests = names.filter(|(name, of)| **of == id && name.contains('@'));
        Some(FoundImage {
            digests: digests.map(|(name, _)| name.clone()).collect(),
            id,
        })
    }

    /// Takes a name from an image: with its last tag its digests go too.
    pub(super) fn untag(&mut self, name: &str, id: &str) {
        if name == id {
            return self.images.retain(|_, of| of != id);
        }
        self.images.remove(name);
        let mut names = self.images.iter();
        if !name.contains('@') && !names.any(|(name, of)| of == id && !name.contains('@')) {
            self.images.retain(|_, of| of != id);
        }
    }
}
