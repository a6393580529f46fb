//! A container of a stack and all that it needs: one file per kind.

mod grafana;
pub mod postgres;
mod prometheus;
mod redis;

use super::emit::EmitError;
use crate::model::Layout;
use crate::resource::{Desired, Image, Probe, Resource, Volume};
use crate::stack::{Container, ContainerKind, Stack};

const MEBIBYTE: i64 = 1024 * 1024;

/// The group of whoever may reach the container's socket.
pub(super) fn group(container: &Container) -> String {
    format!("tavern-{}", container.name)
}

/// Its image, and the volume of its data.
fn image_and_volume(stack: &Stack, container: &Container) -> [Desired; 2] {
    let image = Image {
        auth_file: container.auth_file.clone(),
        ..Image::new(container.image.clone())
    };
    let volume = Volume {
        name: container.volume.clone(),
        stack: stack.name.to_string(),
        postgres: container.postgres.as_ref().map(|postgres| postgres.major),
    };
    [
        Resource::Image(image).into(),
        Resource::Volume(volume).into(),
    ]
}

/// Ready is what answers there; the image's own program asks.
fn answers(url: &str) -> Probe {
    Probe {
        argv: ["wget", "-q", "-O", "/dev/null", url]
            .map(str::to_owned)
            .to_vec(),
        says: None,
    }
}

pub(super) fn resources(stack: &Stack, layout: &Layout) -> Result<Vec<Desired>, EmitError> {
    let mut desired = Vec::new();
    for container in &stack.containers {
        desired.extend(match (container.kind, &container.postgres) {
            (ContainerKind::Redis, _) => redis::resources(stack, container, layout)?,
            (ContainerKind::Grafana, _) => grafana::resources(stack, container, layout)?,
            (ContainerKind::Prometheus, _) => prometheus::resources(stack, container, layout)?,
            (ContainerKind::Postgres, Some(postgres)) => {
                postgres::resources(stack, container, postgres, layout)?
            }
            (ContainerKind::Postgres, None) => Vec::new(),
        });
    }
    Ok(desired)
}
