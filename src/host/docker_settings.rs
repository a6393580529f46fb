//! What a container really is against what it is to be. A label says what it was made from; `docker update`, and
//! whoever makes it again with other settings, leave the label as it is.

use std::collections::{BTreeMap, BTreeSet};

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, HealthConfig, HostConfig, MountPoint,
};

use super::docker::ContainerSpec;
use super::docker_body::{body, policy_text};
use crate::resource::Mount;

type Settings = BTreeMap<&'static str, String>;

/// The label with what an engine would not do when it was asked, a line each.
const NOT_DONE_LABEL: &str = "io.tavern.not-done";

/// What somebody changed, in words: what differs, but for what could not be done in the first place.
pub(super) fn changes(
    wanted: &ContainerCreateBody,
    mounts: &[Mount],
    found: &ContainerInspectResponse,
) -> Vec<String> {
    let labels = found
        .config
        .as_ref()
        .and_then(|config| config.labels.as_ref());
    let not_done = labels
        .and_then(|labels| labels.get(NOT_DONE_LABEL))
        .map_or("", String::as_str);
    let mut differ = differences(wanted, mounts, found);
    differ.retain(|line| !not_done.lines().any(|known| known == line));
    differ
}

/// How to make a container whose engine did not do all that it was asked for: a kernel without a limit for memory,
/// say. It bears what that is. Nothing, if all was done.
pub(super) fn as_far_as_can_be(
    spec: &ContainerSpec,
    made: &ContainerInspectResponse,
) -> Option<ContainerCreateBody> {
    let mut body = body(spec);
    let not_done = differences(&body, &spec.mounts, made);
    if not_done.is_empty() {
        return None;
    }
    let labels = body.labels.get_or_insert_default();
    labels.insert(NOT_DONE_LABEL.to_owned(), not_done.join("\n"));
    Some(body)
}

/// What differs, in words: `memory is 6291456 instead of 536870912`.
fn differences(
    wanted: &ContainerCreateBody,
    mounts: &[Mount],
    found: &ContainerInspectResponse,
) -> Vec<String> {
    let none = HostConfig::default();
    let asked = settings(
        wanted.user.as_ref(),
        wanted.cmd.as_ref(),
        wanted.healthcheck.as_ref(),
        wanted.host_config.as_ref().unwrap_or(&none),
    );
    let config = found.config.clone().unwrap_or_default();
    let has = settings(
        config.user.as_ref(),
        config.cmd.as_ref(),
        config.healthcheck.as_ref(),
        found.host_config.as_ref().unwrap_or(&none),
    );
    let mut differ: Vec<String> = asked
        .iter()
        .filter(|(name, asked)| has.get(*name) != Some(*asked))
        .map(|(name, asked)| {
            let has = has.get(name).map_or("", String::as_str);
            format!("{name} is {} instead of {}", shown(has), shown(asked))
        })
        .collect();
    // The image has an environment of its own; of ours, nothing may be missing.
    let has: BTreeSet<&String> = config.env.iter().flatten().collect();
    let asked = wanted.env.iter().flatten();
    differ.extend(
        asked
            .filter(|one| !has.contains(one))
            .map(|one| format!("environment without {one}")),
    );
    differ.extend(beyond("mounts", &mounted(found), &asked_mounts(mounts)));
    let network = wanted
        .host_config
        .as_ref()
        .and_then(|host| host.network_mode.clone());
    let networks = found
        .network_settings
        .as_ref()
        .and_then(|settings| settings.networks.as_ref());
    let networks: BTreeSet<String> = networks
        .into_iter()
        .flat_map(|networks| networks.keys().cloned())
        .filter(|name| Some(name) != network.as_ref())
        .collect();
    differ.extend(beyond("networks", &networks, &BTreeSet::new()));
    differ
}

fn shown(text: &str) -> &str {
    if text.is_empty() { "nothing" } else { text }
}

fn settings(
    user: Option<&String>,
    command: Option<&Vec<String>>,
    health: Option<&HealthConfig>,
    host: &HostConfig,
) -> Settings {
    let number = |number: Option<i64>| number.filter(|number| *number > 0).unwrap_or(0).to_string();
    let yes = |flag: Option<bool>| flag.unwrap_or(false).to_string();
    let sorted = |list: Option<&Vec<String>>| {
        let mut list = list.cloned().unwrap_or_default();
        list.sort();
        list.join(" ")
    };
    let is_host = |mode: Option<&String>| {
        let shared = mode.filter(|mode| *mode == "host" || mode.starts_with("container:"));
        shared.cloned().unwrap_or_default()
    };
    let memory = host.memory.unwrap_or_default();
    // Docker's own choice where nobody chose.
    let swap = host
        .memory_swap
        .filter(|swap| *swap != 0 && *swap != memory.saturating_mul(2) && *swap != memory);
    let log = host.log_config.clone().unwrap_or_default();
    let log_limits: BTreeMap<_, _> = log.config.unwrap_or_default().into_iter().collect();
    let log_limits: String = log_limits
        .iter()
        .map(|(name, value)| format!(" {name}={value}"))
        .collect();
    let ports = host.port_bindings.clone().unwrap_or_default();
    let ports = ports.into_iter().filter(|(_, bindings)| {
        bindings
            .as_ref()
            .is_some_and(|bindings| !bindings.is_empty())
    });
    let mut ports: Vec<_> = ports.map(|(port, _)| port).collect();
    ports.sort();
    BTreeMap::from([
        ("user", user.cloned().unwrap_or_default()),
        ("command", command.cloned().unwrap_or_default().join(" ")),
        (
            "health check",
            health
                .and_then(|health| health.test.clone())
                .unwrap_or_default()
                .join(" "),
        ),
        ("network", host.network_mode.clone().unwrap_or_default()),
        ("read-only root", yes(host.readonly_rootfs)),
        ("privileged", yes(host.privileged)),
        ("dropped capabilities", sorted(host.cap_drop.as_ref())),
        ("added capabilities", sorted(host.cap_add.as_ref())),
        ("security options", sorted(host.security_opt.as_ref())),
        ("memory", memory.to_string()),
        (
            "memory with swap",
            swap.map(|swap| swap.to_string()).unwrap_or_default(),
        ),
        ("processes", number(host.pids_limit)),
        ("CPUs", number(host.nano_cpus)),
        ("CPU quota", number(host.cpu_quota)),
        ("CPU shares", number(host.cpu_shares)),
        ("CPU set", host.cpuset_cpus.clone().unwrap_or_default()),
        ("published ports", ports.join(" ")),
        ("publish all ports", yes(host.publish_all_ports)),
        ("process namespace", is_host(host.pid_mode.as_ref())),
        ("IPC namespace", is_host(host.ipc_mode.as_ref())),
        ("user namespace", is_host(host.userns_mode.as_ref())),
        (
            "devices",
            host.devices.as_ref().map_or(0, Vec::len).to_string(),
        ),
        (
            "restart policy",
            host.restart_policy
                .as_ref()
                .map(policy_text)
                .unwrap_or_default(),
        ),
        ("log", log.typ.unwrap_or_default() + &log_limits),
    ])
}

/// What stands for a tmpfs where a mount's source does.
const MEMORY: &str = "tmpfs";

fn asked_mounts(mounts: &[Mount]) -> BTreeSet<String> {
    let lines = mounts.iter().map(|mount| match mount {
        Mount::Volume { name, target } => line(name, target, true),
        Mount::Bind {
            source,
            target,
            writable,
        } => line(&source.to_string_lossy(), target, *writable),
        Mount::Memory { target } => line(MEMORY, target, true),
    });
    lines.collect()
}

fn mounted(found: &ContainerInspectResponse) -> BTreeSet<String> {
    let mounts = found.mounts.iter().flatten();
    let lines = mounts.filter(|mount| !is_anonymous(mount)).map(|mount| {
        let source = match mount.typ.as_deref() {
            Some("volume") => mount.name.as_deref(),
            Some("tmpfs") => Some(MEMORY),
            _ => mount.source.as_deref(),
        };
        let target = mount.destination.as_deref().unwrap_or_default();
        line(
            source.unwrap_or_default(),
            target,
            mount.rw.unwrap_or(false),
        )
    });
    lines.collect()
}

/// A volume that the image asks for and nobody named.
fn is_anonymous(mount: &MountPoint) -> bool {
    let name = mount.name.as_deref().unwrap_or_default();
    name.len() == 64 && name.chars().all(|c| c.is_ascii_hexdigit())
}

fn line(source: &str, target: &str, writable: bool) -> String {
    let mode = if writable { "" } else { ":ro" };
    format!("{source}:{target}{mode}")
}

fn beyond(what: &str, has: &BTreeSet<String>, asked: &BTreeSet<String>) -> Option<String> {
    if has == asked {
        return None;
    }
    let list = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
    let (has, asked) = (list(has), list(asked));
    Some(format!(
        "{what}: {} instead of {}",
        shown(&has),
        shown(&asked)
    ))
}

#[cfg(test)]
#[path = "docker_settings_tests.rs"]
mod tests;
