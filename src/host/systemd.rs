use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::{
    Files as _, HostError, Invocation, Processes as _, RealFiles, RealProcesses, systemd_many,
};

/// systemd's word on a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitReport {
    /// `loaded`, `not-found`, `masked`, `bad-setting` …
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating` …
    pub active: String,
    /// `running`, `listening`, `exited` …
    pub sub: String,
    /// `enabled`, `disabled`, `alias` …
    pub file: String,
    /// The unit file on disk is newer than what systemd has loaded.
    pub needs_reload: bool,
    /// What the service says of itself.
    pub status_text: String,
    /// Process of a service, 0 if none.
    pub main_pid: u32,
    /// Where its file is.
    pub path: String,
    /// Files of the administrator's that change it.
    pub drop_ins: Vec<String>,
}

/// systemd. By `systemctl`, which waits for jobs and speaks to every version alike;
/// its answers are read with `show`, made for programs.
pub trait Systemd: Send + Sync {
    /// Whether the host was booted with systemd.
    fn is_booted(&self) -> bool;

    /// Reports on units, in the order asked for.
    ///
    /// # Errors
    /// When systemd does not answer.
    fn reports(&self, units: &[&str]) -> Result<Vec<UnitReport>, HostError>;

    /// The same, but that a service's own word, its process and a pending reload may be left out: for many units.
    ///
    /// # Errors
    /// When systemd does not answer.
    fn states(&self, units: &[&str]) -> Result<Vec<UnitReport>, HostError> {
        self.reports(units)
    }

    /// The unit that a process belongs to, by its control group.
    fn unit_of(&self, pid: u32) -> Option<String>;

    /// Runs a verb of systemctl (`start`, `stop`, `restart`, `reload`, `enable`, `disable`, `daemon-reload` …) on units.
    ///
    /// # Errors
    /// When a job fails, with the end of what systemctl said.
    fn act(&self, verb: &str, units: &[&str]) -> Result<(), HostError>;
}

/// The system's manager.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealSystemd;

/// From here on two questions about all are faster than some about each.
const MANY: usize = 64;

const PROPERTIES: &str = "--property=Id,LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,StatusText,MainPID,FragmentPath,DropInPaths";

impl Systemd for RealSystemd {
    fn is_booted(&self) -> bool {
        // sd_booted(3)'s own test.
        Path::new("/run/systemd/system").is_dir()
    }

    fn reports(&self, units: &[&str]) -> Result<Vec<UnitReport>, HostError> {
        if units.is_empty() {
            return Ok(Vec::new());
        }
        let mut args = vec!["show", PROPERTIES, "--"];
        args.extend(units);
        let outcome = RealProcesses.run_ok(&Invocation::new("systemctl", &args))?;
        let reports: Vec<_> = outcome.stdout.trim_end().split("\n\n").map(parse).collect();
        if reports.len() == units.len() {
            Ok(reports)
        } else {
            Err(HostError::Unexpected(format!(
                "systemctl reported {} of {} units",
                reports.len(),
                units.len()
            )))
        }
    }

    fn states(&self, units: &[&str]) -> Result<Vec<UnitReport>, HostError> {
        if units.len() < MANY {
            return self.reports(units);
        }
        let states = systemd_many::states(units)?;
        let asked: Vec<&str> = units
            .iter()
            .zip(&states)
            .filter(|(_, state)| state.is_none())
            .map(|(unit, _)| *unit)
            .collect();
        let mut reports = self.reports(&asked)?.into_iter();
        let whole = states
            .into_iter()
            .map(|state| state.or_else(|| reports.next()).unwrap_or_default());
        Ok(whole.collect())
    }

    fn unit_of(&self, pid: u32) -> Option<String> {
        let path = format!("/proc/{pid}/cgroup");
        let groups = RealFiles.read(Path::new(&path)).ok()??;
        unit_in(&String::from_utf8_lossy(&groups))
    }

    fn act(&self, verb: &str, units: &[&str]) -> Result<(), HostError> {
        let mut args = vec![verb];
        args.extend(units);
        let invocation = Invocation::new("systemctl", &args).limit(Duration::from_secs(120));
        RealProcesses.run_ok(&invocation).map(|_| ())
    }
}

/// The unit in `/proc/PID/cgroup`: the last part of systemd's own group, `0::/system.slice/nginx.service`.
fn unit_in(groups: &str) -> Option<String> {
    let paths = groups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        // Without a name: version 2. With it: version 1, where systemd has a hierarchy of its own.
        matches!(controllers, "" | "name=systemd").then_some(path)
    });
    let mut units = paths.filter_map(|path| path.rsplit('/').next());
    units
        .find(|name| name.ends_with(".service") || name.ends_with(".scope"))
        .map(str::to_owned)
}

fn parse(block: &str) -> UnitReport {
    let mut values: BTreeMap<&str, &str> = block
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    let mut take = |key| values.remove(key).unwrap_or_default().to_owned();
    UnitReport {
        load: take("LoadState"),
        active: take("ActiveState"),
        sub: take("SubState"),
        file: take("UnitFileState"),
        needs_reload: take("NeedDaemonReload") == "yes",
        status_text: take("StatusText"),
        main_pid: take("MainPID").parse().unwrap_or(0),
        path: take("FragmentPath"),
        drop_ins: take("DropInPaths")
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::unit_in;

    #[test]
    fn a_process_is_of_the_unit_that_its_group_ends_with() {
        let unit = |text| unit_in(text);
        assert_eq!(
            unit("0::/system.slice/nginx.service\n").as_deref(),
            Some("nginx.service")
        );
        // nginx in a container on the host's network.
        assert_eq!(
            unit("0::/system.slice/docker-0a1b.scope\n").as_deref(),
            Some("docker-0a1b.scope")
        );
        assert_eq!(unit("0::/docker/0a1b\n"), None);
        let first = "4:memory:/x/nginx.service\n1:name=systemd:/system.slice/ssh.service\n0::/\n";
        assert_eq!(unit(first).as_deref(), Some("ssh.service"));
        assert_eq!(unit("junk"), None);
    }
}
