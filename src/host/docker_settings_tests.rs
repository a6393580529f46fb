use std::collections::HashMap;

use bollard::models::{
    ContainerConfig, EndpointSettings, NetworkSettings, PortBinding, RestartPolicy,
    RestartPolicyNameEnum,
};

use super::*;
use crate::resource::Network;

fn spec() -> ContainerSpec {
    ContainerSpec {
        name: "redis".into(),
        stack: "counter".into(),
        settings: "hash".into(),
        image: "redis:7".into(),
        command: vec!["redis-server".into()],
        user: "999:990".into(),
        mounts: vec![
            Mount::Volume {
                name: "data".into(),
                target: "/data".into(),
            },
            Mount::Bind {
                source: "/etc/tavern/x".into(),
                target: "/etc/redis".into(),
                writable: false,
            },
        ],
        memory: 512,
        pids: 64,
        health: vec!["ping".into()],
        network: Network::None,
        environment: BTreeMap::from([("TZ".into(), "UTC".into())]),
    }
}

/// What Docker says of a container that was made so.
fn made(spec: &ContainerSpec) -> ContainerInspectResponse {
    let body = body(spec);
    let mut host = body.host_config.unwrap();
    host.memory_swap = Some(1024);
    host.ipc_mode = Some("private".into());
    host.port_bindings = Some(HashMap::new());
    host.cpuset_cpus = Some(String::new());
    let mount = |typ: &str, name: Option<&str>, source: &str, target: &str, rw| MountPoint {
        typ: Some(str::to_owned(typ)),
        name: name.map(str::to_owned),
        source: Some(source.into()),
        destination: Some(target.into()),
        rw: Some(rw),
        ..MountPoint::default()
    };
    ContainerInspectResponse {
        config: Some(ContainerConfig {
            user: body.user,
            env: Some(vec!["PATH=/bin".into(), "TZ=UTC".into()]),
            cmd: body.cmd,
            healthcheck: body.healthcheck,
            ..ContainerConfig::default()
        }),
        host_config: Some(host),
        mounts: Some(vec![
            mount("volume", Some("data"), "/var/lib/docker/x", "/data", true),
            mount("bind", None, "/etc/tavern/x", "/etc/redis", false),
            mount("volume", Some(&"a".repeat(64)), "/x", "/more", true),
        ]),
        network_settings: Some(NetworkSettings {
            networks: Some(HashMap::from([(
                "none".into(),
                EndpointSettings::default(),
            )])),
            ..NetworkSettings::default()
        }),
        ..ContainerInspectResponse::default()
    }
}

fn differ(change: impl FnOnce(&mut ContainerInspectResponse)) -> Vec<String> {
    let spec = spec();
    let mut found = made(&spec);
    change(&mut found);
    differences(&body(&spec), &spec.mounts, &found)
}

#[test]
fn one_that_was_made_so_does_not_differ() {
    assert_eq!(differ(|_| {}), [""; 0]);
}

#[test]
fn an_environment_of_the_images_own_is_none_of_ours() {
    let changed = differ(|found| {
        let config = found.config.as_mut().unwrap();
        config.env = Some(vec!["PATH=/bin".into()]);
    });
    assert_eq!(changed, ["environment without TZ=UTC"]);
}

#[test]
fn what_an_engine_cannot_do_is_no_change() {
    let spec = spec();
    assert!(as_far_as_can_be(&spec, &made(&spec)).is_none());
    let mut made = made(&spec);
    let host = made.host_config.as_mut().unwrap();
    (host.memory, host.memory_swap) = (Some(0), Some(0));
    let body = as_far_as_can_be(&spec, &made).unwrap();
    assert_eq!(changes(&body, &spec.mounts, &made).len(), 1);
    made.config.as_mut().unwrap().labels = body.labels.clone();
    assert_eq!(changes(&body, &spec.mounts, &made), [""; 0]);
    made.host_config.as_mut().unwrap().pids_limit = None;
    assert_eq!(
        changes(&body, &spec.mounts, &made),
        ["processes is 0 instead of 64"]
    );
}

type Edit = (&'static str, fn(&mut HostConfig));

#[test]
fn each_setting_that_a_person_can_change_is_seen() {
    let edits: [Edit; 14] = [
        ("memory is 6 instead of 512", |host| {
            host.memory = Some(6);
            host.memory_swap = Some(6);
        }),
        ("memory with swap", |host| host.memory_swap = Some(-1)),
        ("processes is 0 instead of 64", |host| {
            host.pids_limit = Some(-1)
        }),
        ("CPUs is 500", |host| host.nano_cpus = Some(500)),
        ("restart policy is no instead of unless-stopped", |host| {
            host.restart_policy = Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::NO),
                maximum_retry_count: Some(0),
            });
        }),
        ("network is bridge instead of none", |host| {
            host.network_mode = Some("bridge".into());
        }),
        ("privileged is true", |host| host.privileged = Some(true)),
        ("read-only root is false", |host| {
            host.readonly_rootfs = Some(false)
        }),
        ("dropped capabilities is nothing instead of ALL", |host| {
            host.cap_drop = None
        }),
        ("added capabilities is SYS_ADMIN", |host| {
            host.cap_add = Some(vec!["SYS_ADMIN".into()]);
        }),
        ("security options", |host| host.security_opt = None),
        ("process namespace is host", |host| {
            host.pid_mode = Some("host".into())
        }),
        ("log is none", |host| {
            host.log_config.as_mut().unwrap().typ = Some("none".into())
        }),
        ("published ports is 6379/tcp", |host| {
            let bindings = Some(vec![PortBinding::default()]);
            host.port_bindings = Some(HashMap::from([("6379/tcp".into(), bindings)]));
        }),
    ];
    for (said, edit) in edits {
        let differ = differ(|found| edit(found.host_config.as_mut().unwrap()));
        assert!(
            differ.len() == 1 && differ[0].starts_with(said),
            "{said}: {differ:?}"
        );
    }
}

#[test]
fn other_mounts_networks_users_and_commands_are_seen() {
    let one = differ(|found| found.mounts.as_mut().unwrap()[0].name = Some("other".into()));
    assert!(
        one[0].starts_with("mounts: /etc/tavern/x:/etc/redis:ro other:/data"),
        "{one:?}"
    );
    let one = differ(|found| found.mounts.as_mut().unwrap()[1].rw = Some(true));
    assert_eq!(one.len(), 1);
    let one = differ(|found| found.mounts = None);
    assert!(one[0].contains("nothing instead of"), "{one:?}");
    let one = differ(|found| {
        let networks = found.network_settings.as_mut().unwrap().networks.as_mut();
        networks
            .unwrap()
            .insert("web".into(), EndpointSettings::default());
    });
    assert_eq!(one, ["networks: web instead of nothing"]);
    let one = differ(|found| {
        let config = found.config.as_mut().unwrap();
        config.user = None;
        config.cmd = Some(vec!["redis-server".into(), "--port".into(), "1".into()]);
    });
    assert_eq!(one.len(), 2, "{one:?}");
}
