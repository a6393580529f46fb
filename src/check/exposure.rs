use std::collections::BTreeSet;
use std::time::Instant;

use super::Setting;
use super::finding::{Finding, Judged, healthy, note, refused, since, unhealthy};
use crate::host::{Host, HostError, Listener};
use crate::model::UfwFacts;
use crate::stack::{HTTPS_PORT, Opening, Stack};

/// Who listens, beside what is declared.
pub fn probe(host: &Host, stacks: &[Stack], site: &Setting) -> Vec<Finding> {
    let begun = Instant::now();
    let listeners = host.net.listeners();
    let took = since(begun);
    let declared = declared_ports(stacks, site);
    let mut findings: Vec<_> = declared
        .iter()
        .map(|&port| {
            let judged = judge_port(&listeners, port, site.managed);
            Finding::new(None, format!("port {port}"), judged, took)
        })
        .collect();
    if site.managed {
        findings.extend(
            judge_others(&listeners, &declared)
                .into_iter()
                .map(|(subject, judged)| Finding::new(None, subject, judged, took)),
        );
    }
    findings
}

/// The ports that nginx listens on for these stacks.
fn declared_ports(stacks: &[Stack], site: &Setting) -> Vec<u16> {
    let mut ports = vec![site.http_port, site.https_port];
    let further = stacks.iter().flat_map(|stack| &stack.ports);
    for port in further.filter(|port| site.managed && **port != HTTPS_PORT) {
        if !ports.contains(port) {
            ports.push(*port);
        }
    }
    ports
}

/// Whether an active ufw lets in what the stacks declare. SSH is the operator's own.
pub fn probe_firewall(host: &Host, stacks: &[Stack]) -> Vec<Finding> {
    let begun = Instant::now();
    let state = host.firewall.state();
    let mut findings = Vec::new();
    for stack in stacks {
        let ports: Vec<u16> = stack
            .firewall
            .iter()
            .filter_map(|opening| match opening {
                Opening::Tcp(port) => Some(*port),
                Opening::Ssh => None,
            })
            .collect();
        let judged = match &state {
            Ok(UfwFacts::Inactive) => continue,
            Ok(UfwFacts::Active) => judge_openings(&ports, |port| host.firewall.is_open(port)),
            Err(error) => refused(error),
        };
        findings.push(Finding::new(
            Some(&stack.name),
            "firewall",
            judged,
            since(begun),
        ));
    }
    findings
}

fn judge_openings(ports: &[u16], is_open: impl Fn(u16) -> Result<bool, HostError>) -> Judged {
    let mut shut = Vec::new();
    for port in ports {
        match is_open(*port) {
            Ok(true) => {}
            Ok(false) => shut.push(format!("{port}/tcp")),
            Err(error) => return refused(&error),
        }
    }
    if shut.is_empty() {
        healthy("ufw lets in what is declared")
    } else {
        unhealthy(format!(
            "ufw keeps {} shut: `tavernctl install` opens it",
            shut.join(", ")
        ))
    }
}

fn judge_port(listeners: &[Listener], port: u16, managed: bool) -> Judged {
    let here: Vec<_> = listeners.iter().filter(|one| one.port == port).collect();
    let stranger = here
        .iter()
        .find_map(|one| one.owner.as_ref().filter(|(_, name)| name != "nginx"));
    let outside = here.iter().any(|one| !one.address.is_loopback());
    if here.is_empty() {
        unhealthy(if managed {
            "nobody listens: `systemctl start nginx`"
        } else {
            "nobody listens: nginx has ended"
        })
    } else if let Some((pid, name)) = stranger {
        unhealthy(format!(
            "{name} (process {pid}) holds it, not nginx: stop it, then reload nginx"
        ))
    } else if managed && !outside {
        unhealthy("only this host can reach it: `tavernctl plan` shows what differs")
    } else if !managed && outside {
        unhealthy("others can reach it, and its passwords are for tests: stop `up`")
    } else if here.iter().all(|one| one.owner.is_none()) {
        healthy("something listens: `sudo ss -ltnp` shows what")
    } else if managed {
        healthy("nginx, as declared")
    } else {
        healthy("nginx, this host only")
    }
}

/// Processes of ours that listen where they should not, and those of others.
fn judge_others(listeners: &[Listener], declared: &[u16]) -> Vec<(String, Judged)> {
    let mut ours = BTreeSet::new();
    let mut others = BTreeSet::new();
    for one in listeners {
        if one.address.is_loopback() || declared.contains(&one.port) {
            continue;
        }
        match &one.owner {
            Some((pid, name)) if name == "tavernctl" => {
                ours.insert((one.port, *pid));
            }
            Some((_, name)) => {
                others.insert((one.port, name.clone()));
            }
            None => {
                others.insert((one.port, "?".to_owned()));
            }
        }
    }
    let mut judged: Vec<_> = ours
        .into_iter()
        .map(|(port, pid)| {
            let reason = format!(
                "a tavernctl (process {pid}) listens there, and apps belong behind their sockets: stop it"
            );
            (format!("port {port}"), unhealthy(reason))
        })
        .collect();
    if !others.is_empty() {
        let list: Vec<_> = others
            .into_iter()
            .map(|(port, name)| format!("{name} {port}"))
            .collect();
        judged.push(("other listeners".to_owned(), note(list.join(", "))));
    }
    judged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Verdict;

    fn listener(address: &str, port: u16, owner: Option<&str>) -> Listener {
        Listener {
            address: address.parse().unwrap(),
            port,
            owner: owner.map(|name| (7, name.to_owned())),
        }
    }

    #[test]
    fn a_declared_port_on_a_host_and_under_up() {
        let verdict = |listeners: &[Listener], managed| judge_port(listeners, 443, managed).verdict;
        let outside = [
            listener("0.0.0.0", 443, Some("nginx")),
            listener("::", 443, None),
        ];
        let inside = [listener("127.0.0.1", 443, Some("nginx"))];
        assert_eq!(verdict(&outside, true), Verdict::Healthy);
        assert_eq!(verdict(&inside, true), Verdict::Unhealthy);
        assert_eq!(verdict(&outside, false), Verdict::Unhealthy);
        assert_eq!(verdict(&inside, false), Verdict::Healthy);
        assert_eq!(verdict(&[], true), Verdict::Unhealthy);
        let unseen = [listener("0.0.0.0", 443, None)];
        let judged = judge_port(&unseen, 443, true);
        assert_eq!(
            judged,
            healthy("something listens: `sudo ss -ltnp` shows what")
        );
        let apache = [listener("0.0.0.0", 443, Some("apache2"))];
        let judged = judge_port(&apache, 443, true);
        assert_eq!(judged.verdict, Verdict::Unhealthy);
        assert!(
            judged.reason.contains("apache2 (process 7)"),
            "{}",
            judged.reason
        );
    }

    #[test]
    fn openings_both_ways() {
        let verdict = |ports: &[u16]| judge_openings(ports, |port| Ok(port == 443)).verdict;
        assert_eq!(verdict(&[443]), Verdict::Healthy);
        assert_eq!(verdict(&[80, 443]), Verdict::Unhealthy);
        let denied = judge_openings(&[80], |_| {
            Err(HostError::Io {
                action: "read",
                path: "/etc/ufw/user.rules".into(),
                source: std::io::ErrorKind::PermissionDenied.into(),
            })
        });
        assert_eq!(denied.verdict, Verdict::Unknown);
    }

    #[test]
    fn foreign_listeners_are_listed_not_failed() {
        let declared = declared_ports(&[], &Setting::installed());
        let listeners = [
            listener("0.0.0.0", 22, Some("sshd")),
            listener("::", 22, Some("sshd")),
            listener("0.0.0.0", 80, Some("nginx")),
            listener("127.0.0.1", 5432, Some("postgres")),
            listener("0.0.0.0", 6379, None),
        ];
        let judged = judge_others(&listeners, &declared);
        assert_eq!(
            judged,
            [("other listeners".to_owned(), note("sshd 22, ? 6379"))]
        );
        let app = judge_others(&[listener("0.0.0.0", 5000, Some("tavernctl"))], &declared);
        assert_eq!(app[0].1.verdict, Verdict::Unhealthy);
        assert!(judge_others(&[], &declared).is_empty());
    }
}
