//! New signing keys for apps: a run like any other, of which only the keys and the restarts are left.

use std::collections::{BTreeMap, BTreeSet};

use super::{Engine, EngineError, Source};
use crate::model::Layout;
use crate::resource::{Desired, Observed, Resource, ResourceId, SecretKind, SecretState};
use crate::stack::Stack;

impl Engine<'_> {
    /// Marks the key rings that are to get a new key, and says what the run may touch; `None` for other runs.
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
        let services = services(stacks, apps)?;
        let mut touched = BTreeSet::new();
        for Desired { resource, restarts } in desired {
            let Resource::Secret(secret) = resource else {
                continue;
            };
            if secret.kind != SecretKind::KeyRing
                || !restarts.iter().any(|id| services.contains(id))
            {
                continue;
            }
            match observed.get_mut(&resource.id()) {
                Some(Observed::Secret(SecretState::Present {
                    rotation: asked, ..
                })) => {
                    *asked = Some(*rotation);
                }
                _ => {
                    return Err(EngineError::NotReady {
                        what: format!("{} is not there to be rotated", secret.path.display()),
                        help: "`sudo tavernctl install` makes it".into(),
                    });
                }
            }
            touched.insert(resource.id());
            touched.extend(restarts.iter().cloned());
        }
        Ok(Some(touched))
    }
}

/// The service units of these apps, or of all.
fn services(stacks: &[Stack], apps: &[String]) -> Result<BTreeSet<ResourceId>, EngineError> {
    let mut services = BTreeSet::new();
    let mut known = Vec::new();
    for stack in stacks {
        for app in &stack.apps {
            let names = [
                Some(app.name.to_string()),
                app.alias.as_ref().map(ToString::to_string),
            ];
            if apps.is_empty() || names.iter().flatten().any(|name| apps.contains(name)) {
                let unit = Layout::unit_stem(&stack.name, &app.name);
                services.insert(ResourceId(format!("unit:{unit}.service")));
            }
            known.extend(names.into_iter().flatten());
        }
    }
    match apps.iter().find(|app| !known.contains(app)) {
        None if services.is_empty() => Err(EngineError::NotReady {
            what: "no app is installed on this host".into(),
            help: "`sudo tavernctl install` sets up `counter`".into(),
        }),
        None => Ok(services),
        Some(unknown) => Err(EngineError::NotReady {
            what: format!("there is no app called `{unknown}`"),
            help: format!("this host has: {}", known.join(", ")),
        }),
    }
}
