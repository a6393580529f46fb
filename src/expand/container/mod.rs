//! A container of a stack and all that it needs: one file per kind.

mod grafana;
pub mod postgres;
mod prometheus;
mod redis;

use super::emit::EmitError;
use crate::model::Layout;
use crate::resource::Desired;
use crate::stack::{Container, ContainerKind, Stack};

const MEBIBYTE: i64 = 1024 * 1024;

/// The group of whoever may reach the container's socket.
pub(super) fn group(container: &Container) -> String {
    format!("tavern-{}", container.name)
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
