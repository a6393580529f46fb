//! The accounts of a service: one `name:$argon2id$…` per line.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use aws_lc_rs::digest::{Context, Digest, SHA256, digest};
use thiserror::Error;
use tokio::sync::Semaphore;

use super::credential::Secret;

/// OWASP's first choice for argon2id: 19 MiB, two passes.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// What an accounts file may ask of this host for one login: two at once must fit in the unit's memory.
const MAX_MEMORY_KIB: u32 = 64 * 1024;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 4;

const MAX_NAME: usize = 64;
/// Longer passwords are wrong without being hashed.
const MAX_PASSWORD: usize = 1024;
/// Logins that may wait for their turn; the next one is told to come back.
const MAX_WAITING: usize = 32;
const MAX_WAIT: Duration = Duration::from_secs(5);
/// Microseconds that one takes, until one was seen.
const FIRST_GUESS: u64 = 50_000;

#[derive(Debug, Error)]
pub enum AccountError {
    #[error("accounts, line {line}: {reason}")]
    Line { line: usize, reason: &'static str },
    #[error(
        "accounts: no account in it, so nobody could log in\nhelp: name one in `accounts` of the app in its stack file, then `tavernctl install`"
    )]
    NoAccount,
    #[error("a password cannot be hashed: {0}")]
    Hash(String),
}

#[derive(Debug, Error, PartialEq, Eq)]
#[error("too many logins at once")]
pub struct Busy;

#[derive(Debug)]
pub struct Accounts {
    hashes: HashMap<String, PasswordHash>,
    /// For names that do not exist: the same work as for one that does, and never right. One for
    /// each account, since their costs may differ.
    decoys: Vec<PasswordHash>,
    /// Decides which name gets which: always the same, and nobody outside can tell.
    pick: Digest,
    running: Arc<Semaphore>,
    waiting: Semaphore,
    /// Of those that run, so many may be for names that do not exist: one place is for those that do.
    strangers: Semaphore,
    /// How long the last one took, in microseconds.
    took: AtomicU64,
}

impl Accounts {
    /// `at_once` passwords are verified at a time; each costs its hash's memory meanwhile.
    pub fn parse(text: &Secret, at_once: usize) -> Result<Self, AccountError> {
        let mut hashes = HashMap::new();
        let mut decoys = Vec::new();
        for (index, line_text) in text.expose().lines().enumerate() {
            let line = index + 1;
            let entry = line_text.trim();
            if entry.is_empty() || entry.starts_with('#') {
                continue;
            }
            let fail = |reason| AccountError::Line { line, reason };
            let (name, hash) = entry
                .split_once(':')
                .ok_or(fail("expected `name:$argon2id$…`"))?;
            if !is_name(name) {
                return Err(fail(
                    "a name has 1 to 64 letters, digits, dots, dashes, underscores or @",
                ));
            }
            let hash = parse_hash(hash).map_err(fail)?;
            decoys.push(decoy_of(&hash).map_err(fail)?);
            if hashes.insert(name.to_owned(), hash).is_some() {
                return Err(fail("this name is already taken by a line above"));
            }
        }
        if decoys.is_empty() {
            return Err(AccountError::NoAccount);
        }
        Ok(Self {
            hashes,
            decoys,
            pick: digest(&SHA256, text.expose().as_bytes()),
            running: Arc::new(Semaphore::new(at_once.max(1))),
            waiting: Semaphore::new(MAX_WAITING),
            strangers: Semaphore::new(at_once.saturating_sub(1).max(1)),
            took: AtomicU64::new(FIRST_GUESS),
        })
    }

    pub fn contains(&self, name: &str) -> bool {
        self.hashes.contains_key(name)
    }

    /// Whether the password is right. Takes equally long for a name that does not exist; when many of those come at
    /// once, most of them only wait that long, so that whoever floods the login with names shuts nobody out.
    pub async fn verify(&self, name: &str, password: String) -> Result<bool, Busy> {
        let known = self.hashes.get(name);
        let exists = known.is_some();
        let stranger = match (exists, self.strangers.try_acquire()) {
            (true, _) => None,
            (false, Ok(place)) => Some(place),
            (false, Err(_)) => {
                let took = Duration::from_micros(self.took.load(Ordering::Relaxed));
                tokio::time::sleep(took).await;
                return Ok(false);
            }
        };
        let _waiting = self.waiting.try_acquire().map_err(|_| Busy)?;
        let began = Instant::now();
        let turn = Arc::clone(&self.running).acquire_owned();
        let permit = tokio::time::timeout(MAX_WAIT, turn)
            .await
            .map_err(|_| Busy)?
            .map_err(|_| Busy)?;
        let hash = known.unwrap_or_else(|| self.decoy(name)).clone();
        let verified = tokio::task::spawn_blocking(move || {
            // kept until the work ends, even if the client has left meanwhile
            let _permit = permit;
            password.len() <= MAX_PASSWORD
                && Argon2::default()
                    .verify_password(password.as_bytes(), &hash)
                    .is_ok()
        });
        let right = verified.await.unwrap_or(false);
        let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.took.store(took, Ordering::Relaxed);
        drop(stranger);
        Ok(right && exists)
    }
}

impl Accounts {
    fn decoy(&self, name: &str) -> &PasswordHash {
        let mut context = Context::new(&SHA256);
        context.update(self.pick.as_ref());
        context.update(name.as_bytes());
        let digest = context.finish();
        let (number, _) = digest
            .as_ref()
            .split_first_chunk()
            .unwrap_or((&[0; 8], &[]));
        let place = u64::from_le_bytes(*number) % self.decoys.len() as u64;
        &self.decoys[usize::try_from(place).unwrap_or_default()]
    }
}

/// A line's hash for a new password, at the default cost.
pub fn hash_password(password: &str) -> Result<String, AccountError> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None);
    let params = params.map_err(|error| AccountError::Hash(error.to_string()))?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| AccountError::Hash(error.to_string()))
}

pub fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'@'))
}

fn parse_hash(text: &str) -> Result<PasswordHash, &'static str> {
    let hash = PasswordHash::new(text).map_err(|_| "the hash is not in PHC format")?;
    if hash.algorithm.as_str() != "argon2id" {
        return Err("the hash is not argon2id");
    }
    if hash.version != Some(Version::V0x13.into()) {
        return Err("the hash is not argon2 version 19");
    }
    if hash.salt.is_none() || hash.hash.is_none_or(|output| output.len() < 16) {
        return Err("the hash lacks its salt or at least 16 bytes of output");
    }
    let params = Params::try_from(&hash).map_err(|_| "the hash has bad parameters")?;
    if params.m_cost() > MAX_MEMORY_KIB || params.t_cost() > MAX_PASSES {
        return Err("the hash costs more than 128 MiB or 16 passes");
    }
    if params.p_cost() > MAX_LANES {
        return Err("the hash has more than 4 lanes");
    }
    Ok(hash)
}

/// Same parameters, another salt and output.
fn decoy_of(hash: &PasswordHash) -> Result<PasswordHash, &'static str> {
    use argon2::password_hash::phc::{Output, Salt};
    let no_random = "the system gives no randomness";
    let mut random = [0u8; 48];
    getrandom::fill(&mut random).map_err(|_| no_random)?;
    let (salt, output) = random.split_at(16);
    Ok(PasswordHash {
        salt: Some(Salt::new(salt).map_err(|_| no_random)?),
        hash: Some(Output::new(output).map_err(|_| no_random)?),
        ..hash.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: &str = "$argon2id$v=19$m=8,t=1,p=1$";

    fn cheap(password: &str) -> String {
        let params = Params::new(8, 1, 1, None).unwrap();
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password(password.as_bytes())
            .unwrap()
            .to_string()
    }

    fn parse(text: &str) -> Result<Accounts, AccountError> {
        Accounts::parse(&Secret::new(text.to_owned()), 2)
    }

    #[tokio::test]
    async fn right_wrong_and_unknown() {
        let accounts = parse(&format!("# people\n\nadmin:{}\n", cheap("password"))).unwrap();
        let verify = |name, password: &str| accounts.verify(name, password.to_owned());
        assert_eq!(verify("admin", "password").await, Ok(true));
        assert_eq!(verify("admin", "Password").await, Ok(false));
        assert_eq!(verify("nobody", "password").await, Ok(false));
        assert_eq!(verify("admin", &"p".repeat(2000)).await, Ok(false));
    }

    #[test]
    fn an_unknown_name_costs_the_same() {
        let accounts = parse(&format!("admin:{}", cheap("password"))).unwrap();
        let params = |hash: &PasswordHash| Params::try_from(hash).unwrap();
        let (admin, decoy) = (&accounts.hashes["admin"], accounts.decoy("nobody"));
        assert_eq!(params(admin), params(decoy));
        assert_ne!(admin.salt, decoy.salt);
        assert_ne!(admin.hash, decoy.hash);
    }

    /// Else an account whose password was set at another cost could be told by the time it takes.
    #[test]
    fn unknown_names_cost_what_known_ones_do_in_equal_parts() {
        let dear = {
            let params = Params::new(16, 2, 1, None).unwrap();
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                .hash_password(b"x")
                .unwrap()
                .to_string()
        };
        let text = format!("a:{}\nb:{dear}", cheap("x"));
        let (accounts, again) = (parse(&text).unwrap(), parse(&text).unwrap());
        let cost = |accounts: &Accounts, name: &str| {
            Params::try_from(accounts.decoy(name)).unwrap().m_cost()
        };
        let names: Vec<String> = (0..1000).map(|n| format!("user{n}")).collect();
        let is_dear = names.iter().filter(|name| cost(&accounts, name) == 16);
        assert!((400..600).contains(&is_dear.count()));
        assert!(
            names
                .iter()
                .all(|name| cost(&accounts, name) == cost(&again, name)),
            "a restart must not tell unknown names from known ones"
        );
    }

    #[test]
    fn every_bad_line_is_named() {
        let good = cheap("x");
        for (text, line, reason) in [
            ("admin".to_owned(), 1, "expected"),
            (format!("a b:{good}"), 1, "letters"),
            (format!(":{good}"), 1, "letters"),
            (format!("a:{good}\nb:plain"), 2, "PHC"),
            (
                "a:$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
                1,
                "argon2id",
            ),
            (format!("a:{CHEAP}c2FsdHNhbHQ"), 1, "salt"),
            (format!("a:{good}\na:{good}"), 2, "taken"),
            (
                "a:$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
                1,
                "128 MiB",
            ),
        ] {
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains(&format!("line {line}")), "{error}");
            assert!(error.contains(reason), "{error}");
            assert!(!error.contains(&good), "{error}");
        }
        assert!(matches!(parse("# none\n"), Err(AccountError::NoAccount)));
    }

    #[test]
    fn the_default_cost_is_what_we_say() {
        let hash = hash_password("secret").unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        parse(&format!("admin:{hash}")).unwrap();
    }

    /// bug: names that nobody has filled all places, and who has one was told to come back.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_flood_of_names_shuts_nobody_out() {
        let accounts = parse(&format!("admin:{}", hash_password("password").unwrap())).unwrap();
        let strangers = (0..200).map(|n| {
            let accounts = &accounts;
            async move {
                accounts
                    .verify(&format!("user{n}"), "password".into())
                    .await
            }
        });
        let strangers = futures_util::future::join_all(strangers);
        let owner = async {
            for _ in 0..5 {
                assert_eq!(accounts.verify("admin", "password".into()).await, Ok(true));
            }
        };
        let (strangers, ()) = tokio::join!(strangers, owner);
        assert!(strangers.iter().all(|answer| *answer == Ok(false)));
    }

    #[tokio::test]
    async fn one_place_is_not_for_strangers() {
        let accounts = parse(&format!("admin:{}", cheap("password"))).unwrap();
        assert_eq!(accounts.running.available_permits(), 2);
        assert_eq!(accounts.strangers.available_permits(), 1);
        let _all = accounts.strangers.try_acquire().unwrap();
        accounts.took.store(1, Ordering::Relaxed);
        assert_eq!(accounts.verify("nobody", "x".into()).await, Ok(false));
        assert_eq!(accounts.verify("admin", "password".into()).await, Ok(true));
        assert!(
            accounts.took.load(Ordering::Relaxed) > 1,
            "as long as the last"
        );
    }

    #[tokio::test]
    async fn more_logins_than_may_wait_are_turned_away() {
        let accounts = parse(&format!("admin:{}", cheap("password"))).unwrap();
        let _all = accounts
            .waiting
            .try_acquire_many(MAX_WAITING as u32)
            .unwrap();
        assert_eq!(accounts.verify("admin", "password".into()).await, Err(Busy));
    }
}
