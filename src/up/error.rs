use crate::expand::EmitError;
use crate::host::HostError;
use crate::mint::MintError;
use crate::stack::StackError;

/// Why a stack does not run, or runs no more.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// It was told to end before it was up.
    #[error("stopped")]
    Stopped,
    /// The stack file.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// The machine.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A value cannot be written into a file.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// A key or certificate.
    #[error(transparent)]
    Mint(#[from] MintError),
    /// Something else is wrong.
    #[error("{what}")]
    Refused {
        /// What.
        what: String,
        /// What to do.
        help: String,
    },
    /// A process of the stack ended, or does not answer.
    #[error("{what}{}", quoted(.log))]
    Broken {
        /// Which, and how.
        what: String,
        /// The end of its log.
        log: Vec<String>,
    },
}

fn quoted(log: &[String]) -> String {
    log.iter().map(|line| format!("\n  | {line}")).collect()
}

impl UpError {
    pub(super) fn refused(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Refused {
            what: what.into(),
            help: help.into(),
        }
    }

    /// The directory is not to be had.
    pub(super) fn directory(error: HostError) -> Self {
        Self::refused(
            error.to_string(),
            "name a new or empty directory of yours with `--dir`",
        )
    }

    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Stack(error) => error.help().map(str::to_owned),
            Self::Refused { help, .. } => Some(help.clone()),
            // Not `sudo`: what `up` needs, anybody has.
            Self::Host(HostError::Io { source, path, .. })
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                Some(format!("who owns {}? `ls -ld` shows it", path.display()))
            }
            Self::Host(error) => error.help(),
            Self::Broken { log, .. } if log.is_empty() => {
                Some("the rest was ended too; run it again".into())
            }
            Self::Broken { .. } => {
                Some("the lines above are the end of its log; the rest was ended too".into())
            }
            Self::Stopped | Self::Emit(_) | Self::Mint(_) => None,
        }
    }
}
