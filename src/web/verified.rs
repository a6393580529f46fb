//! Tokens that were found good a moment ago. One in steady use is parsed and verified every few
//! seconds instead of at every request, which is a fifth of what a short answer costs.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use super::token::{Identity, LEEWAY_SECONDS};

/// After this it is looked at anew: its times, its key and its claims.
const TRUSTED_SECONDS: u64 = 10;
/// At the longest token, 4 MiB.
const MOST: usize = 1024;

#[derive(Default)]
pub(super) struct Verified {
    tokens: RwLock<HashMap<Box<str>, Entry>>,
}

struct Entry {
    identity: Identity,
    checked: u64,
}

impl Entry {
    /// A clock that was set back proves nothing about a token's beginning.
    fn holds(&self, now: u64) -> bool {
        (self.checked..self.checked + TRUSTED_SECONDS).contains(&now)
            && now < self.identity.expires + LEEWAY_SECONDS
    }
}

impl Verified {
    /// Whom this very token spoke for when it was looked at.
    pub(super) fn get(&self, token: &str, now: u64) -> Option<Identity> {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        let entry = tokens.get(token)?;
        entry.holds(now).then(|| entry.identity.clone())
    }

    /// Notes a token that was found good. With too many in use at once the rest is looked at each time.
    pub(super) fn note(&self, token: &str, identity: &Identity, now: u64) {
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= MOST {
            tokens.retain(|_, entry| entry.holds(now));
        }
        if tokens.len() < MOST || tokens.contains_key(token) {
            let entry = Entry {
                identity: identity.clone(),
                checked: now,
            };
            tokens.insert(token.into(), entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(expires: u64) -> Identity {
        Identity {
            user: "ann".into(),
            token_id: "1".into(),
            expires,
            since: 0,
        }
    }

    #[test]
    fn a_token_is_trusted_for_some_seconds_and_never_past_its_end() {
        let verified = Verified::default();
        verified.note("long", &identity(5000), 1000);
        verified.note("short", &identity(1002), 1000);
        assert_eq!(verified.get("long", 1000), Some(identity(5000)));
        assert_eq!(verified.get("long", 1009), Some(identity(5000)));
        assert_eq!(verified.get("long", 1010), None);
        assert_eq!(verified.get("long", 999), None, "the clock was set back");
        assert_eq!(verified.get("short", 1006), Some(identity(1002)));
        assert_eq!(verified.get("short", 1002 + LEEWAY_SECONDS), None);
        assert_eq!(verified.get("lon", 1000), None);
        assert_eq!(verified.get("longer", 1000), None);
    }

    #[test]
    fn it_does_not_grow() {
        let verified = Verified::default();
        for n in 0..3 * MOST {
            verified.note(&n.to_string(), &identity(5000), 1000);
        }
        assert_eq!(verified.tokens.read().unwrap().len(), MOST);
        verified.note("later", &identity(5000), 2000);
        assert_eq!(verified.tokens.read().unwrap().len(), 1);
        assert!(verified.get("later", 2000).is_some());
    }
}
