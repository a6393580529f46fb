use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use minijinja::context;

use super::emit::{EmitError, emit};
use super::{app, backup, certificate, container, metrics, monitor, pages, status, supervisor};
use crate::model::{Facts, Layout, Mode, UfwFacts};
use crate::resource::{
    Binary, Content, Desired, Directory, File, Group, Keep, Link, Owner, Package, Resource,
    ResourceId,
};
use crate::stack::{Opening, Stack};

/// What every host needs before its stacks.
pub(super) fn resources(
    stacks: &[Stack],
    facts: &Facts,
    layout: &Layout,
) -> Result<Vec<Desired>, EmitError> {
    let mut desired: Vec<Desired> = packages(stacks, facts)
        .into_iter()
        .map(Desired::from)
        .collect();
    let directory = |path: PathBuf, mode| {
        Resource::Directory(Directory {
            path,
            mode: Mode(mode),
            owner: Owner::root(),
            keep: Keep::Managed,
        })
    };
    desired.extend(
        [
            directory(layout.state.clone(), 0o700),
            directory(layout.state.join("health"), 0o700),
            directory(layout.etc.clone(), 0o755),
            directory(layout.stacks(), 0o755),
            directory(layout.credentials(), 0o700),
            directory(layout.etc.join("tls"), 0o755),
            directory(layout.etc.join("htpasswd"), 0o755),
            directory(layout.etc.join("containers"), 0o755),
            // Minimal images come without these two.
            directory("/etc/sysusers.d".into(), 0o755),
            directory("/etc/tmpfiles.d".into(), 0o755),
        ]
        .map(Desired::from),
    );
    for stack in stacks {
        let shared = layout.credentials().join(stack.name.as_str());
        let own = stack
            .apps
            .iter()
            .map(|app| app::app_credentials(stack, app, layout))
            .filter(|own| *own != shared);
        desired.push(directory(shared.clone(), 0o700).into());
        desired.extend(own.map(|own| directory(own, 0o700).into()));
    }
    if !facts.binary_is_packaged {
        desired.push(Desired {
            resource: Resource::Binary(Binary {
                path: facts.binary.clone(),
            }),
            restarts: stacks
                .iter()
                .flat_map(app::services)
                .chain((!stacks.is_empty()).then(monitor::unit))
                .chain(supervisor::id(stacks))
                .chain(status::service_id(stacks))
                .chain(metrics::service_id(stacks))
                .collect(),
        });
    }
    desired.extend(shortcuts(stacks, &facts.binary));
    desired.extend(accounts_and_sockets(stacks, layout)?);
    desired.extend(pages::directories(stacks, layout));
    Ok(desired)
}

fn packages(stacks: &[Stack], facts: &Facts) -> Vec<Resource> {
    let needs_docker = stacks.iter().any(|stack| !stack.containers.is_empty());
    facts
        .missing_packages
        .iter()
        .filter(|name| needs_docker || !name.starts_with("docker"))
        .map(|name| Resource::Package(Package { name: name.clone() }))
        .chain(backup::packages(stacks, facts))
        .collect()
}

/// `check-flask` and `restart-flask`, the commands of the host this stack was modelled on.
fn shortcuts(stacks: &[Stack], binary: &Path) -> Vec<Desired> {
    let with_alias = stacks
        .iter()
        .flat_map(|stack| &stack.apps)
        .filter_map(|app| app.alias.as_ref());
    with_alias
        .filter(|alias| alias.as_str() == "flask-app")
        .flat_map(|_| ["check-flask", "restart-flask"])
        .map(|name| {
            Resource::Link(Link {
                path: Path::new("/usr/local/bin").join(name),
                target: binary.to_owned(),
            })
            .into()
        })
        .collect()
}

fn accounts_and_sockets(stacks: &[Stack], layout: &Layout) -> Result<Vec<Desired>, EmitError> {
    let all = || stacks.iter().flat_map(|stack| &stack.containers);
    // The others listen on loopback.
    let containers: Vec<_> = all()
        .filter(|one| one.kind.usual_port().is_none())
        .collect();
    let page = status::group(stacks);
    let groups: BTreeSet<String> = all()
        .map(container::group)
        .chain(page)
        .chain(metrics::group(stacks))
        .collect();
    let run = layout.run.to_string_lossy();
    let rows: Vec<_> = containers
        .iter()
        .map(|c| {
            let path = layout.container_run(c.name.as_str());
            context! { run => path.to_string_lossy(), group => container::group(c) }
        })
        .collect();
    let mut desired = Vec::new();
    if !groups.is_empty() {
        let text = emit(
            "sysusers.conf",
            &context! { groups => groups.iter().cloned().collect::<Vec<_>>() },
        )?;
        desired.push(managed("/etc/sysusers.d/tavern.conf".into(), 0o644, text));
        desired.extend(
            groups
                .into_iter()
                .map(|name| Resource::Group(Group { name })),
        );
    }
    let challenges = certificate::challenges(stacks, layout);
    let at_boot = challenges
        .is_some()
        .then(|| layout.challenges().to_string_lossy().into_owned());
    let text = emit(
        "tmpfiles.conf",
        &context! { run, containers => rows, challenges => at_boot, status => status::at_boot(stacks, layout) },
    )?;
    desired.push(managed("/etc/tmpfiles.d/tavern.conf".into(), 0o644, text));
    desired.push(Resource::Directory(Directory {
        path: layout.run.clone(),
        mode: Mode(0o755),
        owner: Owner::root(),
        keep: Keep::Managed,
    }));
    desired.extend(containers.iter().map(|c| {
        let owner = Owner::root_and(&container::group(c));
        Resource::Directory(Directory {
            path: layout.container_run(c.name.as_str()),
            mode: Mode(0o770),
            owner,
            keep: Keep::Managed,
        })
    }));
    desired.extend(status::directory(stacks, layout));
    desired.extend(challenges);
    Ok(desired.into_iter().map(Desired::from).collect())
}

/// A generated file that root owns.
pub(super) fn managed(path: PathBuf, mode: u32, text: String) -> Resource {
    Resource::File(File {
        path,
        mode: Mode(mode),
        owner: Owner::root(),
        content: Content::Text(text),
        keep: Keep::Managed,
    })
}

/// A directory of what others read.
pub(super) fn folder(path: PathBuf) -> Desired {
    Resource::Directory(Directory {
        path,
        mode: Mode(0o755),
        owner: Owner::root(),
        keep: Keep::Managed,
    })
    .into()
}

/// A generated file that makes something restart when it changes.
pub(super) fn managed_for(path: PathBuf, text: String, restarts: Vec<ResourceId>) -> Desired {
    Desired {
        resource: managed(path, 0o644, text),
        restarts,
    }
}

/// The firewall's openings, while ufw is active.
pub(super) fn openings(stacks: &[Stack], facts: &Facts) -> Vec<Desired> {
    if facts.ufw == UfwFacts::Inactive {
        return Vec::new();
    }
    let declared = || stacks.iter().flat_map(|stack| &stack.firewall);
    let public: BTreeSet<u16> = declared()
        .filter_map(|opening| match opening {
            Opening::Tcp(port) => Some(*port),
            Opening::Ssh => None,
        })
        .collect();
    let ssh: BTreeSet<u16> = declared()
        .filter(|opening| matches!(opening, Opening::Ssh))
        .flat_map(|_| facts.ssh_ports.iter().copied())
        .collect();
    let opening = |&port: &u16| crate::resource::Opening {
        port,
        public: public.contains(&port),
        ssh: ssh.contains(&port),
    };
    public
        .union(&ssh)
        .map(|port| Resource::Opening(opening(port)).into())
        .collect()
}
