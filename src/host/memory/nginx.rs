use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::tree::{Node, Tree};
use super::{Machine, MemoryHost};
use crate::host::nginx::GENERATION_PATH;
use crate::host::nginx_rivals::{ForeignServer, is_included, rivals, servers, stale, words};
use crate::host::{HostError, Nginx, NginxBuild, NginxSetup};
use crate::model::{Mode, NginxVersion};
use crate::resource::{NginxTree, Owner, Rival};

const MAIN: &str = "/etc/nginx/nginx.conf";

/// What nginx read when it was last told to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Serving {
    /// The marker that it answers with.
    pub(crate) generation: Option<String>,
    /// Every file it read, certificates included.
    pub(super) files: BTreeMap<PathBuf, Vec<u8>>,
    warnings: String,
}

/// Reads the configuration as nginx would, far enough to refuse what nginx refuses of ours.
fn read(tree: &Tree) -> Result<Serving, String> {
    let mut serving = Serving::default();
    let mut defaults = BTreeSet::new();
    let mut names = BTreeSet::new();
    let mut upstreams = BTreeSet::new();
    let included = ["/etc/nginx/conf.d", "/etc/nginx/sites-enabled"]
        .into_iter()
        .flat_map(|directory| tree.list(Path::new(directory)))
        .filter(|path| is_included(path));
    for path in std::iter::once(PathBuf::from(MAIN)).chain(included) {
        let bytes = tree
            .bytes(&path)
            .ok_or_else(|| format!("open() \"{}\" failed", path.display()))?;
        let text = String::from_utf8_lossy(bytes).into_owned();
        serving.files.insert(path.clone(), bytes.to_vec());
        let words = words(&text);
        serving.follow(tree, &words)?;
        one_of_each(&words, &path, &mut upstreams)?;
        for server in servers(&text) {
            let ports: BTreeSet<u16> = server.ports.iter().copied().collect();
            for port in ports {
                if server.is_default && !defaults.insert(port) {
                    return Err(format!("a duplicate default server for 0.0.0.0:{port}"));
                }
                for name in &server.names {
                    if !names.insert((port, name.clone())) {
                        serving.warnings.push_str(&format!(
                            "[warn] conflicting server name \"{name}\" on 0.0.0.0:{port}, ignored\n"
                        ));
                    }
                }
            }
        }
    }
    Ok(serving)
}

impl Serving {
    /// Whether any file that was read has this text.
    pub(super) fn says(&self, text: &str) -> bool {
        let mut files = self.files.values();
        files.any(|bytes| String::from_utf8_lossy(bytes).contains(text))
    }

    /// Reads what directives name, and the marker.
    fn follow(&mut self, tree: &Tree, words: &[String]) -> Result<(), String> {
        for pair in words.windows(2) {
            let path = PathBuf::from(&pair[1]);
            match pair[0].as_str() {
                "ssl_certificate" | "ssl_certificate_key" => {
                    let bytes = tree
                        .bytes(&path)
                        .ok_or_else(|| format!("cannot load certificate \"{}\"", path.display()))?;
                    self.files.insert(path, bytes.to_vec());
                }
                "access_log" | "error_log" if pair[1] != "off" && !tree.has_parent(&path) => {
                    return Err(format!("open() \"{}\" failed", path.display()));
                }
                _ => {}
            }
        }
        let marker = words.iter().position(|word| word == GENERATION_PATH);
        if let Some(place) = marker {
            let values = words[place..].windows(2);
            let mut values = values.filter(|pair| pair[0] == "return" && pair[1] != "404");
            // `return 200 MARKER`
            let status = values.next().map(|pair| &pair[1]);
            let at = status.and_then(|status| words[place..].iter().position(|w| w == status));
            self.generation = at.and_then(|at| words.get(place + at + 1).cloned());
        }
        Ok(())
    }
}

/// nginx takes no second upstream of a name, and no second location of a path in one server.
fn one_of_each(
    words: &[String],
    path: &Path,
    upstreams: &mut BTreeSet<String>,
) -> Result<(), String> {
    let mut directive: Vec<&str> = Vec::new();
    // Those of each block that is open: one within another may have what the other has too.
    let mut locations = vec![BTreeSet::new()];
    for word in words {
        match word.as_str() {
            "{" => {
                let twice = match directive[..] {
                    ["upstream", name] => !upstreams.insert(name.to_owned()),
                    ["location", ..] => locations
                        .last_mut()
                        .is_some_and(|block| !block.insert(directive.join(" "))),
                    _ => false,
                };
                locations.push(BTreeSet::new());
                if twice {
                    let what = directive.join(" ");
                    return Err(format!("duplicate {what} in {}", path.display()));
                }
                directive.clear();
            }
            "}" => {
                locations.pop();
                directive.clear();
            }
            ";" => directive.clear(),
            word => directive.push(word),
        }
    }
    Ok(())
}

impl Machine {
    pub(super) fn read_nginx(&self) -> Result<Serving, String> {
        read(&self.tree)
    }

    /// Files that the running nginx has read otherwise than they are now.
    pub(super) fn stale_nginx(&self) -> Vec<String> {
        let (Some(serving), Ok(now)) = (&self.serving, self.read_nginx()) else {
            return Vec::new();
        };
        let paths: BTreeSet<_> = serving.files.keys().chain(now.files.keys()).collect();
        paths
            .into_iter()
            .filter(|path| serving.files.get(*path) != now.files.get(*path))
            .map(|path| format!("nginx has read another {}", path.display()))
            .collect()
    }
}

/// The certificate that a file's server on `port` names; our files have one each.
fn certificate_of(
    text: &str,
    is_asked: impl Fn(&ForeignServer) -> bool,
    port: u16,
) -> Option<PathBuf> {
    let mut servers = servers(text).into_iter();
    servers.find(|server| server.ports.contains(&port) && is_asked(server))?;
    let words = words(text);
    let mut pairs = words.windows(2);
    let named = pairs.find(|pair| pair[0] == "ssl_certificate")?;
    Some(PathBuf::from(&named[1]))
}

impl Nginx for MemoryHost {
    fn build(&self) -> Option<NginxBuild> {
        let build = NginxBuild {
            version: NginxVersion(1, 26, 3),
            has_gzip_static: true,
        };
        self.look().packages.contains("nginx").then_some(build)
    }

    fn test(&self, _ports: &[u16]) -> Result<String, HostError> {
        let read = self.look().read_nginx();
        read.map(|serving| serving.warnings)
            .map_err(HostError::Nginx)
    }

    fn setup(&self) -> Result<NginxSetup, HostError> {
        let machine = self.look();
        let serving = machine.read_nginx().map_err(HostError::Nginx)?;
        // As `nginx -T`: the main file first.
        let main = serving.files.get(Path::new(MAIN)).into_iter();
        let text: String = main
            .map(|bytes| {
                format!(
                    "# configuration file {MAIN}:\n{}\n",
                    String::from_utf8_lossy(bytes)
                )
            })
            .collect();
        Ok(NginxSetup::read(&text))
    }

    fn test_staged(
        &self,
        tree: &NginxTree,
        removed: &[PathBuf],
        stage: &Path,
    ) -> Result<String, HostError> {
        let mut machine = self.machine();
        // What a run that is killed here leaves.
        machine.effect(format!("copy /etc/nginx to {}", stage.display()))?;
        let directory = Node::Directory {
            mode: Mode(0o755),
            owner: Owner::root(),
        };
        machine.tree.put(stage, directory);
        machine.tree.put(&stage.join("nginx.conf"), Node::file(""));
        let mut laid_over = machine.tree.clone();
        for path in removed {
            laid_over.remove(path);
        }
        for (path, text) in &tree.files {
            laid_over.put(path, Node::file(text.clone()));
        }
        for (path, target) in &tree.links {
            laid_over.put(path, Node::Link(target.clone()));
        }
        let verdict = read(&laid_over);
        let removed = machine.effect(format!("remove {}", stage.display()));
        if removed.is_ok() {
            machine.tree.remove(&stage.join("nginx.conf"));
            machine.tree.remove(stage);
        }
        removed?;
        verdict
            .map(|serving| serving.warnings)
            .map_err(HostError::Nginx)
    }

    fn generation(&self, _port: u16) -> Option<String> {
        self.look().serving.as_ref()?.generation.clone()
    }

    fn shown(&self, port: u16, name: Option<&str>) -> Option<Vec<u8>> {
        let machine = self.look();
        let serving = machine.serving.as_ref()?;
        // The server of that name, else the port's default.
        let texts = || {
            serving
                .files
                .values()
                .map(|bytes| String::from_utf8_lossy(bytes))
        };
        let found = texts().find_map(|text| {
            let is_asked = |own: &String| name.is_some_and(|name| own == name);
            certificate_of(&text, |server| server.names.iter().any(is_asked), port)
        });
        let path = found.or_else(|| {
            texts().find_map(|text| certificate_of(&text, |server| server.is_default, port))
        })?;
        let info = crate::mint::read_certificate(serving.files.get(&path)?).ok()?;
        Some(info.der)
    }

    fn rivals(&self, tree: &NginxTree) -> Result<Vec<Rival>, HostError> {
        rivals(self, tree)
    }

    fn stale(&self, tree: &NginxTree) -> Result<Vec<PathBuf>, HostError> {
        stale(self, tree)
    }

    fn recent_errors(&self) -> String {
        String::new()
    }
}
