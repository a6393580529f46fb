use std::path::PathBuf;

use nix::unistd::{Gid, Group, Uid, User};

use super::{HostError, Invocation, Processes as _, RealProcesses};
use crate::resource::Owner;

/// Users and groups.
pub trait Accounts: Send + Sync {
    /// The number of a group, if there is one of that name.
    fn group_id(&self, name: &str) -> Option<u32>;

    /// Where a user is at home, if there is such a user.
    fn home(&self, user: &str) -> Option<PathBuf>;

    /// Names for numbers; the number itself where there is no name.
    fn owner(&self, uid: u32, gid: u32) -> Owner;

    /// Numbers for names.
    ///
    /// # Errors
    /// When there is no such user or group.
    fn ids(&self, owner: &Owner) -> Result<(u32, u32), HostError>;

    /// Makes a system group, as its line in `sysusers.d` would. That one alone: what else the file declares may
    /// not be made yet, and a group that another's step made would pass for the operator's.
    ///
    /// # Errors
    /// When systemd-sysusers fails.
    fn make_group(&self, name: &str) -> Result<(), HostError>;

    /// Removes a group; none of that name is fine.
    ///
    /// # Errors
    /// When groupdel fails.
    fn remove_group(&self, name: &str) -> Result<(), HostError>;
}

/// The system's accounts.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealAccounts;

impl Accounts for RealAccounts {
    fn home(&self, user: &str) -> Option<PathBuf> {
        User::from_name(user).ok().flatten().map(|user| user.dir)
    }

    fn group_id(&self, name: &str) -> Option<u32> {
        Group::from_name(name)
            .ok()
            .flatten()
            .map(|group| group.gid.as_raw())
    }

    fn owner(&self, uid: u32, gid: u32) -> Owner {
        if (uid, gid) == (0, 0) {
            return Owner::root();
        }
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
        Owner {
            user: user.map_or_else(|| uid.to_string(), |user| user.name),
            group: group.map_or_else(|| gid.to_string(), |group| group.name),
        }
    }

    fn ids(&self, owner: &Owner) -> Result<(u32, u32), HostError> {
        if *owner == Owner::root() {
            return Ok((0, 0));
        }
        let uid = owner.user.parse().ok().or_else(|| {
            User::from_name(&owner.user)
                .ok()
                .flatten()
                .map(|user| user.uid.as_raw())
        });
        let gid = owner
            .group
            .parse()
            .ok()
            .or_else(|| self.group_id(&owner.group));
        match (uid, gid) {
            (Some(uid), Some(gid)) => Ok((uid, gid)),
            (None, _) => Err(HostError::NoAccount(format!("user `{}`", owner.user))),
            (_, None) => Err(HostError::NoAccount(format!("group `{}`", owner.group))),
        }
    }

    fn make_group(&self, name: &str) -> Result<(), HostError> {
        let line = format!("g {name} -");
        RealProcesses
            .run_ok(&Invocation::new("systemd-sysusers", &["--inline", &line]))
            .map(|_| ())
    }

    fn remove_group(&self, name: &str) -> Result<(), HostError> {
        if self.group_id(name).is_none() {
            return Ok(());
        }
        RealProcesses
            .run_ok(&Invocation::new("groupdel", &[name]))
            .map(|_| ())
    }
}
