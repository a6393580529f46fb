use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::generations::Snapshot;
use super::{Engine, EngineError};
use crate::host::Files;
use crate::model::{HostPattern, Layout};
use crate::resource::{MARKER, NginxTree, PathState};
use crate::stack::{DEFAULT, Stack, parse};

/// A stack with the file it came from.
#[derive(Debug, Clone)]
pub struct NamedStack {
    /// The stack.
    pub stack: Stack,
    /// The file's bytes.
    pub source: Vec<u8>,
    /// Whether the file is on the host already.
    pub on_host: bool,
}

/// Reads every stack file of the host, checked one by one and against each other.
///
/// # Errors
/// The first fault.
pub fn load_stacks(files: &dyn Files, layout: &Layout) -> Result<Vec<NamedStack>, EngineError> {
    let mut stacks = Vec::new();
    for path in files.list(&layout.stacks())? {
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden || path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let source = source(files, &path)?;
        stacks.push(NamedStack {
            stack: parse(&path, &source)?,
            source,
            on_host: true,
        });
    }
    clashes(&stacks)?;
    Ok(stacks)
}

/// The stacks of a snapshot; `place` is where its files lie.
pub(super) fn parse_stacks(
    place: &Path,
    snapshot: &Snapshot,
) -> Result<Vec<NamedStack>, EngineError> {
    let mut stacks = Vec::new();
    let sources = snapshot.files.iter();
    for (name, source) in sources.filter(|(name, _)| name.starts_with("stacks/")) {
        stacks.push(NamedStack {
            stack: parse(&place.join(name), source)?,
            source: source.clone(),
            on_host: true,
        });
    }
    clashes(&stacks)?;
    Ok(stacks)
}

/// The bytes of a stack file. Only of a regular one: a link would let whoever owns its target decide what root
/// sets up, and a fifo would be waited on for ever.
fn source(files: &dyn Files, path: &Path) -> Result<Vec<u8>, EngineError> {
    let what = match files.state(path)? {
        PathState::File { content, .. } => return Ok(content),
        PathState::Link { target } => format!("a link to {}", target.display()),
        PathState::Directory { .. } => "a directory".to_owned(),
        PathState::Other => "a socket, fifo or device".to_owned(),
        PathState::Absent => "gone since a moment ago".to_owned(),
    };
    Err(EngineError::NotReady {
        what: format!("{} is {what}, not a stack file", path.display()),
        help: "put the file itself there, or move that away; then run it again".into(),
    })
}

/// What may exist once on a host but is named in two stacks.
pub(super) fn clashes(stacks: &[NamedStack]) -> Result<(), EngineError> {
    let mut seen = std::collections::BTreeMap::new();
    for NamedStack { stack, .. } in stacks {
        let things = stack
            .containers
            .iter()
            .flat_map(|c| {
                [
                    format!("container `{}`", c.name),
                    format!("volume `{}`", c.volume),
                ]
            })
            .chain(
                stack
                    .apps
                    .iter()
                    .filter_map(|app| app.alias.as_ref())
                    .map(|alias| format!("alias `{alias}`")),
            )
            .chain(host_claims(stack))
            .chain(loopback_ports(stack))
            // Names that are joined with dashes may be the same though their parts are not.
            .chain(
                stack
                    .apps
                    .iter()
                    .map(|app| format!("unit `{}`", Layout::unit_stem(&stack.name, &app.name))),
            )
            .chain(log_stems(stack).map(|stem| format!("log `{stem}`")));
        for thing in things {
            if let Some(other) = seen.insert(thing.clone(), &stack.name) {
                return Err(EngineError::Clash(format!(
                    "{thing} is in stack `{other}` and in stack `{}`",
                    stack.name
                )));
            }
        }
    }
    nameless(stacks)
}

/// Who comes by an address says no name in the handshake, so nginx can show one certificate there for each port:
/// the other stack's would never be seen.
fn nameless(stacks: &[NamedStack]) -> Result<(), EngineError> {
    let mut shown: BTreeMap<u16, &Stack> = BTreeMap::new();
    // Those that answer to any name are the ones for addresses too, wherever they are.
    let any = stacks.iter().filter(|one| one.stack.is_default_server());
    let by_address = stacks.iter().filter(|one| address(&one.stack).is_some());
    for NamedStack { stack, .. } in any.chain(by_address) {
        for port in &stack.ports {
            let Some(first) = shown.insert(*port, stack) else {
                continue;
            };
            let by = address(stack).map(ToString::to_string).unwrap_or_default();
            let others =
                address(first).map_or("any host (`*`)".to_owned(), |one| format!("`{one}`"));
            return Err(EngineError::Clash(format!(
                "host `{by}` is in stack `{}` and {others} in stack `{}`, both on port {port}: who comes by an address \
                 says no name, and can be shown the certificate of one of them only",
                stack.name, first.name
            )));
        }
    }
    Ok(())
}

/// An address that a stack answers to, if it has one.
fn address(stack: &Stack) -> Option<&HostPattern> {
    let mut hosts = stack.hosts.iter();
    hosts.find(|host| matches!(host, HostPattern::Address(_)))
}

/// The names that a stack answers to; one for any name claims its ports.
fn host_claims(stack: &Stack) -> Vec<String> {
    if stack.is_default_server() {
        let ports = stack.ports.iter();
        return ports
            .map(|port| format!("any host (`*`) on port {port}"))
            .collect();
    }
    let hosts = stack.hosts.iter();
    hosts.map(|host| format!("host `{host}`")).collect()
}

/// Where its containers listen on loopback.
fn loopback_ports(stack: &Stack) -> impl Iterator<Item = String> {
    let observers = stack.containers.iter().filter_map(|one| one.observer);
    observers.map(|one| format!("port {} of a container", one.port))
}

/// What a stack's logs and password files are called.
fn log_stems(stack: &Stack) -> impl Iterator<Item = String> {
    let name = &stack.name;
    let sites = stack
        .sites
        .iter()
        .map(move |site| format!("{name}-{}", site.name));
    let stems: BTreeSet<String> = sites
        .chain([name.to_string(), format!("{name}-redirect")])
        .collect();
    stems.into_iter()
}

impl Engine<'_> {
    /// Whether files of ours are on the host, whatever a receipt says.
    pub(super) fn has_marks(&self) -> Result<bool, EngineError> {
        let nothing = NginxTree {
            files: BTreeMap::new(),
            links: BTreeMap::new(),
            generation: String::new(),
            http_port: 0,
            ports: Vec::new(),
            claims_default: false,
        };
        if !self.host.nginx.stale(&nothing)?.is_empty() {
            return Ok(true);
        }
        for path in self.host.files.list(&self.layout.units)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("tavern-")
                && let PathState::File { content, .. } = self.host.files.state(&path)?
                && content.starts_with(format!("# {MARKER}").as_bytes())
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The default stack is for a host without one: laid over another it would swap volumes and lists.
    fn refuse_without_stack_file(&self) -> Result<(), EngineError> {
        if !self.has_marks()? {
            return Ok(());
        }
        Err(EngineError::NotReady {
            what: format!(
                "a stack is installed, but {} holds no stack file",
                self.layout.stacks().display()
            ),
            help: "put its file back (a backup, or `www/docs/by-hand.md`), or run `sudo tavernctl uninstall`".into(),
        })
    }

    /// The stacks of this host; if it has none the default one, with `legacy` as a host set up by hand has it.
    pub(super) fn stacks(
        &self,
        asked: &[String],
        legacy: bool,
    ) -> Result<Vec<NamedStack>, EngineError> {
        let mut stacks = load_stacks(self.host.files.as_ref(), &self.layout)?;
        if stacks.is_empty() {
            self.refuse_without_stack_file()?;
            let source = if legacy {
                super::adopt::legacy_stack(self.host)?
            } else {
                None
            };
            let source = source.unwrap_or_else(|| DEFAULT.to_owned()).into_bytes();
            let stack = parse(&PathBuf::from("/etc/tavern/stacks/counter.toml"), &source)?;
            stacks.push(NamedStack {
                stack,
                source,
                on_host: false,
            });
        }
        for name in asked {
            if !stacks.iter().any(|s| s.stack.name.as_str() == name) {
                let known = stacks
                    .iter()
                    .filter(|s| s.on_host)
                    .map(|s| s.stack.name.to_string())
                    .collect();
                return Err(EngineError::NoSuchStack {
                    name: name.clone(),
                    known,
                });
            }
        }
        Ok(stacks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RealFiles;

    #[test]
    fn only_regular_files_are_stack_files() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::private(directory.path());
        let file = layout.stacks().join("counter.toml");
        for path in [layout.etc.clone(), layout.stacks(), file.clone()] {
            RealFiles
                .make_directory(&path, crate::model::Mode(0o755), &own(directory.path()))
                .unwrap();
        }
        let refused = || {
            let error = load_stacks(&RealFiles, &layout).unwrap_err();
            assert!(error.help().is_some());
            error.to_string()
        };
        assert!(refused().contains("is a directory"));
        RealFiles.remove_directory(&file).unwrap();
        RealFiles.link(&file, Path::new("/etc/passwd")).unwrap();
        assert!(refused().contains("is a link to /etc/passwd"));
        RealFiles.remove(&file).unwrap();
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(refused().contains("fifo"));
    }

    /// bug: two apps shared one unit, and two sites one password file: the second was served by the first's.
    #[test]
    fn names_that_meet_once_they_are_joined_are_a_clash() {
        let stack = |name: &str, rest: &str| {
            NamedStack {
            stack: parse(
                &PathBuf::from(format!("{name}.toml")),
                format!(
                    "name = \"{name}\"\nhosts = [\"{name}.example\"]\n[tls]\nissuer = \"self-signed\"\n{rest}"
                )
                .as_bytes(),
            )
            .unwrap(),
            source: Vec::new(),
            on_host: true,
        }
        };
        let site = |name: &str| format!("[[site]]\npath = \"/\"\nstatic = \"{name}\"\n");
        let app = |name: &str| {
            format!(
                "[[site]]\npath = \"/\"\nname = \"s\"\napp = \"{name}\"\n[app.{name}]\nserve = \"counter\"\n\
                 needs = [\"r\"]\naccounts = [\"ann\"]\n[container.r]\nkind = \"redis\"\nimage = \"redis:7\"\n"
            )
        };
        let clash = |first: NamedStack, second: NamedStack| {
            let error = clashes(&[first, second]).err();
            error.map(|error| error.to_string()).unwrap_or_default()
        };
        let units = clash(stack("a", &app("b-api")), stack("a-b", &app("api")));
        assert!(units.contains("unit `tavern-a-b-api`"), "{units}");
        let logs = clash(stack("a", &site("b-x")), stack("a-b", &site("x")));
        assert!(logs.contains("log `a-b-x`"), "{logs}");
        let whole = clash(stack("a", &site("b")), stack("a-b", &site("y")));
        assert!(whole.contains("log `a-b`"), "{whole}");
        assert_eq!(
            clash(stack("a", &site("x")), stack("b", &site("redirect"))),
            ""
        );
    }

    /// bug: of two stacks that are found by an address, the second was shown with the first's certificate.
    #[test]
    fn one_stack_for_each_port_is_found_by_an_address() {
        let stack = |name: &str, hosts: &str| NamedStack {
            stack: parse(
                &PathBuf::from(format!("{name}.toml")),
                format!(
                    "name = \"{name}\"\n{hosts}\n[tls]\nissuer = \"self-signed\"\n\
                     [[site]]\npath = \"/\"\nstatic = \"{name}\"\n"
                )
                .as_bytes(),
            )
            .unwrap(),
            source: Vec::new(),
            on_host: true,
        };
        let said = |stacks: &[NamedStack]| {
            let error = clashes(stacks).err();
            error.map(|error| error.to_string()).unwrap_or_default()
        };
        let first = stack("a", "hosts = [\"192.0.2.10\"]");
        let second = "hosts = [\"b.example\", \"192.0.2.11\"]";
        let both = said(&[first.clone(), stack("b", second)]);
        assert!(
            both.contains(
                "`192.0.2.11` is in stack `b` and `192.0.2.10` in stack `a`, both on port 443"
            ),
            "{both}"
        );
        let any = stack("any", "hosts = [\"*\"]");
        // Whichever comes first.
        let beside_any = said(&[first.clone(), any]);
        assert!(
            beside_any.contains("`192.0.2.10` is in stack `a` and any host (`*`) in stack `any`"),
            "{beside_any}"
        );
        let elsewhere = stack("b", &format!("{second}\nports = [8443]"));
        assert_eq!(said(&[first.clone(), elsewhere]), "");
        assert_eq!(said(&[first, stack("b", "hosts = [\"b.example\"]")]), "");
    }

    fn own(path: &Path) -> crate::resource::Owner {
        match RealFiles.state(path) {
            Ok(PathState::Directory { owner, .. }) => owner,
            other => panic!("{other:?}"),
        }
    }
}
