use std::path::Path;
use std::sync::Arc;

use super::{Accounts, HostError, Invocation, Processes as _, RealProcesses, Root};
use crate::resource::Owner;

/// The accounts of an image, read from its own files.
#[derive(Debug, Clone)]
pub struct RootedAccounts {
    root: Arc<Root>,
}

impl RootedAccounts {
    /// The accounts of `root`.
    pub fn new(root: Arc<Root>) -> Self {
        Self { root }
    }

    /// The number of a name in `/etc/passwd` or `/etc/group`: in both the third field.
    fn number(&self, file: &str, name: &str) -> Option<u32> {
        let text = self.table(file);
        lines(&text).find(|(found, _)| *found == name)?.1
    }

    fn name(&self, file: &str, number: u32) -> String {
        let text = self.table(file);
        lines(&text)
            .find(|(_, found)| *found == Some(number))
            .map_or_else(|| number.to_string(), |(name, _)| name.to_owned())
    }

    fn table(&self, file: &str) -> String {
        let bytes = self.root.read(Path::new(file)).ok().flatten();
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    }
}

const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

fn lines(text: &str) -> impl Iterator<Item = (&str, Option<u32>)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        Some((name, fields.nth(1)?.parse().ok()))
    })
}

impl Accounts for RootedAccounts {
    fn home(&self, _user: &str) -> Option<std::path::PathBuf> {
        None
    }

    fn group_id(&self, name: &str) -> Option<u32> {
        self.number(GROUPS, name)
    }

    fn owner(&self, uid: u32, gid: u32) -> Owner {
        if (uid, gid) == (0, 0) {
            return Owner::root();
        }
        Owner {
            user: self.name(USERS, uid),
            group: self.name(GROUPS, gid),
        }
    }

    fn ids(&self, owner: &Owner) -> Result<(u32, u32), HostError> {
        if *owner == Owner::root() {
            return Ok((0, 0));
        }
        let number = |file, name: &str| name.parse().ok().or_else(|| self.number(file, name));
        match (number(USERS, &owner.user), number(GROUPS, &owner.group)) {
            (Some(uid), Some(gid)) => Ok((uid, gid)),
            (None, _) => Err(HostError::NoAccount(format!(
                "user `{}` in the image",
                owner.user
            ))),
            (_, None) => Err(HostError::NoAccount(format!(
                "group `{}` in the image",
                owner.group
            ))),
        }
    }

    fn make_group(&self, name: &str) -> Result<(), HostError> {
        self.must_be_plain()?;
        let root = format!("--root={}", self.root.path().display());
        let line = format!("g {name} -");
        RealProcesses
            .run_ok(&Invocation::new(
                "systemd-sysusers",
                &[root.as_str(), "--inline", &line],
            ))
            .map(|_| ())
    }

    fn remove_group(&self, name: &str) -> Result<(), HostError> {
        if self.group_id(name).is_none() {
            return Ok(());
        }
        self.must_be_plain()?;
        let root = self.root.path().to_string_lossy();
        RealProcesses
            .run_ok(&Invocation::new(
                "groupdel",
                &["--prefix", root.as_ref(), name],
            ))
            .map(|_| ())
    }
}

impl RootedAccounts {
    fn must_be_plain(&self) -> Result<(), HostError> {
        for path in [USERS, GROUPS, "/etc/shadow", "/etc/gshadow"] {
            self.root.must_be_plain(Path::new(path))?;
        }
        Ok(())
    }
}
