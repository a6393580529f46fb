//! When something stands out, as the stack files say it: a small file that root wrote.
#![allow(
    clippy::disallowed_methods,
    reason = "a unit of its own: it reads the one file that it goes by, and has no host adapter"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use crate::model::{JournalRules, LogRules};

/// Their name among the unit's credentials.
pub const RULES_FILE: &str = "rules";

/// The version of the form that this build reads.
const VERSION: u32 = 1;

/// The rules of all logs; the default for those that have none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RuleBook {
    logs: BTreeMap<String, LogRules>,
    pub(super) journal: JournalBook,
}

/// The rules of the journal.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct JournalBook {
    /// Failed logins of one client over SSH, within a minute.
    pub(super) ssh_brute_force: u32,
    /// Errors of a unit, within a minute: those of other units count for nothing.
    pub(super) errors: BTreeMap<String, u32>,
}

impl Default for JournalBook {
    fn default() -> Self {
        Self {
            ssh_brute_force: JournalRules::default().ssh_brute_force,
            errors: BTreeMap::new(),
        }
    }
}

/// The file is not one of rules.
#[derive(Debug, Error)]
pub enum RulesError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Where it should be.
        path: PathBuf,
        /// What the kernel says.
        source: std::io::Error,
    },
    /// Not this form.
    #[error("not the monitor's rules: {0}")]
    Form(#[from] toml::de::Error),
    /// Another version's.
    #[error("the monitor's rules are of version {0}, and this program reads version {VERSION}")]
    Version(u32),
}

#[derive(Deserialize)]
struct Written {
    version: u32,
    #[serde(default)]
    logs: BTreeMap<String, LogRules>,
    #[serde(default)]
    journal: JournalBook,
}

impl RuleBook {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, is not one of rules, or is another version's.
    pub fn read(path: &Path) -> Result<Self, RulesError> {
        let text = std::fs::read_to_string(path).map_err(|source| RulesError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, RulesError> {
        let written: Written = toml::from_str(text)?;
        if written.version != VERSION {
            return Err(RulesError::Version(written.version));
        }
        Ok(Self {
            logs: written.logs,
            journal: written.journal,
        })
    }

    /// The rules of a log.
    pub fn of(&self, log: &str) -> LogRules {
        self.logs.get(log).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expand::{Edge, expand};
    use crate::model::{Facts, Layout};
    use crate::resource::{Content, Resource};
    use crate::stack::{DEFAULT, parse};

    /// What the stack file says is what the monitor goes by.
    #[test]
    fn what_is_written_is_read() {
        let text = DEFAULT.replacen(
            "static = \"main\"",
            "static = \"main\"\nmonitor = { error-percent = 0.5, error-minutes = 2 }",
            1,
        ) + "\n[monitor]\nbrute-force = 7\nscanner = 8\nerror-requests = 9\njournal-errors = 4\n";
        let stack = parse(std::path::Path::new("counter.toml"), text.as_bytes()).unwrap();
        let facts = Facts {
            binary: "/usr/local/bin/tavernctl".into(),
            ..Facts::default()
        };
        let layout = Layout::system();
        let desired = expand(&[stack], &facts, &layout, &Edge::public()).unwrap();
        let written = desired.iter().find_map(|one| match &one.resource {
            Resource::File(file) if file.path == layout.monitor_rules() => match &file.content {
                Content::Text(text) => Some(text.clone()),
                _ => None,
            },
            _ => None,
        });
        let book = RuleBook::parse(&written.unwrap()).unwrap();
        let own = LogRules {
            brute_force: 7,
            scanner: 8,
            error_requests: 9,
            ..LogRules::default()
        };
        assert_eq!(book.of("counter"), own);
        assert_eq!(book.of("counter-close"), own);
        let main = LogRules {
            error_permille: 5,
            error_minutes: 2,
            ..own
        };
        assert_eq!(book.of("counter-main"), main);
        assert_eq!(book.of("other"), LogRules::default());
        assert_eq!(book.journal.errors["tavern-counter.service"], 4);
        assert_eq!(book.journal.errors["nginx.service"], 4);
        assert_eq!(book.journal.ssh_brute_force, 10);
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        assert!(matches!(
            RuleBook::parse("version = 2\n"),
            Err(RulesError::Version(2))
        ));
        for bad in ["", "version = 1\n[logs.a]\nscanner = 1\n", "<html>"] {
            assert!(matches!(RuleBook::parse(bad), Err(RulesError::Form(_))));
        }
    }
}
