use serde::{Deserialize, Serialize};

use super::{Action, Change, Claim};

/// A systemd unit that must be enabled and active. Its file is a resource of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// With its suffix.
    pub name: String,
    /// A second name, made by `systemctl enable` from the unit's `Alias=`.
    pub alias: Option<String>,
    /// For a socket, the service behind it: it must stop while the socket restarts.
    pub service: Option<String>,
    /// For a socket: it is not the service's first, whose clients wait while the service restarts with this one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_beside: bool,
}

/// A unit as systemd has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnitState {
    /// `enabled` in systemd's words.
    pub enabled: bool,
    /// `active` in systemd's words.
    pub active: bool,
    /// `masked`, by the administrator or by an empty file.
    pub masked: bool,
    /// Something it reads has changed since it started.
    pub owes_restart: bool,
    /// What has the alias's name.
    pub alias: AliasState,
}

/// What stands where a unit's alias goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AliasState {
    /// Nothing, or no alias asked for.
    #[default]
    Free,
    /// Our link.
    Ours,
    /// A unit that somebody else wrote.
    Foreign,
}

impl Unit {
    pub(super) fn compare(&self, state: &UnitState, claim: Claim) -> Option<Change> {
        if state.masked {
            return Some(Change {
                conflict: true,
                ..Change::new(
                    Action::Update,
                    "masked: run `systemctl unmask` if that is not what you want",
                )
            });
        }
        if let (AliasState::Foreign, Some(alias)) = (state.alias, &self.alias) {
            let reason = format!(
                "`{alias}` is a unit that Tavern did not write: it would be stopped and kept aside"
            );
            return Some(Change::take_over(reason, claim));
        }
        match (state.enabled, state.active) {
            (false, false) => Some(Change::new(Action::Create, "not enabled, not active")),
            (false, true) => Some(Change::new(Action::Update, "not enabled")),
            (true, false) => Some(Change::new(Action::Restart, "not active")),
            (true, true) if self.alias.is_some() && state.alias == AliasState::Free => {
                Some(Change::new(Action::Update, "its alias is missing"))
            }
            (true, true) if state.owes_restart => {
                Some(Change::new(Action::Restart, "what it runs changed"))
            }
            (true, true) => None,
        }
    }
}
