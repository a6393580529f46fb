use std::path::PathBuf;

use minijinja::{Value, context};

use crate::expand::app::base_path;
use crate::model::Layout;
use crate::stack::{Require, Site, SiteContent, Stack};

pub(super) fn upstream_name(stack: &Stack, app: &crate::model::Name) -> String {
    format!("tavern_{}_{app}", stack.name)
}

/// What the template of a site's locations is filled with.
pub(super) fn site_values(stack: &Stack, site: &Site, layout: &Layout) -> Value {
    let at = |path: PathBuf| path.to_string_lossy().into_owned();
    let access = site.access.as_ref();
    let htpasswd = access
        .filter(|access| !access.accounts.is_empty())
        .map(|_| at(layout.htpasswd(&stack.name, &site.name)));
    context! {
        logs => at(layout.logs.join(format!("{}-{}", stack.name, site.name))),
        satisfy_any => access.is_some_and(|access| access.require == Require::Any),
        allow => access.map(|access| access.allow.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap_or_default(),
        realm => format!("{} of {}", site.name, stack.name),
        htpasswd,
        locations => locations(stack, site, layout),
    }
}

/// The location blocks of a site. Nothing but access rules and content: a `return` would run before the rules.
fn locations(stack: &Stack, site: &Site, layout: &Layout) -> Vec<Value> {
    let prefix = site.path.prefix();
    let files = |directory: PathBuf| {
        let directory = directory.to_string_lossy().into_owned();
        if site.path.is_root() {
            return vec![location("/", Target::Root(directory))];
        }
        // The exact form has nginx itself redirect to the directory, after the access rules were asked.
        vec![
            exact(prefix, Target::Alias(directory.clone())),
            location(
                &format!("{prefix}/"),
                Target::Alias(format!("{directory}/")),
            ),
        ]
    };
    match &site.content {
        SiteContent::Seeded(name) => files(layout.site_root(&stack.name, name)),
        SiteContent::Directory(path) => files(path.clone()),
        SiteContent::App(name) => {
            let upstream = format!("http://{}", upstream_name(stack, name));
            let base = stack
                .app(name)
                .map(|app| base_path(stack, app))
                .unwrap_or_default();
            let base = base.trim_end_matches('/');
            let mut list = vec![location(
                &format!("{prefix}/"),
                Target::App(upstream.clone()),
            )];
            // Once, however many sites lead to the app: nginx refuses a location that is there twice.
            if prefix == base {
                let login = format!("{base}/auth/login");
                list.push(exact(&login, Target::Login(upstream.clone())));
            }
            if !prefix.is_empty() {
                list.push(exact(prefix, Target::App(upstream)));
            }
            list
        }
    }
}

enum Target {
    Root(String),
    Alias(String),
    App(String),
    Login(String),
}

fn location(path: &str, target: Target) -> Value {
    values(path, false, target)
}

fn exact(path: &str, target: Target) -> Value {
    values(path, true, target)
}

fn values(path: &str, exact: bool, target: Target) -> Value {
    let (is_root, is_login) = (
        matches!(target, Target::Root(_)),
        matches!(target, Target::Login(_)),
    );
    let (alias, upstream) = match target {
        Target::Root(directory) | Target::Alias(directory) => (Some(directory), None),
        Target::App(upstream) | Target::Login(upstream) => (None, Some(upstream)),
    };
    context! { path, exact, is_root, is_login, alias, upstream }
}
