use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Machine;
use super::tree::Node;

/// The whole machine as text: what is named, and how it is.
pub(crate) type Picture = BTreeMap<String, String>;

impl Machine {
    /// All that is on the machine, but for what is below `hidden`.
    pub(crate) fn picture(&self, hidden: &Path) -> Picture {
        let mut picture = Picture::new();
        for (path, node) in self
            .tree
            .all()
            .filter(|(path, _)| !path.starts_with(hidden))
        {
            let how = match node {
                Node::File { bytes, mode, owner } => {
                    format!("file {mode} {owner}\n{}", String::from_utf8_lossy(bytes))
                }
                Node::Directory { mode, owner } => format!("directory {mode} {owner}"),
                Node::Link(target) => format!("link to {}", target.display()),
                Node::Socket => "socket".to_owned(),
            };
            picture.insert(path.display().to_string(), how);
        }
        for name in self.units.keys() {
            picture.insert(format!("unit {name}"), "active".to_owned());
        }
        for name in &self.failed {
            picture.insert(format!("unit {name}"), "failed".to_owned());
        }
        for (name, contained) in &self.containers {
            let found = &contained.found;
            let mut volumes: Vec<_> = found.volumes.iter().collect();
            volumes.sort();
            // Not its settings: they hold the number of a group, which may be another when it is made again.
            let how = format!(
                "of {:?}, image {} {}, {}, running {}, {volumes:?}",
                found.stack, found.image, found.image_id, found.restart_policy, found.running,
            );
            picture.insert(format!("container {name}"), how);
        }
        for (name, stack) in &self.volumes {
            picture.insert(format!("volume {name}"), format!("of {stack:?}"));
        }
        for (reference, id) in &self.images {
            picture.insert(format!("image {reference}"), id.clone());
        }
        for name in self.groups.keys() {
            picture.insert(format!("group {name}"), String::new());
        }
        for name in &self.packages {
            picture.insert(format!("package {name}"), String::new());
        }
        let generation = self.serving.as_ref().map(|serving| &serving.generation);
        picture.insert("nginx serves".to_owned(), format!("{generation:?}"));
        picture
    }

    /// Whatever runs on something else than what is on disk; nothing on a machine that is right.
    pub(crate) fn stale(&self) -> Vec<String> {
        [
            self.stale_units(),
            self.stale_containers(),
            self.stale_nginx(),
        ]
        .concat()
    }

    /// Files that a killed write left beside their targets.
    pub(crate) fn temporaries(&self) -> Vec<String> {
        let paths = self.tree.all().map(|(path, _)| path.display().to_string());
        paths.filter(|path| path.ends_with(".tavern-tmp")).collect()
    }
}

/// What tells two pictures apart, a line each: the first that differs.
pub(crate) fn differences(before: &Picture, after: &Picture) -> Vec<String> {
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| {
            let (old, new) = (before.get(name), after.get(name));
            let (old, new) = match (old, new) {
                (Some(old), Some(new)) => first_unlike(old, new),
                (old, new) => (head(old), head(new)),
            };
            format!("{name}: {old} -> {new}")
        })
        .collect()
}

fn head(text: Option<&String>) -> &str {
    text.map_or("nothing", |text| text.lines().next().unwrap_or_default())
}

fn first_unlike<'a>(old: &'a str, new: &'a str) -> (&'a str, &'a str) {
    let mut new_lines = new.lines();
    for line in old.lines() {
        match new_lines.next() {
            Some(other) if other == line => {}
            other => return (line, other.unwrap_or("its end")),
        }
    }
    ("its end", new_lines.next().unwrap_or("its end"))
}
