use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Action, Change, Claim, PathState};

/// Everything of nginx's configuration that is ours, changed as one: tested beside the live tree,
/// put in place, proven by a request, or put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NginxTree {
    /// Files by path, with their text.
    pub files: BTreeMap<PathBuf, String>,
    /// Links by path, with their target.
    pub links: BTreeMap<PathBuf, PathBuf>,
    /// What the running nginx answers when it runs this very tree.
    pub generation: String,
    /// The port on loopback where it is asked.
    pub http_port: u16,
    /// Ports our default server listens on.
    pub ports: Vec<u16>,
    /// Whether one of our stacks answers to any name, so that no other server may.
    pub claims_default: bool,
}

/// An enabled site of somebody else's that would take our requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rival {
    /// Its file or link below `sites-enabled` or `conf.d`.
    pub path: PathBuf,
    /// Why it stands in the way.
    pub reason: String,
    /// Whether it is the site that Debian's package enables.
    pub is_package_default: bool,
}

/// nginx as found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NginxState {
    /// What is at each path of ours.
    pub paths: BTreeMap<PathBuf, PathState>,
    /// Who stands in the way.
    pub rivals: Vec<Rival>,
    /// Files and links that we wrote for a stack that no longer asks for them.
    pub stale: Vec<PathBuf>,
    /// The generation the running nginx answered with.
    pub generation: Option<String>,
    /// The unit is enabled and active.
    pub running: bool,
    /// A certificate or password file that it reads has changed since it was told.
    pub owes_reload: bool,
}

impl NginxTree {
    /// Whether `content`, written in the generation of `other`, is what this tree has at `path`.
    pub(super) fn has_but_for_generation(&self, path: &Path, content: &[u8], other: &Self) -> bool {
        let content = String::from_utf8_lossy(content).replace(&other.generation, &self.generation);
        self.files.get(path) == Some(&content)
    }

    pub(super) fn compare(&self, state: &NginxState, claim: Claim) -> Option<Change> {
        let foreign: Vec<_> = state
            .rivals
            .iter()
            .filter(|rival| !rival.is_package_default)
            .collect();
        if !foreign.is_empty() {
            let list: Vec<_> = foreign
                .iter()
                .map(|rival| format!("{} ({})", rival.path.display(), rival.reason))
                .collect();
            return Some(Change::take_over(
                format!("in the way: {}", list.join(", ")),
                claim,
            ));
        }
        let text = |path: &PathBuf| match state.paths.get(path) {
            Some(PathState::File { content, .. }) => content.clone(),
            _ => Vec::new(),
        };
        let changed: Vec<_> = self
            .files
            .iter()
            .filter(|(path, wanted)| text(path) != wanted.as_bytes())
            .collect();
        let links_differ = self.links.iter().any(|(path, target)| {
            state.paths.get(path)
                != Some(&PathState::Link {
                    target: target.clone(),
                })
        });
        let action = if state.generation.is_some() {
            Action::Update
        } else {
            Action::Create
        };
        if !changed.is_empty() {
            let (mut before, mut after) = (Vec::new(), Vec::new());
            for (path, wanted) in changed {
                let heading = format!("# {}\n", path.display());
                before.extend([heading.as_bytes(), &text(path)].concat());
                after.extend([heading.as_bytes(), wanted.as_bytes()].concat());
            }
            return Some(Change::new(action, "configuration differs").with_diff(&before, &after));
        }
        if links_differ {
            return Some(Change::new(action, "a site is not enabled"));
        }
        if let Some(path) = state.stale.first() {
            return Some(Change::new(
                action,
                format!("{} is left from an earlier stack", path.display()),
            ));
        }
        if let Some(rival) = state.rivals.first() {
            return Some(Change::new(
                action,
                format!("sets {} aside", rival.path.display()),
            ));
        }
        if !state.running {
            return Some(Change::new(
                Action::Restart,
                "nginx is not enabled and active",
            ));
        }
        if state.generation.as_deref() != Some(self.generation.as_str()) {
            return Some(Change::new(
                Action::Restart,
                "the running nginx serves an older configuration",
            ));
        }
        state.owes_reload.then(|| {
            Change::new(
                Action::Restart,
                "a certificate, password file or unit file changed",
            )
        })
    }
}
