use std::path::PathBuf;

use minijinja::{Value, context};

use super::GENERATION;
use super::headers::STATIC_POLICY;
use super::listen::listens;
use super::site::{site_values, upstream_name};
use crate::expand::Edge;
use crate::model::{Facts, Layout, NginxVersion};
use crate::stack::Stack;

/// What the template of a stack's servers is filled with.
pub(super) fn stack_values(stack: &Stack, facts: &Facts, layout: &Layout, edge: &Edge) -> Value {
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
        certificate => at(certificate.join("fullchain.pem")),
        key => at(certificate.join("key.pem")),
        logs => at(layout.logs.join(stack.name.as_str())),
        trusted => stack.proxy.trusted.iter().map(ToString::to_string).collect::<Vec<_>>(),
        policy => STATIC_POLICY,
        sites => stack.sites.iter().map(|site| site_values(stack, site, layout)).collect::<Vec<_>>(),
    }
}
