use std::path::Path;

use super::{Machine, MemoryHost};
use crate::host::{Accounts, HostError};
use crate::resource::Owner;

/// utmp's bound, which systemd-sysusers keeps to.
const LONGEST: usize = 31;

impl Machine {
    fn declare(&mut self, text: &str) -> Result<(), HostError> {
        let names = text.lines().filter_map(|line| line.strip_prefix("g "));
        for name in names.filter_map(|rest| rest.split(' ').next()) {
            if name.len() > LONGEST {
                return Err(HostError::Unexpected(format!("'{name}' is no group name")));
            }
            if self.groups.contains_key(name) {
                continue;
            }
            // The highest free number of the system's range.
            let free = (100..1000).rev();
            let mut free = free.filter(|id| !self.groups.values().any(|taken| taken == id));
            if let Some(id) = free.next() {
                self.groups.insert(name.to_owned(), id);
            }
        }
        Ok(())
    }
}

impl Accounts for MemoryHost {
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

    fn make(&self, declaration: &Path) -> Result<(), HostError> {
        let mut machine = self.machine();
        machine.effect(format!("systemd-sysusers {}", declaration.display()))?;
        let text = machine.tree.bytes(declaration).unwrap_or_default();
        let text = String::from_utf8_lossy(text).into_owned();
        machine.declare(&text)
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
