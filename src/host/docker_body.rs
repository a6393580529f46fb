use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType,
    RestartPolicy, RestartPolicyNameEnum,
};

use super::docker::ContainerSpec;
use crate::resource::{LABEL, Mount as Wanted, Network};

/// The label with the hash of the settings a container was made from.
pub(super) const SETTINGS_LABEL: &str = "io.tavern.settings";

/// What Docker is asked for, in its own words.
pub(super) fn body(spec: &ContainerSpec) -> ContainerCreateBody {
    const SECOND: i64 = 1_000_000_000;
    let labels = HashMap::from([
        (LABEL.to_owned(), spec.stack.clone()),
        (SETTINGS_LABEL.to_owned(), spec.settings.clone()),
    ]);
    let log_limits = HashMap::from([
        ("max-size".to_owned(), "10m".to_owned()),
        ("max-file".to_owned(), "3".to_owned()),
    ]);
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        cmd: Some(spec.command.clone()),
        user: Some(spec.user.clone()),
        env: Some(
            spec.environment
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        ),
        labels: Some(labels),
        healthcheck: Some(HealthConfig {
            test: Some(
                std::iter::once("CMD".to_owned())
                    .chain(spec.health.iter().cloned())
                    .collect(),
            ),
            interval: Some(30 * SECOND),
            timeout: Some(5 * SECOND),
            retries: Some(3),
            ..HealthConfig::default()
        }),
        host_config: Some(HostConfig {
            network_mode: Some(
                match spec.network {
                    Network::None => "none",
                    Network::Host => "host",
                }
                .into(),
            ),
            readonly_rootfs: Some(true),
            cap_drop: Some(vec!["ALL".into()]),
            security_opt: Some(vec!["no-new-privileges".into()]),
            memory: Some(spec.memory),
            pids_limit: Some(spec.pids),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
                maximum_retry_count: None,
            }),
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".into()),
                config: Some(log_limits),
            }),
            mounts: Some(spec.mounts.iter().map(mount).collect()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

fn mount(wanted: &Wanted) -> Mount {
    match wanted {
        Wanted::Volume { name, target } => Mount {
            typ: Some(MountType::VOLUME),
            source: Some(name.clone()),
            target: Some(target.clone()),
            ..Mount::default()
        },
        Wanted::Bind {
            source,
            target,
            writable,
        } => Mount {
            typ: Some(MountType::BIND),
            source: Some(source.to_string_lossy().into_owned()),
            target: Some(target.clone()),
            read_only: Some(!writable),
            ..Mount::default()
        },
        Wanted::Memory { target } => Mount {
            typ: Some(MountType::TMPFS),
            target: Some(target.clone()),
            ..Mount::default()
        },
    }
}

/// A restart policy as `docker run --restart` takes it, the number of retries included.
pub(super) fn policy_text(policy: &RestartPolicy) -> String {
    let name = policy.name.map(|name| name.to_string()).unwrap_or_default();
    match policy.maximum_retry_count {
        Some(count) if count > 0 => format!("{name}:{count}"),
        _ => name,
    }
}

/// The policy of such a text; `no` for one that says nothing.
pub(super) fn policy_from(text: &str) -> RestartPolicy {
    let (name, count) = match text.split_once(':') {
        Some((name, count)) => (name, count.parse().ok()),
        None => (text, None),
    };
    RestartPolicy {
        name: Some(name.parse().unwrap_or(RestartPolicyNameEnum::NO)),
        maximum_retry_count: count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_policy_comes_back_as_it_was() {
        for text in [
            "no",
            "always",
            "unless-stopped",
            "on-failure",
            "on-failure:5",
        ] {
            assert_eq!(policy_text(&policy_from(text)), text);
        }
        assert_eq!(policy_text(&policy_from("sometimes")), "no");
    }
}
