//! Bearer tokens: JWT with HS256 and nothing else. The header may say `alg`, `typ` and `kid`; any
//! other parameter is somebody trying to bring their own key.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};

use super::credential::Secret;
use super::key_ring::{Key, KeyError, KeyRing};
use super::request_id::RequestId;
use super::verified::Verified;

/// A longer token is refused unread.
const MAX_LENGTH: usize = 4096;
pub(super) const LIFE_SECONDS: u64 = 3600;
pub(super) const LEEWAY_SECONDS: u64 = 5;
/// However often it is renewed, a login ends after this.
const SESSION_SECONDS: u64 = 12 * 3600;
/// Ours have 32; whatever was signed by us before stays usable.
const MAX_ID: usize = 64;

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
    /// When the password was given; tokens from before there was a renewal have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auth_time: Option<u64>,
}

/// Who a good token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub user: String,
    pub token_id: String,
    pub expires: u64,
    /// When the password was given.
    pub since: u64,
}

impl Identity {
    /// Until when the id of a revoked token must be remembered.
    pub fn forgotten_after(&self) -> u64 {
        self.expires.saturating_add(LEEWAY_SECONDS)
    }
}

/// Issues and checks tokens for one audience.
pub struct Tokens {
    keys: KeyRing,
    validation: Validation,
    name: String,
    verified: Verified,
}

impl Tokens {
    /// `name` becomes issuer and audience.
    pub fn new(secret: &Secret, name: &str) -> Result<Self, KeyError> {
        let keys = KeyRing::parse(secret)?;
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
            verified: Verified::default(),
        })
    }

    /// A token for one hour. `None` only if signing itself fails.
    pub fn issue(&self, user: &str) -> Option<String> {
        let now = now();
        self.sign(user, now, now)
    }

    /// Another hour for who is logged in; refused once the login itself is too old.
    pub fn renew(&self, identity: &Identity) -> Result<Option<String>, Refusal> {
        let now = now();
        if now.saturating_sub(identity.since) >= SESSION_SECONDS {
            return Err(Refusal::Expired);
        }
        Ok(self.sign(&identity.user, identity.since, now))
    }

    fn sign(&self, user: &str, since: u64, now: u64) -> Option<String> {
        let key = self.keys.signing();
        let claims = Claims {
            iss: self.name.clone(),
            aud: self.name.clone(),
            sub: user.to_owned(),
            jti: RequestId::make().as_str().to_owned(),
            iat: now,
            nbf: now,
            exp: now + LIFE_SECONDS,
            auth_time: Some(since),
        };
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(key.id.clone());
        jsonwebtoken::encode(&header, &claims, &key.sign).ok()
    }

    pub fn check(&self, token: &str) -> Result<Identity, Refusal> {
        let now = now();
        if let Some(identity) = self.verified.get(token, now) {
            return Ok(identity);
        }
        let identity = self.verify(token, now)?;
        self.verified.note(token, &identity, now);
        Ok(identity)
    }

    fn verify(&self, token: &str, now: u64) -> Result<Identity, Refusal> {
        if !has_token_shape(token) {
            return Err(Refusal::Invalid);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Invalid)?;
        let key = self.key_for(&header, now).ok_or(Refusal::Invalid)?;
        let data = jsonwebtoken::decode::<Claims>(token, &key.verify, &self.validation)
            .map_err(|error| refusal(error.kind()))?;
        let claims = data.claims;
        // ours live for an hour and are not from the future, whoever signed them
        if claims.iat > now + LEEWAY_SECONDS {
            return Err(Refusal::NotYet);
        }
        if claims.exp.saturating_sub(claims.iat) > LIFE_SECONDS
            || claims.sub.is_empty()
            || !(1..=MAX_ID).contains(&claims.jti.len())
        {
            return Err(Refusal::Invalid);
        }
        Ok(Identity {
            user: claims.sub,
            token_id: claims.jti,
            expires: claims.exp,
            since: claims.auth_time.unwrap_or(claims.iat),
        })
    }

    /// The key that the header names, if the header says nothing but alg, typ and kid.
    fn key_for(&self, header: &Header, now: u64) -> Option<&Key> {
        let mut plain = Header::new(Algorithm::HS256);
        plain.kid.clone_from(&header.kid);
        if header.typ.is_none() {
            plain.typ = None;
        }
        if *header != plain {
            return None;
        }
        let kid = header.kid.as_deref()?;
        self.keys.verifying(kid, now)
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

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
