use std::collections::BTreeMap;

use minijinja::context;

use super::super::base::{folder, managed_for};
use super::super::emit::{EmitError, emit};
use super::super::metrics;
use super::{MEBIBYTE, answers, group, image_and_volume};
use crate::model::Layout;
use crate::resource::{self, Desired, Mount, Network, Resource, ResourceId};
use crate::stack::{Container, Stack};

/// The uid of `nobody` in the official image.
const PROMETHEUS_UID: u32 = 65534;
const CONFIGURATION: &str = "/etc/prometheus";

pub(super) fn resources(
    stack: &Stack,
    container: &Container,
    layout: &Layout,
) -> Result<Vec<Desired>, EmitError> {
    let Some(observer) = container.observer else {
        return Ok(Vec::new());
    };
    let directory = layout.container(container.name.as_str());
    let restarts = || vec![ResourceId(format!("container:{}", container.name))];
    let apps: Vec<_> = stack
        .apps
        .iter()
        .map(|app| context! { name => app.name.to_string(), path => metrics::path_of(stack, app) })
        .collect();
    let values = context! {
        file => layout.stack_file(&stack.name).to_string_lossy(),
        stack => stack.name.to_string(),
        own => format!("127.0.0.1:{}", observer.port),
        relay => format!("127.0.0.1:{}", Layout::RELAY_PORT),
        tavern => metrics::OWN_PATH,
        rules => format!("{CONFIGURATION}/alerts.yml"),
        apps,
    };
    let file = |name: &'static str| -> Result<Desired, EmitError> {
        Ok(managed_for(
            directory.join(name),
            emit(name, &values)?,
            restarts(),
        ))
    };
    let listens = format!("127.0.0.1:{}", observer.port);
    let [image, volume] = image_and_volume(stack, container);
    Ok(vec![
        folder(directory.clone()),
        file("prometheus.yml")?,
        file("alerts.yml")?,
        image,
        volume,
        Resource::Container(resource::Container {
            name: container.name.to_string(),
            stack: stack.name.to_string(),
            image: container.image.clone(),
            command: vec![
                format!("--config.file={CONFIGURATION}/prometheus.yml"),
                "--storage.tsdb.path=/prometheus".into(),
                format!("--storage.tsdb.retention.time={}d", observer.retention_days),
                format!(
                    "--storage.tsdb.retention.size={}MB",
                    observer.retention_megabytes
                ),
                format!("--web.listen-address={listens}"),
            ],
            uid: PROMETHEUS_UID,
            group: group(container),
            mounts: vec![
                Mount::Volume {
                    name: container.volume.clone(),
                    target: "/prometheus".into(),
                },
                Mount::Bind {
                    source: directory,
                    target: CONFIGURATION.into(),
                    writable: false,
                },
            ],
            memory: 512 * MEBIBYTE,
            pids: 128,
            // What it asks is on loopback, and nobody else is to ask it.
            network: Network::Host,
            environment: BTreeMap::new(),
            probe: answers(&format!("http://{listens}/-/ready")),
            settle: Vec::new(),
        })
        .into(),
    ])
}
