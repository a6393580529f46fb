use std::collections::BTreeSet;
use std::path::Path;

use super::{
    Entrance, Files as _, HostError, Invocation, Processes as _, RealFiles, RealProcesses,
    Reception, doorstep,
};
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

    /// Whether a TCP port is let in from anywhere or only for some, as the operator chose.
    ///
    /// # Errors
    /// When its rules cannot be read.
    fn is_open_to_some(&self, port: u16) -> Result<bool, HostError>;

    /// Whether a TCP port is let in over IPv6 from anywhere; false where IPv6 is not left to the firewall.
    ///
    /// # Errors
    /// When its rules cannot be read.
    fn is_open_over_ipv6(&self, port: u16) -> Result<bool, HostError>;

    /// The TCP ports that rules with our comment let in.
    ///
    /// # Errors
    /// When its rules cannot be read.
    fn opened_by_us(&self) -> Result<BTreeSet<u16>, HostError>;

    /// Opens a new connection to each entrance, from where the rules for others hold. The answers are in the order
    /// of the questions.
    ///
    /// # Errors
    /// When it cannot be tried: no `ip`, no right to make a network namespace.
    fn knock(&self, entrances: &[Entrance]) -> Result<Vec<Reception>, HostError>;

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

/// What our rules say of themselves.
const COMMENT: &str = "Tavern";

/// ufw.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFirewall;

/// What `ufw.conf` says.
pub(super) fn ufw_state(text: &str) -> UfwFacts {
    if text.lines().any(|line| line.trim() == "ENABLED=yes") {
        UfwFacts::Active
    } else {
        UfwFacts::Inactive
    }
}

impl Firewall for RealFirewall {
    // From its files: `ufw status` takes longer than all other questions of a plan together.
    fn state(&self) -> Result<UfwFacts, HostError> {
        let text = RealFiles
            .read(Path::new("/etc/ufw/ufw.conf"))?
            .unwrap_or_default();
        Ok(ufw_state(&String::from_utf8_lossy(&text)))
    }

    fn is_open(&self, port: u16) -> Result<bool, HostError> {
        Ok(rules_open(
            &rules("/etc/ufw/user.rules")?,
            port,
            Source::Anywhere,
        ))
    }

    fn is_open_to_some(&self, port: u16) -> Result<bool, HostError> {
        for path in ["/etc/ufw/user.rules", "/etc/ufw/user6.rules"] {
            if rules_open(&rules(path)?, port, Source::Somewhere) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_open_over_ipv6(&self, port: u16) -> Result<bool, HostError> {
        let settings = rules("/etc/default/ufw")?;
        let is_told = settings.lines().any(|line| {
            let value = line.trim().strip_prefix("IPV6=");
            value.is_some_and(|value| value.trim_matches(['"', '\'']).eq_ignore_ascii_case("yes"))
        });
        Ok(is_told && rules_open(&rules("/etc/ufw/user6.rules")?, port, Source::Anywhere))
    }

    fn opened_by_us(&self) -> Result<BTreeSet<u16>, HostError> {
        let mut ports = BTreeSet::new();
        for path in ["/etc/ufw/user.rules", "/etc/ufw/user6.rules"] {
            ports.extend(rules_of_ours(&rules(path)?));
        }
        Ok(ports)
    }

    fn knock(&self, entrances: &[Entrance]) -> Result<Vec<Reception>, HostError> {
        doorstep::knock(entrances)
    }

    fn open(&self, port: u16) -> Result<(), HostError> {
        let rule = format!("{port}/tcp");
        RealProcesses
            .run_ok(&Invocation::new(
                "ufw",
                &["allow", &rule, "comment", COMMENT],
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

fn rules(path: &str) -> Result<String, HostError> {
    let bytes = RealFiles.read(Path::new(path))?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Who a rule must let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Everybody, on whatever interface.
    Anywhere,
    /// Whoever the operator chose.
    Somewhere,
}

/// Reads ufw's own rule comments: action, protocol, port and address of the destination, of the source, then
/// the names of two application profiles where there are any, and the direction.
///
/// ```text
/// ### tuple ### allow tcp 443 0.0.0.0/0 any 0.0.0.0/0 in comment=54
/// ### tuple ### limit_log any 22 0.0.0.0/0 any 10.0.0.0/8 in_eth0
/// ### tuple ### allow tcp 80,8000:8100 0.0.0.0/0 any 0.0.0.0/0 Nginx%20Full - in
/// ```
pub(super) fn rules_open(rules: &str, port: u16, to: Source) -> bool {
    rules
        .lines()
        .filter_map(|line| line.strip_prefix("### tuple ### "))
        .any(|tuple| tuple_opens(tuple, port, to))
}

fn tuple_opens(tuple: &str, port: u16, to: Source) -> bool {
    let words: Vec<_> = tuple
        .split_whitespace()
        .filter(|word| !word.starts_with("comment="))
        .collect();
    let [
        action,
        protocol,
        ports,
        destination,
        source_port,
        source,
        ..,
        direction,
    ] = words[..]
    else {
        return false;
    };
    let action = action.split('_').next();
    let is_for_everybody = || {
        let is_any = |address| matches!(address, "0.0.0.0/0" | "::/0");
        is_any(destination) && source_port == "any" && is_any(source) && direction == "in"
    };
    matches!(action, Some("allow" | "limit"))
        && matches!(protocol, "tcp" | "any")
        && ports_include(ports, port)
        // The host itself gets in anyway.
        && (direction == "in" || direction.starts_with("in_") && direction != "in_lo")
        && (to == Source::Somewhere || is_for_everybody())
}

/// The ports of rules with our comment, which ufw keeps in hexadecimal.
pub(super) fn rules_of_ours(rules: &str) -> impl Iterator<Item = u16> {
    let comment: String = COMMENT.bytes().map(|byte| format!("{byte:02x}")).collect();
    let is_ours = move |rest: &str| {
        let mut anywhere = ["0.0.0.0/0", "::/0"].into_iter();
        anywhere.any(|any| rest == format!("{any} any {any} in comment={comment}"))
    };
    rules.lines().filter_map(move |line| {
        let tuple = line.strip_prefix("### tuple ### allow tcp ")?;
        let (port, rest) = tuple.split_once(' ')?;
        port.parse().ok().filter(|_| is_ours(rest))
    })
}

/// `any`, or single ports and ranges: `80,443,8000:8100`.
fn ports_include(ports: &str, port: u16) -> bool {
    ports == "any"
        || ports.split(',').any(|part| {
            let (first, last) = part.split_once(':').unwrap_or((part, part));
            let bounds = (first.parse::<u16>(), last.parse::<u16>());
            matches!(bounds, (Ok(first), Ok(last)) if (first..=last).contains(&port))
        })
}

#[cfg(test)]
mod tests {
    use super::{Source, rules_of_ours, rules_open};

    fn open(rules: &str, to: Source) -> Vec<u16> {
        let ports = [22, 80, 81, 443, 2222, 8000, 8050, 8101];
        let is_open = |port: &u16| rules_open(rules, *port, to);
        ports.into_iter().filter(is_open).collect()
    }

    fn both(tuple: &str) -> (Vec<u16>, Vec<u16>) {
        let rules = format!("*filter\n### tuple ### {tuple}\n-A ufw-user-input -j ACCEPT\n");
        (
            open(&rules, Source::Anywhere),
            open(&rules, Source::Somewhere),
        )
    }

    #[test]
    fn what_ufw_lets_in_for_everybody() {
        // As ufw 0.36.2 writes them.
        for (tuple, ports) in [
            (
                "allow tcp 443 0.0.0.0/0 any 0.0.0.0/0 in comment=54",
                vec![443],
            ),
            ("limit any 2222 0.0.0.0/0 any 0.0.0.0/0 in", vec![2222]),
            ("limit_log tcp 22 0.0.0.0/0 any 0.0.0.0/0 in", vec![22]),
            ("allow_log-all any 81 0.0.0.0/0 any 0.0.0.0/0 in", vec![81]),
            (
                "allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 Nginx%20Full - in",
                vec![80, 443],
            ),
            (
                "allow tcp 80,443,8000:8100 0.0.0.0/0 any 0.0.0.0/0 in",
                vec![80, 443, 8000, 8050],
            ),
        ] {
            assert_eq!(both(tuple), (ports.clone(), ports), "{tuple}");
        }
    }

    #[test]
    fn our_rules_are_known_by_their_comment() {
        let rules = "*filter\n\
            ### tuple ### allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 in comment=54617665726e\n\
            ### tuple ### allow tcp 443 ::/0 any ::/0 in comment=54617665726e\n\
            ### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in\n\
            ### tuple ### allow tcp 81 0.0.0.0/0 any 0.0.0.0/0 in comment=54617665726e21\n\
            ### tuple ### allow tcp 82 0.0.0.0/0 any 10.0.0.0/8 in comment=54617665726e\n\
            ### tuple ### deny tcp 83 0.0.0.0/0 any 0.0.0.0/0 in comment=54617665726e\n\
            COMMIT\n";
        assert_eq!(rules_of_ours(rules).collect::<Vec<_>>(), [80, 443]);
    }

    #[test]
    fn what_ufw_lets_in_for_some() {
        for (tuple, ports) in [
            ("allow any 22 0.0.0.0/0 any 10.0.0.0/8 in", vec![22]),
            ("allow tcp 22 ::/0 any fe80::/10 in", vec![22]),
            (
                "allow tcp 80 0.0.0.0/0 any 10.1.0.0/16 Nginx%20HTTP - in",
                vec![80],
            ),
            ("allow tcp 2222 0.0.0.0/0 any 0.0.0.0/0 in_eth0", vec![2222]),
            ("allow tcp 81 172.17.0.1 any 0.0.0.0/0 in", vec![81]),
            (
                "allow any any 0.0.0.0/0 any 192.168.1.1 in",
                vec![22, 80, 81, 443, 2222, 8000, 8050, 8101],
            ),
        ] {
            assert_eq!(both(tuple), (vec![], ports), "{tuple}");
        }
    }

    #[test]
    fn what_ufw_lets_nobody_in_with() {
        for tuple in [
            "deny tcp 80 0.0.0.0/0 any 0.0.0.0/0 in",
            "reject tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 in",
            "route:allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 in_eth0!out_lo",
            "allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 out",
            "allow udp 443 0.0.0.0/0 any 0.0.0.0/0 in",
            "allow any any 0.0.0.0/0 any 0.0.0.0/0 in_lo",
            "allow tcp 44 0.0.0.0/0 any 0.0.0.0/0 in",
        ] {
            assert_eq!(both(tuple), (vec![], vec![]), "{tuple}");
        }
    }
}
