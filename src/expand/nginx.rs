use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use minijinja::{Value, context};

use super::Edge;
use super::app::base_path;
use super::emit::{EmitError, emit};
use crate::model::{Facts, Layout, Mode, NginxVersion};
use crate::resource::{
    Content, Desired, File, Htpasswd, Keep, NginxTree, Owner, Resource, ResourceId,
};
use crate::stack::{Issuer, Require, Site, SiteContent, Stack};

/// Stands in the rendered files where the hash over all of them goes.
const GENERATION: &str = "tavern-generation-placeholder";

/// What static pages may load and who may frame them: their own host.
const STATIC_POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; frame-src 'self'; \
                             frame-ancestors 'self'; base-uri 'self'; form-action 'self'";

pub(super) fn id() -> ResourceId {
    ResourceId("nginx:sites".to_owned())
}

/// The password files of a stack's sites.
pub(super) fn password_files(stack: &Stack, layout: &Layout) -> Vec<Desired> {
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
pub(super) fn log_files(stack: &Stack, layout: &Layout) -> Vec<Desired> {
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

/// nginx's files and links for these stacks.
///
/// # Errors
/// When a value cannot be written in nginx's language.
pub fn tree(
    stacks: &[Stack],
    facts: &Facts,
    layout: &Layout,
    edge: &Edge,
) -> Result<NginxTree, EmitError> {
    let available = layout.nginx.join("sites-available");
    let enabled = layout.nginx.join("sites-enabled");
    let mut files = BTreeMap::from([(
        layout.nginx.join("conf.d/tavern.conf"),
        emit("http.conf", &context! {})?,
    )]);
    let mut links = BTreeMap::new();
    let mut add = |name: String, text: String| {
        links.insert(enabled.join(&name), available.join(&name));
        files.insert(available.join(&name), text);
    };
    for stack in stacks {
        let text = emit(
            "stack.conf",
            &context! { stack => stack_values(stack, facts, layout, edge) },
        )?;
        add(format!("tavern-{}.conf", stack.name), text);
    }
    let claims_default = stacks.iter().any(Stack::is_default_server);
    if !claims_default && !stacks.is_empty() {
        let values = context! {
            listen_http => listens(edge.http_port, facts, edge),
            listen_https => listens(edge.https_port, facts, edge),
            generation_value => GENERATION,
        };
        // No stack can have this name.
        add(
            "tavern-0-default.conf".into(),
            emit("default.conf", &values)?,
        );
    }
    Ok(told(NginxTree {
        files,
        links,
        generation: String::new(),
        http_port: edge.http_port,
        ports: vec![edge.http_port, edge.https_port],
        claims_default: !stacks.is_empty(),
    }))
}

/// Gives a tree the generation that its texts come to.
fn told(mut tree: NginxTree) -> NginxTree {
    tree.generation = hash(&tree.files, &tree.links);
    for text in tree.files.values_mut() {
        *text = text.replace(GENERATION, &tree.generation);
    }
    tree
}

/// A text of a tree as it would be in any other generation.
pub fn without_generation(tree: &NginxTree, text: &str) -> String {
    if tree.generation.is_empty() {
        return text.to_owned();
    }
    text.replace(&tree.generation, GENERATION)
}

/// The tree with its texts changed, and so of another generation.
///
/// # Errors
/// Those of `change`.
pub fn retold<E>(
    tree: &NginxTree,
    change: impl Fn(&Path, &str) -> Result<String, E>,
) -> Result<NginxTree, E> {
    let mut files = BTreeMap::new();
    for (path, text) in &tree.files {
        files.insert(path.clone(), change(path, &without_generation(tree, text))?);
    }
    Ok(told(NginxTree {
        files,
        ..tree.clone()
    }))
}

/// The whole of `nginx.conf` for `up`, which has no system nginx around it. Its paths must be plain words.
///
/// The workers of a master that root runs become `user`: without it they would not get into a private
/// directory. Another user's master has no choice, and warns if it is given one.
pub fn main_conf(layout: &Layout, user: Option<&str>) -> String {
    let at = |path: PathBuf| path.to_string_lossy().into_owned();
    let (logs, run) = (at(layout.logs.clone()), at(layout.run.clone()));
    let user = user.map_or_else(String::new, |user| format!("user {user} {user};\n"));
    format!(
        "{user}daemon off;\npid \"{run}/nginx.pid\";\nerror_log \"{logs}/error.log\";\nworker_processes 2;\n\
         events {{ worker_connections 1024; }}\nhttp {{\n    include /etc/nginx/mime.types;\n    \
         default_type application/octet-stream;\n    sendfile on;\n    access_log \"{logs}/access.log\";\n    \
         client_body_temp_path \"{run}/body\";\n    proxy_temp_path \"{run}/proxy\";\n    \
         fastcgi_temp_path \"{run}/fastcgi\";\n    uwsgi_temp_path \"{run}/uwsgi\";\n    scgi_temp_path \"{run}/scgi\";\n    \
         include \"{conf}/conf.d/*.conf\";\n    include \"{conf}/sites-enabled/*\";\n}}\n",
        conf = at(layout.nginx.clone()),
    )
}

fn hash(files: &BTreeMap<PathBuf, String>, links: &BTreeMap<PathBuf, PathBuf>) -> String {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for (path, text) in files {
        context.update(path.as_os_str().as_encoded_bytes());
        context.update(&[0]);
        context.update(text.as_bytes());
        context.update(&[0]);
    }
    for path in links.keys() {
        context.update(path.as_os_str().as_encoded_bytes());
        context.update(&[0]);
    }
    context.finish().as_ref()[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn listens(port: u16, facts: &Facts, edge: &Edge) -> Vec<String> {
    let (v4, v6) = if edge.loopback_only {
        ("127.0.0.1:", "[::1]:")
    } else {
        ("", "[::]:")
    };
    let mut listens = vec![format!("{v4}{port}")];
    if facts.ipv6 {
        listens.push(format!("{v6}{port}"));
    }
    listens
}

fn upstream_name(stack: &Stack, app: &crate::model::Name) -> String {
    format!("tavern_{}_{app}", stack.name)
}

fn stack_values(stack: &Stack, facts: &Facts, layout: &Layout, edge: &Edge) -> Value {
    let at = |path: PathBuf| path.to_string_lossy().into_owned();
    let certificate = layout.certificate(&stack.name);
    let upstreams: Vec<_> = stack
        .apps
        .iter()
        .map(|app| {
            let socket = at(layout.app_socket(&stack.name, &app.name));
            context! { name => upstream_name(stack, &app.name), server => format!("unix:{socket}") }
        })
        .collect();
    let names: Vec<_> = if stack.is_default_server() {
        vec!["_".to_owned()]
    } else {
        stack.hosts.iter().map(ToString::to_string).collect()
    };
    let https_suffix = if edge.https_port == 443 {
        String::new()
    } else {
        format!(":{}", edge.https_port)
    };
    context! {
        file => at(layout.stack_file(&stack.name)),
        upstreams,
        names,
        default => stack.is_default_server(),
        generation => GENERATION,
        listen_http => listens(edge.http_port, facts, edge),
        listen_https => listens(edge.https_port, facts, edge),
        https_suffix => if https_suffix.is_empty() { Value::from_safe_string(String::new()) } else { https_suffix.into() },
        // Without nginx the plan is for a release that is current.
        http2_on_listen => !facts.nginx.unwrap_or(NginxVersion(1, 25, 1)).has_http2_directive(),
        challenges => matches!(stack.issuer, Issuer::Acme(_)).then(|| format!("{}/", at(layout.challenges()))),
        certificate => at(certificate.join("fullchain.pem")),
        key => at(certificate.join("key.pem")),
        logs => at(layout.logs.join(stack.name.as_str())),
        policy => STATIC_POLICY,
        sites => stack.sites.iter().map(|site| site_values(stack, site, layout)).collect::<Vec<_>>(),
    }
}

fn site_values(stack: &Stack, site: &Site, layout: &Layout) -> Value {
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
