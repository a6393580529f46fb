use std::collections::BTreeMap;
use std::path::PathBuf;

use minijinja::context;

use super::super::base::{folder, managed_for};
use super::super::emit::{EmitError, emit};
use super::{MEBIBYTE, answers, group, image_and_volume};
use crate::model::{HostPattern, Layout, Mode};
use crate::resource::{
    self, Content, Desired, File, Keep, Mount, Network, Owner, Resource, ResourceId, Secret,
    SecretKind,
};
use crate::stack::{Container, ContainerKind, HTTPS_PORT, SiteContent, Stack};

/// The uid of `grafana` in the official image.
const GRAFANA_UID: u32 = 472;
const CONFIGURATION: &str = "/etc/grafana";
/// Grafana's own language: its braces are not ours.
const DASHBOARD: &str = include_str!("../../../provision/grafana/dashboard.json");

/// Where it is asked for: the path below its site, without the last slash, and the whole address.
fn place(stack: &Stack, container: &Container) -> (String, String, String) {
    let is_its =
        |site: &&crate::stack::Site| site.content == SiteContent::Container(container.role.clone());
    let port = container.observer.map_or(0, |one| one.port);
    let Some(site) = stack.sites.iter().find(is_its) else {
        let root = format!("http://localhost:{port}/");
        return (String::new(), "localhost".to_owned(), root);
    };
    let host = match stack.host_of(site) {
        Some(HostPattern::Dns(name)) => name.to_string(),
        _ => "localhost".to_owned(),
    };
    let prefix = site.path.prefix().to_owned();
    let suffix = match stack.ports.first() {
        Some(port) if !stack.ports.contains(&HTTPS_PORT) => format!(":{port}"),
        _ => String::new(),
    };
    let root = format!("https://{host}{suffix}{prefix}/");
    (prefix, host, root)
}

pub(super) fn resources(
    stack: &Stack,
    container: &Container,
    layout: &Layout,
) -> Result<Vec<Desired>, EmitError> {
    let Some(observer) = container.observer else {
        return Ok(Vec::new());
    };
    let mut all = stack.containers.iter();
    let prometheus = all.find(|one| one.kind == ContainerKind::Prometheus);
    let source = prometheus
        .and_then(|one| one.observer)
        .map_or(9090, |one| one.port);
    let directory = layout.container(container.name.as_str());
    let at = |name: &str| directory.join(name);
    let restarts = || vec![ResourceId(format!("container:{}", container.name))];
    let (prefix, domain, root) = place(stack, container);
    let values = context! {
        file => layout.stack_file(&stack.name).to_string_lossy(),
        port => observer.port,
        domain,
        site => root.starts_with("https:"),
        root,
        prometheus => format!("127.0.0.1:{source}"),
        dashboards => format!("{CONFIGURATION}/dashboards"),
    };
    let file = |path: &str, template: &'static str| -> Result<Desired, EmitError> {
        Ok(managed_for(at(path), emit(template, &values)?, restarts()))
    };
    let secrets = ["admin-password", "secret-key"].map(|name| {
        let credential = layout.credential(&stack.name, &format!("grafana-{name}"));
        (credential, at(name))
    });
    let mut desired: Vec<Desired> = FOLDERS
        .map(|name| {
            folder(if name.is_empty() {
                directory.clone()
            } else {
                at(name)
            })
        })
        .into();
    desired.extend([
        file("grafana.ini", "grafana.ini")?,
        file("provisioning/datasources/tavern.yml", "datasource.yml")?,
        file("provisioning/dashboards/tavern.yml", "dashboards.yml")?,
        managed_for(
            at("dashboards/tavern.json"),
            DASHBOARD.to_owned(),
            restarts(),
        ),
    ]);
    for (credential, copy) in secrets {
        desired.extend(secret(stack, container, layout, credential, copy));
    }
    let ready = answers(&format!(
        "http://127.0.0.1:{}{prefix}/api/health",
        observer.port
    ));
    let [image, volume] = image_and_volume(stack, container);
    desired.extend([
        image,
        volume,
        Resource::Container(resource::Container {
            name: container.name.to_string(),
            stack: stack.name.to_string(),
            image: container.image.clone(),
            command: Vec::new(),
            uid: GRAFANA_UID,
            group: group(container),
            mounts: vec![
                Mount::Volume {
                    name: container.volume.clone(),
                    target: "/var/lib/grafana".into(),
                },
                Mount::Bind {
                    source: directory,
                    target: CONFIGURATION.into(),
                    writable: false,
                },
                Mount::Memory {
                    target: "/tmp".into(),
                },
            ],
            memory: 512 * MEBIBYTE,
            pids: 256,
            // What it asks is on loopback, and so is whoever asks it: nginx.
            network: Network::Host,
            environment: BTreeMap::from(
                [
                    ("GF_SECURITY_ADMIN_PASSWORD__FILE", "admin-password"),
                    ("GF_SECURITY_SECRET_KEY__FILE", "secret-key"),
                ]
                .map(|(name, file)| (name.to_owned(), format!("{CONFIGURATION}/{file}"))),
            ),
            // Its password is of its first start: there is nothing to be put right later.
            settle: ready.argv.clone(),
            probe: ready,
        })
        .into(),
    ]);
    Ok(desired)
}

/// Some are empty: Grafana complains of those that it does not find.
const FOLDERS: [&str; 7] = [
    "",
    "dashboards",
    "provisioning",
    "provisioning/datasources",
    "provisioning/dashboards",
    "provisioning/plugins",
    "provisioning/alerting",
];

/// A credential that is made once, and a copy that the container's group may read.
fn secret(
    stack: &Stack,
    container: &Container,
    layout: &Layout,
    credential: PathBuf,
    copy: PathBuf,
) -> [Desired; 2] {
    let copy = Resource::File(File {
        path: copy,
        mode: Mode(0o640),
        owner: Owner::root_and(&group(container)),
        content: Content::Password(credential.clone()),
        keep: Keep::Managed,
    });
    let made = Desired {
        resource: Resource::Secret(Secret {
            path: credential,
            kind: SecretKind::Key,
            passwords: layout.passwords(&stack.name),
            moved_from: None,
        }),
        restarts: vec![copy.id()],
    };
    let copied = Desired {
        resource: copy,
        restarts: vec![ResourceId(format!("container:{}", container.name))],
    };
    [made, copied]
}
