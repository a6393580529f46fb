use std::path::Path;

use super::place::Writer;
use super::{APP_PASSWORD, SITE_PASSWORD, UpError};
use crate::mint;
use crate::model::{CHAIN, KEY, Mode};
use crate::resource::{Certificate, Htpasswd, Secret, SecretKind, Signer};

/// Days below which a certificate that is there is made anew.
const LEAST_DAYS: i64 = 30;

impl Writer<'_> {
    pub(super) fn secret(&mut self, secret: &Secret) -> Result<(), UpError> {
        match &secret.kind {
            SecretKind::Key | SecretKind::BackupKey { .. } | SecretKind::KeyRing => {
                self.key(&secret.path)
            }
            SecretKind::Accounts { app, names, cost } => {
                let opens = format!("app {app}");
                let text = hashed(names, APP_PASSWORD, |password| {
                    mint::account_hash(password, *cost)
                })?;
                self.note(&secret.passwords, &opens, names, APP_PASSWORD);
                self.file(&secret.path, text.as_bytes(), Mode(0o600))
            }
        }
    }

    pub(super) fn htpasswd(&mut self, htpasswd: &Htpasswd) -> Result<(), UpError> {
        let names = &htpasswd.accounts;
        let text = hashed(names, SITE_PASSWORD, mint::site_hash)?;
        self.note(&htpasswd.passwords, &htpasswd.heading, names, SITE_PASSWORD);
        self.file(&htpasswd.path, text.as_bytes(), Mode(0o600))
    }

    /// A key stays, and with it the tokens it signed.
    fn key(&self, path: &Path) -> Result<(), UpError> {
        if self.host.files.read(path)?.is_some() {
            return Ok(());
        }
        self.file(path, format!("{}\n", mint::key()?).as_bytes(), Mode(0o600))
    }

    fn note(&mut self, path: &Path, opens: &str, names: &[String], password: &str) {
        let lines: String = names
            .iter()
            .map(|name| format!("{opens} {name} {password}\n"))
            .collect();
        match self.passwords.iter_mut().find(|(known, _)| known == path) {
            Some((_, text)) => text.push_str(&lines),
            None => self.passwords.push((path.to_owned(), lines)),
        }
    }

    /// A good certificate stays, and with it the exception in the browser.
    pub(super) fn certificate(&mut self, certificate: &Certificate) -> Result<(), UpError> {
        let files = &self.host.files;
        let (chain, key) = (certificate.path.join(CHAIN), certificate.path.join(KEY));
        // In the foreground nobody else signs: a CA, an authority or the owner's files are for the host.
        if certificate.signer == Signer::Authority {
            return Ok(());
        }
        let loopback = ["localhost", "127.0.0.1", "::1"]
            .map(str::to_owned)
            .to_vec();
        let names = match certificate.names.is_empty() {
            true => &loopback,
            false => &certificate.names,
        };
        let now = self.host.clock.now();
        if let (Some(chain), Some(key)) = (files.read(&chain)?, files.read(&key)?)
            && let Ok(info) = mint::read_certificate(&chain)
            && mint::key_fits(&chain, &key).unwrap_or(false)
            && info.not_before <= now
            && (info.not_after - now).whole_days() >= LEAST_DAYS
            && names.iter().all(|name| info.names.contains(name))
        {
            return Ok(());
        }
        let pair = mint::self_signed(names, certificate.days, now)?;
        self.directory(&certificate.path, Mode(0o700))?;
        self.file(&key, pair.key.as_bytes(), Mode(0o600))?;
        self.file(&chain, pair.certificate.as_bytes(), Mode(0o644))
    }
}

fn hashed(
    names: &[String],
    password: &str,
    hash: impl Fn(&str) -> Result<String, mint::MintError>,
) -> Result<String, UpError> {
    let mut text = String::new();
    for name in names {
        text.push_str(&format!("{name}:{}\n", hash(password)?));
    }
    Ok(text)
}
