//! Which images stay on the host: those that a container or a kept generation has, and all that others brought.

use super::generations::KEPT;
use super::pins::Images;
use super::prior::Prior;
use super::receipt::Receipt;
use super::{Engine, EngineError, Leftovers};
use crate::model::ImageRef;
use crate::resource::{Image, Resource};

impl Engine<'_> {
    /// By which name to make another container from the image of one that this host has.
    ///
    /// # Errors
    /// When the image is not on this host and cannot be got.
    pub fn image_at_hand(&self, reference: &ImageRef) -> Result<String, EngineError> {
        let mut image = Images::of(&self.receipt()?).get(reference);
        if self.local_image(&image)?.is_none() {
            image = self.fetch_image(&image)?;
        }
        self.name_to_run(&image)
    }

    /// Removes images that a run brought, and that nothing needs any more.
    pub(super) fn collect_images(&self, receipt: &mut Receipt) -> Result<(), EngineError> {
        let needed_now = needed(receipt);
        let mut old: Vec<Image> = receipt.images.clone();
        for entry in receipt
            .entries
            .iter()
            .filter(|entry| entry.prior == Prior::Absent)
        {
            if let Resource::Image(image) = &entry.resource
                && !old.contains(image)
            {
                old.push(image.clone());
            }
        }
        old.retain(|image| !needed_now.iter().any(|needed| is_same(needed, image)));
        if old.is_empty() || !self.is_docker_there()? {
            return Ok(());
        }
        for number in self.generations()? {
            if number + KEPT > receipt.generation {
                let needed_then = needed(&self.generation_receipt(number)?);
                old.retain(|image| !needed_then.iter().any(|needed| is_same(needed, image)));
            }
        }
        let in_use = self.host.docker.images_in_use()?;
        let mut removed = false;
        for image in old {
            match self.local_image(&image)? {
                Some(found) if in_use.contains(&found.id) => continue,
                Some(_) => {
                    self.progress.begin(&format!(
                        "note: image {} is removed: no container and no kept generation has it",
                        image.names().join(", ")
                    ));
                    self.remove_image(&image)?;
                    removed = true;
                }
                None => {}
            }
            receipt.images.retain(|known| *known != image);
            let is_it = |resource: &Resource| *resource == Resource::Image(image.clone());
            receipt.entries.retain(|entry| !is_it(&entry.resource));
        }
        // The tag was an old one's: people look for what runs by it.
        for image in needed_now.iter().filter(|_| removed) {
            if let Some(found) = self.local_image(image)?
                && image.reference.is_tagged()
                && self.host.docker.image(image.reference.as_str())?.is_none()
            {
                self.host.docker.tag(&found.id, &image.reference)?;
            }
        }
        Ok(())
    }

    /// At the end of all, every image that a run brought goes.
    pub(super) fn remove_brought_images(&self, receipt: &mut Receipt, left: &mut Leftovers) {
        for image in std::mem::take(&mut receipt.images) {
            if let Err(error) = self.remove_image(&image) {
                left.failed
                    .push(format!("image {}: {error}", image.reference));
            }
        }
    }
}

/// The images of a receipt's containers.
fn needed(receipt: &Receipt) -> Vec<Image> {
    let images = Images::of(receipt);
    let resources = receipt.entries.iter().map(|entry| &entry.resource);
    let containers = resources.filter_map(|resource| match resource {
        Resource::Container(container) => Some(images.get(&container.image)),
        _ => None,
    });
    containers.collect()
}

/// Whether two are one image, as far as both know what they are. One that is not pinned may be any of its name.
fn is_same(needed: &Image, image: &Image) -> bool {
    let (Some(one), Some(other)) = (&needed.pin, &image.pin) else {
        return needed.reference == image.reference;
    };
    let same = |one: &Option<String>, other: &Option<String>| one.is_some() && one == other;
    same(&one.digest, &other.digest) || same(&one.id, &other.id)
}
