//! What of the owner's is saved, and can be put back.

use std::path::{Component, Path, PathBuf};

use toml::Spanned;

use super::Target;
use super::tls::{Fault, fault, plain_path};

/// What belongs to the system, or is saved in a way of its own.
const SYSTEMS: [&str; 8] = [
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/tmp",
    "/etc/tavern",
    "/var/lib/tavern",
    "/var/lib/docker",
];

/// A directory of the owner's, that can be swapped for a backup of it.
pub(super) fn directory(text: &Spanned<String>, to: &Target) -> Result<PathBuf, Fault> {
    let path = plain_path(text)?;
    let depth = depth(&path);
    let is_systems = is_systems(&path);
    if depth < 2 || is_systems {
        return fault(
            text.span(),
            format!("`{}` cannot be swapped for a backup of it", path.display()),
            "name a directory of yours, such as `/srv/uploads`",
        );
    }
    if let Target::Directory(target) = to
        && (target.starts_with(&path) || path.starts_with(target))
    {
        return fault(
            text.span(),
            "the backups would be saved into themselves",
            "choose another `to`, outside of `directories`",
        );
    }
    Ok(path)
}

/// A database of the owner's, that no directory is saved with: there it would be torn.
pub(super) fn database(text: &Spanned<String>, directories: &[PathBuf]) -> Result<PathBuf, Fault> {
    let path = plain_path(text)?;
    let is_beside = ["-wal", "-shm", "-journal"]
        .iter()
        .any(|end| text.get_ref().ends_with(end));
    if is_beside {
        return fault(
            text.span(),
            "a file that SQLite keeps beside a database",
            "name the database itself",
        );
    }
    if depth(&path) < 2 || is_systems(&path) {
        return fault(
            text.span(),
            format!("`{}` is no database of yours", path.display()),
            "name a file of yours, such as `/srv/shop/shop.db`",
        );
    }
    if let Some(directory) = directories.iter().find(|one| path.starts_with(one)) {
        return fault(
            text.span(),
            format!(
                "it is in `{}`, which is saved as it lies",
                directory.display()
            ),
            "keep databases in a directory of their own, outside of `directories`",
        );
    }
    Ok(path)
}

fn depth(path: &Path) -> usize {
    let parts = path.components();
    parts
        .filter(|part| matches!(part, Component::Normal(_)))
        .count()
}

fn is_systems(path: &Path) -> bool {
    let mut all = SYSTEMS.iter();
    all.any(|place| path.starts_with(place) || Path::new(place).starts_with(path))
}
