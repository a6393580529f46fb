use std::collections::BTreeMap;
use std::path::PathBuf;

use minijinja::context;

use super::super::app;
use super::super::base::{folder, managed_for};
use super::super::emit::{EmitError, emit};
use super::{MEBIBYTE, group, image_and_volume};
use crate::model::{Layout, Mode};
use crate::resource::{
    self, Content, Desired, File, Keep, Mount, Network, Owner, Probe, RULES, RedisAcl, Resource,
    ResourceId, Secret, SecretKind,
};
use crate::stack::{Container, Stack};

/// The uid that the official Redis image's `redis` user has.
const REDIS_UID: u32 = 999;
const REDIS_RUN: &str = "/run/redis";
pub(super) fn resources(
    stack: &Stack,
    container: &Container,
    layout: &Layout,
) -> Result<Vec<Desired>, EmitError> {
    let directory = layout.container(container.name.as_str());
    let password = layout.credential(&stack.name, "redis-password");
    let id = ResourceId(format!("container:{}", container.name));
    let restarts = vec![id];
    let text = emit(
        "redis.conf",
        &context! {
            file => layout.stack_file(&stack.name).to_string_lossy(),
            container => container.name.as_str(),
            socket => format!("{REDIS_RUN}/redis.sock"),
        },
    )?;
    let secret = Resource::Secret(Secret {
        path: password.clone(),
        kind: SecretKind::Key,
        passwords: layout.passwords(&stack.name),
        moved_from: None,
    });
    let acl = Resource::File(File {
        path: directory.join("users.acl"),
        mode: Mode(0o640),
        owner: Owner::root_and(&group(container)),
        content: Content::RedisAcl(access(stack, container, password)),
        keep: Keep::Managed,
    });
    let [image, volume] = image_and_volume(stack, container);
    Ok(vec![
        folder(directory.clone()),
        Desired {
            resource: secret,
            // And the list below, which Redis reads again: what only waits for the apps would keep it from its password.
            restarts: app::services(stack).into_iter().chain([acl.id()]).collect(),
        },
        managed_for(directory.join("redis.conf"), text, restarts.clone()),
        Desired {
            resource: acl,
            restarts,
        },
        image,
        volume,
        Resource::Container(resource::Container {
            name: container.name.to_string(),
            stack: stack.name.to_string(),
            image: container.image.clone(),
            command: vec!["redis-server".into(), "/etc/redis/redis.conf".into()],
            uid: REDIS_UID,
            group: group(container),
            mounts: vec![
                Mount::Volume {
                    name: container.volume.clone(),
                    target: "/data".into(),
                },
                Mount::Bind {
                    source: directory,
                    target: "/etc/redis".into(),
                    writable: false,
                },
                Mount::Bind {
                    source: layout.container_run(container.name.as_str()),
                    target: REDIS_RUN.into(),
                    writable: true,
                },
            ],
            memory: 512 * MEBIBYTE,
            pids: 64,
            network: Network::None,
            environment: BTreeMap::new(),
            probe: Probe::of_redis(),
            settle: Vec::new(),
        })
        .into(),
    ])
}

/// Each app that needs this container has a user there, which may touch that app's key alone.
fn access(stack: &Stack, container: &Container, password: PathBuf) -> RedisAcl {
    let apps = stack.apps.iter();
    let mut users = apps
        .filter(|app| app.needs.contains(&container.role))
        .map(|app| (app.name.to_string(), app.count_key.clone()));
    let nobody = || (stack.name.to_string(), "visits".to_owned());
    let (user, key) = users.next().unwrap_or_else(nobody);
    RedisAcl {
        user,
        key,
        others: users.collect(),
        saves: stack.backup.is_some(),
        password,
        rules: RULES,
    }
}
