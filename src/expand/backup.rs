//! What the backups of all stacks take on the host: restic, a key each, and three timers.

use minijinja::context;

use super::base::{managed, managed_for};
use super::emit::{EmitError, emit};
use crate::model::{Facts, Layout};
use crate::resource::{Desired, Package, Resource, ResourceId, Secret, SecretKind, Unit};
use crate::stack::{Backup, Stack};

/// What makes and reads the backups, and what reads the databases that are saved.
pub(super) fn packages(stacks: &[Stack], facts: &Facts) -> Vec<Resource> {
    let mut backups = stacks.iter().filter_map(|stack| stack.backup.as_ref());
    let mut names = Vec::new();
    if backups.clone().next().is_some() && !facts.has_restic {
        names.push("restic");
    }
    if backups.any(|backup| !backup.sqlite.is_empty()) && !facts.has_sqlite {
        names.push("sqlite3");
    }
    let package = |name: &str| {
        Resource::Package(Package {
            name: name.to_owned(),
        })
    };
    names.into_iter().map(package).collect()
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
