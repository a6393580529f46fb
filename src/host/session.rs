#![allow(clippy::disallowed_methods, reason = "reads /proc")]

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What the kernel says of a process that no login led to.
const UNSET: u32 = u32::MAX;

/// The login session of a process, as far as the kernel and systemd tell. Neither `sudo` nor `su` makes another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The kernel's audit session: no number is given twice until the next boot.
    pub audit: Option<u32>,
    /// The login manager's, such as `session-3.scope`.
    pub scope: Option<String>,
}

/// Every login session of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    /// The kernel's numbers.
    pub audit: BTreeSet<u32>,
    /// The login manager's names.
    pub scopes: BTreeSet<String>,
}

impl Sessions {
    /// Takes others in.
    pub fn extend(&mut self, others: Self) {
        self.audit.extend(others.audit);
        self.scopes.extend(others.scopes);
    }

    /// Whether a session is among them; nothing where that cannot be told.
    pub fn contains(&self, session: &Session) -> Option<bool> {
        match (session.audit, &session.scope) {
            (Some(number), _) => Some(self.audit.contains(&number)),
            (None, Some(scope)) => Some(self.scopes.contains(scope)),
            (None, None) => None,
        }
    }
}

/// Who is logged in.
pub trait Logins: Send + Sync {
    /// The session that this process belongs to.
    fn own(&self) -> Session;

    /// The sessions that any process belongs to.
    fn all(&self) -> Sessions;
}

/// This machine's logins.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealLogins;

impl Logins for RealLogins {
    fn own(&self) -> Session {
        session_of(Path::new("/proc/self"))
    }

    fn all(&self) -> Sessions {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbered = processes.filter(|process| {
            let name = process.file_name();
            name.to_string_lossy().bytes().all(|b| b.is_ascii_digit())
        });
        let mut all = Sessions::default();
        for process in numbered {
            let session = session_of(&process.path());
            all.audit.extend(session.audit);
            all.scopes.extend(session.scope);
        }
        all
    }
}

fn session_of(process: &Path) -> Session {
    let read = |name| std::fs::read_to_string(process.join(name)).unwrap_or_default();
    Session {
        audit: audit_session(&read("sessionid")),
        scope: session_scope(&read("cgroup")),
    }
}

fn audit_session(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|number| *number != UNSET)
}

/// The session's scope in `/proc/PID/cgroup`: `…/user-0.slice/session-3.scope`, in systemd's own hierarchy.
fn session_scope(groups: &str) -> Option<String> {
    let paths = groups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        matches!(controllers, "" | "name=systemd").then_some(path)
    });
    let mut parts = paths.flat_map(|path| path.split('/'));
    parts
        .find(|part| part.starts_with("session-") && part.ends_with(".scope"))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_a_login_has_no_session() {
        assert_eq!(audit_session("4294967295"), None);
        assert_eq!(audit_session(""), None);
        assert_eq!(audit_session("3\n"), Some(3));
        assert_eq!(session_scope("0::/system.slice/cron.service\n"), None);
        assert_eq!(
            session_scope("0::/user.slice/user-1000.slice/user@1000.service/app.slice\n"),
            None
        );
    }

    #[test]
    fn a_session_is_known_by_its_scope() {
        let unified = "0::/user.slice/user-0.slice/session-3.scope\n";
        assert_eq!(session_scope(unified).as_deref(), Some("session-3.scope"));
        let hybrid =
            "9:name=systemd:/x/user.slice/user-0.slice/session-c1.scope\n4:memory:/\n0::/\n";
        assert_eq!(session_scope(hybrid).as_deref(), Some("session-c1.scope"));
        // A control group of somebody else's with such a name.
        assert_eq!(session_scope("4:memory:/session-3.scope\n"), None);
    }

    #[test]
    fn a_session_is_among_others_by_the_kernels_number_first() {
        let all = Sessions {
            audit: BTreeSet::from([3, 4]),
            scopes: BTreeSet::from(["session-3.scope".to_owned()]),
        };
        let contains = |audit, scope: Option<&str>| {
            all.contains(&Session {
                audit,
                scope: scope.map(str::to_owned),
            })
        };
        assert_eq!(contains(Some(3), None), Some(true));
        assert_eq!(contains(Some(5), Some("session-3.scope")), Some(false));
        assert_eq!(contains(None, Some("session-3.scope")), Some(true));
        assert_eq!(contains(None, Some("session-4.scope")), Some(false));
        assert_eq!(contains(None, None), None);
    }
}
