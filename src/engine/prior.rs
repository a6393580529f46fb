//! What was there before a step, in a form that can be given back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::alias::AliasPrior;
use super::handover::KeptContainer;
use super::{Engine, EngineError, Receipt};
use crate::host::HostError;
use crate::mint;
use crate::model::Mode;
use crate::resource::{
    AliasState, BinaryState, ContainerState, Observed, Owner, PathState, Resource, VolumeState,
};

/// The state of a resource before Tavern changed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prior {
    /// Nothing was there.
    Absent,
    /// It was there and is nobody's business to take away.
    Present,
    /// Something was at a path.
    Path(PathPrior),
    /// A unit's state.
    Unit {
        /// It was enabled.
        enabled: bool,
        /// It was active.
        active: bool,
        /// The unit that had the alias's name.
        alias: Option<AliasPrior>,
    },
    /// A container of somebody else's, kept under another name.
    Container(KeptContainer),
    /// A credential's files. Only while the run lasts: no receipt keeps a secret's old bytes.
    Credential {
        /// The file itself.
        file: PathPrior,
        /// The note of its passwords.
        passwords: PathPrior,
    },
    /// All packages that were installed. Only while the run lasts.
    Packages {
        /// Their names.
        installed: BTreeSet<String>,
    },
    /// The package came with others, and all of them were not there before.
    Brought {
        /// Their names, its own among them.
        packages: BTreeSet<String>,
    },
    /// nginx's tree.
    Nginx {
        /// Our paths and the rivals' links.
        paths: BTreeMap<PathBuf, PathPrior>,
        /// What was ours and no longer is: for an undo of the run, and for no receipt.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        stale: BTreeMap<PathBuf, PathPrior>,
        /// The unit was active.
        active: bool,
    },
}

/// What was at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathPrior {
    /// Nothing.
    Absent,
    /// A file; its bytes are in a blob.
    File {
        /// The blob's name.
        blob: String,
        /// Permission bits.
        mode: Mode,
        /// Who owned it.
        owner: Owner,
    },
    /// A link.
    Link {
        /// Where it pointed.
        target: PathBuf,
    },
    /// A directory.
    Directory {
        /// Permission bits.
        mode: Mode,
        /// Who owned it.
        owner: Owner,
    },
}

impl Prior {
    /// Takes in what a later run set aside for the same resource: that too is somebody's, to be given back.
    pub(super) fn absorb(&mut self, later: Self, resource: &Resource) {
        match (self, later) {
            (Self::Unit { alias, .. }, Self::Unit { alias: later, .. }) if alias.is_none() => {
                *alias = later;
            }
            (Self::Nginx { paths, .. }, Self::Nginx { paths: later, .. }) => {
                let Resource::Nginx(tree) = resource else {
                    return;
                };
                for (path, prior) in later {
                    let ours = tree.files.contains_key(&path) || tree.links.contains_key(&path);
                    if !ours {
                        paths.entry(path).or_insert(prior);
                    }
                }
            }
            (own @ (Self::Absent | Self::Present), later @ Self::Container(_)) => *own = later,
            // The operator's rule is gone, and this one is ours.
            (own @ Self::Present, Self::Absent) if matches!(resource, Resource::Opening(_)) => {
                *own = Self::Absent;
            }
            _ => {}
        }
    }
}

impl Engine<'_> {
    pub(super) fn blobs(&self) -> PathBuf {
        self.layout.state.join("blobs")
    }

    /// Captures what is at a path; a file's bytes go into a root-only blob under a random name.
    pub(super) fn capture_path(&self, path: &Path) -> Result<PathPrior, EngineError> {
        Ok(match self.host.files.state(path)? {
            PathState::Absent => PathPrior::Absent,
            PathState::Link { target } => PathPrior::Link { target },
            PathState::Directory { mode, owner } => PathPrior::Directory { mode, owner },
            PathState::File {
                content,
                mode,
                owner,
            } => {
                let blob = mint::key()?;
                let directory = self.blobs();
                self.host
                    .files
                    .make_directory(&directory, Mode(0o700), &Owner::root())?;
                self.host.files.write(
                    &directory.join(&blob),
                    &content,
                    Mode(0o600),
                    &Owner::root(),
                )?;
                PathPrior::File { blob, mode, owner }
            }
            PathState::Other => {
                return Err(HostError::Unexpected(format!(
                    "{} is a socket or device",
                    path.display()
                ))
                .into());
            }
        })
    }

    /// Captures what a step is about to change.
    pub(super) fn capture(
        &self,
        resource: &Resource,
        observed: &Observed,
    ) -> Result<Prior, EngineError> {
        Ok(match (resource, observed) {
            (Resource::Binary(binary), _) => self.capture_binary(&binary.path)?,
            (Resource::Package(_), Observed::Package(false)) => Prior::Packages {
                installed: self.host.packages.installed(&[])?,
            },
            (Resource::Secret(secret), _) => {
                self.capture_credential(&secret.path, &secret.passwords)?
            }
            (Resource::Htpasswd(htpasswd), _) => {
                self.capture_credential(&htpasswd.path, &htpasswd.passwords)?
            }
            (Resource::Certificate(certificate), _) => {
                match self.host.files.state(&certificate.path)? {
                    PathState::Absent => Prior::Absent,
                    // The pair it points to stays until the run is over.
                    PathState::Link { target } => Prior::Path(PathPrior::Link { target }),
                    _ => Prior::Present,
                }
            }
            // It is made where nothing is, and what is removed of it is gone for good: no copy of a log.
            (Resource::File(file), Observed::Path { state, .. }) if !file.is_read() => {
                match state {
                    PathState::Absent => Prior::Absent,
                    _ => Prior::Present,
                }
            }
            (Resource::Directory(_) | Resource::File(_) | Resource::Link(_), _) => {
                match resource.path() {
                    Some(path) => match self.capture_path(path)? {
                        PathPrior::Absent => Prior::Absent,
                        prior => Prior::Path(prior),
                    },
                    None => Prior::Absent,
                }
            }
            (Resource::Unit(unit), Observed::Unit(state)) => {
                let alias = match (&unit.alias, state.alias) {
                    (Some(alias), AliasState::Foreign) => Some(self.capture_alias(alias)?),
                    _ => None,
                };
                Prior::Unit {
                    enabled: state.enabled,
                    active: state.active,
                    alias,
                }
            }
            (
                Resource::Container(container),
                Observed::Container(ContainerState::Present(found)),
            ) if found.stack.is_none() => {
                Prior::Container(self.capture_container(&container.name)?)
            }
            (Resource::Nginx(tree), Observed::Nginx(state)) => {
                let mut paths = BTreeMap::new();
                let rivals = state.rivals.iter().map(|rival| &rival.path);
                let mut stale = BTreeMap::new();
                for path in &state.stale {
                    stale.insert(path.clone(), self.capture_path(path)?);
                }
                for path in tree.files.keys().chain(tree.links.keys()).chain(rivals) {
                    paths.insert(path.clone(), self.capture_path(path)?);
                }
                Prior::Nginx {
                    paths,
                    stale,
                    active: state.running,
                }
            }
            (_, Observed::Package(there) | Observed::Group(there) | Observed::Opening(there)) => {
                if *there {
                    Prior::Present
                } else {
                    Prior::Absent
                }
            }
            (_, Observed::Image(Some(_)) | Observed::Volume(VolumeState::Present { .. })) => {
                Prior::Present
            }
            (_, Observed::Container(ContainerState::Present(_))) => Prior::Present,
            _ => Prior::Absent,
        })
    }

    fn capture_credential(&self, file: &Path, passwords: &Path) -> Result<Prior, EngineError> {
        Ok(Prior::Credential {
            file: self.capture_path(file)?,
            passwords: self.capture_path(passwords)?,
        })
    }

    /// What a receipt keeps of a prior once the run is over.
    pub(super) fn settled(&self, resource: &Resource, prior: Prior) -> Result<Prior, EngineError> {
        Ok(match (resource, prior) {
            // No rollback may revive a revoked account.
            (
                _,
                Prior::Credential {
                    file: PathPrior::Absent,
                    ..
                },
            ) => Prior::Absent,
            (_, Prior::Credential { .. }) => Prior::Present,
            (Resource::Certificate(_), Prior::Path(_)) => Prior::Present,
            (Resource::Package(package), Prior::Packages { installed }) => {
                let mut packages = self.host.packages.installed(&[])?;
                let automatic = self.host.packages.automatic()?;
                // What somebody asked apt for by name in the meantime is theirs.
                packages.retain(|name| {
                    !installed.contains(name) && (*name == package.name || automatic.contains(name))
                });
                Prior::Brought { packages }
            }
            (_, Prior::Nginx { paths, active, .. }) => Prior::Nginx {
                paths,
                stale: BTreeMap::new(),
                active,
            },
            (_, prior) => prior,
        })
    }

    /// The previous tavernctl, so that a failed upgrade leaves the old one in place.
    fn capture_binary(&self, path: &Path) -> Result<Prior, EngineError> {
        let files = &self.host.files;
        if files.binary_state(path)? == BinaryState::Absent {
            return Ok(Prior::Absent);
        }
        let (blob, mode, owner) = (mint::key()?, Mode(0o755), Owner::root());
        files.make_directory(&self.blobs(), Mode(0o700), &Owner::root())?;
        files.copy(path, &self.blobs().join(&blob), Mode(0o600), &owner)?;
        Ok(Prior::Path(PathPrior::File { blob, mode, owner }))
    }

    /// Removes the blobs that the receipt does not speak of.
    pub(super) fn collect_blobs(&self, receipt: &Receipt) -> Result<(), EngineError> {
        let wanted = serde_json::to_string(receipt).unwrap_or_default();
        for path in self.host.files.list(&self.blobs())? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // A hidden one is what a killed run had half-written: nobody's.
            let is_half = name.starts_with('.');
            if is_half || !(receipt.spares_blobs || wanted.contains(name.as_ref())) {
                self.host.files.remove(&path)?;
            }
        }
        self.host.files.remove_directory(&self.blobs())?;
        Ok(())
    }

    /// Puts back what was at a path.
    pub(super) fn restore_path(&self, path: &Path, prior: &PathPrior) -> Result<(), EngineError> {
        match prior {
            PathPrior::Absent => self.host.files.remove(path)?,
            PathPrior::Link { target } => self.host.files.link(path, target)?,
            PathPrior::Directory { mode, owner } => {
                self.host.files.make_directory(path, *mode, owner)?
            }
            PathPrior::File { blob, mode, owner } => {
                self.host
                    .files
                    .copy(&self.blobs().join(blob), path, *mode, owner)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::NginxTree;

    #[test]
    fn what_is_set_aside_later_is_given_back_too() {
        let link = |target: &str| PathPrior::Link {
            target: target.into(),
        };
        let nginx = |paths: Vec<(&str, PathPrior)>| Prior::Nginx {
            paths: paths.into_iter().map(|(p, x)| (p.into(), x)).collect(),
            stale: BTreeMap::new(),
            active: true,
        };
        let tree = Resource::Nginx(NginxTree {
            files: BTreeMap::from([("/ours".into(), "text".into())]),
            links: BTreeMap::new(),
            generation: String::new(),
            http_port: 80,
            ports: vec![80],
            claims_default: true,
        });
        let mut first = nginx(vec![("/ours", PathPrior::Absent), ("/a", link("a"))]);
        // The later run sees our own file, the first rival under another target, and a new rival.
        first.absorb(
            nginx(vec![
                ("/ours", link("x")),
                ("/a", link("b")),
                ("/default", link("d")),
            ]),
            &tree,
        );
        assert_eq!(
            first,
            nginx(vec![
                ("/ours", PathPrior::Absent),
                ("/a", link("a")),
                ("/default", link("d"))
            ])
        );
    }

    #[test]
    fn a_rule_in_the_place_of_the_operators_is_ours() {
        let opening = Resource::Opening(crate::resource::Opening {
            port: 80,
            public: true,
            ssh: false,
        });
        let mut prior = Prior::Present;
        prior.absorb(Prior::Absent, &opening);
        prior.absorb(Prior::Present, &opening);
        assert_eq!(prior, Prior::Absent);
    }

    #[test]
    fn a_container_in_our_place_is_kept_whoever_was_there_first() {
        let kept = Prior::Container(KeptContainer {
            kept_as: "redis-flask.before-tavern".into(),
            restart_policy: "always".into(),
            running: true,
            append_only: false,
        });
        let image = Resource::Group(crate::resource::Group { name: "any".into() });
        let mut prior = Prior::Absent;
        prior.absorb(kept.clone(), &image);
        assert_eq!(prior, kept);
        prior.absorb(Prior::Present, &image);
        assert_eq!(prior, kept, "a later run that found ours");
    }
}
