use std::path::Path;

use super::{
    Files as _, HostError, Invocation, Processes as _, RealProcesses, RootedFiles, Systemd,
    UnitReport,
};
use crate::resource::PathState;

/// The unit states of an image. `systemctl --root` needs no running systemd: it makes and reads links.
#[derive(Debug, Clone)]
pub struct RootedSystemd {
    files: RootedFiles,
}

const UNITS: &str = "/etc/systemd/system";

/// Verbs that have nothing to act on in an image; the others are about links, and are done.
const OF_WHAT_RUNS: [&str; 6] = [
    "daemon-reload",
    "reload",
    "reset-failed",
    "restart",
    "start",
    "stop",
];

impl RootedSystemd {
    /// The units among `files`.
    pub fn new(files: RootedFiles) -> Self {
        Self { files }
    }

    fn run(&self, args: &[&str]) -> Result<super::Outcome, HostError> {
        let root = format!("--root={}", self.files.root.path().display());
        let args = [&[root.as_str()], args].concat();
        RealProcesses.run(&Invocation::new("systemctl", &args))
    }

    fn report(&self, unit: &str) -> Result<UnitReport, HostError> {
        // One at a time: the first that is missing would end the answer.
        let outcome = self.run(&["is-enabled", "--", unit])?;
        let file = outcome.stdout.trim().to_owned();
        let (enabled, masked) = (file == "enabled", file.starts_with("masked"));
        let load = match (file.as_str(), masked) {
            ("" | "not-found", _) => "not-found",
            (_, true) => "masked",
            _ => "loaded",
        };
        Ok(UnitReport {
            load: load.to_owned(),
            // Nothing runs in an image: what its boot will start is all that can be wanted of it.
            active: if enabled { "active" } else { "inactive" }.to_owned(),
            file,
            ..UnitReport::default()
        })
    }

    /// The directories that enabling writes to must be in the image.
    fn must_be_plain(&self) -> Result<(), HostError> {
        let units = Path::new(UNITS);
        self.files.root.must_be_plain(units)?;
        for path in self.files.list(units)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_list = [".wants", ".requires", ".upholds"]
                .iter()
                .any(|suffix| name.ends_with(suffix));
            if is_list && matches!(self.files.state(&path)?, PathState::Link { .. }) {
                self.files.root.must_be_plain(&path)?;
            }
        }
        Ok(())
    }
}

impl Systemd for RootedSystemd {
    fn is_booted(&self) -> bool {
        false
    }

    fn reports(&self, units: &[&str]) -> Result<Vec<UnitReport>, HostError> {
        self.must_be_plain()?;
        units.iter().map(|unit| self.report(unit)).collect()
    }

    fn unit_of(&self, _pid: u32) -> Option<String> {
        None
    }

    fn act(&self, verb: &str, units: &[&str]) -> Result<(), HostError> {
        if OF_WHAT_RUNS.contains(&verb) {
            return Ok(());
        }
        self.must_be_plain()?;
        let root = format!("--root={}", self.files.root.path().display());
        let args = [&[root.as_str(), verb, "--"], units].concat();
        RealProcesses
            .run_ok(&Invocation::new("systemctl", &args))
            .map(|_| ())
    }
}
