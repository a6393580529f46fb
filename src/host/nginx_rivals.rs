use std::path::{Path, PathBuf};

use super::nginx::ETC;
use super::{Files, HostError};
use crate::resource::{MARKER, NginxTree, PathState, Rival};

/// A server block of somebody else's configuration, as far as it matters to us.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ForeignServer {
    /// Ports it listens on.
    pub(super) ports: Vec<u16>,
    /// It says `default_server`.
    pub(super) is_default: bool,
    /// Its names.
    pub(super) names: Vec<String>,
}

impl ForeignServer {
    /// It answers to whatever name comes: no name, `_`, or an address.
    pub(super) fn is_catch_all(&self) -> bool {
        self.is_default
            || self.names.iter().all(|name| {
                name == "_" || name.is_empty() || name.parse::<std::net::IpAddr>().is_ok()
            })
    }
}

/// The server blocks of a configuration text. Lenient: what cannot be read is left out,
/// because nginx itself judges the whole afterwards.
pub(super) fn servers(text: &str) -> Vec<ForeignServer> {
    let words = words(text);
    let mut servers = Vec::new();
    let mut depth = 0_usize;
    let mut current: Option<(usize, ForeignServer)> = None;
    let mut directive: Vec<&str> = Vec::new();
    for word in &words {
        match word.as_str() {
            "{" => {
                if directive == ["server"] {
                    current = Some((depth, ForeignServer::default()));
                }
                depth += 1;
                directive.clear();
            }
            "}" => {
                depth = depth.saturating_sub(1);
                if current.as_ref().is_some_and(|(at, _)| *at == depth)
                    && let Some((_, server)) = current.take()
                {
                    servers.push(server);
                }
                directive.clear();
            }
            ";" => {
                if let Some((at, server)) = &mut current
                    && depth == *at + 1
                {
                    note(server, &directive);
                }
                directive.clear();
            }
            word => directive.push(word),
        }
    }
    for server in &mut servers {
        if server.ports.is_empty() {
            server.ports.push(80); // nginx's default when there is no `listen`
        }
    }
    servers
}

fn note(server: &mut ForeignServer, directive: &[&str]) {
    match directive {
        ["listen", endpoint, options @ ..] => {
            if !endpoint.starts_with("unix:") {
                let port = endpoint
                    .rsplit(':')
                    .next()
                    .and_then(|port| port.parse().ok())
                    .unwrap_or(80);
                server.ports.push(port);
            }
            server.is_default |= options
                .iter()
                .any(|option| matches!(*option, "default_server" | "default"));
        }
        ["server_name", names @ ..] => server
            .names
            .extend(names.iter().map(|name| (*name).to_owned())),
        _ => {}
    }
}

/// nginx's lexical rules: words, quotes, `{` `}` `;`, comments.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '#' if word.is_empty() => while chars.next_if(|c| *c != '\n').is_some() {},
            '"' | '\'' if word.is_empty() => {
                let mut quoted = String::new();
                while let Some(inner) = chars.next() {
                    match inner {
                        '\\' => quoted.extend(chars.next()),
                        end if end == c => break,
                        other => quoted.push(other),
                    }
                }
                words.push(quoted);
            }
            '\\' => word.extend(chars.next()),
            // `${name}` is a variable, not a block.
            '{' if word.ends_with('$') => word.push(c),
            '}' if word.contains("${") => word.push(c),
            '{' | '}' | ';' => {
                words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
                words.push(c.to_string());
            }
            c if c.is_whitespace() => {
                words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)))
            }
            c => word.push(c),
        }
    }
    words
}

/// Whether a name in a directory is one that Debian's nginx.conf includes.
pub(super) fn is_included(path: &Path) -> bool {
    let hidden = path
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let in_conf_d = path.parent().is_some_and(|dir| dir.ends_with("conf.d"));
    !hidden
        && (!in_conf_d
            || path
                .extension()
                .is_some_and(|extension| extension == "conf"))
}

/// Enabled sites of others that would take our requests.
pub(super) fn rivals(files: &dyn Files, tree: &NginxTree) -> Result<Vec<Rival>, HostError> {
    if !tree.claims_default {
        return Ok(Vec::new());
    }
    let mut rivals = Vec::new();
    for directory in ["sites-enabled", "conf.d"] {
        for path in files.list(&Path::new(ETC).join(directory))? {
            let ours = tree.files.contains_key(&path) || tree.links.contains_key(&path);
            if !ours && is_included(&path) && !is_ours(files, &path)? {
                rivals.extend(rival(files, &path, &tree.ports)?);
            }
        }
    }
    Ok(rivals)
}

/// Files and links of ours that this tree no longer has.
pub(super) fn stale(files: &dyn Files, tree: &NginxTree) -> Result<Vec<PathBuf>, HostError> {
    let mut stale = Vec::new();
    // Links first: what is enabled must never point to nothing.
    for directory in ["sites-enabled", "sites-available", "conf.d"] {
        for path in files.list(&Path::new(ETC).join(directory))? {
            let wanted = tree.files.contains_key(&path) || tree.links.contains_key(&path);
            if !wanted && is_ours(files, &path)? {
                stale.push(path);
            }
        }
    }
    Ok(stale)
}

fn rival(files: &dyn Files, path: &Path, ports: &[u16]) -> Result<Option<Rival>, HostError> {
    let text = files.read(path)?.unwrap_or_default();
    let found = servers(&String::from_utf8_lossy(&text));
    let in_the_way = found
        .iter()
        .find(|server| server.is_catch_all() && server.ports.iter().any(|p| ports.contains(p)));
    Ok(in_the_way.map(|server| Rival {
        path: path.to_owned(),
        reason: format!(
            "{} on port {}",
            if server.is_default {
                "the default server"
            } else {
                "answers to any name"
            },
            server
                .ports
                .iter()
                .find(|p| ports.contains(p))
                .copied()
                .unwrap_or_default()
        ),
        is_package_default: is_package_default(files, path),
    }))
}

/// By name and mark: `tavern-*.conf` whose first words are ours, or a link to where such a file was.
fn is_ours(files: &dyn Files, path: &Path) -> Result<bool, HostError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if !name.starts_with("tavern-") || !name.ends_with(".conf") {
        return Ok(false);
    }
    Ok(match files.read(path)? {
        Some(text) => text.starts_with(format!("# {MARKER}").as_bytes()),
        None => true,
    })
}

/// Debian's package enables `default` by a link to its own file.
fn is_package_default(files: &dyn Files, path: &Path) -> bool {
    path == Path::new("/etc/nginx/sites-enabled/default")
        && matches!(
            files.state(path),
            Ok(PathState::Link { target }) if target == Path::new("/etc/nginx/sites-available/default")
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOMEWORK: &str = r#"
        # the hand-made host
        server { listen 80; server_name _; return 301 https://$host$request_uri; }
        server {
            listen 443 ssl; listen [::]:443 ssl;
            server_name 192.0.2.7;
            location /open { alias /var/www/site1; }
            location ~ \.php$ { set $x "${y};{"; }
        }
        server { listen 127.0.0.1:8080; server_name other.example; }
        server { server_name "" named.example; listen unix:/run/x.sock; listen 443 ssl default_server; }
    "#;

    #[test]
    fn reads_ports_names_and_defaults() {
        let found = servers(HOMEWORK);
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].is_catch_all() && found[0].ports == [80]);
        assert!(found[1].is_catch_all() && found[1].ports == [443, 443]);
        assert!(!found[2].is_catch_all() && found[2].ports == [8080]);
        assert!(found[3].is_default && found[3].ports == [443]);
    }

    #[test]
    fn junk_does_not_panic() {
        for text in ["}}}", "server {", "\"", "server { listen", "\\", "#"] {
            let _ = servers(text);
        }
    }
}
