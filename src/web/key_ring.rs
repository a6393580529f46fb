//! The signing keys of a service: one signs, those before it still verify until their last token
//! has expired. One line a key: 64 hexadecimal digits or more, and `retired=SECONDS` (since 1970)
//! after a key that a newer one has replaced. A file of one bare key is a ring of one.

use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::{DecodingKey, EncodingKey};
use thiserror::Error;

use super::credential::Secret;
use super::token::{LEEWAY_SECONDS, LIFE_SECONDS};

const MIN_KEY_BYTES: usize = 32;
/// Fewer distinct bytes than these in 32 come from a keyboard, not from a random source.
const MIN_DISTINCT: usize = 12;
/// A service signs with the old key until it has restarted with the new one.
const HANDOVER_SECONDS: u64 = 600;
/// `mint::ring` makes no longer ring.
const MAX_KEYS: usize = 64;

#[derive(Debug, Error)]
pub enum KeyError {
    #[error("the signing key has no line")]
    Empty,
    #[error("line {line} of the signing key is not hexadecimal")]
    NotHex { line: usize },
    #[error(
        "line {line} of the signing key has {bytes} bytes, at least {MIN_KEY_BYTES} are needed\n\
         help: openssl rand -hex 32"
    )]
    TooShort { line: usize, bytes: usize },
    #[error("line {line} of the signing key repeats itself: it is not random")]
    NotRandom { line: usize },
    #[error("line {line} of the signing key has more behind the key than `retired=SECONDS`")]
    Note { line: usize },
    #[error("the signing key has more than {MAX_KEYS} lines")]
    TooMany,
}

pub(super) struct Key {
    pub(super) id: String,
    pub(super) sign: EncodingKey,
    pub(super) verify: DecodingKey,
    /// When a newer key took over.
    retired: Option<u64>,
}

pub(super) struct KeyRing {
    signing: Key,
    older: Vec<Key>,
}

impl KeyRing {
    pub(super) fn parse(secret: &Secret) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        for (index, text) in secret.expose().lines().enumerate() {
            if index == MAX_KEYS {
                return Err(KeyError::TooMany);
            }
            keys.push(parse_line(text.trim(), index + 1)?);
        }
        if keys.is_empty() {
            return Err(KeyError::Empty);
        }
        let signing = keys.remove(0);
        Ok(Self {
            signing,
            older: keys,
        })
    }

    pub(super) fn signing(&self) -> &Key {
        &self.signing
    }

    /// The key of that name, if a token of it can still be good.
    pub(super) fn verifying(&self, id: &str, now: u64) -> Option<&Key> {
        if self.signing.id == id {
            return Some(&self.signing);
        }
        let last =
            |retired: u64| retired.saturating_add(LIFE_SECONDS + LEEWAY_SECONDS + HANDOVER_SECONDS);
        self.older
            .iter()
            .find(|key| key.id == id && key.retired.is_none_or(|retired| now <= last(retired)))
    }
}

fn parse_line(text: &str, line: usize) -> Result<Key, KeyError> {
    let mut words = text.split_ascii_whitespace();
    let digits = words.next().unwrap_or_default();
    let retired = match words.next() {
        None => None,
        Some(word) => {
            let seconds = word.strip_prefix("retired=").and_then(|s| s.parse().ok());
            Some(seconds.ok_or(KeyError::Note { line })?)
        }
    };
    if words.next().is_some() {
        return Err(KeyError::Note { line });
    }
    let bytes = from_hex(digits).ok_or(KeyError::NotHex { line })?;
    if bytes.len() < MIN_KEY_BYTES {
        return Err(KeyError::TooShort {
            line,
            bytes: bytes.len(),
        });
    }
    let mut distinct = bytes.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() < MIN_DISTINCT {
        return Err(KeyError::NotRandom { line });
    }
    Ok(Key {
        id: key_id(&bytes),
        sign: EncodingKey::from_secret(&bytes),
        verify: DecodingKey::from_secret(&bytes),
        retired,
    })
}

/// Names a key without telling it: keys are random, so a digest reveals nothing.
pub(super) fn key_id(key: &[u8]) -> String {
    let digest = digest(&SHA256, key);
    digest
        .as_ref()
        .iter()
        .take(8)
        .map(|b| format!("{b:02x}"))
        .collect()
}

pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty()
        .then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
#[path = "key_ring_tests.rs"]
mod tests;
