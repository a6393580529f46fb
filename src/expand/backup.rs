//! What the backups of all stacks take on the host: restic, a key each, and three timers.

use minijinja::context;

use super::base::{managed, managed_for};
use super::emit::{EmitError, emit};
use crate::model::{Facts, Layout};
use crate::resource::{Desired, Package, Resource, ResourceId, Secret, SecretKind, Unit};
use crate::stack::{Backup, Stack};

/// What makes and reads the backups.
pub(super) fn package(stacks: &[Stack], facts: &Facts) -> Option<Resource> {
    let is_asked_for = stacks.iter().any(|stack| stack.backup.is_some());
    (is_asked_for && !facts.has_restic).then(|| {
        Resource::Package(Package {
            name: "restic".to_owned(),
        })
    })
}

/// The key of a stack's backups. It is never part of one.
pub(super) fn key(stack: &Stack, layout: &Layout) -> Option<Desired> {
    stack.backup.as_ref()?;
    Some(
        Resource::Secret(Secret {
            path: layout.backup_key(&stack.name),
            kind: SecretKind::BackupKey {
                stack: stack.name.to_string(),
            },
            passwords: layout.passwords(&stack.name),
            moved_from: None,
        })
        .into(),
    )
}

/// The units that save by the clock, those that look whether it was any good, and those that undo a restore that a
/// power cut ended.
pub(super) fn timers(
    stacks: &[Stack],
    facts: &Facts,
    layout: &Layout,
) -> Result<Vec<Desired>, EmitError> {
    let backups: Vec<&Backup> = stacks
        .iter()
        .filter_map(|stack| stack.backup.as_ref())
        .collect();
    let Some(interval) = backups.iter().map(|backup| backup.drill).min() else {
        return Ok(Vec::new());
    };
    let mut times: Vec<String> = backups.iter().map(|backup| backup.at.clone()).collect();
    times.sort_unstable();
    times.dedup();
    let values = context! {
        binary => facts.binary.to_string_lossy(),
        state => layout.state.to_string_lossy(),
        times,
        interval => interval.as_str(),
    };
    let mut desired = Vec::new();
    for (stem, service, timer) in [
        ("tavern-backup", "backup.service", "backup.timer"),
        ("tavern-drill", "drill.service", "drill.timer"),
        ("tavern-recover", "recover.service", "recover.timer"),
    ] {
        let unit = Unit {
            name: format!("{stem}.timer"),
            alias: None,
            service: None,
            is_beside: false,
        };
        let file = layout.units.join(format!("{stem}.service"));
        desired.push(managed(file, 0o644, emit(service, &values)?).into());
        desired.push(managed_for(
            layout.units.join(&unit.name),
            emit(timer, &values)?,
            vec![ResourceId(format!("unit:{}", unit.name))],
        ));
        desired.push(Resource::Unit(unit).into());
    }
    Ok(desired)
}
