//! Room on this host's disks, looked at before a backup is laid out: a full one stops the site.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::layout::LaidOut;
use super::{BackupError, Backups};
use crate::host::{Invocation, Space};

const MEGABYTE: u64 = 1_000_000;

/// What must stay free for the site.
const RESERVE: u64 = 300 * MEGABYTE;

impl Backups<'_> {
    /// Whether `need` bytes fit at `place`, and the site still has room.
    ///
    /// # Errors
    /// When they do not.
    pub(super) fn has_room(&self, place: &Path, need: u64) -> Result<(), BackupError> {
        fits(place, self.engine.host.files.space(place)?, need)
    }

    /// Whether there is room for everything beside what it takes the place of.
    pub(super) fn has_room_for_all(&self, laid: &LaidOut) -> Result<(), BackupError> {
        let files = &self.engine.host.files;
        let mut needs: BTreeMap<u64, (PathBuf, u64)> = BTreeMap::new();
        let mut add = |place: &Path, need: u64| -> Result<(), BackupError> {
            let device = files.space(place)?.device;
            let sum = needs.entry(device).or_insert((place.to_owned(), 0));
            sum.1 = sum.1.saturating_add(need);
            Ok(())
        };
        for tree in &laid.manifest.trees {
            add(tree.parent().unwrap_or(tree), self.size(&laid.tree(tree))?)?;
        }
        for store in &laid.manifest.stores {
            if let Some(container) = laid.container(&store.container) {
                add(
                    &self.volume(container)?,
                    self.size(&laid.file(&store.file))?,
                )?;
            }
        }
        for cluster in &laid.manifest.clusters {
            if let Some(container) = laid.container(&cluster.container) {
                add(&self.volume(container)?, cluster.bytes)?;
            }
        }
        for (place, need) in needs.values() {
            self.has_room(place, *need)?;
        }
        Ok(())
    }

    /// What a file or a tree takes on the disk.
    pub(super) fn size(&self, path: &Path) -> Result<u64, BackupError> {
        let args = ["-s", "--block-size=1", "--", &path.to_string_lossy()];
        let du = Invocation::new("du", &args).limit(Duration::from_secs(3600));
        let outcome = self.engine.host.processes.run_ok(&du)?;
        let number = outcome.stdout.split_whitespace().next();
        number.and_then(|text| text.parse().ok()).ok_or_else(|| {
            BackupError::refused(
                format!("`du` does not say how large {} is", path.display()),
                "run it again",
            )
        })
    }
}

fn fits(place: &Path, space: Space, need: u64) -> Result<(), BackupError> {
    // A file system that does not say has room.
    if space.total == 0 || space.free >= need.saturating_add(RESERVE) {
        return Ok(());
    }
    Err(BackupError::NoRoom {
        what: format!(
            "no room at {}: it takes {} MB, {} MB are free, and {} MB are to stay so",
            place.display(),
            need.div_ceil(MEGABYTE),
            space.free / MEGABYTE,
            RESERVE / MEGABYTE
        ),
        help: format!("`df -h {}`; make room, then run it again", place.display()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_site_keeps_its_room() {
        let of = |free, need| {
            let space = Space {
                free,
                total: 10_000 * MEGABYTE,
                ..Space::default()
            };
            fits(Path::new("/var"), space, need)
        };
        of(1000 * MEGABYTE, 700 * MEGABYTE).unwrap();
        let error = of(1000 * MEGABYTE, 701 * MEGABYTE).unwrap_err();
        assert!(matches!(error, BackupError::NoRoom { .. }));
        assert!(error.to_string().contains("701 MB"), "{error}");
        assert!(of(0, u64::MAX).is_err());
        fits(Path::new("/"), Space::default(), 1).unwrap();
    }
}
