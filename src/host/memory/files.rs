use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::tree::Node;
use super::{Machine, MemoryHost};
use crate::host::files::READ_LIMIT;
use crate::host::{Files, HostError, Space};
use crate::model::Mode;
use crate::resource::{BinaryState, Owner, PathState};

const ROOM: u64 = 1 << 40;

fn refused(action: &'static str, path: &Path, kind: ErrorKind) -> HostError {
    HostError::io(action, path, kind.into())
}

/// As the real door names it.
fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.tavern-tmp"))
}

impl Machine {
    fn owner_exists(&self, owner: &Owner) -> Result<(), HostError> {
        if !["root", "www-data"].contains(&owner.user.as_str()) {
            return Err(HostError::NoAccount(format!("user `{}`", owner.user)));
        }
        if self.groups.contains_key(&owner.group) {
            Ok(())
        } else {
            Err(HostError::NoAccount(format!("group `{}`", owner.group)))
        }
    }

    /// A change to a file, refused as a full disk would.
    fn disk(&mut self, action: &'static str, path: &Path, what: &str) -> Result<(), HostError> {
        self.effect(format!("{action} {}{what}", path.display()))
            .map_err(|_| refused(action, path, ErrorKind::StorageFull))
    }

    /// Puts a file or link in place through a temporary beside it: whoever is killed between leaves that.
    fn replace(
        &mut self,
        action: &'static str,
        path: &Path,
        half: Node,
        whole: Node,
    ) -> Result<(), HostError> {
        if !self.tree.has_parent(path) {
            return Err(refused(action, path, ErrorKind::NotFound));
        }
        if matches!(self.tree.get(path), Some(Node::Directory { .. })) {
            return Err(refused(action, path, ErrorKind::IsADirectory));
        }
        let temporary = temporary(path);
        self.disk(action, path, " (temporary)")?;
        self.tree.put(&temporary, half);
        let renamed = self.disk(action, path, "");
        self.tree.remove(&temporary);
        renamed?;
        self.tree.put(path, whole);
        Ok(())
    }

    fn replace_file(
        &mut self,
        path: &Path,
        bytes: Vec<u8>,
        mode: Mode,
        owner: &Owner,
    ) -> Result<(), HostError> {
        self.owner_exists(owner)?;
        let file = |bytes: Vec<u8>, mode| Node::File {
            bytes,
            mode,
            owner: owner.clone(),
        };
        let half = file(bytes[..bytes.len() / 2].to_vec(), Mode(0o600));
        self.replace("write", path, half, file(bytes, mode))
    }
}

impl Files for MemoryHost {
    fn state(&self, path: &Path) -> Result<PathState, HostError> {
        let mut state = self.outline(path)?;
        if let PathState::File { content, .. } = &mut state {
            *content = self.read(path)?.unwrap_or_default();
        }
        Ok(state)
    }

    fn outline(&self, path: &Path) -> Result<PathState, HostError> {
        Ok(match self.look().tree.get(path).cloned() {
            None => PathState::Absent,
            Some(Node::File { mode, owner, .. }) => PathState::File {
                content: Vec::new(),
                mode,
                owner,
            },
            Some(Node::Directory { mode, owner }) => PathState::Directory { mode, owner },
            Some(Node::Link(target)) => PathState::Link { target },
            Some(Node::Socket) => PathState::Other,
        })
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, HostError> {
        let machine = self.look();
        let target = machine.tree.target(path);
        if matches!(machine.tree.get(&target), Some(Node::Directory { .. })) {
            return Err(refused("read", path, ErrorKind::IsADirectory));
        }
        let bytes = machine.tree.bytes(path);
        if bytes.is_some_and(|bytes| bytes.len() as u64 > READ_LIMIT) {
            return Err(refused("read", path, ErrorKind::FileTooLarge));
        }
        Ok(bytes.map(<[u8]>::to_vec))
    }

    fn write(&self, path: &Path, bytes: &[u8], mode: Mode, owner: &Owner) -> Result<(), HostError> {
        self.machine()
            .replace_file(path, bytes.to_vec(), mode, owner)
    }

    fn append(&self, path: &Path, bytes: &[u8], mode: Mode) -> Result<(), HostError> {
        let mut machine = self.machine();
        if !machine.tree.has_parent(path) {
            return Err(refused("write", path, ErrorKind::NotFound));
        }
        let old = machine.tree.bytes(path).unwrap_or_default().to_vec();
        let is_new = machine.tree.get(path).is_none();
        let after = |length: usize| Node::File {
            bytes: [&old[..], &bytes[..length]].concat(),
            mode,
            owner: Owner::root(),
        };
        // A record may be cut in two by whoever kills.
        machine.disk("write", path, " (a part)")?;
        machine.tree.put(path, after(bytes.len() / 2));
        let rest = machine.disk("write", path, "");
        let length = if rest.is_ok() { bytes.len() } else { 0 };
        machine.tree.put(path, after(length));
        rest?;
        if is_new {
            // Its name waits for the disk too.
            machine.disk("sync", path, "")?;
        }
        machine.appended.push((path.to_owned(), bytes.to_vec()));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), HostError> {
        let mut machine = self.machine();
        let Some(node) = machine.tree.get(from).cloned() else {
            return Err(refused("rename", from, ErrorKind::NotFound));
        };
        if !machine.tree.has_parent(to) {
            return Err(refused("rename", from, ErrorKind::NotFound));
        }
        let is_full = machine.tree.below(to).next().is_some();
        match (&node, machine.tree.get(to)) {
            (Node::Directory { .. }, Some(Node::Directory { .. })) if is_full => {
                return Err(refused("rename", from, ErrorKind::DirectoryNotEmpty));
            }
            (Node::Directory { .. }, None | Some(Node::Directory { .. })) => {}
            (Node::Directory { .. }, Some(_)) => {
                return Err(refused("rename", from, ErrorKind::NotADirectory));
            }
            (_, Some(Node::Directory { .. })) => {
                return Err(refused("rename", from, ErrorKind::IsADirectory));
            }
            _ => {}
        }
        machine.disk("rename", from, "")?;
        let inside: Vec<_> = machine
            .tree
            .below(from)
            .filter_map(|(path, node)| Some((to.join(path.strip_prefix(from).ok()?), node.clone())))
            .collect();
        machine.tree.remove_all(from);
        machine.tree.put(to, node);
        for (path, node) in inside {
            machine.tree.put(&path, node);
        }
        Ok(())
    }

    fn sweep(&self, path: &Path) -> Result<(), HostError> {
        self.remove(&temporary(path))
    }

    fn make_directory(&self, path: &Path, mode: Mode, owner: &Owner) -> Result<(), HostError> {
        let mut machine = self.machine();
        let wanted = Node::Directory {
            mode,
            owner: owner.clone(),
        };
        match machine.tree.get(path) {
            Some(found) if *found == wanted => return Ok(()),
            Some(Node::Directory { .. }) => {}
            Some(_) => return Err(refused("make directory", path, ErrorKind::AlreadyExists)),
            None if machine.tree.has_parent(path) => {
                machine.disk("make directory", path, "")?;
                // Made first, then given away.
                machine.tree.put(
                    path,
                    Node::Directory {
                        mode: Mode(0o755),
                        owner: Owner::root(),
                    },
                );
                if machine.tree.get(path) == Some(&wanted) {
                    return Ok(());
                }
            }
            None => {
                drop(machine);
                if let Some(parent) = path.parent() {
                    self.make_directory(parent, Mode(0o755), &Owner::root())?;
                }
                return self.make_directory(path, mode, owner);
            }
        }
        machine.owner_exists(owner)?;
        machine.disk("set the mode of", path, "")?;
        machine.tree.put(path, wanted);
        Ok(())
    }

    fn link(&self, path: &Path, target: &Path) -> Result<(), HostError> {
        let node = Node::Link(target.to_owned());
        self.machine().replace("link", path, node.clone(), node)
    }

    fn remove(&self, path: &Path) -> Result<(), HostError> {
        let mut machine = self.machine();
        match machine.tree.get(path) {
            None => Ok(()),
            Some(Node::Directory { .. }) => Err(refused("remove", path, ErrorKind::IsADirectory)),
            Some(_) => {
                machine.disk("remove", path, "")?;
                machine.tree.remove(path);
                Ok(())
            }
        }
    }

    fn remove_directory(&self, path: &Path) -> Result<bool, HostError> {
        let mut machine = self.machine();
        match machine.tree.get(path) {
            None => return Ok(true),
            Some(Node::Directory { .. }) => {}
            Some(_) => return Ok(false),
        }
        if machine.tree.below(path).next().is_some() {
            return Ok(false);
        }
        machine.disk("remove", path, "")?;
        machine.tree.remove(path);
        Ok(true)
    }

    fn remove_tree(&self, path: &Path) -> Result<(), HostError> {
        let mut machine = self.machine();
        if machine.tree.get(path).is_none() {
            return Ok(());
        }
        let inside = machine.tree.below(path).map(|(inner, _)| inner.clone());
        let mut doomed: Vec<PathBuf> = inside.collect();
        doomed.reverse();
        doomed.push(path.to_owned());
        for inner in doomed {
            machine.disk("remove", &inner, "")?;
            machine.tree.remove(&inner);
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> Result<Vec<PathBuf>, HostError> {
        Ok(self.look().tree.list(path))
    }

    fn binary_state(&self, path: &Path) -> Result<BinaryState, HostError> {
        let machine = self.look();
        Ok(match machine.tree.get(path) {
            None => BinaryState::Absent,
            Some(Node::File { bytes, mode, .. })
                if *bytes == machine.build && *mode == Mode(0o755) =>
            {
                BinaryState::Same
            }
            Some(Node::File { .. }) => BinaryState::Differs,
            Some(_) => BinaryState::NotAFile,
        })
    }

    fn install_binary(&self, path: &Path) -> Result<(), HostError> {
        let mut machine = self.machine();
        let build = machine.build.clone();
        machine.replace_file(path, build, Mode(0o755), &Owner::root())
    }

    fn copy(&self, from: &Path, to: &Path, mode: Mode, owner: &Owner) -> Result<(), HostError> {
        let mut machine = self.machine();
        let Some(bytes) = machine.tree.bytes(from).map(<[u8]>::to_vec) else {
            return Err(refused("read", from, ErrorKind::NotFound));
        };
        machine.replace_file(to, bytes, mode, owner)
    }

    fn space(&self, path: &Path) -> Result<Space, HostError> {
        let machine = self.look();
        let mounted = machine.mounts.iter();
        let device = mounted.filter(|mount| path.starts_with(mount)).count() as u64;
        Ok(Space {
            device: 1 + device,
            free: ROOM,
            total: ROOM,
            free_inodes: ROOM,
            total_inodes: ROOM,
            read_only: false,
        })
    }
}
