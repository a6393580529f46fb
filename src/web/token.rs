//! Bearer tokens: JWT with HS256 and nothing else. The header may say `alg`, `typ` and `kid`; any
//! other parameter is somebody trying to bring their own key.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::credential::Secret;
use super::request_id::RequestId;

/// A longer token is refused unread.
const MAX_LENGTH: usize = 4096;
const LIFE_SECONDS: u64 = 3600;
const LEEWAY_SECONDS: u64 = 5;
const MIN_KEY_BYTES: usize = 32;

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
    #[error("line {line} of the signing key repeats one byte: it is not random")]
    NotRandom { line: usize },
}

/// Why a token is refused, as the client may know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Expired,
    NotYet,
    Invalid,
}

impl Refusal {
    pub fn text(self) -> &'static str {
        match self {
            Self::Expired => "Token has expired",
            Self::NotYet => "Token is not valid yet",
            Self::Invalid => "Token is invalid",
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    jti: String,
    iat: u64,
    nbf: u64,
    exp: u64,
}

/// Who a good token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub user: String,
    pub token_id: String,
    pub expires: u64,
}

struct Key {
    id: String,
    sign: EncodingKey,
    verify: DecodingKey,
}

/// Issues and checks tokens for one audience.
pub struct Tokens {
    /// The first one signs; the others are on their way out and still verify.
    keys: Vec<Key>,
    validation: Validation,
    name: String,
}

impl Tokens {
    /// `secret` holds one key per line, in hexadecimal; `name` becomes issuer and audience.
    pub fn new(secret: &Secret, name: &str) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        for (index, text) in secret.expose().lines().enumerate() {
            let line = index + 1;
            let bytes = from_hex(text.trim()).ok_or(KeyError::NotHex { line })?;
            if bytes.len() < MIN_KEY_BYTES {
                return Err(KeyError::TooShort {
                    line,
                    bytes: bytes.len(),
                });
            }
            if bytes.iter().all(|byte| Some(byte) == bytes.first()) {
                return Err(KeyError::NotRandom { line });
            }
            keys.push(Key {
                id: key_id(&bytes),
                sign: EncodingKey::from_secret(&bytes),
                verify: DecodingKey::from_secret(&bytes),
            });
        }
        if keys.is_empty() {
            return Err(KeyError::Empty);
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        // by default a token *without* these claims passes the checks for them (faults N18)
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation.set_issuer(&[name]);
        validation.set_audience(&[name]);
        Ok(Self {
            keys,
            validation,
            name: name.to_owned(),
        })
    }

    /// A token for one hour. `None` only if signing itself fails.
    pub fn issue(&self, user: &str) -> Option<String> {
        let key = self.keys.first()?;
        let now = now();
        let claims = Claims {
            iss: self.name.clone(),
            aud: self.name.clone(),
            sub: user.to_owned(),
            jti: RequestId::make().as_str().to_owned(),
            iat: now,
            nbf: now,
            exp: now + LIFE_SECONDS,
        };
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(key.id.clone());
        jsonwebtoken::encode(&header, &claims, &key.sign).ok()
    }

    pub fn check(&self, token: &str) -> Result<Identity, Refusal> {
        if !has_token_shape(token) {
            return Err(Refusal::Invalid);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Invalid)?;
        let key = self.key_for(&header).ok_or(Refusal::Invalid)?;
        let data = jsonwebtoken::decode::<Claims>(token, &key.verify, &self.validation)
            .map_err(|error| refusal(error.kind()))?;
        let claims = data.claims;
        // ours live for an hour and are not from the future, whoever signed them
        if claims.iat > now() + LEEWAY_SECONDS {
            return Err(Refusal::NotYet);
        }
        if claims.exp.saturating_sub(claims.iat) > LIFE_SECONDS
            || claims.sub.is_empty()
            || claims.jti.is_empty()
        {
            return Err(Refusal::Invalid);
        }
        Ok(Identity {
            user: claims.sub,
            token_id: claims.jti,
            expires: claims.exp,
        })
    }

    /// The key that the header names, if the header says nothing but alg, typ and kid.
    fn key_for(&self, header: &Header) -> Option<&Key> {
        let mut plain = Header::new(Algorithm::HS256);
        plain.kid.clone_from(&header.kid);
        if header.typ.is_none() {
            plain.typ = None;
        }
        if *header != plain {
            return None;
        }
        let kid = header.kid.as_deref()?;
        self.keys.iter().find(|key| key.id == kid)
    }
}

fn has_token_shape(token: &str) -> bool {
    let bytes = token.as_bytes();
    bytes.len() <= MAX_LENGTH
        && bytes.iter().filter(|byte| **byte == b'.').count() == 2
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn refusal(kind: &ErrorKind) -> Refusal {
    match kind {
        ErrorKind::ExpiredSignature => Refusal::Expired,
        ErrorKind::ImmatureSignature => Refusal::NotYet,
        _ => Refusal::Invalid,
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Names a key without telling it: keys are random, so a digest reveals nothing.
fn key_id(key: &[u8]) -> String {
    let digest = digest(&SHA256, key);
    digest
        .as_ref()
        .iter()
        .take(8)
        .map(|b| format!("{b:02x}"))
        .collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
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
#[path = "token_tests.rs"]
mod tests;
