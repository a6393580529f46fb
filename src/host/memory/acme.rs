//! An ACME authority: it looks for its proofs where nginx would serve them, and signs with a key of its own.

use std::sync::OnceLock;
use std::time::Duration;

use super::MemoryHost;
use crate::host::{Acme, AcmeAccount, AcmeError, Clock as _, HttpChallenge, RenewalWindow, Serve};
use crate::mint;
use crate::model::Layout;

/// The authority, as a test sets it up and looks at it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Authority {
    /// Nobody answers.
    pub(crate) is_down: bool,
    /// Names that it finds somewhere else.
    pub(crate) astray: Vec<String>,
    /// Days that it wants a certificate renewed after, if it says.
    pub(crate) window: Option<i64>,
    /// The secrets of the accounts that asked.
    pub(crate) accounts: Vec<String>,
    /// How many it signed.
    pub(crate) signed: usize,
    /// How many of them replaced another.
    pub(crate) replaced: usize,
    /// Those it took back.
    pub(crate) revoked: Vec<Vec<u8>>,
}

fn refusal(what: &str) -> AcmeError {
    AcmeError {
        what: what.to_owned(),
        help: "ask the test".to_owned(),
        retry_after: None,
    }
}

fn key() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(|| mint::private_key().unwrap_or_default())
}

impl MemoryHost {
    fn asked(&self, account: &AcmeAccount) -> Result<(), AcmeError> {
        let mut machine = self.look();
        if machine.authority.is_down {
            return Err(refusal("nobody answers"));
        }
        // A key that no file has would be lost with the process.
        let layout = Layout::system();
        let place = layout.state.join("acme");
        let is_kept = machine
            .tree
            .below(&place)
            .any(|(_, node)| node.has_bytes(account.secret.as_bytes()));
        if !is_kept {
            return Err(refusal("this account is on no disk"));
        }
        if !machine.authority.accounts.contains(&account.secret) {
            machine.authority.accounts.push(account.secret.clone());
        }
        Ok(())
    }
}

impl Acme for MemoryHost {
    fn bind(
        &self,
        _account: &AcmeAccount,
        kid: &str,
        _hmac_key: &[u8],
    ) -> Result<String, AcmeError> {
        if self.look().authority.is_down {
            return Err(refusal("nobody answers"));
        }
        Ok(format!("{{\"bound\":\"{kid}\"}}"))
    }

    fn order(
        &self,
        account: &AcmeAccount,
        names: &[String],
        request: &[u8],
        replaces: Option<&[u8]>,
        serve: &mut Serve<'_>,
    ) -> Result<String, AcmeError> {
        self.asked(account)?;
        for (number, name) in names.iter().enumerate() {
            let challenge = HttpChallenge {
                name: name.clone(),
                token: format!("token-{number}"),
                answer: format!("answer-{number}"),
            };
            serve(&challenge).map_err(|error| refusal(&error.to_string()))?;
            let machine = self.look();
            if machine.authority.astray.contains(name) {
                return Err(refusal(&format!("{name} leads elsewhere")));
            }
            let place = Layout::system().challenges();
            let is_there = machine.tree.bytes(&place.join(&challenge.token))
                == Some(challenge.answer.as_bytes());
            let serves = machine.serving.as_ref().is_some_and(|serving| {
                serving.says(&format!("{}/", place.display())) && serving.says(name)
            });
            if !is_there || !serves {
                return Err(refusal(&format!("no proof for {name}")));
            }
        }
        let now = self.now();
        let chain = mint::grant(key(), request, names, 90, now)
            .map_err(|error| refusal(&error.to_string()))?;
        let mut machine = self.look();
        machine.authority.signed += 1;
        machine.authority.replaced += usize::from(replaces.is_some());
        Ok(chain)
    }

    fn renewal(
        &self,
        account: &AcmeAccount,
        certificate: &[u8],
    ) -> Result<Option<RenewalWindow>, AcmeError> {
        self.asked(account)?;
        let pem = rustls_pem(certificate);
        let info =
            mint::read_certificate(pem.as_bytes()).map_err(|error| refusal(&error.to_string()))?;
        let days = self.look().authority.window;
        Ok(days.map(|days| RenewalWindow {
            start: info.not_before + time::Duration::days(days),
            end: info.not_before + time::Duration::days(days),
            ask_again: Duration::from_secs(6 * 3600),
        }))
    }

    fn revoke(&self, account: &AcmeAccount, certificate: &[u8]) -> Result<(), AcmeError> {
        self.asked(account)?;
        self.look().authority.revoked.push(certificate.to_vec());
        Ok(())
    }
}

fn rustls_pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}
