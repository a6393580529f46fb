//! An allowlist behind a proxy that is not listed sees the proxy, not the visitors: one address for everybody.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use super::Setting;
use super::finding::{Finding, note, since};
use crate::host::{Host, Invocation};
use crate::stack::{Site, Stack};

/// How many of the last requests are looked at, and how many make a habit.
const LOOK: usize = 200;
const HABIT: usize = 10;

/// What is doubtful about allowlists and proxies, site by site.
pub fn probe(host: &Host, stacks: &[Stack], setting: &Setting) -> Vec<Finding> {
    let begun = Instant::now();
    doubts(host, stacks, setting)
        .into_iter()
        .map(|doubt| {
            let subject = format!("site {}, proxy", doubt.path);
            Finding::new(Some(&doubt.stack), subject, note(doubt.what), since(begun))
        })
        .collect()
}

/// A doubt about a site's allowlist.
pub struct Doubt {
    /// The stack.
    pub stack: crate::model::Name,
    /// The site's path.
    pub path: String,
    /// What is doubtful, and what to do.
    pub what: String,
}

/// The same, for whoever has no table.
pub fn doubts(host: &Host, stacks: &[Stack], setting: &Setting) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    for stack in stacks {
        for site in &stack.sites {
            if site
                .access
                .as_ref()
                .is_none_or(|access| access.allow.is_empty())
            {
                continue;
            }
            let log = format!("{}-{}.access.json", stack.name, site.name);
            let log = setting.layout.logs.join(log);
            let all = [
                trusted_and_allowed(stack, site),
                unlisted_hop(&last_lines(host, &log)),
            ];
            for what in all.into_iter().flatten() {
                doubts.push(Doubt {
                    stack: stack.name.clone(),
                    path: site.path.to_string(),
                    what,
                });
            }
        }
    }
    doubts
}

fn trusted_and_allowed(stack: &Stack, site: &Site) -> Option<String> {
    let allow = &site.access.as_ref()?.allow;
    let pair = |hop| allow.iter().find(|range| range.overlaps(hop));
    let (hop, range) = stack
        .proxy
        .trusted
        .iter()
        .find_map(|hop| pair(hop).map(|range| (hop, range)))?;
    Some(format!(
        "`allow` has {range}, and {hop} is a trusted proxy: whoever it sends without `X-Forwarded-For` gets in as itself"
    ))
}

/// The hop through which nearly all of these requests came, if it is not one whose word was taken.
fn unlisted_hop(lines: &str) -> Option<String> {
    let mut hops: BTreeMap<String, usize> = BTreeMap::new();
    let mut all = 0;
    for line in lines.lines() {
        let Ok(record) = serde_json::from_str::<serde_json::Value>(line) else {
            continue;
        };
        let text = |key: &str| record.get(key).and_then(|value| value.as_str());
        let (Some(client), Some(hop)) = (text("client"), text("hop")) else {
            continue;
        };
        // Our own questions come from here.
        if client.starts_with("127.") || client == "::1" {
            continue;
        }
        all += 1;
        if text("forwarded") == Some("yes") && client == hop {
            *hops.entry(hop.to_owned()).or_default() += 1;
        }
    }
    let (hop, count) = hops.into_iter().max_by_key(|(_, count)| *count)?;
    // Anybody may send the header: only where nearly everybody does there is a proxy.
    (count >= HABIT && count * 10 >= all * 9).then(|| {
        format!(
            "{count} of the last {all} requests came through {hop}, which no `[proxy] trusted` lists: `allow` sees its \
             address and not the visitors'; list it, or let the proxy decide who comes in"
        )
    })
}

fn last_lines(host: &Host, log: &Path) -> String {
    if !host.files.exists(log) {
        return String::new();
    }
    let path = log.to_string_lossy();
    let lines = LOOK.to_string();
    let asked = Invocation::new("tail", &["-n", &lines, "--", &path]);
    host.processes
        .run(&asked)
        .map(|outcome| outcome.stdout)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(client: &str, hop: &str, forwarded: &str) -> String {
        format!("{{\"client\":\"{client}\",\"hop\":\"{hop}\",\"forwarded\":\"{forwarded}\"}}\n")
    }

    /// Row 45.
    #[test]
    fn a_proxy_that_nobody_listed_is_seen_in_the_log() {
        let through = record("203.0.113.5", "203.0.113.5", "yes");
        let direct = record("203.0.113.9", "203.0.113.9", "");
        let listed = record("198.51.100.7", "203.0.113.5", "yes");
        let own = record("127.0.0.2", "127.0.0.2", "");
        let said = unlisted_hop(&(through.repeat(12) + &own.repeat(30) + &direct)).unwrap();
        assert!(said.contains("12 of the last 13"), "{said}");
        assert!(said.contains("203.0.113.5"), "{said}");
        for quiet in [
            String::new(),
            "no json\n{}\n".to_owned(),
            through.repeat(9),
            // A few visitors who send the header themselves.
            through.repeat(12) + &direct.repeat(12),
            listed.repeat(50),
        ] {
            assert_eq!(unlisted_hop(&quiet), None, "{quiet}");
        }
    }

    #[test]
    fn a_hop_that_is_allowed_itself_is_doubtful() {
        let text = crate::stack::DEFAULT.replace(
            "[firewall]",
            "[proxy]\ntrusted = [\"192.168.1.9\"]\n[firewall]",
        );
        let stack = crate::stack::parse(Path::new("counter.toml"), text.as_bytes()).unwrap();
        let close = &stack.sites[2];
        let said = trusted_and_allowed(&stack, close).unwrap();
        assert!(said.contains("192.168.1.0/24"), "{said}");
        assert_eq!(trusted_and_allowed(&stack, &stack.sites[0]), None);
    }
}
