//! What a stack file wants saved, and is not there.

use crate::host::Host;
use crate::resource::PathState;
use crate::stack::Stack;

/// A line for each directory and database of `[backup]` that no backup could be made of now. It may come yet, by a
/// restore for one: so nothing is refused.
pub fn unsaved(host: &Host, stacks: &[Stack]) -> Vec<String> {
    let state = |path| host.files.outline(path).unwrap_or(PathState::Absent);
    let mut lines = Vec::new();
    for stack in stacks {
        let Some(backup) = &stack.backup else {
            continue;
        };
        let mut say = |path: &std::path::Path, what: &str, key: &str| {
            lines.push(format!(
                "{} of {key} in [backup] of {} is no {what}: no backup is made until it is there",
                path.display(),
                stack.name
            ));
        };
        for path in &backup.directories {
            if !matches!(state(path), PathState::Directory { .. }) {
                say(path, "directory", "directories");
            }
        }
        for path in &backup.sqlite {
            if !matches!(state(path), PathState::File { .. }) {
                say(path, "file", "sqlite");
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::host::memory::{MemoryHost, Node};

    #[test]
    fn what_is_not_there_is_named_and_what_is_there_is_not() {
        let text = "name = \"web\"\nhosts = [\"*\"]\n[tls]\nissuer = \"self-signed\"\n\
                    [[site]]\npath = \"/\"\nstatic = \"main\"\n[backup]\nto = \"/srv/backup\"\n\
                    directories = [\"/srv/a\", \"/srv/b\"]\nsqlite = [\"/srv/c.db\", \"/srv/d.db\"]\n";
        let stacks = [crate::stack::parse(Path::new("web.toml"), text.as_bytes()).unwrap()];
        let memory = MemoryHost::prepared();
        let mut machine = memory.machine();
        machine.tree.plant("/srv/a/file", Node::file(""));
        machine.tree.plant("/srv/c.db", Node::file(""));
        // A file is no directory.
        machine.tree.plant("/srv/b", Node::file(""));
        drop(machine);
        let lines = unsaved(&memory.doors(), &stacks);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("/srv/b of directories in [backup] of web is no directory"));
        assert!(lines[1].starts_with("/srv/d.db of sqlite"));
    }
}
