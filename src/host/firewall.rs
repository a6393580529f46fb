use std::path::Path;

use super::{Files as _, HostError, Invocation, Processes as _, RealFiles, RealProcesses};
use crate::model::UfwFacts;

/// The firewall. ufw if the operator enabled it; never enabled from here.
pub trait Firewall: Send + Sync {
    /// Whether ufw is enabled.
    ///
    /// # Errors
    /// When its configuration cannot be read.
    fn state(&self) -> Result<UfwFacts, HostError>;

    /// Whether a TCP port is let in from anywhere.
    ///
    /// # Errors
    /// When its rules cannot be read.
    fn is_open(&self, port: u16) -> Result<bool, HostError>;

    /// Lets a TCP port in.
    ///
    /// # Errors
    /// When ufw fails.
    fn open(&self, port: u16) -> Result<(), HostError>;

    /// Takes the rule back.
    ///
    /// # Errors
    /// When ufw fails.
    fn close(&self, port: u16) -> Result<(), HostError>;
}

/// ufw.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFirewall;

impl Firewall for RealFirewall {
    // From its files: `ufw status` takes longer than all other questions of a plan together.
    fn state(&self) -> Result<UfwFacts, HostError> {
        let text = RealFiles
            .read(Path::new("/etc/ufw/ufw.conf"))?
            .unwrap_or_default();
        let enabled = String::from_utf8_lossy(&text)
            .lines()
            .any(|line| line.trim() == "ENABLED=yes");
        Ok(if enabled {
            UfwFacts::Active
        } else {
            UfwFacts::Inactive
        })
    }

    fn is_open(&self, port: u16) -> Result<bool, HostError> {
        let rules = RealFiles
            .read(Path::new("/etc/ufw/user.rules"))?
            .unwrap_or_default();
        Ok(rules_open(&String::from_utf8_lossy(&rules), port))
    }

    fn open(&self, port: u16) -> Result<(), HostError> {
        let rule = format!("{port}/tcp");
        RealProcesses
            .run_ok(&Invocation::new(
                "ufw",
                &["allow", &rule, "comment", "Tavern"],
            ))
            .map(|_| ())
    }

    fn close(&self, port: u16) -> Result<(), HostError> {
        let rule = format!("{port}/tcp");
        RealProcesses
            .run_ok(&Invocation::new(
                "ufw",
                &["--force", "delete", "allow", &rule],
            ))
            .map(|_| ())
    }
}

/// Reads ufw's own rule comments: `### tuple ### allow tcp 443 0.0.0.0/0 any 0.0.0.0/0 in`.
fn rules_open(rules: &str, port: u16) -> bool {
    rules
        .lines()
        .filter_map(|line| line.strip_prefix("### tuple ### "))
        .any(|tuple| {
            let words: Vec<_> = tuple.split_whitespace().collect();
            let [
                action,
                protocol,
                destination_port,
                destination,
                source_port,
                source,
                direction,
                ..,
            ] = words[..]
            else {
                return false;
            };
            matches!(action, "allow" | "limit")
                && matches!(protocol, "tcp" | "any")
                && (destination_port == port.to_string() || destination_port == "any")
                && destination == "0.0.0.0/0"
                && source_port == "any"
                && source == "0.0.0.0/0"
                && direction.starts_with("in")
        })
}

#[cfg(test)]
mod tests {
    use super::rules_open;

    #[test]
    fn reads_ufws_tuples() {
        let rules = "*filter\n### tuple ### allow tcp 443 0.0.0.0/0 any 0.0.0.0/0 in comment=54\n\
                     ### tuple ### deny tcp 80 0.0.0.0/0 any 0.0.0.0/0 in\n\
                     ### tuple ### allow tcp 22 0.0.0.0/0 any 10.0.0.0/8 in\n\
                     ### tuple ### limit any 2222 0.0.0.0/0 any 0.0.0.0/0 in\n";
        assert!(rules_open(rules, 443) && rules_open(rules, 2222));
        assert!(!rules_open(rules, 80) && !rules_open(rules, 22) && !rules_open(rules, 44));
    }
}
