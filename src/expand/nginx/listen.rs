use std::collections::BTreeSet;

use crate::expand::Edge;
use crate::model::Facts;
use crate::stack::{HTTPS_PORT, Stack};

/// What `listen` says for a port: the families that the kernel has.
pub(super) fn listens(port: u16, facts: &Facts, edge: &Edge) -> Vec<String> {
    let (v4, v6) = if edge.loopback_only {
        ("127.0.0.1:", "[::1]:")
    } else {
        ("", "[::]:")
    };
    let mut listens = Vec::new();
    if facts.ipv4 || !facts.ipv6 {
        listens.push(format!("{v4}{port}"));
    }
    if facts.ipv6 {
        listens.push(format!("{v6}{port}"));
    }
    listens
}

/// The ports of a stack's HTTPS. In private there is one, whatever the stack asks for.
pub(super) fn https_ports(stack: &Stack, edge: &Edge) -> Vec<u16> {
    if edge.loopback_only {
        return vec![edge.https_port];
    }
    let ports = stack.ports.iter();
    ports
        .map(|port| {
            if *port == HTTPS_PORT {
                edge.https_port
            } else {
                *port
            }
        })
        .collect()
}

/// Whether plain HTTP leads to the stack. One that answers to any name takes no more than its own ports.
pub(super) fn has_plain_http(stack: &Stack) -> bool {
    !stack.is_default_server() || stack.is_on_standard_port()
}

/// Ports on which no stack answers to any name, and so somebody must answer for unknown ones.
pub(super) struct Unclaimed {
    pub(super) http: bool,
    pub(super) https: Vec<u16>,
}

pub(super) fn unclaimed(stacks: &[Stack], edge: &Edge) -> Unclaimed {
    let (any, named): (Vec<&Stack>, Vec<&Stack>) =
        stacks.iter().partition(|stack| stack.is_default_server());
    let ports = |stacks: &[&Stack]| -> BTreeSet<u16> {
        stacks
            .iter()
            .flat_map(|stack| https_ports(stack, edge))
            .collect()
    };
    let claimed = ports(&any);
    let mut wanted = ports(&named);
    // The usual port is ours in any case: who comes there by a wrong name is told nothing.
    if !stacks.is_empty() {
        wanted.insert(edge.https_port);
    }
    Unclaimed {
        http: !stacks.is_empty() && !any.iter().any(|stack| has_plain_http(stack)),
        https: wanted.difference(&claimed).copied().collect(),
    }
}

/// Every port that nginx listens on for these stacks.
pub(super) fn all_ports(stacks: &[Stack], edge: &Edge) -> Vec<u16> {
    let mut ports = vec![edge.http_port, edge.https_port];
    let mut others: Vec<u16> = stacks
        .iter()
        .flat_map(|stack| https_ports(stack, edge))
        .filter(|port| !ports.contains(port))
        .collect();
    others.sort_unstable();
    others.dedup();
    ports.extend(others);
    ports
}
