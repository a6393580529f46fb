use std::collections::BTreeSet;
use std::path::Path;

use super::tree::Node;
use super::{Machine, MemoryHost};
use crate::host::firewall::{Source, rules_of_ours, rules_open};
use crate::host::{Entrance, Firewall, HostError, Reception};
use crate::model::UfwFacts;

const SETTINGS: &str = "/etc/ufw/ufw.conf";
/// The rules of both address families, with what each calls any address.
const RULES: [(&str, &str); 2] = [
    ("/etc/ufw/user.rules", "0.0.0.0/0"),
    ("/etc/ufw/user6.rules", "::/0"),
];

impl Machine {
    /// Switches ufw on, with the rule for SSH that its owner made before.
    pub(crate) fn enable_ufw(&mut self) {
        self.tree.plant(SETTINGS, Node::file("ENABLED=yes\n"));
        for (path, any) in RULES {
            let rules = format!("*filter\n### tuple ### allow tcp 22 {any} any {any} in\nCOMMIT\n");
            self.tree.plant(path, Node::file(rules));
        }
    }

    fn rules(&self, path: &str) -> String {
        let bytes = self.tree.bytes(Path::new(path)).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// ufw's own words for "anywhere, to this port".
    fn edit_rules(&mut self, port: u16, wanted: bool) {
        for (path, any) in RULES {
            let tuple = format!("### tuple ### allow tcp {port} {any} any {any} in");
            let rules = self.rules(path);
            let is_it = |line: &str| line.starts_with(&tuple);
            let mut lines: Vec<_> = rules.lines().filter(|line| !is_it(line)).collect();
            let ours = format!("{tuple} comment=54617665726e");
            if wanted && rules.lines().any(is_it) {
                continue;
            }
            if wanted {
                lines.insert(lines.len().saturating_sub(1), &ours);
            }
            let text = lines.join("\n") + "\n";
            self.tree.plant(path, Node::file(text));
        }
    }
}

impl Firewall for MemoryHost {
    fn state(&self) -> Result<UfwFacts, HostError> {
        Ok(match self.look().tree.bytes(Path::new(SETTINGS)) {
            Some(b"ENABLED=yes\n") => UfwFacts::Active,
            _ => UfwFacts::Inactive,
        })
    }

    fn is_open(&self, port: u16) -> Result<bool, HostError> {
        let rules = self.look().rules(RULES[0].0);
        Ok(rules_open(&rules, port, Source::Anywhere))
    }

    fn is_open_to_some(&self, port: u16) -> Result<bool, HostError> {
        let machine = self.look();
        let opens = |(path, _)| rules_open(&machine.rules(path), port, Source::Somewhere);
        Ok(RULES.into_iter().any(opens))
    }

    fn is_open_over_ipv6(&self, port: u16) -> Result<bool, HostError> {
        let rules = self.look().rules(RULES[1].0);
        Ok(rules_open(&rules, port, Source::Anywhere))
    }

    fn opened_by_us(&self) -> Result<BTreeSet<u16>, HostError> {
        let machine = self.look();
        let rules = RULES.map(|(path, _)| machine.rules(path));
        Ok(rules
            .iter()
            .flat_map(|rules| rules_of_ours(rules))
            .collect())
    }

    fn knock(&self, entrances: &[Entrance]) -> Result<Vec<Reception>, HostError> {
        let answer = |entrance: &Entrance| {
            let open = if entrance.ipv6 {
                self.is_open_over_ipv6(entrance.port)?
            } else {
                self.is_open(entrance.port)?
            };
            Ok(if open {
                Reception::Open
            } else {
                Reception::Dropped
            })
        };
        entrances.iter().map(answer).collect()
    }

    fn open(&self, port: u16) -> Result<(), HostError> {
        let mut machine = self.machine();
        machine.effect(format!("ufw allow {port}/tcp"))?;
        machine.edit_rules(port, true);
        Ok(())
    }

    fn close(&self, port: u16) -> Result<(), HostError> {
        let mut machine = self.machine();
        machine.effect(format!("ufw delete allow {port}/tcp"))?;
        machine.edit_rules(port, false);
        Ok(())
    }
}
