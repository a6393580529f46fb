use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::rooted_closed::closed;
use super::{HostError, Invocation, Packages, Processes as _, RealProcesses, Root};

/// The packages of an image, as its own dpkg database has them. They are looked at, never changed.
#[derive(Debug, Clone)]
pub struct RootedPackages {
    root: Arc<Root>,
}

const DATABASE: &str = "/var/lib/dpkg";

impl RootedPackages {
    /// The packages of `root`.
    pub fn new(root: Arc<Root>) -> Self {
        Self { root }
    }

    fn query(&self, args: &[&str]) -> Result<String, HostError> {
        self.root
            .must_be_plain(&Path::new(DATABASE).join("status"))?;
        self.root.must_be_plain(&Path::new(DATABASE).join("info"))?;
        let admin = format!(
            "--admindir={}",
            self.root.join(Path::new(DATABASE)).display()
        );
        let args = [&[admin.as_str()], args].concat();
        // Exit code 1 only says that some name is unknown.
        let outcome = RealProcesses.run(&Invocation::new("dpkg-query", &args))?;
        Ok(outcome.stdout)
    }

    /// The version of a package that is installed.
    pub(super) fn version(&self, name: &str) -> Result<Option<String>, HostError> {
        let format = "--showformat=${db:Status-Status} ${Version}\\n";
        let text = self.query(&["--show", format, "--", name])?;
        let version = text
            .lines()
            .find_map(|line| line.strip_prefix("installed "));
        Ok(version.map(str::to_owned))
    }
}

impl Packages for RootedPackages {
    fn installed(&self, names: &[&str]) -> Result<BTreeSet<String>, HostError> {
        let format = "--showformat=${Package} ${db:Status-Status}\\n";
        let text = self.query(&[&["--show", format, "--"], names].concat())?;
        let lines = text.lines();
        let installed = lines.filter_map(|line| line.strip_suffix(" installed"));
        Ok(installed.map(str::to_owned).collect())
    }

    fn available(&self, _names: &[&str]) -> Result<BTreeMap<String, String>, HostError> {
        Err(closed())
    }

    fn refresh(&self) -> Result<(), HostError> {
        Err(closed())
    }

    fn owner_of(&self, path: &str) -> Option<String> {
        let text = self.query(&["--search", "--", path]).ok()?;
        let (owner, _) = text.split_once(':')?;
        Some(owner.to_owned())
    }

    fn install(&self, _names: &[&str]) -> Result<(), HostError> {
        Err(closed())
    }

    fn automatic(&self) -> Result<BTreeSet<String>, HostError> {
        Err(closed())
    }

    fn not_of_packages(
        &self,
        _names: &BTreeSet<String>,
        _below: &Path,
    ) -> Result<Vec<PathBuf>, HostError> {
        Err(closed())
    }

    fn held(&self) -> Result<BTreeSet<String>, HostError> {
        Err(closed())
    }

    fn purge(&self, _names: &BTreeSet<String>) -> Result<BTreeSet<String>, HostError> {
        Err(closed())
    }

    fn unfinished(&self) -> Result<Vec<String>, HostError> {
        Err(closed())
    }
}
