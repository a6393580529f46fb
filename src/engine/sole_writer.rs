//! Two servers on the same files ruin them.

use super::{Engine, EngineError};
use crate::resource::Container;

impl Engine<'_> {
    /// Refuses where another container runs on this one's volumes: ours under a name that somebody gave it, or
    /// whoever works on the data by hand. It is never touched.
    pub(super) fn is_alone_on_its_data(&self, container: &Container) -> Result<(), EngineError> {
        for volume in container.mounts.iter().filter_map(|mount| mount.volume()) {
            let mut writers = self.host.docker.writers(volume)?.into_iter();
            if let Some(other) = writers.find(|name| *name != container.name) {
                return Err(EngineError::NotReady {
                    what: format!("container {other} runs on its volume {volume}"),
                    help: format!(
                        "`docker rename {other} {}` if it is the same; else `docker stop {other}`",
                        container.name
                    ),
                });
            }
        }
        Ok(())
    }
}
