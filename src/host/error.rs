use std::path::PathBuf;
use std::time::Duration;

/// What the machine refused.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A file operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// A program that is not there or cannot be started.
    #[error("cannot run {program}: {source}")]
    Spawn {
        /// The program.
        program: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// A program that failed.
    #[error("`{program} {args}` failed ({status}): {tail}")]
    Failed {
        /// The program.
        program: String,
        /// Its arguments.
        args: String,
        /// Exit code or signal.
        status: String,
        /// The end of what it said.
        tail: String,
    },
    /// A program that did not end.
    #[error("`{program} {args}` was still running after {} s and was ended{}{tail}", limit.as_secs(), if tail.is_empty() { "" } else { ": " })]
    Timeout {
        /// The program.
        program: String,
        /// Its arguments.
        args: String,
        /// The bound.
        limit: Duration,
        /// The end of what it complained of until then.
        tail: String,
    },
    /// The Docker engine.
    #[error("docker: {message}")]
    Docker {
        /// What it said.
        message: String,
        /// What to do.
        help: &'static str,
    },
    /// nginx refuses its configuration.
    #[error("nginx refuses its configuration: {0}")]
    Nginx(String),
    /// A directory that is no image to install into.
    #[error("{what}")]
    NoImage {
        /// What is wrong with it.
        what: String,
        /// What to do.
        help: &'static str,
    },
    /// A user or group that does not exist.
    #[error("there is no {0}")]
    NoAccount(String),
    /// Something that could not be made sense of.
    #[error("{0}")]
    Unexpected(String),
}

impl HostError {
    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
        source: std::io::Error,
    ) -> Self {
        Self::Io {
            action,
            path: path.into(),
            source,
        }
    }

    /// What to do about it, where there is something better than reading the message.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Io { source, path, .. } => match source.kind() {
                std::io::ErrorKind::PermissionDenied => Some(format!(
                    "run it with sudo; if you did, `lsattr -d {}` shows whether it may be changed at all",
                    path.display()
                )),
                std::io::ErrorKind::StorageFull => {
                    Some(format!("free some space on the file system of {} (`df -h`), then run it again", path.display()))
                }
                std::io::ErrorKind::ReadOnlyFilesystem => {
                    Some("the file system is mounted read-only: `mount -o remount,rw`, or look at `dmesg` for disk errors".into())
                }
                std::io::ErrorKind::FileTooLarge => Some("is this the right file? Move it away, then run it again".into()),
                _ => Some(format!("`ls -ld {}` shows what is there; mend that, then run it again", path.display())),
            },
            Self::Spawn { program, .. } => {
                Some(format!("is `{program}` installed and executable? Then run it again"))
            }
            Self::Failed { program, .. } if program == "apt-get" => {
                Some("`sudo apt-get update` should show the same: mend the network or the sources, then run it again".into())
            }
            // By then the run may have been undone and the unit be gone; its journal is not.
            Self::Failed { program, args, .. } | Self::Timeout { program, args, .. }
                if program == "systemctl" && args.contains('.') =>
            {
                let unit = args.rsplit(' ').next().unwrap_or_default();
                Some(format!("`journalctl -u {unit} -n 20` says why"))
            }
            Self::Failed { program, args, .. } | Self::Timeout { program, args, .. } => {
                Some(format!("`sudo {program} {args}` should show the same; `journalctl -e` may have more"))
            }
            Self::Docker { help, .. } | Self::NoImage { help, .. } => Some((*help).into()),
            Self::Nginx(_) => Some("`sudo nginx -t` shows the same; mend that file first, Tavern does not touch it".into()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(program: &str, args: &str) -> String {
        let error = HostError::Failed {
            program: program.into(),
            args: args.into(),
            status: "exit code 1".into(),
            tail: String::new(),
        };
        error.help().unwrap()
    }

    #[test]
    fn help_leads_to_where_the_reason_is() {
        let unit = failed("systemctl", "restart tavern-counter.service");
        assert!(
            unit.contains("journalctl -u tavern-counter.service"),
            "{unit}"
        );
        let apt = failed("apt-get", "-q update");
        assert!(apt.contains("apt-get update"), "{apt}");
        let other = failed("systemctl", "daemon-reload");
        assert!(other.contains("sudo systemctl daemon-reload"), "{other}");
        let full = HostError::io(
            "write",
            "/etc/x",
            std::io::Error::from(std::io::ErrorKind::StorageFull),
        );
        assert!(full.help().unwrap().contains("/etc/x"));
    }
}
