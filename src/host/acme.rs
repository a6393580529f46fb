//! The door to ACME authorities (RFC 8555).

use std::path::PathBuf;
use std::time::Duration;

use time::OffsetDateTime;

/// Who signs, and who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct AcmeAccount {
    /// Where the authority's directory is.
    pub directory: String,
    /// The root that signed the directory's own certificate, if it is a private one.
    pub ca_file: Option<PathBuf>,
    /// Where the authority writes to.
    pub email: Option<String>,
    /// What proves who we are: a key in PEM, or what [`Acme::bind`] gave.
    pub secret: String,
}

/// The secret stays out.
impl std::fmt::Debug for AcmeAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AcmeAccount")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

/// What a name's authority wants to read at `/.well-known/acme-challenge/TOKEN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpChallenge {
    /// The name.
    pub name: String,
    /// The last part of the path.
    pub token: String,
    /// The answer.
    pub answer: String,
}

/// Puts the answers where the authority looks for them.
pub type Serve<'a> = dyn FnMut(&HttpChallenge) -> Result<(), super::HostError> + 'a;

/// When an authority wants a certificate renewed (RFC 9773).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenewalWindow {
    /// Not before.
    pub start: OffsetDateTime,
    /// Not after.
    pub end: OffsetDateTime,
    /// When to ask again.
    pub ask_again: Duration,
}

/// What an authority refused, or why it could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct AcmeError {
    /// What happened, in the authority's words where it has some.
    pub what: String,
    /// What to do.
    pub help: String,
    /// It wants to be left alone for so long.
    pub retry_after: Option<Duration>,
}

/// Asks ACME authorities.
pub trait Acme: Send + Sync {
    /// Registers an account that is bound to one elsewhere, and gives its secret.
    ///
    /// # Errors
    /// When the authority refuses or cannot be reached.
    fn bind(&self, account: &AcmeAccount, kid: &str, hmac_key: &[u8]) -> Result<String, AcmeError>;

    /// Has names signed: shows their proofs through `serve`, hands in the request (DER), and gives the chain (PEM).
    /// `replaces` is the certificate (DER) that the new one takes the place of.
    ///
    /// # Errors
    /// When the authority refuses or cannot be reached, or a proof cannot be served.
    fn order(
        &self,
        account: &AcmeAccount,
        names: &[String],
        request: &[u8],
        replaces: Option<&[u8]>,
        serve: &mut Serve<'_>,
    ) -> Result<String, AcmeError>;

    /// When a certificate (DER) is to be renewed; nothing if the authority does not say.
    ///
    /// # Errors
    /// When the authority cannot be reached.
    fn renewal(
        &self,
        account: &AcmeAccount,
        certificate: &[u8],
    ) -> Result<Option<RenewalWindow>, AcmeError>;

    /// Takes a certificate (DER) back.
    ///
    /// # Errors
    /// When the authority refuses or cannot be reached.
    fn revoke(&self, account: &AcmeAccount, certificate: &[u8]) -> Result<(), AcmeError>;
}
