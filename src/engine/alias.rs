//! A unit of somebody else's that has the name of an alias of ours: set aside, and given back.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::prior::{PathPrior, Prior};
use super::{Engine, EngineError};
use crate::resource::PathState;

/// A unit of somebody else's that had our alias's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasPrior {
    /// Its name.
    pub name: String,
    /// Where `/etc` has, or would have, its file.
    pub path: PathBuf,
    /// What was there. Nothing, for a unit of a package: our link only hides it.
    pub file: PathPrior,
    /// Its drop-ins: systemd would apply them to whatever bears the name, and so to our unit.
    #[serde(default)]
    pub drop_ins: BTreeMap<PathBuf, PathPrior>,
    /// It was enabled.
    pub enabled: bool,
    /// It was active.
    pub active: bool,
}

impl Engine<'_> {
    pub(super) fn capture_alias(&self, alias: &str) -> Result<AliasPrior, EngineError> {
        let reports = self.host.systemd.reports(&[alias])?;
        let report = reports.into_iter().next().unwrap_or_default();
        let path = self.layout.units.join(alias);
        let mut drop_ins = BTreeMap::new();
        for drop_in in self.drop_ins(alias)? {
            drop_ins.insert(drop_in.clone(), self.capture_path(&drop_in)?);
        }
        Ok(AliasPrior {
            name: alias.to_owned(),
            file: self.capture_path(&path)?,
            path,
            drop_ins,
            enabled: report.file == "enabled",
            active: report.active == "active",
        })
    }

    fn drop_ins(&self, alias: &str) -> Result<Vec<PathBuf>, EngineError> {
        let files = &self.host.files;
        let mut found = files.list(&self.layout.units.join(format!("{alias}.d")))?;
        found.retain(|path| {
            matches!(
                files.state(path),
                Ok(PathState::File { .. } | PathState::Link { .. })
            )
        });
        Ok(found)
    }

    pub(super) fn set_unit_aside(&self, alias: &str) -> Result<(), EngineError> {
        let systemd = &self.host.systemd;
        let reports = systemd.reports(&[alias])?;
        systemd.act("stop", &[alias])?;
        if reports
            .first()
            .is_some_and(|report| report.file == "enabled")
        {
            systemd.act("disable", &[alias])?;
        }
        // What is removed here is in the journal.
        self.host.files.remove(&self.layout.units.join(alias))?;
        for drop_in in self.drop_ins(alias)? {
            self.host.files.remove(&drop_in)?;
        }
        Ok(())
    }

    /// Puts the unit back as it was, but does not start it yet: what it needs may not be back.
    pub(super) fn give_back_alias(&self, alias: &AliasPrior) -> Result<(), EngineError> {
        self.restore_path(&alias.path, &alias.file)?;
        for (path, prior) in &alias.drop_ins {
            self.restore_path(path, prior)?;
        }
        self.host.systemd.act("daemon-reload", &[])?;
        if alias.enabled {
            self.host.systemd.act("enable", &[&alias.name])?;
        }
        Ok(())
    }

    /// Starts a unit that was given back and ran before; nothing for any other prior.
    pub(super) fn start_given_back(&self, prior: &Prior) -> Result<(), EngineError> {
        match prior {
            Prior::Unit {
                alias: Some(alias), ..
            } if alias.active => Ok(self.host.systemd.act("start", &[&alias.name])?),
            _ => Ok(()),
        }
    }
}
