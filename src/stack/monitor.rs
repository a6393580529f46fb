//! When something in the logs stands out.

use serde::Deserialize;
use toml::Spanned;

use super::StackError;
use super::validate::Validation;
use crate::model::{JournalRules, LogRules};

/// Rules as the file gives them: what is left out comes from the stack, then from the defaults.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawLogRules {
    error_percent: Option<Spanned<f64>>,
    error_minutes: Option<Spanned<u32>>,
    error_requests: Option<Spanned<u32>>,
    brute_force: Option<Spanned<u32>>,
    scanner: Option<Spanned<u32>>,
    journal_errors: Option<Spanned<u32>>,
    ssh_brute_force: Option<Spanned<u32>>,
}

impl Validation<'_> {
    /// Those of `[monitor]`.
    pub(super) fn stacks_rules(
        &self,
        mut raw: RawLogRules,
    ) -> Result<(LogRules, JournalRules), StackError> {
        let others = JournalRules::default();
        let number = |given, other| self.number(given, other, 1, 1_000_000);
        let journal = JournalRules {
            errors: number(raw.journal_errors.take(), others.errors)?,
            ssh_brute_force: number(raw.ssh_brute_force.take(), others.ssh_brute_force)?,
        };
        Ok((self.log_rules(raw, LogRules::default())?, journal))
    }

    /// A site's own. What it does not give comes from the stack; the journal is of no site.
    pub(super) fn sites_rules(
        &self,
        raw: RawLogRules,
        stacks: LogRules,
    ) -> Result<LogRules, StackError> {
        match raw.journal_errors.as_ref().or(raw.ssh_brute_force.as_ref()) {
            Some(given) => self.fault(
                given.span(),
                "the journal is not a site's",
                "write it in `[monitor]`, for the whole stack",
            ),
            None => self.log_rules(raw, stacks),
        }
    }

    /// What is not given comes from `others`.
    fn log_rules(&self, raw: RawLogRules, others: LogRules) -> Result<LogRules, StackError> {
        let number = |given, other, most| self.number(given, other, 1, most);
        Ok(LogRules {
            error_permille: match raw.error_percent {
                None => others.error_permille,
                Some(given) => match permille(*given.get_ref()) {
                    Some(permille) => permille,
                    None => {
                        return self.fault(
                            given.span(),
                            "not a share in percent",
                            "write a number from 0.1 to 100, with one digit after the point at most",
                        );
                    }
                },
            },
            error_minutes: number(raw.error_minutes, others.error_minutes, 15)?,
            error_requests: number(raw.error_requests, others.error_requests, 1_000_000)?,
            brute_force: number(raw.brute_force, others.brute_force, 1_000_000)?,
            scanner: number(raw.scanner, others.scanner, 1_000_000)?,
        })
    }
}

fn permille(percent: f64) -> Option<u32> {
    let is_share = (0.1..=100.0).contains(&percent);
    let tenths = (percent * 10.0).round();
    (is_share && (percent * 10.0 - tenths).abs() < 1e-6).then_some(tenths as u32)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::stack::{Stack, parse};

    fn parsed(site: &str, monitor: &str) -> Result<Stack, StackError> {
        let text = format!(
            "name = \"web\"\nhosts = [\"*\"]\n[tls]\nissuer = \"self-signed\"\n[[site]]\npath = \"/\"\nstatic = \"main\"\n{site}\n{monitor}"
        );
        parse(Path::new("/etc/tavern/stacks/web.toml"), text.as_bytes())
    }

    #[test]
    fn a_site_overrides_its_stack_and_a_stack_the_defaults() {
        let stack = parsed("", "").unwrap();
        assert_eq!(stack.monitor, LogRules::default());
        assert_eq!(stack.sites[0].monitor, LogRules::default());
        let stack = parsed(
            "monitor = { error-percent = 0.5, scanner = 500 }",
            "[monitor]\nerror-percent = 10\nerror-minutes = 2\nbrute-force = 7\n",
        )
        .unwrap();
        let own = LogRules {
            error_permille: 100,
            error_minutes: 2,
            brute_force: 7,
            ..LogRules::default()
        };
        assert_eq!(stack.monitor, own);
        let of_site = LogRules {
            error_permille: 5,
            scanner: 500,
            ..own
        };
        assert_eq!(stack.sites[0].monitor, of_site);
        assert_eq!(stack.journal, JournalRules::default());
        let stack = parsed("", "[monitor]\njournal-errors = 3\n").unwrap();
        let journal = JournalRules {
            errors: 3,
            ..JournalRules::default()
        };
        assert_eq!(stack.journal, journal);
    }

    #[test]
    fn a_bad_value_is_shown_with_its_place() {
        for (bad, said) in [
            ("error-percent = 0", "not a share in percent"),
            ("error-percent = 101", "not a share in percent"),
            ("error-percent = nan", "not a share in percent"),
            ("error-percent = -5", "not a share in percent"),
            ("error-percent = 0.25", "not a share in percent"),
            ("error-percent = \"5%\"", "invalid type"),
            ("error-minutes = 0", "0 is out of bounds"),
            ("error-minutes = 16", "16 is out of bounds"),
            ("error-requests = 0", "0 is out of bounds"),
            ("brute-force = 0", "0 is out of bounds"),
            ("scanner = -1", "invalid value"),
            ("scanners = 5", "unknown field"),
            ("journal-errors = 0", "0 is out of bounds"),
            ("ssh-brute-force = 1000001", "1000001 is out of bounds"),
        ] {
            let error = parsed("", &format!("[monitor]\n{bad}\n")).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(said), "{bad}: {text}");
            assert!(text.contains(bad) && text.contains('^'), "{bad}: {text}");
            assert_eq!(error.position().map(|(line, _)| line), Some(10), "{text}");
            assert!(error.help().is_some(), "{bad}");
        }
        let error = parsed("monitor = { brute-force = 0 }", "").unwrap_err();
        assert_eq!(error.position().map(|(line, _)| line), Some(8));
        for journals in ["journal-errors = 5", "ssh-brute-force = 5"] {
            let error = parsed(&format!("monitor = {{ {journals} }}"), "").unwrap_err();
            assert!(error.to_string().contains("is not a site's"), "{error}");
            assert_eq!(error.position().map(|(line, _)| line), Some(8));
        }
    }
}
