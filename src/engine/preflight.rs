use std::path::Path;

use super::{Engine, EngineError};
use crate::host::Space;
use crate::plan::Plan;
use crate::resource::{Action, PathState, Resource};
use crate::stack::Stack;

const MEGABYTE: u64 = 1_000_000;

/// Room for our own files, logs and journal.
const OWN_NEED: u64 = 200 * MEGABYTE;

/// nginx with Docker and what they pull in take about 500 MB on Debian 12 and 13.
const PACKAGE_NEED: u64 = 800 * MEGABYTE;

/// The receipt, the journal, what was there before and a previous tavernctl.
const OWN_STATE_NEED: u64 = 20 * MEGABYTE;

/// Redis's image takes about 40 MB, and as much again while it is unpacked.
const IMAGE_NEED: u64 = 200 * MEGABYTE;

const INODE_NEED: u64 = 2000;

/// This build was made after this moment: a clock before it is wrong (2026-01-01).
const BUILD_FLOOR: i64 = 1_767_225_600;

impl Engine<'_> {
    /// Whether the host can take the plan. Nothing has been written yet.
    pub(super) fn preflight(
        &self,
        plan: &Plan,
        stacks: &[Stack],
        apt_trouble: Option<&str>,
    ) -> Result<(), EngineError> {
        if plan.is_empty() {
            return Ok(());
        }
        self.release_is_known()?;
        self.clock_is_sane()?;
        self.owner_pairs_are_sound(plan)?;
        self.room_is_left(plan)?;
        self.ports_are_free(plan)?;
        self.nginx_is_sound(plan)?;
        self.dpkg_is_sound(plan)?;
        self.directories_can_be_swapped(stacks)?;
        self.packages_can_be_had(plan, apt_trouble)?;
        self.docker_answers(plan, stacks)
    }

    fn packages_can_be_had(
        &self,
        plan: &Plan,
        apt_trouble: Option<&str>,
    ) -> Result<(), EngineError> {
        let wanted: Vec<&str> = plan
            .steps
            .iter()
            .filter_map(|step| match &step.resource {
                Resource::Package(package) => Some(package.name.as_str()),
                _ => None,
            })
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let held = self.host.packages.held()?;
        if let Some(name) = wanted.iter().find(|name| held.contains(**name)) {
            return Err(EngineError::NotReady {
                what: format!("`{name}` is not installed, and apt is told to hold it"),
                help: format!("`sudo apt-mark unhold {name}`, then run it again"),
            });
        }
        let known = self.host.packages.available(&wanted)?;
        let Some(missing) = wanted.iter().find(|name| !known.contains_key(**name)) else {
            return Ok(());
        };
        Err(unknown_package(missing, apt_trouble))
    }

    /// A restore gives a directory of `[backup]` another's name, which a mount point cannot change.
    fn directories_can_be_swapped(&self, stacks: &[Stack]) -> Result<(), EngineError> {
        let files = &self.host.files;
        let backups = stacks.iter().filter_map(|stack| stack.backup.as_ref());
        for directory in backups.flat_map(|backup| &backup.directories) {
            let is_there = matches!(files.outline(directory)?, PathState::Directory { .. });
            let parent = directory.parent().unwrap_or(directory);
            if is_there && files.space(directory)?.device != files.space(parent)?.device {
                return Err(EngineError::NotReady {
                    what: format!(
                        "{} is a file system of its own: a restore could not swap it for another",
                        directory.display()
                    ),
                    help: "name a directory in it in `directories` in `[backup]`".into(),
                });
            }
        }
        Ok(())
    }

    /// Other distributions have no apt, older releases no systemd that knows our sandbox.
    fn release_is_known(&self) -> Result<(), EngineError> {
        let bytes = self.host.files.read(Path::new("/etc/os-release"))?;
        let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
        match unfit_release(&text) {
            None => Ok(()),
            Some(name) => Err(EngineError::NotReady {
                what: format!("this host is {name}"),
                help: "Tavern needs Debian 12, Ubuntu 22.04, or later".into(),
            }),
        }
    }

    fn clock_is_sane(&self) -> Result<(), EngineError> {
        let now = self.host.clock.now();
        if now.unix_timestamp() >= BUILD_FLOOR {
            return Ok(());
        }
        Err(EngineError::NotReady {
            what: format!(
                "the clock says {}, which is before this tavernctl was built",
                now.date()
            ),
            help: "set it (`timedatectl set-ntp true`): certificates made now would not be valid"
                .into(),
        })
    }

    fn room_is_left(&self, plan: &Plan) -> Result<(), EngineError> {
        let plans = |wanted: fn(&Resource) -> bool| {
            plan.steps
                .iter()
                .any(|step| step.change.action != Action::Remove && wanted(&step.resource))
        };
        let packages = plans(|resource| matches!(resource, Resource::Package(_)));
        let images = plans(|resource| matches!(resource, Resource::Image(_)));
        let binary = plans(|resource| matches!(resource, Resource::Binary(_)));
        let layout = &self.layout;
        let needs = [
            (Path::new("/etc"), 5 * MEGABYTE),
            (&layout.etc, MEGABYTE),
            (&layout.nginx, MEGABYTE),
            (&layout.units, MEGABYTE),
            (&layout.www, 5 * MEGABYTE),
            (
                Path::new("/usr/local/bin"),
                if binary { 100 * MEGABYTE } else { 0 },
            ),
            (
                Path::new("/var/lib"),
                if packages { PACKAGE_NEED } else { OWN_NEED },
            ),
            (&layout.state, OWN_STATE_NEED),
            (
                Path::new("/var/lib/docker"),
                if images { IMAGE_NEED } else { 0 },
            ),
        ];
        for (path, need) in needs.into_iter().filter(|(_, need)| *need > 0) {
            room(path, self.host.files.space(path)?, need)?;
        }
        Ok(())
    }

    fn dpkg_is_sound(&self, plan: &Plan) -> Result<(), EngineError> {
        let missing = plan.steps.iter().find_map(|step| match &step.resource {
            Resource::Package(package) if step.change.action == Action::Create => {
                Some(&package.name)
            }
            _ => None,
        });
        let Some(missing) = missing else {
            return Ok(());
        };
        let unfinished = self.host.packages.unfinished()?;
        if unfinished.is_empty() {
            return Ok(());
        }
        Err(EngineError::NotReady {
            what: format!(
                "`{missing}` must be installed, but dpkg has not finished with {}",
                unfinished.join(", ")
            ),
            help: "`sudo dpkg --configure -a` and `sudo apt-get -f install`, then run it again"
                .into(),
        })
    }

    fn docker_answers(&self, plan: &Plan, stacks: &[Stack]) -> Result<(), EngineError> {
        let comes_later = plan
            .steps
            .iter()
            .any(|step| matches!(&step.resource, Resource::Package(package) if package.name == "docker.io"));
        if comes_later || stacks.iter().all(|stack| stack.containers.is_empty()) {
            return Ok(());
        }
        self.host.docker.version()?;
        Ok(())
    }
}

/// The name of a release that Tavern cannot run on, from `os-release`. What does not say is let through.
fn unfit_release(text: &str) -> Option<String> {
    let value = |key: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default()
            .trim_matches(['"', '\''])
            .to_owned()
    };
    let (id, like) = (value("ID"), value("ID_LIKE"));
    if id.is_empty() {
        return None;
    }
    let mut parts = value("VERSION_ID")
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(u32::MAX))
        .collect::<Vec<_>>();
    // Debian testing has no number.
    parts.retain(|part| *part != u32::MAX);
    let fits = match id.as_str() {
        "debian" => parts.is_empty() || parts >= vec![12],
        "ubuntu" => parts.is_empty() || parts >= vec![22, 4],
        _ => like.split(' ').any(|id| id == "debian" || id == "ubuntu"),
    };
    let name = value("PRETTY_NAME");
    (!fits).then_some(if name.is_empty() { id } else { name })
}

fn unknown_package(name: &str, apt_trouble: Option<&str>) -> EngineError {
    let why = apt_trouble.map_or_else(String::new, |trouble| format!(": {trouble}"));
    EngineError::NotReady {
        what: format!("`{name}` is not installed and apt knows no such package{why}"),
        help: "`sudo apt-get update` must reach a Debian or Ubuntu mirror; then run it again"
            .into(),
    }
}

/// Whether a file system can be written and has `need` bytes left.
fn room(path: &Path, space: Space, need: u64) -> Result<(), EngineError> {
    let path = path.display();
    let refuse = |what: String, help: &str| {
        Err(EngineError::NotReady {
            what,
            help: help.to_owned(),
        })
    };
    if space.read_only {
        return refuse(
            format!("{path} is on a file system that is mounted read-only"),
            "`mount -o remount,rw`, or look at `dmesg` for disk errors; then run it again",
        );
    }
    if space.free < need {
        return refuse(
            format!(
                "{path} has {} MB left and needs {} MB",
                space.free / MEGABYTE,
                need / MEGABYTE
            ),
            "make room (`df -h`, `apt-get clean`, `journalctl --vacuum-size=100M`), then run it again",
        );
    }
    // Some file systems count no inodes and say 0 of 0.
    if space.free_inodes < INODE_NEED && space.total_inodes != 0 {
        return refuse(
            format!(
                "{path} has {} inodes left and needs {INODE_NEED}",
                space.free_inodes
            ),
            "remove small files (`df -i` shows where), then run it again",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_without_apt_or_too_old_is_named() {
        let unfit = |text: &str| unfit_release(text);
        for fit in [
            "ID=debian\nVERSION_ID=\"13\"\n",
            "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux forky/sid\"\n",
            "ID=ubuntu\nVERSION_ID=\"24.04\"\n",
            "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=\"22\"\n",
            "",
        ] {
            assert_eq!(unfit(fit), None, "{fit}");
        }
        let old = "PRETTY_NAME=\"Debian GNU/Linux 11 (bullseye)\"\nID=debian\nVERSION_ID=\"11\"\n";
        assert_eq!(
            unfit(old).as_deref(),
            Some("Debian GNU/Linux 11 (bullseye)")
        );
        assert_eq!(
            unfit("ID=ubuntu\nVERSION_ID=\"20.04\"\n").as_deref(),
            Some("ubuntu")
        );
        assert_eq!(
            unfit("ID=fedora\nVERSION_ID=43\n").as_deref(),
            Some("fedora")
        );
    }

    #[test]
    fn an_unknown_package_comes_with_apts_own_words() {
        assert_eq!(
            unknown_package("nginx", Some("Could not get lock x")).to_string(),
            "`nginx` is not installed and apt knows no such package: Could not get lock x"
        );
        let quiet = unknown_package("nginx", None).to_string();
        assert!(quiet.ends_with("no such package"), "{quiet}");
    }

    #[test]
    fn room_is_bytes_inodes_and_leave_to_write() {
        let plenty = Space {
            free: 10 * MEGABYTE,
            total: 20 * MEGABYTE,
            free_inodes: 9000,
            total_inodes: 9000,
            ..Space::default()
        };
        let text = |space| {
            room(Path::new("/etc"), space, 5 * MEGABYTE)
                .err()
                .map(|error| error.to_string())
        };
        assert_eq!(text(plenty), None);
        let full = Space { free: 1, ..plenty };
        assert_eq!(
            text(full).as_deref(),
            Some("/etc has 0 MB left and needs 5 MB")
        );
        let crowded = Space {
            free_inodes: 3,
            ..plenty
        };
        assert_eq!(
            text(crowded).as_deref(),
            Some("/etc has 3 inodes left and needs 2000")
        );
        // btrfs counts no inodes.
        let uncounted = Space {
            free_inodes: 0,
            total_inodes: 0,
            ..plenty
        };
        assert_eq!(text(uncounted), None);
        let read_only = Space {
            read_only: true,
            ..plenty
        };
        assert!(text(read_only).is_some_and(|text| text.contains("read-only")));
    }
}
