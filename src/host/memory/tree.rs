use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Component, Path, PathBuf};

use crate::model::Mode;
use crate::resource::Owner;

/// How many links a path may lead through, as in Linux.
const MOST_LINKS: usize = 40;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// A regular file.
    File {
        bytes: Vec<u8>,
        mode: Mode,
        owner: Owner,
    },
    /// A directory.
    Directory { mode: Mode, owner: Owner },
    /// A symbolic link.
    Link(PathBuf),
    /// A socket.
    Socket,
}

impl Node {
    pub(crate) fn file(bytes: impl Into<Vec<u8>>) -> Self {
        Self::File {
            bytes: bytes.into(),
            mode: Mode(0o644),
            owner: Owner::root(),
        }
    }

    /// Whether it is a file with just these bytes.
    pub(super) fn has_bytes(&self, wanted: &[u8]) -> bool {
        matches!(self, Self::File { bytes, .. } if bytes == wanted)
    }

    fn directory() -> Self {
        Self::Directory {
            mode: Mode(0o755),
            owner: Owner::root(),
        }
    }
}

/// The file system.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    nodes: BTreeMap<PathBuf, Node>,
}

impl Tree {
    /// The directories of a Debian without anything.
    pub(super) fn lay_out(&mut self) {
        for path in [
            "/etc/systemd/system/multi-user.target.wants",
            "/etc/systemd/system/sockets.target.wants",
            "/etc/systemd/system/timers.target.wants",
            "/etc/ssl/certs",
            "/etc/sysusers.d",
            "/etc/tmpfiles.d",
            "/run",
            "/tmp",
            "/usr/bin",
            "/usr/lib/systemd/system",
            "/usr/local/bin",
            "/usr/local/share/ca-certificates",
            "/var/lib",
            "/var/log",
            "/var/run",
        ] {
            self.make_all(Path::new(path));
        }
    }

    /// Makes a directory and those above it, as a package's archive would.
    pub(super) fn make_all(&mut self, path: &Path) {
        let mut above: Vec<_> = path.ancestors().collect();
        above.reverse();
        for part in above {
            self.nodes
                .entry(part.to_owned())
                .or_insert_with(Node::directory);
        }
    }

    /// Where `path` leads once the links of its directories are followed.
    pub(super) fn place(&self, path: &Path) -> PathBuf {
        self.walk(path, MOST_LINKS, false)
    }

    /// Where `path` leads, its own link followed too.
    pub(super) fn target(&self, path: &Path) -> PathBuf {
        self.walk(path, MOST_LINKS, true)
    }

    fn walk(&self, path: &Path, links: usize, last: bool) -> PathBuf {
        let mut at = PathBuf::from("/");
        let parts: Vec<_> = path.components().collect();
        for (index, part) in parts.iter().enumerate() {
            match part {
                Component::ParentDir => {
                    at.pop();
                }
                Component::Normal(name) => {
                    let follows = last || index + 1 < parts.len();
                    let next = at.join(name);
                    match self.nodes.get(&next) {
                        Some(Node::Link(target)) if follows && links > 0 => {
                            at = self.walk(&at.join(target), links - 1, true);
                        }
                        _ => at = next,
                    }
                }
                _ => {}
            }
        }
        at
    }

    /// What is at a path, its own link not followed.
    pub(crate) fn get(&self, path: &Path) -> Option<&Node> {
        // Nearly all paths are plain, and a walk looks at each part.
        match self.nodes.get(path) {
            Some(node) if !path.ends_with("..") => Some(node),
            _ => self.nodes.get(&self.place(path)),
        }
    }

    /// The bytes that `path` leads to.
    pub(crate) fn bytes(&self, path: &Path) -> Option<&[u8]> {
        let node = match self.nodes.get(path) {
            Some(Node::Link(_)) | None => self.nodes.get(&self.target(path)),
            node => node,
        };
        match node {
            Some(Node::File { bytes, .. }) => Some(bytes),
            _ => None,
        }
    }

    /// Puts something at a path whose directory is there.
    pub(crate) fn put(&mut self, path: &Path, node: Node) {
        let place = self.place(path);
        self.nodes.insert(place, node);
    }

    /// As above, and makes the directory: for whoever is not the engine.
    pub(crate) fn plant(&mut self, path: &str, node: Node) {
        if let Some(parent) = Path::new(path).parent() {
            self.make_all(parent);
        }
        self.put(Path::new(path), node);
    }

    pub(crate) fn remove(&mut self, path: &Path) {
        let place = self.place(path);
        self.nodes.remove(&place);
    }

    pub(super) fn remove_all(&mut self, path: &Path) {
        let place = self.place(path);
        self.nodes.retain(|known, _| !known.starts_with(&place));
    }

    /// Whether the directory that `path` is in is there.
    pub(super) fn has_parent(&self, path: &Path) -> bool {
        let parent = path.parent().unwrap_or(Path::new("/"));
        let place = self.target(parent);
        matches!(self.nodes.get(&place), Some(Node::Directory { .. }))
    }

    /// All below a directory, in order.
    pub(crate) fn below(&self, path: &Path) -> impl Iterator<Item = (&PathBuf, &Node)> {
        let place = self.target(path);
        let from = (Bound::Excluded(place.clone()), Bound::Unbounded);
        self.nodes
            .range(from)
            .take_while(move |(inner, _)| inner.starts_with(&place))
    }

    /// The paths in a directory, in order.
    pub(super) fn list(&self, path: &Path) -> Vec<PathBuf> {
        let place = self.target(path);
        let inside = self.below(path);
        inside
            .filter(|(inner, _)| inner.parent() == Some(&place))
            .filter_map(|(inner, _)| Some(path.join(inner.file_name()?)))
            .collect()
    }

    /// Everything, in order.
    pub(super) fn all(&self) -> impl Iterator<Item = (&PathBuf, &Node)> {
        self.nodes.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_directories_are_followed_and_ones_own_only_for_its_bytes() {
        let mut tree = Tree::default();
        tree.plant("/a/pair.1/key", Node::file("one"));
        tree.plant("/a/pair", Node::Link("pair.1".into()));
        tree.plant("/b/link", Node::Link("/a/pair/key".into()));
        tree.plant("/a-b/x", Node::file(""));
        assert_eq!(tree.bytes(Path::new("/a/pair/key")), Some(&b"one"[..]));
        assert_eq!(tree.bytes(Path::new("/b/link")), Some(&b"one"[..]));
        assert!(matches!(
            tree.get(Path::new("/b/link")),
            Some(Node::Link(_))
        ));
        assert_eq!(tree.list(Path::new("/a")).len(), 2, "not what is in /a-b");
        assert_eq!(tree.list(Path::new("/a/pair")), [Path::new("/a/pair/key")]);
        tree.plant("/loop", Node::Link("loop".into()));
        assert_eq!(tree.bytes(Path::new("/loop")), None);
    }
}
