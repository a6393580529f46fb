//! A container of a stack and all that it needs: one file per kind.

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
        desired.extend(match container.kind {
            ContainerKind::Redis => redis::resources(stack, container, layout)?,
        });
    }
    Ok(desired)
}
