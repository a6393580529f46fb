use std::path::PathBuf;

use minijinja::context;

use crate::expand::base::{folder, managed, managed_for};
use crate::expand::emit::{EmitError, emit};
use crate::model::{Layout, Mode};
use crate::resource::{Content, Desired, File, Htpasswd, Keep, Owner, Resource};
use crate::stack::Stack;

/// The password files of a stack's sites.
pub(in crate::expand) fn password_files(stack: &Stack, layout: &Layout) -> Vec<Desired> {
    let mut desired = Vec::new();
    for site in &stack.sites {
        let Some(access) = site
            .access
            .as_ref()
            .filter(|access| !access.accounts.is_empty())
        else {
            continue;
        };
        let htpasswd = Htpasswd {
            path: layout.htpasswd(&stack.name, &site.name),
            accounts: access.accounts.iter().map(ToString::to_string).collect(),
            passwords: layout.passwords(&stack.name),
            heading: format!("site {}", site.name),
            mode: Mode(0o640),
            owner: Owner::root_and("www-data"),
        };
        desired.push(Desired {
            resource: Resource::Htpasswd(htpasswd),
            restarts: Vec::new(),
        });
    }
    desired
}

/// The logs, made before nginx would make them readable by everybody: they hold visitors' addresses.
pub(in crate::expand) fn log_files(stack: &Stack, layout: &Layout) -> Vec<Desired> {
    let redirect = [layout
        .logs
        .join(format!("{}-redirect.access.log", stack.name))];
    let lines = stems(stack).flat_map(|stem| {
        ["access", "error"].map(|kind| layout.logs.join(format!("{stem}.{kind}.log")))
    });
    let objects = json_logs(stack, layout);
    redirect
        .into_iter()
        .chain(lines)
        .chain(objects)
        .map(|path| {
            // As Debian's own logs, and as its rotation makes them.
            let file = File {
                path,
                mode: Mode(0o640),
                owner: Owner {
                    user: "www-data".into(),
                    group: "adm".into(),
                },
                content: Content::Text(String::new()),
                keep: Keep::Seeded,
            };
            Resource::File(file).into()
        })
        .collect()
}

/// The stack's own, and one for each site.
fn stems(stack: &Stack) -> impl Iterator<Item = String> {
    let sites = stack
        .sites
        .iter()
        .map(|site| format!("{}-{}", stack.name, site.name));
    std::iter::once(stack.name.to_string()).chain(sites)
}

fn json_logs(stack: &Stack, layout: &Layout) -> impl Iterator<Item = PathBuf> {
    stems(stack).map(|stem| layout.logs.join(format!("{stem}.access.json")))
}

/// How the JSON logs are rotated. nginx's own rule is for `*.log`, and takes the others.
pub(in crate::expand) fn logrotate(
    stacks: &[Stack],
    layout: &Layout,
) -> Result<Vec<Desired>, EmitError> {
    if stacks.is_empty() {
        return Ok(Vec::new());
    }
    let logs: Vec<String> = stacks
        .iter()
        .flat_map(|stack| json_logs(stack, layout))
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    let text = emit("logrotate.conf", &context! { logs })?;
    let file = managed("/etc/logrotate.d/tavern".into(), 0o644, text);
    Ok(vec![folder("/etc/logrotate.d".into()), file.into()])
}

/// What nginx.service gets beside what Debian says in it.
pub(in crate::expand) fn unit_drop_in(layout: &Layout) -> Result<Vec<Desired>, EmitError> {
    let place = layout.units.join("nginx.service.d");
    let file = place.join("tavern.conf");
    let text = emit("nginx.conf", &context! {})?;
    // nginx's step has systemd read it; a restart is never asked for.
    Ok(vec![
        folder(place),
        managed_for(file, text, vec![super::id()]),
    ])
}
