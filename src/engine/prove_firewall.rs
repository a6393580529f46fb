use std::collections::BTreeSet;

use super::{Engine, EngineError};
use crate::host::{Entrance, HostError, Reception, ssh_ports};
use crate::model::UfwFacts;
use crate::plan::{Plan, Step};
use crate::resource::{Action, Resource, ResourceId};

impl Engine<'_> {
    /// After the last step that opens a port: whether a new connection really gets in, to every port of the plan
    /// and to SSH. A rule ahead of ufw's own that drops them shows itself only to new connections.
    ///
    /// Where it cannot be tried, that is said and the run goes on. Ports that the operator keeps for some addresses,
    /// or for one interface, are not tried: none of those addresses is ours to use.
    ///
    /// # Errors
    /// When one does not get in, though ufw's rules say that it may.
    pub(super) fn prove_firewall(&self, plan: &Plan, after: &Step) -> Result<(), EngineError> {
        let openings: Vec<(&ResourceId, u16)> = plan.steps.iter().filter_map(opened).collect();
        let is_last = openings.last().is_some_and(|(id, _)| **id == after.id);
        if !is_last || self.host.firewall.state()? == UfwFacts::Inactive {
            return Ok(());
        }
        let mut ports: BTreeSet<u16> = openings.into_iter().map(|(_, port)| port).collect();
        ports.extend(ssh_ports(self.host));
        let entrances = self.promised(&ports)?;
        for port in ports {
            if !entrances.iter().any(|entrance| entrance.port == port) {
                self.progress.begin(&format!(
                    "note: not tried whether the firewall lets new connections to port {port} in: it is open to some only"
                ));
            }
        }
        match self.host.firewall.knock(&entrances) {
            Ok(receptions) => judge(&entrances, &receptions),
            Err(error) => {
                self.progress.begin(&format!(
                    "note: not tried whether the firewall lets new connections in: {error}"
                ));
                Ok(())
            }
        }
    }

    /// Those that ufw's own rules let in from anywhere.
    fn promised(&self, ports: &BTreeSet<u16>) -> Result<Vec<Entrance>, HostError> {
        let firewall = &self.host.firewall;
        let has_ipv6 = self.host.net.has_ipv6();
        let mut entrances = Vec::new();
        for &port in ports {
            if firewall.is_open(port)? {
                entrances.push(Entrance { port, ipv6: false });
            }
            if has_ipv6 && firewall.is_open_over_ipv6(port)? {
                entrances.push(Entrance { port, ipv6: true });
            }
        }
        Ok(entrances)
    }
}

fn opened(step: &Step) -> Option<(&ResourceId, u16)> {
    match &step.resource {
        Resource::Opening(opening) if step.change.action != Action::Remove => {
            Some((&step.id, opening.port))
        }
        _ => None,
    }
}

fn judge(entrances: &[Entrance], receptions: &[Reception]) -> Result<(), EngineError> {
    let shut: Vec<String> = entrances
        .iter()
        .zip(receptions)
        .filter_map(|(entrance, reception)| match reception {
            Reception::Open => None,
            Reception::Rejected => Some(format!("{entrance} is rejected")),
            Reception::Dropped => Some(format!("{entrance} is dropped")),
        })
        .collect();
    if shut.is_empty() {
        return Ok(());
    }
    Err(EngineError::Step {
        step: "firewall".to_owned(),
        source: Box::new(EngineError::NotReady {
            what: format!(
                "a new connection does not get in, though ufw's rules say it may: {}",
                shut.join(", ")
            ),
            help: "a rule ahead of them decides otherwise (it came by a link of its own, from 169.254.213.254 or fe80::7461:2): \
                   look at `sudo ufw status numbered`, /etc/ufw/before.rules, /etc/ufw/before6.rules and `sudo iptables -S INPUT`"
                .to_owned(),
        }),
        left: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_shut_door_is_named_with_its_family() {
        let entrances =
            [(22, false), (443, false), (443, true)].map(|(port, ipv6)| Entrance { port, ipv6 });
        let all = [Reception::Open; 3];
        assert!(judge(&entrances, &all).is_ok());
        let some = [Reception::Open, Reception::Dropped, Reception::Rejected];
        let said = judge(&entrances, &some).unwrap_err().to_string();
        assert!(
            said.contains("443/tcp over IPv4 is dropped, 443/tcp over IPv6 is rejected"),
            "{said}"
        );
        assert!(!said.contains("22/tcp"), "{said}");
    }
}
