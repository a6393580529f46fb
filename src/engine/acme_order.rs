//! A stack and its ACME authority: account, orders, what waits to be taken up. All of it is root's own, below
//! `/var/lib/tavern/acme/STACK`, and in no generation.

use std::path::{Path, PathBuf};

use base64::Engine as _;

use super::acme_note::Note;
use super::generations::json;
use super::receipt::Receipt;
use super::{Engine, EngineError};
use crate::host::{AcmeAccount, AcmeError, HttpChallenge};
use crate::mint::{self, CertificateInfo, Pair};
use crate::model::{KEY, Mode, Name};
use crate::resource::{Certificate, Owner, PathState, Resource, Signer};
use crate::stack::{Acme, Binding};

/// Why there is no new certificate: ours to mend, or the authority's word.
pub(super) enum OrderError {
    Ours(EngineError),
    Theirs(AcmeError),
}

impl<E: Into<EngineError>> From<E> for OrderError {
    fn from(error: E) -> Self {
        Self::Ours(error.into())
    }
}

impl Engine<'_> {
    pub(super) fn note(&self, stack: &Name) -> Result<Note, EngineError> {
        Ok(Note::read(self.host.files.read(&self.note_path(stack))?))
    }

    pub(super) fn save_note(&self, stack: &Name, note: &Note) -> Result<(), EngineError> {
        self.acme_directory(stack)?;
        let (path, bytes) = (self.note_path(stack), json(note)?);
        if self.host.files.read(&path)?.as_deref() == Some(&bytes[..]) {
            return Ok(());
        }
        Ok(self
            .host
            .files
            .write(&path, &bytes, Mode(0o600), &Owner::root())?)
    }

    fn note_path(&self, stack: &Name) -> PathBuf {
        self.layout.acme(stack).join("note.json")
    }

    fn acme_directory(&self, stack: &Name) -> Result<(), EngineError> {
        let directory = self.layout.acme(stack);
        for path in [directory.parent().unwrap_or(&directory), &directory] {
            if !matches!(self.host.files.state(path)?, PathState::Directory { .. }) {
                self.host
                    .files
                    .make_directory(path, Mode(0o700), &Owner::root())?;
            }
        }
        Ok(())
    }

    /// The stack's account at its authority; made if there is none. Its key is on disk before it is ever used.
    pub(super) fn account(&self, stack: &Name, acme: &Acme) -> Result<AcmeAccount, OrderError> {
        let files = &self.host.files;
        let kid = acme.binding.as_ref().map(|binding| binding.kid.as_str());
        let who = format!("{}\n{}", acme.directory, kid.unwrap_or_default());
        let stem = mint::redis_password_hash(&who);
        let path = self
            .layout
            .acme(stack)
            .join(format!("account-{}", stem.get(..16).unwrap_or(&stem)));
        let mut account = AcmeAccount {
            directory: acme.directory.clone(),
            ca_file: acme.ca_file.clone(),
            email: acme.email.clone(),
            secret: String::new(),
        };
        // Read by others when they connect, without a limit: what is no file must not get there.
        if let Some(root) = &acme.ca_file
            && files.read(root)?.is_none()
        {
            return Err(OrderError::Ours(EngineError::NotReady {
                what: format!(
                    "{}: there is no such file (`ca-file` of a stack)",
                    root.display()
                ),
                help: "put the authority's root there (PEM), or correct the stack file".to_owned(),
            }));
        }
        if let Some(bytes) = files.read(&path)? {
            account.secret = String::from_utf8_lossy(&bytes).into_owned();
            return Ok(account);
        }
        self.acme_directory(stack)?;
        account.secret = match &acme.binding {
            None => mint::private_key()?,
            // The authority's answer belongs to the key: asked once more, it would not give another.
            Some(binding) => {
                let key = self.binding_key(binding)?;
                self.host
                    .acme
                    .bind(&account, &binding.kid, &key)
                    .map_err(OrderError::Theirs)?
            }
        };
        files.write(
            &path,
            account.secret.as_bytes(),
            Mode(0o600),
            &Owner::root(),
        )?;
        Ok(account)
    }

    fn binding_key(&self, binding: &Binding) -> Result<Vec<u8>, EngineError> {
        use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
        let path = &binding.key_file;
        let refused = |what: &str, help: String| EngineError::NotReady {
            what: format!("{}: {what}", path.display()),
            help,
        };
        match self.host.files.state(path)? {
            PathState::File {
                content,
                mode,
                owner,
            } => {
                if mode.0 & 0o077 != 0 || owner.user != Owner::root().user {
                    return Err(refused(
                        &format!(
                            "others than root may read this key (mode {mode}, {})",
                            owner.user
                        ),
                        format!("`chown root: {0}` and `chmod 600 {0}`", path.display()),
                    ));
                }
                let text = String::from_utf8_lossy(&content);
                let text = text.trim().trim_end_matches('=');
                URL_SAFE_NO_PAD
                    .decode(text)
                    .or_else(|_| STANDARD_NO_PAD.decode(text))
                    .ok()
                    .filter(|key| key.len() >= 16)
                    .ok_or_else(|| {
                        refused(
                            "not a key in base64url",
                            "one line, as the authority gave it".to_owned(),
                        )
                    })
            }
            PathState::Absent => Err(refused(
                "there is no such file (`eab-key-file` of a stack)",
                "write the key that the authority gave into it, and `chmod 600` it".to_owned(),
            )),
            _ => Err(refused(
                "it is not a regular file",
                "name a file with the key".to_owned(),
            )),
        }
    }

    /// Has the authority sign, and leaves what it gave where the next run takes it up.
    pub(super) fn order(
        &self,
        stack: &Name,
        acme: &Acme,
        wanted: &Certificate,
        old: Option<&CertificateInfo>,
    ) -> Result<(), OrderError> {
        let Signer::Acme { staged, .. } = &wanted.signer else {
            return Ok(());
        };
        let files = &self.host.files;
        let account = self.account(stack, acme)?;
        let key = mint::private_key()?;
        let request = mint::request(&key, &wanted.names)?;
        files.remove_tree(staged)?;
        files.make_directory(staged, Mode(0o700), &Owner::root())?;
        files.write(
            &staged.join(KEY),
            key.as_bytes(),
            Mode(0o600),
            &Owner::root(),
        )?;
        self.clear_challenges()?;
        let signed = self.host.acme.order(
            &account,
            &wanted.names,
            &request,
            old.map(|old| old.der.as_slice()),
            &mut |challenge| self.serve_challenge(challenge),
        );
        // What stays is swept before the next order.
        let cleared = self.clear_challenges();
        let certificate = signed.map_err(OrderError::Theirs)?;
        cleared?;
        self.is_what_was_asked_for(&certificate, &key, wanted)
            .map_err(OrderError::Theirs)?;
        self.write_pair(staged, &Pair { certificate, key }, wanted.signer.clone())?;
        Ok(())
    }

    /// An authority's answer is judged before it is kept.
    fn is_what_was_asked_for(
        &self,
        chain: &str,
        key: &str,
        wanted: &Certificate,
    ) -> Result<(), AcmeError> {
        let flaw = match mint::read_certificate(chain.as_bytes()) {
            Err(error) => error.to_string(),
            Ok(_) if !mint::key_fits(chain.as_bytes(), key.as_bytes()).unwrap_or(false) => {
                "it is for another key".to_owned()
            }
            Ok(info) => match wanted.names.iter().find(|name| !info.covers(name)) {
                Some(name) => format!("it does not cover {name}"),
                None if info.not_after <= self.host.clock.now() => "it has expired".to_owned(),
                None => return Ok(()),
            },
        };
        Err(AcmeError {
            what: format!("what the authority signed cannot be used: {flaw}"),
            help: "is the clock right (`timedatectl`)? The certificate in use stays".to_owned(),
            retry_after: None,
        })
    }

    fn serve_challenge(&self, challenge: &HttpChallenge) -> Result<(), crate::host::HostError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if challenge.token.is_empty()
            || challenge.token.len() > 255
            || !challenge.token.chars().all(is_plain)
        {
            return Err(crate::host::HostError::Unexpected(
                "the authority gave a token that is no file name".to_owned(),
            ));
        }
        let directory = self.layout.challenges();
        let workers = Owner::root_and("www-data");
        if !matches!(
            self.host.files.state(&directory)?,
            PathState::Directory { .. }
        ) {
            self.host
                .files
                .make_directory(&directory, Mode(0o750), &workers)?;
        }
        self.host.files.write(
            &directory.join(&challenge.token),
            challenge.answer.as_bytes(),
            Mode(0o640),
            &workers,
        )
    }

    fn clear_challenges(&self) -> Result<(), EngineError> {
        for path in self.host.files.list(&self.layout.challenges())? {
            self.host.files.remove(&path)?;
        }
        Ok(())
    }

    /// What waited has been taken up.
    pub(super) fn clear_staged(&self, wanted: &Certificate) -> Result<(), EngineError> {
        match &wanted.signer {
            Signer::Acme { staged, .. } => Ok(self.host.files.remove_tree(staged)?),
            _ => Ok(()),
        }
    }

    /// Removes what is left of stacks whose certificate was purged: accounts, notes, keys.
    pub(super) fn collect_acme(&self, receipt: &Receipt) -> Result<(), EngineError> {
        let files = &self.host.files;
        let place = self.layout.state.join("acme");
        let has_certificate = |stack: &Path| {
            receipt.entries.iter().any(|entry| match &entry.resource {
                Resource::Certificate(certificate) => {
                    certificate.path.parent() == Some(&self.layout.etc.join("tls"))
                        && certificate.path.file_name() == stack.file_name()
                }
                _ => false,
            })
        };
        for directory in files.list(&place)? {
            if !has_certificate(&directory) {
                files.remove_tree(&directory)?;
            }
        }
        if files.state(&place)? != PathState::Absent {
            files.remove_directory(&place)?;
        }
        Ok(())
    }
}
