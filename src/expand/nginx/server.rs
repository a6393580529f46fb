use std::collections::BTreeMap;
use std::path::PathBuf;

use minijinja::{Value, context};

use super::GENERATION;
use super::listen::{has_plain_http, https_ports, listens};
use super::site::{container_upstream, site_values, status_upstream, upstream_name, zone};
use super::{errors, headers};
use crate::expand::Edge;
use crate::model::{CHAIN, Facts, HostPattern, KEY, Layout, NginxVersion};
use crate::stack::{HTTPS_PORT, Issuer, Limits, Site, SiteContent, Stack};

/// What the template of a stack's servers is filled with. `others` are the other stacks of the host.
pub(super) fn stack_values(
    stack: &Stack,
    others: &[&Stack],
    facts: &Facts,
    layout: &Layout,
    edge: &Edge,
) -> Value {
    let at = |path: PathBuf| path.to_string_lossy().into_owned();
    let certificate = layout.certificate(&stack.name);
    let upstream = |name: String, socket: PathBuf| {
        context! { name, server => format!("unix:{}", at(socket)) }
    };
    let apps = stack.apps.iter().map(|app| {
        let socket = layout.app_socket(&stack.name, &app.name);
        upstream(upstream_name(stack, &app.name), socket)
    });
    let page = stack
        .has_status_page()
        .then(|| upstream(status_upstream(stack), layout.status_socket()));
    let containers = stack.sites.iter().filter_map(|site| match &site.content {
        SiteContent::Container(role) => {
            let port = stack.container(role)?.observer?.port;
            let server = format!("127.0.0.1:{port}");
            Some((container_upstream(stack, role), server))
        }
        _ => None,
    });
    // Two sites may lead to one.
    let containers: BTreeMap<String, String> = containers.collect();
    let containers = containers
        .into_iter()
        .map(|(name, server)| context! { name, server });
    let upstreams: Vec<_> = apps.chain(page).chain(containers).collect();
    let ports = https_ports(stack, edge);
    let plain = has_plain_http(stack);
    let own_rate = |site: &&Site| site.limits.rate != Limits::default().rate;
    let zones: Vec<_> = stack
        .sites
        .iter()
        .filter(own_rate)
        .map(|site| context! { name => zone(stack, site), rate => site.limits.rate })
        .collect();
    context! {
        file => at(layout.stack_file(&stack.name)),
        upstreams,
        zones,
        names => names(stack, stack.hosts.iter()),
        default => stack.is_default_server(),
        generation => GENERATION,
        listen_http => if plain { listens(edge.http_port, facts, edge) } else { Vec::new() },
        listen_https => ports.iter().flat_map(|port| listens(*port, facts, edge)).collect::<Vec<_>>(),
        odd_ports => ports.iter().any(|port| *port != edge.https_port),
        https_suffix => https_suffix(&ports),
        // Without nginx the plan is for a release that is current.
        http2_on_listen => !facts.nginx.unwrap_or(NginxVersion(1, 25, 1)).has_http2_directive(),
        challenges => matches!(stack.issuer, Issuer::Acme(_)).then(|| format!("{}/", at(layout.challenges()))),
        certificate => at(certificate.join(CHAIN)),
        key => at(certificate.join(KEY)),
        logs => at(layout.logs.join(stack.name.as_str())),
        trusted => stack.proxy.trusted.iter().map(ToString::to_string).collect::<Vec<_>>(),
        hsts => headers::hsts(stack),
        handshake => handshake(stack, others),
        pages => errors::pages(stack, layout),
        page_headers => headers::of_error_pages(stack),
        starting => errors::starting(stack),
        starting_page => errors::starting_page(),
        servers => servers(stack, facts, layout),
    }
}

/// The port in an address, if it must be said.
fn https_suffix(ports: &[u16]) -> Value {
    match ports.first() {
        Some(port) if !ports.contains(&HTTPS_PORT) => format!(":{port}").into(),
        _ => Value::from_safe_string(String::new()),
    }
}

fn names<'a>(stack: &Stack, hosts: impl Iterator<Item = &'a HostPattern>) -> Vec<String> {
    if stack.is_default_server() {
        return vec!["_".to_owned()];
    }
    hosts
        .map(|host| match host {
            // As in a request's `Host`.
            HostPattern::Address(address) if address.is_ipv6() => format!("[{address}]"),
            host => host.to_string(),
        })
        .collect()
}

/// One server for the names that are shared, one for each that has sites for itself.
fn servers(stack: &Stack, facts: &Facts, layout: &Layout) -> Vec<Value> {
    let server = |names: Vec<String>, of: Option<&HostPattern>| {
        let sites = stack.sites.iter().filter(|site| site.host.as_ref() == of);
        let sites: Vec<_> = sites
            .map(|site| site_values(stack, site, facts, layout))
            .collect();
        context! { names, sites }
    };
    let mut servers = Vec::new();
    if stack.shared_hosts().next().is_some() {
        servers.push(server(names(stack, stack.shared_hosts()), None));
    }
    let own = |host: &&HostPattern| {
        stack
            .sites
            .iter()
            .any(|site| site.host.as_ref() == Some(host))
    };
    for host in stack.hosts.iter().filter(own) {
        servers.push(server(names(stack, std::iter::once(host)), Some(host)));
    }
    servers
}

/// Which names in the handshake are this stack's, where another could be meant: none if it is alone.
fn handshake(stack: &Stack, others: &[&Stack]) -> Option<Value> {
    let dns = |stacks: &[&Stack]| -> Vec<String> {
        let hosts = stacks.iter().flat_map(|stack| &stack.hosts);
        hosts
            .filter(|host| matches!(host, HostPattern::Dns(_)))
            .map(ToString::to_string)
            .collect()
    };
    let is_default = stack.is_default_server();
    let names = if is_default {
        dns(others)
    } else {
        dns(&[stack])
    };
    if is_default && names.is_empty() {
        return None;
    }
    // Addresses are not said in a handshake.
    let has_address = |host: &HostPattern| matches!(host, HostPattern::Address(_));
    Some(context! {
        variable => stack.name.as_str().replace('-', "_"),
        others => u8::from(is_default),
        unnamed => u8::from(is_default || stack.hosts.iter().any(has_address)),
        names,
    })
}
