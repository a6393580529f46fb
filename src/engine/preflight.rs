use std::path::Path;

use super::{Engine, EngineError};
use crate::plan::Plan;
use crate::resource::{Action, PathState, Resource};
use crate::stack::Stack;

const MEGABYTE: u64 = 1_000_000;

/// Room for our own files, logs and journal.
const OWN_NEED: u64 = 200 * MEGABYTE;

/// nginx with Docker and what they pull in take about 500 MB on Debian 12 and 13.
const PACKAGE_NEED: u64 = 800 * MEGABYTE;

const INODE_NEED: u64 = 2000;

const DOCKER_SOCKET: &str = "/var/run/docker.sock";

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
        self.packages_can_be_had(plan, stacks)?;
        self.dpkg_is_sound(plan)?;
        self.docker_answers(plan, stacks)
    }

    /// A package that apt does not know is not in the plan: say so before anything is written.
    fn packages_can_be_had(&self, plan: &Plan, stacks: &[Stack]) -> Result<(), EngineError> {
        let planned = |name: &str| {
            plan.steps
                .iter()
                .any(|step| matches!(&step.resource, Resource::Package(p) if p.name == name))
        };
        let no_nginx = self.host.nginx.version().is_none() && !planned("nginx");
        let needs_docker = stacks.iter().any(|stack| !stack.containers.is_empty());
        let no_docker = needs_docker
            && !planned("docker.io")
            && self.host.files.state(Path::new(DOCKER_SOCKET))? == PathState::Absent
            && !self
                .host
                .packages
                .installed(&["docker.io", "docker-ce"])?
                .iter()
                .any(|_| true);
        let missing = match (no_nginx, no_docker) {
            (false, false) => return Ok(()),
            (true, _) => "nginx",
            (false, true) => "docker.io",
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
        let packages = plan
            .steps
            .iter()
            .any(|step| matches!(step.resource, Resource::Package(_)));
        let needs = [
            ("/etc", 5 * MEGABYTE),
            ("/usr/local/bin", 100 * MEGABYTE),
            ("/var/lib", if packages { PACKAGE_NEED } else { OWN_NEED }),
        ];
        for (path, need) in needs {
            let (bytes, inodes) = self.host.files.free_space(Path::new(path))?;
            if bytes < need {
                return Err(EngineError::NotReady {
                    what: format!("{path} has {} MB left and needs {} MB", bytes / MEGABYTE, need / MEGABYTE),
                    help: "make room (`df -h`, `apt-get clean`, `journalctl --vacuum-size=100M`), then run it again".into(),
                });
            }
            // Some file systems count no inodes and say 0 of 0.
            if inodes < INODE_NEED && inodes != 0 {
                return Err(EngineError::NotReady {
                    what: format!("{path} has {inodes} inodes left and needs {INODE_NEED}"),
                    help: "remove small files (`df -i` shows where), then run it again".into(),
                });
            }
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
                let who = match &listener.owner {
                    Some((pid, name)) => format!("{name} (process {pid})"),
                    None => "a process that cannot be seen from here".to_owned(),
                };
                return Err(EngineError::NotReady {
                    what: format!("port {} is taken by {who}", listener.port),
                    help: "stop and disable that service, or move it to another port, then run it again".into(),
                });
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
        if changes_nginx && self.host.nginx.version().is_some() {
            self.host.nginx.test()?;
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
        let audit = self.host.packages.audit()?;
        let Some(first) = audit.lines().next() else {
            return Ok(());
        };
        Err(EngineError::NotReady {
            what: format!("`{missing}` must be installed, but dpkg has unfinished work: {first}"),
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
