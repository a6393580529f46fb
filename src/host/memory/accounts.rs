use super::MemoryHost;
use crate::host::{Accounts, HostError};
use crate::resource::Owner;

/// utmp's bound, which systemd-sysusers keeps to.
const LONGEST: usize = 31;

impl Accounts for MemoryHost {
    fn home(&self, user: &str) -> Option<std::path::PathBuf> {
        let home = std::path::Path::new("/home").join(user);
        self.look().tree.get(&home).is_some().then_some(home)
    }

    fn group_id(&self, name: &str) -> Option<u32> {
        self.look().groups.get(name).copied()
    }

    fn owner(&self, uid: u32, gid: u32) -> Owner {
        let machine = self.look();
        let group = machine.groups.iter().find(|(_, id)| **id == gid);
        Owner {
            user: match uid {
                0 => "root".to_owned(),
                33 => "www-data".to_owned(),
                other => other.to_string(),
            },
            group: group.map_or_else(|| gid.to_string(), |(name, _)| name.clone()),
        }
    }

    fn ids(&self, owner: &Owner) -> Result<(u32, u32), HostError> {
        let uid = match owner.user.as_str() {
            "root" => 0,
            "www-data" => 33,
            other => return Err(HostError::NoAccount(format!("user `{other}`"))),
        };
        let gid = self.look().groups.get(&owner.group).copied();
        gid.map(|gid| (uid, gid))
            .ok_or_else(|| HostError::NoAccount(format!("group `{}`", owner.group)))
    }

    fn make_group(&self, name: &str) -> Result<(), HostError> {
        let mut machine = self.machine();
        machine.effect(format!("systemd-sysusers {name}"))?;
        if name.len() > LONGEST {
            return Err(HostError::Unexpected(format!("'{name}' is no group name")));
        }
        if !machine.groups.contains_key(name) {
            // The highest free number of the system's range.
            let is_free = |id: &u32| !machine.groups.values().any(|taken| taken == id);
            let free = (100..1000).rev().find(is_free).unwrap_or_default();
            machine.groups.insert(name.to_owned(), free);
        }
        Ok(())
    }

    fn remove_group(&self, name: &str) -> Result<(), HostError> {
        let mut machine = self.machine();
        if machine.groups.contains_key(name) {
            machine.effect(format!("groupdel {name}"))?;
            machine.groups.remove(name);
        }
        Ok(())
    }
}
