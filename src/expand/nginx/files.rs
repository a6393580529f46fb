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
    let own = [
        format!("{}.access", stack.name),
        format!("{}.error", stack.name),
    ];
    let redirect = [format!("{}-redirect.access", stack.name)];
    let sites = stack.sites.iter().flat_map(|site| {
        ["access", "error"].map(|kind| format!("{}-{}.{kind}", stack.name, site.name))
    });
    own.into_iter()
        .chain(redirect)
        .chain(sites)
        .map(|stem| {
            // As Debian's own logs, and as its rotation makes them.
            let file = File {
                path: layout.logs.join(format!("{stem}.log")),
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
