use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::path::Path;

use super::pins::Images;
use super::{Engine, EngineError};
use crate::expand;
use crate::host::{Host, HostError, UnitReport};
use crate::mint;
use crate::resource::{
    AliasState, Container, ContainerState, Content, Desired, HtpasswdState, Image, NginxState,
    NginxTree, Observed, PathState, Resource, ResourceId, RunningContainer, Secret, SecretKind,
    SecretState, Unit, UnitState, VolumeState,
};

impl Engine<'_> {
    /// Looks at every resource. Nothing is written. systemd takes as long to answer as all the rest: it is asked
    /// while the rest is looked at.
    pub(super) fn observe(
        &self,
        desired: &[Desired],
    ) -> Result<BTreeMap<ResourceId, Observed>, EngineError> {
        let mut observed = BTreeMap::new();
        let mut look = |is_batched: bool, batch: &Batch| {
            let resources = desired.iter().map(|item| &item.resource);
            for resource in resources.filter(|one| Batch::is_for(one) == is_batched) {
                observed.insert(resource.id(), self.look(resource, batch)?);
            }
            Ok::<(), EngineError>(())
        };
        let host = self.host;
        std::thread::scope(|scope| {
            let batch = scope.spawn(|| Batch::ask(host, desired));
            let images = Images::among(desired.iter().map(|item| &item.resource));
            let nothing_yet = Batch {
                images,
                ..Batch::default()
            };
            look(false, &nothing_yet)?;
            let batch = batch.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            look(true, &batch)
        })?;
        Ok(observed)
    }

    pub(super) fn look_at(&self, resource: &Resource) -> Result<Observed, EngineError> {
        let desired = Desired::from(resource.clone());
        let batch = Batch::ask(self.host, std::slice::from_ref(&desired))?;
        self.look(resource, &batch)
    }

    fn look(&self, resource: &Resource, batch: &Batch) -> Result<Observed, EngineError> {
        let files = &self.host.files;
        Ok(match resource {
            Resource::Package(package) => Observed::Package(batch.packages.contains(&package.name)),
            Resource::Group(group) => {
                Observed::Group(self.host.accounts.group_id(&group.name).is_some())
            }
            Resource::Directory(directory) => Observed::Path {
                state: files.state(&directory.path)?,
                wanted: None,
            },
            Resource::Link(link) => Observed::Path {
                state: files.state(&link.path)?,
                wanted: None,
            },
            Resource::File(file) if !file.is_read() => Observed::Path {
                state: files.outline(&file.path)?,
                wanted: self.content(&file.content)?,
            },
            Resource::File(file) => Observed::Path {
                state: files.state(&file.path)?,
                wanted: self.content(&file.content)?,
            },
            Resource::Binary(binary) => Observed::Binary(files.binary_state(&binary.path)?),
            Resource::Secret(secret) => Observed::Secret(self.look_at_secret(secret)?),
            Resource::Htpasswd(htpasswd) => {
                Observed::Htpasswd(match files.state(&htpasswd.path)? {
                    PathState::File {
                        content,
                        mode,
                        owner,
                    } => HtpasswdState::Present {
                        accounts: cheap_accounts(&content),
                        mode,
                        owner,
                    },
                    _ => HtpasswdState::Absent,
                })
            }
            Resource::Certificate(certificate) => {
                Observed::Certificate(self.look_at_certificate(certificate)?)
            }
            Resource::Image(image) if self.is_docker_there()? => {
                Observed::Image(self.local_image(image)?.map(|found| found.id))
            }
            Resource::Image(_) => Observed::Image(None),
            Resource::Volume(volume) => {
                let found = self.unless_no_docker(|| self.host.docker.volume(&volume.name))?;
                Observed::Volume(
                    found.map_or(VolumeState::Absent, |found| VolumeState::Present {
                        holds: self.holds_of(volume, &found.path),
                        stack: found.stack,
                    }),
                )
            }
            Resource::Container(container) => {
                Observed::Container(self.look_at_container(container, &batch.images)?)
            }
            Resource::Unit(unit) => Observed::Unit(self.look_at_unit(unit, batch)),
            Resource::Nginx(tree) => Observed::Nginx(Box::new(self.look_at_nginx(tree, batch)?)),
            Resource::Opening(opening) => Observed::Opening(if opening.public {
                self.host.firewall.is_open(opening.port)?
            } else {
                self.host.firewall.is_open_to_some(opening.port)?
            }),
        })
    }

    /// The bytes a file asks for; nothing while its credential is not made.
    pub(super) fn content(&self, content: &Content) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(match content {
            Content::Text(text) => Some(text.clone().into_bytes()),
            Content::Page(name) => Some(
                expand::page(name)
                    .ok_or_else(|| {
                        HostError::Unexpected(format!("this tavernctl carries no page `{name}`"))
                    })?
                    .into_owned(),
            ),
            Content::RedisAcl(acl) => self.host.files.read(&acl.password)?.map(|passwords| {
                let passwords = String::from_utf8_lossy(&passwords);
                let hashes: Vec<String> = mint::keys(&passwords)
                    .map(mint::redis_password_hash)
                    .collect();
                acl.text(&hashes).into_bytes()
            }),
            Content::PostgresRole(role) => self.first_key(&role.password)?.map(|password| {
                role.text(&mint::scram_verifier(&role.user, &password))
                    .into_bytes()
            }),
            Content::Password(path) => self
                .first_key(path)?
                .map(|password| format!("{password}\n").into_bytes()),
        })
    }

    /// The password in a credential file that is in use.
    fn first_key(&self, path: &Path) -> Result<Option<String>, EngineError> {
        let found = self.host.files.read(path)?;
        Ok(found.and_then(|bytes| {
            let text = String::from_utf8_lossy(&bytes);
            mint::keys(&text).next().map(str::to_owned)
        }))
    }

    /// A host where Docker is still to be installed has no images, volumes or containers.
    fn unless_no_docker<T>(
        &self,
        ask: impl FnOnce() -> Result<Option<T>, HostError>,
    ) -> Result<Option<T>, HostError> {
        if self.is_docker_there()? {
            ask()
        } else {
            Ok(None)
        }
    }

    fn look_at_secret(&self, secret: &Secret) -> Result<SecretState, EngineError> {
        let (content, mode, owner) = match self.host.files.state(&secret.path)? {
            PathState::File {
                content,
                mode,
                owner,
            } => (content, mode, owner),
            PathState::Absent => return Ok(SecretState::Absent),
            _ => return Ok(SecretState::NotAFile),
        };
        let text = String::from_utf8_lossy(&content);
        let accounts: Vec<_> = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, _)| name.to_owned())
            .collect();
        let usable = match secret.kind {
            SecretKind::Key | SecretKind::BackupKey { .. } | SecretKind::KeyRing => {
                mint::is_ring(&text)
            }
            SecretKind::Accounts { .. } => text.lines().all(|line| line.contains(":$argon2id$")),
        };
        Ok(SecretState::Present {
            accounts,
            private: mode.0 & 0o077 == 0 && owner.user == "root",
            usable,
            rotation: None,
        })
    }

    fn look_at_container(
        &self,
        container: &Container,
        images: &Images,
    ) -> Result<ContainerState, EngineError> {
        let Some(found) = self.unless_no_docker(|| self.host.docker.container(&container.name))?
        else {
            return Ok(ContainerState::Absent);
        };
        let image = images.get(&container.image);
        let image_is_current = self.is_made_of(&image, &found.image_id)?;
        let changes = if found.stack.as_ref() == Some(&container.stack) {
            self.changes_of(container)?
        } else {
            Vec::new()
        };
        let wanted = self
            .host
            .accounts
            .group_id(&container.group)
            .map(|gid| settings_hash(container, gid));
        Ok(ContainerState::Present(Box::new(RunningContainer {
            stack: found.stack,
            settings: found.settings,
            wanted,
            running: found.running,
            image_is_current,
            changes,
            owes_restart: false,
            owes_reload: false,
        })))
    }

    /// Whether a container that is of `id` is of this image.
    pub(super) fn is_made_of(&self, image: &Image, id: &str) -> Result<bool, EngineError> {
        Ok(match self.local_image(image)? {
            Some(local) => local.id == id,
            // It runs on without any name; another one is still to be got.
            None => image
                .pin
                .as_ref()
                .is_none_or(|pin| pin.id.as_deref() == Some(id)),
        })
    }

    fn look_at_unit(&self, unit: &Unit, batch: &Batch) -> UnitState {
        let report = batch.report(&unit.name);
        let alias = match unit.alias.as_deref() {
            None => AliasState::Free,
            Some(alias) => self.alias_state(unit, alias, batch),
        };
        UnitState {
            enabled: report.file == "enabled",
            active: report.active == "active",
            // A power cut leaves empty files, and systemd takes an empty unit for a masked one.
            masked: report.load == "masked" && !self.is_emptied(&unit.name),
            owes_restart: false,
            alias,
        }
    }

    fn is_emptied(&self, unit: &str) -> bool {
        matches!(
            self.host.files.state(&self.layout.units.join(unit)),
            Ok(PathState::File { content, .. }) if content.is_empty()
        )
    }

    fn alias_state(&self, unit: &Unit, alias: &str, batch: &Batch) -> AliasState {
        match self.host.files.state(&self.layout.units.join(alias)) {
            Ok(PathState::Link { target }) if target.ends_with(&unit.name) => AliasState::Ours,
            Ok(PathState::Absent)
                if matches!(batch.report(alias).load.as_str(), "" | "not-found") =>
            {
                AliasState::Free
            }
            // The link is gone but systemd still knows the name as ours.
            Ok(PathState::Absent) if batch.report(alias).path.ends_with(&unit.name) => {
                AliasState::Free
            }
            _ => AliasState::Foreign,
        }
    }

    fn look_at_nginx(&self, tree: &NginxTree, batch: &Batch) -> Result<NginxState, EngineError> {
        let mut paths = BTreeMap::new();
        for path in tree.files.keys().chain(tree.links.keys()) {
            paths.insert(path.clone(), self.host.files.state(path)?);
        }
        let unit = batch.report("nginx.service");
        let running = unit.file == "enabled" && unit.active == "active";
        Ok(NginxState {
            paths,
            rivals: self.host.nginx.rivals(tree)?,
            stale: self.host.nginx.stale(tree)?,
            generation: if running {
                self.host.nginx.generation(tree.http_port)
            } else {
                None
            },
            running,
            owes_reload: false,
        })
    }
}

/// Names with a hash that nginx can check without stalling: bcrypt is left out, and so replaced.
fn cheap_accounts(content: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(content)
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(_, hash)| {
            ["$6$", "$5$", "$apr1$"]
                .iter()
                .any(|prefix| hash.starts_with(prefix))
        })
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Tells two sets of settings apart; kept as a label of the container.
pub(super) fn settings_hash(container: &Container, gid: u32) -> String {
    // As it is written to the receipt: what a later Tavern adds and this one does without, changes nothing.
    let settings = serde_json::to_string(container).unwrap_or_default();
    let text = format!("{settings} gid {gid}");
    mint::redis_password_hash(&text)
}

/// Questions asked once for many resources.
#[derive(Default)]
struct Batch {
    packages: BTreeSet<String>,
    units: BTreeMap<String, UnitReport>,
    /// The images that are wanted, as they are pinned.
    images: Images,
}

impl Batch {
    /// Whether its answers are part of this resource's state.
    fn is_for(resource: &Resource) -> bool {
        matches!(
            resource,
            Resource::Package(_) | Resource::Unit(_) | Resource::Nginx(_)
        )
    }

    fn ask(host: &Host, desired: &[Desired]) -> Result<Self, EngineError> {
        let mut packages = Vec::new();
        let mut units = Vec::new();
        for item in desired {
            match &item.resource {
                Resource::Package(package) => packages.push(package.name.as_str()),
                Resource::Unit(unit) => {
                    units.push(unit.name.as_str());
                    units.extend(unit.alias.as_deref());
                }
                Resource::Nginx(_) => units.push("nginx.service"),
                _ => {}
            }
        }
        let packages = if packages.is_empty() {
            BTreeSet::new()
        } else {
            host.packages.installed(&packages)?
        };
        let reports = host.systemd.states(&units)?;
        Ok(Self {
            images: Images::default(),
            packages,
            units: units.into_iter().map(str::to_owned).zip(reports).collect(),
        })
    }

    fn report(&self, unit: &str) -> UnitReport {
        self.units.get(unit).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::cheap_accounts;

    #[test]
    fn bcrypt_accounts_are_not_counted() {
        let names = cheap_accounts(b"a:$6$x$y\nb:$2y$10$z\nc:$apr1$x$y\n# no\n");
        assert_eq!(names, ["a", "c"]);
    }
}
