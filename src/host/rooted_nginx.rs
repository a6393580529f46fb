use std::path::{Path, PathBuf};

use super::nginx_rivals::stale;
use super::rooted_closed::closed;
use super::{HostError, Nginx, NginxBuild, NginxSetup, RootedFiles, RootedPackages};
use crate::model::NginxVersion;
use crate::resource::{NginxTree, Rival};

/// The nginx of an image: what is on its disk. It does not run, so nothing can be proven of it.
#[derive(Debug, Clone)]
pub struct RootedNginx {
    files: RootedFiles,
    packages: RootedPackages,
}

impl RootedNginx {
    /// The nginx among `files`.
    pub fn new(files: RootedFiles, packages: RootedPackages) -> Self {
        Self { files, packages }
    }
}

impl Nginx for RootedNginx {
    fn build(&self) -> Option<NginxBuild> {
        let version = self.packages.version("nginx").ok()??;
        Some(NginxBuild {
            version: NginxVersion::of_package(&version)?,
            // Nothing of an image is run; no site of nginx's is made for one either.
            has_gzip_static: true,
        })
    }

    fn test(&self, _ports: &[u16]) -> Result<String, HostError> {
        Err(closed())
    }

    fn setup(&self) -> Result<NginxSetup, HostError> {
        Err(closed())
    }

    fn test_staged(
        &self,
        _tree: &NginxTree,
        _removed: &[PathBuf],
        _stage: &Path,
    ) -> Result<String, HostError> {
        Err(closed())
    }

    fn generation(&self, _port: u16) -> Option<String> {
        None
    }

    fn shown(&self, _port: u16, _name: Option<&str>) -> Option<Vec<u8>> {
        None
    }

    fn rivals(&self, _tree: &NginxTree) -> Result<Vec<Rival>, HostError> {
        Err(closed())
    }

    fn stale(&self, tree: &NginxTree) -> Result<Vec<PathBuf>, HostError> {
        stale(&self.files, tree)
    }

    fn recent_errors(&self) -> String {
        String::new()
    }
}
