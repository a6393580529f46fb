use crate::engine::EngineError;
use crate::host::HostError;

/// Why a backup was not made, tried or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The host, or a run of its engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The machine.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Something is not as it must be.
    #[error("{what}")]
    Refused {
        /// What is wrong.
        what: String,
        /// What to do.
        help: String,
    },
    /// There is no room for it on this host. Whether the backup is good is not known by that.
    #[error("{what}")]
    NoRoom {
        /// Where, and for what.
        what: String,
        /// What to do.
        help: String,
    },
}

impl BackupError {
    pub(super) fn refused(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Refused {
            what: what.into(),
            help: help.into(),
        }
    }

    /// Whether it says nothing but that another run was at work.
    pub(super) fn is_another_at_work(&self) -> bool {
        matches!(self, Self::Engine(EngineError::Locked { .. }))
    }

    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Engine(error) => error.help(),
            Self::Host(error) => error.help(),
            Self::Refused { help, .. } | Self::NoRoom { help, .. } => Some(help.clone()),
        }
    }
}
