//! nginx's files: one for all stacks, one for each, and one for whoever asks for none of them.

mod errors;
mod files;
mod headers;
mod listen;
mod main_conf;
mod server;
mod site;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use minijinja::{Value, context};

use super::Edge;
use super::emit::{EmitError, emit};
use crate::model::{CHAIN, Facts, HostPattern, KEY, Layout, Name};
use crate::resource::{NginxTree, ResourceId};
use crate::stack::{Limits, Stack};

pub(super) use errors::page_file;
pub(super) use files::{log_files, logrotate, password_files, unit_drop_in};
use listen::listens;
pub use main_conf::main_conf;
use server::stack_values;

/// Stands in the rendered files where the hash over all of them goes.
const GENERATION: &str = "tavern-generation-placeholder";

pub(super) fn id() -> ResourceId {
    ResourceId("nginx:sites".to_owned())
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
    let http = context! {
        rate => Limits::default().rate,
        long_names => has_long_names(stacks),
        app_headers => headers::app_headers(),
    };
    let mut files = BTreeMap::from([(
        layout.nginx.join("conf.d/tavern.conf"),
        emit("http.conf", &http)?,
    )]);
    let mut links = BTreeMap::new();
    let mut add = |name: String, text: String| {
        links.insert(enabled.join(&name), available.join(&name));
        files.insert(available.join(&name), text);
    };
    for stack in stacks {
        let others: Vec<&Stack> = stacks.iter().filter(|s| s.name != stack.name).collect();
        let text = emit(
            "stack.conf",
            &context! { stack => stack_values(stack, &others, facts, layout, edge) },
        )?;
        add(format!("tavern-{}.conf", stack.name), text);
    }
    if let Some(values) = default_values(stacks, facts, layout, edge) {
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
        ports: listen::all_ports(stacks, edge),
        claims_default: !stacks.is_empty(),
    }))
}

/// nginx's own tables take no name that is longer than some fifty characters.
fn has_long_names(stacks: &[Stack]) -> bool {
    let mut hosts = stacks.iter().flat_map(|stack| &stack.hosts);
    hosts.any(|host| host.to_string().len() > 40)
}

/// What the server is filled with that answers for nobody; none where every port has a stack for any name.
fn default_values(stacks: &[Stack], facts: &Facts, layout: &Layout, edge: &Edge) -> Option<Value> {
    let unclaimed = listen::unclaimed(stacks, edge);
    if !unclaimed.http && unclaimed.https.is_empty() {
        return None;
    }
    let has_address = |stack: &&Stack| {
        let mut hosts = stack.hosts.iter();
        hosts.any(|host| matches!(host, HostPattern::Address(_)))
    };
    // Of the stacks on a port, one at most is found by an address.
    let mut shown: BTreeMap<Option<&Name>, (Option<&Stack>, Vec<u16>)> = BTreeMap::new();
    for port in unclaimed.https {
        let is_there = |stack: &&Stack| listen::https_ports(stack, edge).contains(&port);
        let stack = stacks.iter().filter(has_address).find(is_there);
        let entry = shown.entry(stack.map(|stack| &stack.name));
        entry.or_insert((stack, Vec::new())).1.push(port);
    }
    let servers: Vec<_> = shown
        .into_values()
        .map(|(stack, ports)| {
            let file = |name: &str| {
                let file = layout.certificate(&stack?.name).join(name);
                Some(file.to_string_lossy().into_owned())
            };
            context! {
                listens => ports.iter().flat_map(|port| listens(*port, facts, edge)).collect::<Vec<_>>(),
                certificate => file(CHAIN),
                key => file(KEY),
                hsts => stack.map(headers::hsts).unwrap_or_default(),
            }
        })
        .collect();
    let http = unclaimed.http.then(|| listens(edge.http_port, facts, edge));
    Some(context! {
        listen_http => http.unwrap_or_default(),
        servers,
        generation_value => GENERATION,
    })
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

#[cfg(test)]
mod tests;
