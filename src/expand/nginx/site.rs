use std::path::PathBuf;

use minijinja::{Value, context};

use super::headers;
use crate::expand::app::base_path;
use crate::model::{Facts, Layout};
use crate::stack::{Limits, Redirect, Require, Site, SiteContent, Stack};

pub(super) fn upstream_name(stack: &Stack, app: &crate::model::Name) -> String {
    format!("tavern_{}_{app}", stack.name)
}

/// No app has this name.
pub(super) fn status_upstream(stack: &Stack) -> String {
    format!("tavern_{}__status", stack.name)
}

/// Nor this one.
pub(super) fn container_upstream(stack: &Stack, role: &crate::model::Name) -> String {
    format!("tavern_{}__container_{role}", stack.name)
}

/// What the template of a site's locations is filled with.
pub(super) fn site_values(stack: &Stack, site: &Site, facts: &Facts, layout: &Layout) -> Value {
    let at = |path: PathBuf| path.to_string_lossy().into_owned();
    let access = site.access.as_ref();
    let htpasswd = access
        .filter(|access| !access.accounts.is_empty())
        .map(|_| at(layout.htpasswd(&stack.name, &site.name)));
    let limits = site.limits;
    context! {
        logs => at(layout.logs.join(format!("{}-{}", stack.name, site.name))),
        body => limits.body.to_string(),
        connections => limits.connections,
        zone => zone(stack, site),
        burst => limits.burst,
        websocket => site.websocket,
        satisfy_any => access.is_some_and(|access| access.require == Require::Any),
        allow => access.map(|access| access.allow.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap_or_default(),
        realm => format!("{} of {}", site.name, stack.name),
        htpasswd,
        headers => headers::of_site(stack, site),
        hidden => site.headers.keys().map(ToString::to_string).collect::<Vec<_>>(),
        gzip_static => !facts.lacks_gzip_static,
        cache => !headers::says(&site.headers, "cache-control"),
        locations => locations(stack, site, layout),
    }
}

/// Where requests to a site are counted: with all others, unless it has a rate of its own.
pub(super) fn zone(stack: &Stack, site: &Site) -> String {
    if site.limits.rate == Limits::default().rate {
        "tavern_requests".to_owned()
    } else {
        format!("tavern_{}_{}", stack.name, site.name)
    }
}

/// The location blocks of a site. Nothing but access rules and content: a `return` would run before the rules,
/// so a redirect has none.
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
        SiteContent::Redirect(redirect) => {
            let target = || Target::Redirect(redirect.clone());
            if site.path.is_root() {
                return vec![location("/", target())];
            }
            vec![
                exact(prefix, target()),
                location(&format!("{prefix}/"), target()),
            ]
        }
        // nginx itself sends whoever leaves out the last slash to it.
        SiteContent::Status => {
            let upstream = format!("http://{}", status_upstream(stack));
            vec![location(&format!("{prefix}/"), Target::Status(upstream))]
        }
        // It knows below which path it is.
        SiteContent::Container(role) => {
            let upstream = format!("http://{}", container_upstream(stack, role));
            let mut list = vec![location(
                &format!("{prefix}/"),
                Target::App(upstream.clone()),
            )];
            if !prefix.is_empty() {
                list.push(exact(prefix, Target::App(upstream)));
            }
            list
        }
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
            let login = format!("{base}/auth/login");
            if site_of(stack, site, &login).is_some_and(|owner| owner == site) && prefix != login {
                list.push(exact(&login, Target::Login(upstream.clone())));
            }
            if !prefix.is_empty() {
                list.push(exact(prefix, Target::App(upstream)));
            }
            list
        }
    }
}

/// The site that a path belongs to beside `beside`: an exact location must have the rules that the path had without it,
/// and be there once, since nginx refuses one that is there twice.
fn site_of<'s>(stack: &'s Stack, beside: &Site, path: &str) -> Option<&'s Site> {
    let covers = |site: &&Site| {
        let rest = path.strip_prefix(site.path.prefix());
        site.host == beside.host
            && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let sites = stack.sites.iter().filter(covers);
    sites.max_by_key(|site| site.path.prefix().len())
}

enum Target {
    Root(String),
    Alias(String),
    App(String),
    Login(String),
    Status(String),
    Redirect(Redirect),
}

fn location(path: &str, target: Target) -> Value {
    values(path, false, target)
}

fn exact(path: &str, target: Target) -> Value {
    values(path, true, target)
}

fn values(path: &str, exact: bool, target: Target) -> Value {
    let is_root = matches!(target, Target::Root(_));
    let is_login = matches!(target, Target::Login(_));
    let is_stream = matches!(target, Target::Status(_));
    let (alias, upstream, redirect) = match target {
        Target::Root(directory) | Target::Alias(directory) => (Some(directory), None, None),
        Target::App(upstream) | Target::Login(upstream) | Target::Status(upstream) => {
            (None, Some(upstream), None)
        }
        Target::Redirect(redirect) => {
            let to = redirect.to.to_string();
            let keeps_path = redirect.to.keeps_path();
            let redirect = context! { status => redirect.status, to, keeps_path };
            (None, None, Some(redirect))
        }
    };
    let has_files = !exact && !is_stream;
    context! { path, exact, has_files, is_root, is_login, is_stream, alias, upstream, redirect }
}
