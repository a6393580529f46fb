//! New signing keys for apps and new passwords for containers: a run like any other, of which only these and the
//! restarts are left.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::{Engine, EngineError, Source};
use crate::model::Layout;
use crate::resource::{
    Content, Desired, File, Observed, Resource, ResourceId, Rotation, Secret, SecretKind,
    SecretState,
};
use crate::stack::{Container, ContainerKind, Stack};

impl Engine<'_> {
    /// Marks the key rings and passwords that are to get a new first line, and says what the run may touch; `None`
    /// for other runs.
    pub(super) fn ask_for_keys(
        &self,
        source: &Source,
        stacks: &[Stack],
        desired: &[Desired],
        observed: &mut BTreeMap<ResourceId, Observed>,
    ) -> Result<Option<BTreeSet<ResourceId>>, EngineError> {
        let Source::Rotated { apps, rotation } = source else {
            return Ok(None);
        };
        self.refuse_outdated_rules()?;
        let chosen = Chosen::by(stacks, apps, &self.layout, *rotation)?;
        let mut touched = BTreeSet::new();
        for Desired { resource, restarts } in desired {
            match (resource, observed.get_mut(&resource.id())) {
                (Resource::Secret(secret), found) if chosen.has(secret, restarts) => {
                    let Some(Observed::Secret(SecretState::Present {
                        rotation: asked, ..
                    })) = found
                    else {
                        return Err(EngineError::NotReady {
                            what: format!("{} is not there to be rotated", secret.path.display()),
                            help: "`sudo tavernctl install` makes it".into(),
                        });
                    };
                    *asked = Some(*rotation);
                }
                // What it will say is known once there is the new password.
                (Resource::File(file), Some(Observed::Path { wanted, .. }))
                    if chosen.rules(file) =>
                {
                    *wanted = None;
                }
                _ => continue,
            }
            touched.insert(resource.id());
            touched.extend(restarts.iter().cloned());
        }
        Ok(Some(touched))
    }

    /// Refuses what would have an app start anew while Redis still has rules that an older Tavern wrote: it would be
    /// permitted less than it needs.
    ///
    /// # Errors
    /// When it is so, or the receipt cannot be read.
    pub fn refuse_outdated_rules(&self) -> Result<(), EngineError> {
        for entry in &self.receipt()?.entries {
            if let Resource::File(file) = &entry.resource
                && let Content::RedisAcl(acl) = &file.content
                && acl.is_outdated()
            {
                return Err(EngineError::NotReady {
                    what: format!(
                        "{} was written by an older tavernctl, and permits the app less than this one needs",
                        file.path.display()
                    ),
                    help: "`sudo tavernctl install` first: it brings the list up to date and restarts the app".into(),
                });
            }
        }
        Ok(())
    }
}

/// What is to get a new key or password.
struct Chosen {
    services: BTreeSet<ResourceId>,
    passwords: BTreeSet<PathBuf>,
}

impl Chosen {
    /// These apps and containers by their names, or all apps.
    fn by(
        stacks: &[Stack],
        names: &[String],
        layout: &Layout,
        rotation: Rotation,
    ) -> Result<Self, EngineError> {
        let (mut services, mut passwords) = (BTreeSet::new(), BTreeSet::new());
        let mut known = Vec::new();
        for stack in stacks {
            for app in &stack.apps {
                let own = [
                    Some(app.name.to_string()),
                    app.alias.as_ref().map(ToString::to_string),
                ];
                if names.is_empty() || own.iter().flatten().any(|name| names.contains(name)) {
                    let unit = Layout::unit_stem(&stack.name, &app.name);
                    services.insert(ResourceId(format!("unit:{unit}.service")));
                }
                known.extend(own.into_iter().flatten());
            }
            let stores = stack.containers.iter();
            for container in stores.filter(|one| one.kind.usual_port().is_none()) {
                let own = [container.role.to_string(), container.name.to_string()];
                if own.iter().any(|name| names.contains(name)) {
                    let credential = credential(container, rotation)?;
                    passwords.insert(layout.credential(&stack.name, credential));
                }
                known.extend(own);
            }
        }
        match names.iter().find(|name| !known.contains(name)) {
            None if services.is_empty() && passwords.is_empty() => Err(EngineError::NotReady {
                what: "no app is installed on this host".into(),
                help: "`sudo tavernctl install` sets up `counter`".into(),
            }),
            None => Ok(Self {
                services,
                passwords,
            }),
            Some(unknown) => Err(EngineError::NotReady {
                what: format!("there is no app or container called `{unknown}`"),
                help: format!("this host has: {}", known.join(", ")),
            }),
        }
    }

    fn has(&self, secret: &Secret, restarts: &[ResourceId]) -> bool {
        match secret.kind {
            SecretKind::KeyRing => restarts.iter().any(|id| self.services.contains(id)),
            SecretKind::Key => self.passwords.contains(&secret.path),
            SecretKind::BackupKey { .. } | SecretKind::Accounts { .. } => false,
        }
    }

    /// Whether it is made from one of the passwords.
    fn rules(&self, file: &File) -> bool {
        let password = file.password();
        password.is_some_and(|password| self.passwords.contains(password))
    }
}

/// The credential with a container's password.
fn credential(container: &Container, rotation: Rotation) -> Result<&'static str, EngineError> {
    match (container.kind, rotation) {
        (ContainerKind::Redis | ContainerKind::Prometheus | ContainerKind::Grafana, _) => {
            Ok("redis-password")
        }
        (ContainerKind::Postgres, Rotation::AtOnce) => Ok("postgres-password"),
        (ContainerKind::Postgres, Rotation::WithOverlap) => Err(EngineError::NotReady {
            what: format!(
                "a role of Postgres has one password: what uses {} needs the new one at once",
                container.name
            ),
            help: format!(
                "`sudo tavernctl secret rotate {} --at-once`; open connections stay",
                container.name
            ),
        }),
    }
}
