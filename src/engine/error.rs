use crate::expand::EmitError;
use crate::host::HostError;
use crate::mint::MintError;
use crate::stack::StackError;

/// Why the host was not changed, or was put back.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A stack file.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// No stack file of that name.
    #[error("there is no stack called `{name}`")]
    NoSuchStack {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Two stacks want the same thing.
    #[error("{0}")]
    Clash(String),
    /// The machine refused, before anything was changed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A value cannot be written into a file.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// A key or certificate.
    #[error(transparent)]
    Mint(#[from] MintError),
    /// The host is not ready.
    #[error("{what}")]
    NotReady {
        /// What is wrong.
        what: String,
        /// What to do.
        help: String,
    },
    /// Another run holds the lock.
    #[error("another tavernctl is at work: process {pid}")]
    Locked {
        /// The holder's process number, or what is known of it.
        pid: String,
    },
    /// Somebody else's things are in the way.
    #[error("{} of somebody else's would be taken over:\n{}", count(.0.len()), .0.join("\n"))]
    Conflicts(Vec<String>),
    /// What not even adoption replaces: links, directories, masked units, damaged credentials.
    #[error("{} in the way:\n{}", if .0.len() == 1 { "one thing is".to_owned() } else { format!("{} things are", .0.len()) }, .0.join("\n"))]
    InTheWay(Vec<String>),
    /// A step failed and the run's steps were undone.
    #[error("{step}: {source}")]
    Step {
        /// The step.
        step: String,
        /// Why.
        source: Box<EngineError>,
        /// What could not be put back; empty when all was.
        left: Vec<String>,
    },
    /// Everything is as wanted, but something that no stack asks for is still there.
    #[error("all is done and proven, but what left the stacks could not all be removed:\n{}", .0.join("\n"))]
    NotRemoved(Vec<String>),
    /// A killed run could not be undone in full.
    #[error("a run that did not end cannot be undone:\n{}", .0.join("\n"))]
    NotUndone(Vec<String>),
    /// A signal came, and the run's steps were undone.
    #[error("stopped by a signal")]
    Interrupted,
    /// The receipt or journal cannot be read.
    #[error("cannot read {path}: {reason}")]
    Receipt {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
}

fn count(number: usize) -> String {
    if number == 1 {
        "one thing".to_owned()
    } else {
        format!("{number} things")
    }
}

impl EngineError {
    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Stack(error) => error.help().map(str::to_owned),
            Self::NoSuchStack { known, .. } if known.is_empty() => {
                Some("this host has none yet: `tavernctl install` begins with `counter`".to_owned())
            }
            Self::NoSuchStack { known, .. } => Some(format!("this host has: {}", known.join(", "))),
            Self::Clash(_) => Some("change one of the two stack files".to_owned()),
            Self::Host(error) => error.help(),
            Self::NotReady { help, .. } => Some(help.clone()),
            Self::Locked { .. } => Some("wait until it has ended; the lock goes with the process".to_owned()),
            Self::Conflicts(_) => Some(
                "the same with `--adopt`, as in `tavernctl install --adopt`, takes them over, keeps the data, and gives all of it back on uninstall"
                    .to_owned(),
            ),
            Self::InTheWay(_) => Some(
                "set it right by hand, then run it again; Tavern replaces none of this, not even with `--adopt`".to_owned(),
            ),
            Self::Step { source, left, .. } => {
                let undone = if left.is_empty() {
                    "everything this run did was undone (packages stay)".to_owned()
                } else {
                    format!("this run was undone, except: {}", left.join("; "))
                };
                Some(source.help().map_or(undone.clone(), |help| format!("{help}\nnote: {undone}")))
            }
            Self::NotRemoved(_) => Some("mend what it names, then `sudo tavernctl install` tries again".to_owned()),
            Self::NotUndone(_) => Some("mend what it names, then `sudo tavernctl recover`; \
                 `tavernctl recover --give-up` leaves these as they are".to_owned()),
            Self::Receipt { path, .. } if path.ends_with("journal.jsonl") => Some(
                "`sudo tavernctl recover --give-up` sets it aside, and what the run had done stays as it is".to_owned(),
            ),
            Self::Receipt { .. } => Some(
                "`sudo tavernctl recover` takes the newest readable one of its copies, and keeps the damaged file".to_owned(),
            ),
            Self::Interrupted => {
                Some("everything this run did was undone (packages stay); run it again".to_owned())
            }
            Self::Emit(_) | Self::Mint(_) => {
                Some("this is a fault of tavernctl: please report it with the stack file".to_owned())
            }
        }
    }
}
