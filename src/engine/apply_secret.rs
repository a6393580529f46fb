use super::apply::Gains;
use super::{Engine, EngineError};
use crate::mint;
use crate::model::Mode;
use crate::resource::{Htpasswd, Owner, Secret, SecretKind};

/// An account that this run made. Shown once, then only in the passwords file.
#[derive(Clone)]
pub struct NewAccount {
    /// What it opens: `site close`, `app counter`.
    pub opens: String,
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: String,
}

impl Engine<'_> {
    pub(super) fn apply_secret(
        &self,
        secret: &Secret,
        gains: &mut Gains,
    ) -> Result<(), EngineError> {
        let existing = self.host.files.read(&secret.path)?;
        let content = match (&secret.kind, existing) {
            // Only its mode was wrong.
            (SecretKind::Key, Some(existing)) => existing,
            (SecretKind::Key, None) => format!("{}\n", mint::key()?).into_bytes(),
            (SecretKind::Accounts { app, names }, existing) => {
                let opens = format!("app {app}");
                let lines = self.accounts(
                    &opens,
                    names,
                    existing,
                    &secret.passwords,
                    gains,
                    mint::account_hash,
                )?;
                lines.into_bytes()
            }
        };
        Ok(self
            .host
            .files
            .write(&secret.path, &content, Mode(0o600), &Owner::root())?)
    }

    pub(super) fn apply_htpasswd(
        &self,
        htpasswd: &Htpasswd,
        gains: &mut Gains,
    ) -> Result<(), EngineError> {
        let existing = self.host.files.read(&htpasswd.path)?;
        let text = self.accounts(
            &htpasswd.heading,
            &htpasswd.accounts,
            existing,
            &htpasswd.passwords,
            gains,
            mint::site_hash,
        )?;
        Ok(self.host.files.write(
            &htpasswd.path,
            text.as_bytes(),
            htpasswd.mode,
            &htpasswd.owner,
        )?)
    }

    /// `name:hash` lines for exactly these names: known ones keep their hash, new ones get a password.
    fn accounts(
        &self,
        opens: &str,
        names: &[String],
        existing: Option<Vec<u8>>,
        passwords: &std::path::Path,
        gains: &mut Gains,
        hash: fn(&str) -> Result<String, mint::MintError>,
    ) -> Result<String, EngineError> {
        let existing = String::from_utf8(existing.unwrap_or_default()).unwrap_or_default();
        let known = |name: &str| {
            let line = existing
                .lines()
                .find(|line| line.split_once(':').is_some_and(|(n, _)| n == name))?;
            // bcrypt would stall nginx: such an account is made anew.
            (!line.contains(":$2")).then(|| line.to_owned())
        };
        let mut text = String::new();
        let mut made = Vec::new();
        for name in names {
            let line = match known(name) {
                Some(line) => line,
                None => {
                    let password = mint::generate_password()?;
                    let line = format!("{name}:{}", hash(&password)?);
                    made.push(NewAccount {
                        opens: opens.to_owned(),
                        name: name.clone(),
                        password,
                    });
                    line
                }
            };
            text.push_str(&line);
            text.push('\n');
        }
        // The passwords are on disk before the hashes: an account nobody can use is worse than a note too many.
        self.note_passwords(opens, names, &made, passwords)?;
        gains.accounts.extend(made);
        Ok(text)
    }

    /// Keeps the lines of `names` for what `opens` names, replaces those of `made`; a file without a line goes.
    pub(super) fn note_passwords(
        &self,
        opens: &str,
        names: &[String],
        made: &[NewAccount],
        path: &std::path::Path,
    ) -> Result<(), EngineError> {
        let existing =
            String::from_utf8(self.host.files.read(path)?.unwrap_or_default()).unwrap_or_default();
        let is_current = |line: &&str| match line
            .strip_prefix(opens)
            .and_then(|rest| rest.strip_prefix(' '))
        {
            None => true,
            Some(rest) => {
                let name = rest.split(' ').next().unwrap_or_default();
                names.iter().any(|n| n == name) && !made.iter().any(|account| account.name == name)
            }
        };
        let mut text: String = existing
            .lines()
            .filter(is_current)
            .map(|line| format!("{line}\n"))
            .collect();
        for account in made {
            text.push_str(&format!("{opens} {} {}\n", account.name, account.password));
        }
        if text == existing {
            return Ok(());
        }
        if text.is_empty() {
            return Ok(self.host.files.remove(path)?);
        }
        Ok(self
            .host
            .files
            .write(path, text.as_bytes(), Mode(0o600), &Owner::root())?)
    }
}
