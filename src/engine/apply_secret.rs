use super::apply::Gains;
use super::{Engine, EngineError};
use crate::mint;
use crate::model::Mode;
use crate::resource::{Action, Htpasswd, Owner, Secret, SecretKind};

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

/// Where an account's hash and password stand, and what they open.
struct Place<'a> {
    opens: &'a str,
    file: &'a std::path::Path,
    passwords: &'a std::path::Path,
}

impl Engine<'_> {
    pub(super) fn apply_secret(
        &self,
        secret: &Secret,
        action: Action,
        gains: &mut Gains,
    ) -> Result<(), EngineError> {
        let existing = match (self.host.files.read(&secret.path)?, &secret.moved_from) {
            (None, Some(before)) => self.host.files.read(before)?,
            (existing, _) => existing,
        };
        let content = match (&secret.kind, existing) {
            (SecretKind::KeyRing, Some(existing))
                if matches!(action, Action::Rotate | Action::Replace) =>
            {
                self.rotated(existing, action)?.into_bytes()
            }
            (SecretKind::Key, Some(existing))
                if matches!(action, Action::Rotate | Action::Replace) =>
            {
                // Two at most: who rotates again has the oldest refused.
                let first = existing.split(|byte| *byte == b'\n').next();
                self.rotated(first.unwrap_or_default().to_vec(), action)?
                    .into_bytes()
            }
            // Only its mode was wrong.
            (
                SecretKind::Key | SecretKind::BackupKey { .. } | SecretKind::KeyRing,
                Some(existing),
            ) => existing,
            // Shown like a password and noted nowhere: that file is part of the backup.
            (SecretKind::BackupKey { stack }, None) => {
                let key = mint::key()?;
                gains.accounts.push(NewAccount {
                    opens: "backups of".to_owned(),
                    name: stack.clone(),
                    password: key.clone(),
                });
                format!("{key}\n").into_bytes()
            }
            (SecretKind::Key | SecretKind::KeyRing, None) => {
                format!("{}\n", mint::key()?).into_bytes()
            }
            (SecretKind::Accounts { app, names, cost }, existing) => {
                let place = Place {
                    opens: &format!("app {app}"),
                    file: &secret.path,
                    passwords: &secret.passwords,
                };
                let hash = |password: &str| mint::account_hash(password, *cost);
                let lines = self.accounts(&place, names, existing, gains, hash)?;
                lines.into_bytes()
            }
        };
        Ok(self
            .host
            .files
            .write(&secret.path, &content, Mode(0o600), &Owner::root())?)
    }

    fn rotated(&self, ring: Vec<u8>, action: Action) -> Result<String, EngineError> {
        let ring = String::from_utf8(ring).unwrap_or_default();
        let now = u64::try_from(self.host.clock.now().unix_timestamp()).unwrap_or_default();
        let overlap = if action == Action::Replace {
            mint::Overlap::None
        } else {
            mint::Overlap::Kept
        };
        Ok(mint::rotate(&ring, now, overlap)?)
    }

    pub(super) fn apply_htpasswd(
        &self,
        htpasswd: &Htpasswd,
        gains: &mut Gains,
    ) -> Result<(), EngineError> {
        let existing = self.host.files.read(&htpasswd.path)?;
        let place = Place {
            opens: &htpasswd.heading,
            file: &htpasswd.path,
            passwords: &htpasswd.passwords,
        };
        let text = self.accounts(&place, &htpasswd.accounts, existing, gains, mint::site_hash)?;
        Ok(self.host.files.write(
            &htpasswd.path,
            text.as_bytes(),
            htpasswd.mode,
            &htpasswd.owner,
        )?)
    }

    /// `name:hash` lines for exactly these names: known ones keep their hash, new ones get a password, and one may
    /// have been given one.
    fn accounts(
        &self,
        place: &Place<'_>,
        names: &[String],
        existing: Option<Vec<u8>>,
        gains: &mut Gains,
        hash: impl Fn(&str) -> Result<String, mint::MintError>,
    ) -> Result<String, EngineError> {
        let existing = String::from_utf8(existing.unwrap_or_default()).unwrap_or_default();
        let known = |name: &str| {
            let line = existing
                .lines()
                .find(|line| line.split_once(':').is_some_and(|(n, _)| n == name))?;
            // bcrypt would stall nginx: such an account is made anew.
            (!line.contains(":$2")).then(|| line.to_owned())
        };
        let chosen = gains
            .chosen
            .clone()
            .filter(|chosen| chosen.file == place.file);
        let mut text = String::new();
        let (mut made, mut noted) = (Vec::new(), Vec::new());
        for name in names {
            let given = chosen.as_ref().filter(|chosen| chosen.account == *name);
            if given.is_none_or(|given| given.is_generated) {
                noted.push(name.clone());
            }
            let line = match (given, known(name)) {
                (Some(given), _) if !given.is_generated => {
                    format!("{name}:{}", hash(&given.password)?)
                }
                (None, Some(line)) => line,
                (given, _) => {
                    let password = match given {
                        Some(given) => given.password.clone(),
                        None => mint::generate_password()?,
                    };
                    let line = format!("{name}:{}", hash(&password)?);
                    made.push(NewAccount {
                        opens: place.opens.to_owned(),
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
        self.note_passwords(place.opens, &noted, &made, place.passwords)?;
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
