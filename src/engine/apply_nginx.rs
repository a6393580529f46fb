use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::prior::PathPrior;
use super::{Engine, EngineError};
use crate::host::HostError;
use crate::model::Mode;
use crate::resource::{NginxTree, Owner};

/// How long the running nginx may take to serve what it was told to: old workers end, new ones start.
pub(super) const PROOF_LIMIT: Duration = Duration::from_secs(10);

impl Engine<'_> {
    /// Tests the tree beside the live one, puts it in place, has nginx read it, and asks over HTTP whether it did.
    /// The old configuration serves until then, and again if the answer is no.
    pub(super) fn apply_nginx(&self, tree: &NginxTree) -> Result<(), EngineError> {
        let mut removed = self.host.nginx.stale(tree)?;
        removed.extend(
            self.host
                .nginx
                .rivals(tree)?
                .into_iter()
                .map(|rival| rival.path),
        );
        let warnings =
            self.host
                .nginx
                .test_staged(tree, &removed, &self.layout.state.join("stage"))?;
        if let Some(line) = warnings
            .lines()
            .find(|line| line.contains("[warn]") && line.contains("conflicting server name"))
        {
            return Err(HostError::Nginx(line.to_owned()).into());
        }
        let mut before: BTreeMap<PathBuf, PathPrior> = BTreeMap::new();
        for path in tree.files.keys().chain(tree.links.keys()).chain(&removed) {
            before.insert(path.clone(), self.capture_path(path)?);
        }
        let was_running = self
            .host
            .systemd
            .reports(&["nginx.service"])?
            .first()
            .is_some_and(|r| r.active == "active");
        let result = self.place_and_prove(tree, &removed, was_running);
        if result.is_err() {
            for (path, prior) in &before {
                self.restore_path(path, prior)?;
            }
            self.tell_nginx(was_running)?;
        }
        for prior in before.values() {
            if let PathPrior::File { blob, .. } = prior {
                self.host.files.remove(&self.blobs().join(blob))?;
            }
        }
        result
    }

    /// Has nginx read again what is there: its own files are as they should be, what they name has changed.
    pub(super) fn reload_nginx(&self, tree: &NginxTree) -> Result<(), EngineError> {
        self.host.nginx.test(&tree.ports)?;
        self.tell_nginx(self.is_nginx_running()?)?;
        self.prove(tree)
    }

    fn place_and_prove(
        &self,
        tree: &NginxTree,
        removed: &[PathBuf],
        was_running: bool,
    ) -> Result<(), EngineError> {
        let files = &self.host.files;
        for (path, text) in &tree.files {
            files.write(path, text.as_bytes(), Mode(0o644), &Owner::root())?;
        }
        for path in removed {
            files.remove(path)?;
        }
        for (path, target) in &tree.links {
            files.link(path, target)?;
        }
        self.host.nginx.test(&tree.ports)?;
        self.tell_nginx(was_running)?;
        self.prove(tree)
    }

    pub(super) fn is_nginx_running(&self) -> Result<bool, EngineError> {
        let reports = self.host.systemd.reports(&["nginx.service"])?;
        Ok(reports.first().is_some_and(|r| r.active == "active"))
    }

    /// Reloads a running nginx; starts one that is not. Never restarts: a restart with a bad file is an outage.
    pub(super) fn tell_nginx(&self, running: bool) -> Result<(), EngineError> {
        self.host.systemd.act("enable", &["nginx.service"])?;
        Ok(self
            .host
            .systemd
            .act(if running { "reload" } else { "start" }, &["nginx.service"])?)
    }

    /// A reload's exit code says nothing: the running nginx is asked which configuration it runs.
    fn prove(&self, tree: &NginxTree) -> Result<(), EngineError> {
        let begun = Instant::now();
        loop {
            let answer = self.host.nginx.generation(tree.http_port);
            if answer.as_deref() == Some(tree.generation.as_str()) {
                return Ok(());
            }
            if begun.elapsed() > PROOF_LIMIT {
                return Err(EngineError::NotReady {
                    what: format!(
                        "nginx accepted the configuration but does not serve it:\n{}",
                        self.host.nginx.recent_errors()
                    ),
                    help: "the old configuration serves again; `/var/log/nginx/error.log` says why"
                        .into(),
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
