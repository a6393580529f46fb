use std::path::Path;

use super::{Engine, EngineError};
use crate::host::Space;
use crate::plan::Plan;
use crate::resource::{Action, Resource};
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
    pub(super) fn preflight(&self, plan: &Plan, stacks: &[Stack]) -> Result<(), EngineError> {
        if plan.is_empty() {
            return Ok(());
        }
        self.clock_is_sane()?;
        self.room_is_left(plan)?;
        self.ports_are_free()?;
        self.nginx_is_sound(plan)?;
        self.dpkg_is_sound(plan)?;
        self.packages_can_be_had(plan)?;
        self.docker_answers(plan, stacks)
    }

    fn packages_can_be_had(&self, plan: &Plan) -> Result<(), EngineError> {
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
        let known = self.host.packages.available(&wanted)?;
        let Some(missing) = wanted.iter().find(|name| !known.contains_key(**name)) else {
            return Ok(());
        };
        Err(EngineError::NotReady {
            what: format!("`{missing}` is not installed and apt knows no such package"),
            help: "`sudo apt-get update` must reach a Debian or Ubuntu mirror; then run it again"
                .into(),
        })
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

    fn ports_are_free(&self) -> Result<(), EngineError> {
        let ours = [self.edge.http_port, self.edge.https_port];
        for listener in self.host.net.listeners() {
            let taken = ours.contains(&listener.port);
            let by_nginx = listener
                .owner
                .as_ref()
                .is_some_and(|(_, name)| name == "nginx");
            if taken && !by_nginx {
                return Err(taken_by(listener.port, listener.owner.as_ref()));
            }
        }
        Ok(())
    }

    /// A configuration that is broken already is its owner's to mend: with it, no reload of ours could succeed.
    fn nginx_is_sound(&self, plan: &Plan) -> Result<(), EngineError> {
        let changes_nginx = plan
            .steps
            .iter()
            .any(|step| matches!(step.resource, Resource::Nginx(_)));
        if !changes_nginx || self.host.nginx.version().is_none() {
            return Ok(());
        }
        let masked = self
            .host
            .systemd
            .reports(&["nginx.service"])?
            .iter()
            .any(|report| report.load == "masked");
        if masked {
            return Err(EngineError::NotReady {
                what: "nginx.service is masked: it would not start".into(),
                help: "`systemctl unmask nginx` if that is not what you want, then run it again"
                    .into(),
            });
        }
        self.host.nginx.test()?;
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

fn taken_by(port: u16, owner: Option<&(u32, String)>) -> EngineError {
    let who = match owner {
        Some((pid, name)) => format!("{name} (process {pid})"),
        None => "a process that cannot be seen from here".to_owned(),
    };
    let help = match owner {
        Some((_, name)) if name == "docker-proxy" => {
            "a container publishes it, `docker ps` shows which: move it to another port, then run it again"
        }
        Some(_) => "stop and disable that service, or move it to another port, then run it again",
        None => "`ss -ltnp` on the machine around this one may show it: stop it, then run it again",
    };
    EngineError::NotReady {
        what: format!("port {port} is taken by {who}"),
        help: help.to_owned(),
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
    fn a_port_is_taken_by_somebody() {
        let error = taken_by(443, Some(&(7, "python3".into())));
        assert_eq!(
            error.to_string(),
            "port 443 is taken by python3 (process 7)"
        );
        let container = taken_by(443, Some(&(7, "docker-proxy".into())));
        assert!(container.help().unwrap().contains("docker ps"));
        assert!(taken_by(443, None).help().is_some());
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
