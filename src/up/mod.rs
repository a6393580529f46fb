//! A stack in the foreground, for anybody: below one private directory, on loopback, with the embedded
//! store, and nothing left when it ends. The same templates, pages and probes as on an installed host.

mod error;
mod place;
mod ports;
mod program;
mod ready;
mod run;
mod secret;
mod web_server;

use std::path::{Path, PathBuf};

use crate::expand::{self, Edge};
use crate::host::{Events, Host, PrivateDir};
use crate::model::{Facts, HostPattern, Layout};
use crate::stack::{self, Stack};

pub use error::UpError;
pub use ports::{HTTP_PORT, HTTPS_PORT, PortWish};
pub use run::Running;

/// The password of every app account. For loopback only, so it may be known.
pub const APP_PASSWORD: &str = "password";

/// The password of every site account. For loopback only, so it may be known.
pub const SITE_PASSWORD: &str = "homework";

/// What was asked for.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The stack file; the counter stack if none.
    pub stack_file: Option<PathBuf>,
    /// A directory that stays; a passing one if none.
    pub dir: Option<PathBuf>,
    /// The port in the clear.
    pub http_port: PortWish,
    /// The port with TLS.
    pub https_port: PortWish,
}

/// A stack whose files are in place.
pub struct Placed {
    pub(crate) dir: PrivateDir,
    pub(crate) layout: Layout,
    pub(crate) stack: Stack,
    pub(crate) edge: Edge,
    pub(crate) generation: String,
    pub(crate) version: crate::model::NginxVersion,
}

/// Writes all that the stack needs below its directory. `say` hears of what takes long.
///
/// # Errors
/// The first thing that stands in the way, with what to do about it.
pub fn place(
    host: &Host,
    wish: &Wish,
    events: &Events,
    say: &dyn Fn(&str),
) -> Result<Placed, UpError> {
    let stack = adapted(read_stack(host, wish.stack_file.as_deref())?);
    if let Some(path) = &wish.dir {
        // Before it is made, and again when its real path is known.
        check_paths(&std::path::absolute(path).unwrap_or_default(), &stack)?;
    }
    let (http_port, https_port) = ports::choose(host, wish.http_port, wish.https_port)?;
    let nginx = web_server::ensure(host, events, say)?;
    let dir = match &wish.dir {
        Some(path) => PrivateDir::at(path).map_err(UpError::directory)?,
        None => PrivateDir::fresh().map_err(UpError::directory)?,
    };
    let layout = Layout::private(dir.path());
    check_paths(dir.path(), &stack)?;
    let edge = Edge {
        http_port,
        https_port,
        loopback_only: true,
    };
    let facts = Facts {
        ipv4: host.net.has_ipv4(),
        ipv6: host.net.has_ipv6(),
        nginx: Some(nginx.version),
        lacks_gzip_static: !nginx.has_gzip_static,
        // Units are expanded too, and left out: there is no systemd here.
        binary: "tavernctl".into(),
        binary_is_packaged: true,
        ..Facts::default()
    };
    let desired = expand::expand(std::slice::from_ref(&stack), &facts, &layout, &edge)?;
    let generation = place::write(host, dir.path(), &layout, &desired)?;
    Ok(Placed {
        dir,
        layout,
        stack,
        edge,
        generation,
        version: nginx.version,
    })
}

fn read_stack(host: &Host, file: Option<&Path>) -> Result<Stack, UpError> {
    let Some(path) = file else {
        let path = Path::new("counter.toml");
        return Ok(stack::parse(path, stack::DEFAULT.as_bytes())?);
    };
    let bytes = host.files.read(path)?.ok_or_else(|| {
        UpError::refused(
            format!("there is no stack file {}", path.display()),
            "without one, `tavernctl up` runs the counter stack",
        )
    })?;
    Ok(stack::parse(path, &bytes)?)
}

/// The stack without what only a managed host has: containers, units' aliases, names of its own.
fn adapted(mut stack: Stack) -> Stack {
    stack.hosts = vec![HostPattern::Any];
    stack.ports = vec![stack::HTTPS_PORT];
    // Browsers would be told to insist on a certificate that is gone with it.
    stack.issuer = stack::Issuer::SelfSigned;
    // Of the sites that differ by name alone, the one at the shared names, or else the first.
    stack.sites.sort_by_key(|site| site.host.is_some());
    let mut paths = std::collections::BTreeSet::new();
    stack.sites.retain_mut(|site| {
        site.host = None;
        // Nobody watches over a stack in the foreground.
        let is_there = !matches!(
            site.content,
            stack::SiteContent::Status | stack::SiteContent::Container(_)
        );
        is_there && paths.insert(site.path.prefix().to_owned())
    });
    stack.containers.clear();
    for app in &mut stack.apps {
        app.needs.clear();
        app.alias = None;
    }
    stack
}

/// The longest path that fits `sockaddr_un`.
const SOCKET_PATH_LIMIT: usize = 107;

/// Paths go into nginx's configuration, and sockets have little room.
fn check_paths(dir: &Path, stack: &Stack) -> Result<(), UpError> {
    let layout = Layout::private(dir);
    let plain = |c: char| c.is_ascii_alphanumeric() || "._~/:@+=,-".contains(c);
    match dir.to_str() {
        Some(text) if text.chars().all(plain) => {}
        _ => {
            return Err(UpError::refused(
                format!(
                    "the directory {dir:?} has characters in its path that nginx's configuration has no room for"
                ),
                "name one of ASCII letters, digits and ._~/:@+=,- with `--dir`",
            ));
        }
    }
    for app in &stack.apps {
        let socket = layout.app_socket(&stack.name, &app.name);
        let length = socket.as_os_str().len();
        if length > SOCKET_PATH_LIMIT {
            return Err(UpError::refused(
                format!(
                    "the socket's path would have {length} bytes, and the kernel allows {SOCKET_PATH_LIMIT}: {}",
                    socket.display()
                ),
                "name a directory with a shorter path, such as `--dir /tmp/counter`",
            ));
        }
    }
    Ok(())
}
