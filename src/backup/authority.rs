//! The CA of a host, carried to another one: whoever trusts it goes on doing so.

use std::path::{Path, PathBuf};

use super::layout::LaidOut;
use super::{BackupError, Backups};
use crate::engine::Place;
use crate::mint::{self, Pair};
use crate::model::{CHAIN, KEY};
use crate::resource::{PathState, Resource, Signer};
use crate::stack::{Issuer, Stack};

/// A CA that a backup brings, and where its pair goes.
struct Brought {
    pair: Pair,
    /// The directory of the pair.
    directory: PathBuf,
}

impl Backups<'_> {
    /// What changes places with the CA of the backup: its directory and the link to it.
    pub(super) fn authority_places(
        &self,
        stack: &Stack,
        laid: &LaidOut,
    ) -> Result<Vec<Place>, BackupError> {
        let Some(brought) = self.brought(stack, laid)? else {
            return Ok(Vec::new());
        };
        // Both: a run that makes the CA anew for other names makes another directory, and points the link there.
        let paths = [brought.directory, self.engine.layout.local_ca()];
        Ok(paths
            .map(|path| Place {
                path,
                contained: false,
            })
            .into())
    }

    /// Lays out what comes in the place of `live`, if that is a place of the CA.
    pub(super) fn prepare_authority(
        &self,
        stack: &Stack,
        laid: &LaidOut,
        live: &Path,
        ready: &Path,
    ) -> Result<bool, BackupError> {
        let link = self.engine.layout.local_ca();
        let Some(brought) = self.brought(stack, laid)? else {
            return Ok(false);
        };
        if *live == brought.directory {
            self.engine.write_authority(ready, &brought.pair)?;
        } else if *live == link {
            let name = brought.directory.file_name().unwrap_or_default();
            self.engine.host.files.link(ready, Path::new(name))?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Refuses a backup whose CA is none.
    pub(super) fn authority_is_sound(&self, laid: &LaidOut) -> Result<(), BackupError> {
        self.pair(laid).map(|_| ())
    }

    /// Nothing if the backup has none, it is the one that is there, or other stacks live by the one that is there.
    fn brought(&self, stack: &Stack, laid: &LaidOut) -> Result<Option<Brought>, BackupError> {
        let Some(pair) = self.pair(laid)? else {
            return Ok(None);
        };
        let (files, link) = (&self.engine.host.files, self.engine.layout.local_ca());
        if files.read(&link.join(CHAIN))?.as_deref() == Some(pair.certificate.as_bytes()) {
            return Ok(None);
        }
        if self.others_live_by_it(stack)? {
            self.engine
                .progress
                .begin("the CA of this host stays: other stacks have their certificates from it");
            return Ok(None);
        }
        let directory = match files.state(&link)? {
            PathState::Link { target } => link.with_file_name(target),
            _ => {
                let fingerprint = mint::read_certificate(pair.certificate.as_bytes())
                    .map_err(|error| unsound(&error.to_string()))?
                    .fingerprint();
                let short = fingerprint.get(..16).unwrap_or(&fingerprint);
                link.with_file_name(format!("local-ca.{short}"))
            }
        };
        Ok(Some(Brought { pair, directory }))
    }

    fn others_live_by_it(&self, stack: &Stack) -> Result<bool, BackupError> {
        let own = self.engine.layout.certificate(&stack.name);
        let receipt = self.engine.receipt()?;
        let is_others = |resource: &Resource| match resource {
            Resource::Certificate(one) => {
                matches!(one.signer, Signer::LocalCa { .. }) && one.path != own
            }
            _ => false,
        };
        Ok(receipt
            .entries
            .iter()
            .any(|entry| is_others(&entry.resource)))
    }

    /// The CA in a backup whose stack is to live by it.
    fn pair(&self, laid: &LaidOut) -> Result<Option<Pair>, BackupError> {
        let names = [CHAIN, KEY].map(|file| format!("etc/local-ca/{file}"));
        let is_there = |name: &String| laid.manifest.files.contains_key(name);
        if laid.stack.issuer != Issuer::LocalCa || !names.iter().all(is_there) {
            return Ok(None);
        }
        let mut texts = Vec::new();
        for name in &names {
            let bytes = self.engine.host.files.read(&laid.file(name))?;
            let text = String::from_utf8(bytes.unwrap_or_default());
            texts.push(text.map_err(|_| unsound("it is not text"))?);
        }
        let [certificate, key] = &texts[..] else {
            return Err(unsound("half of it is missing"));
        };
        let info = mint::read_certificate(certificate.as_bytes())
            .map_err(|error| unsound(&error.to_string()))?;
        let fits = mint::key_fits(certificate.as_bytes(), key.as_bytes())
            .map_err(|error| unsound(&error.to_string()))?;
        // Ours are bound to names, every one of them.
        if !fits || info.permitted.is_empty() {
            return Err(unsound("its key does not fit, or it is no CA of Tavern's"));
        }
        Ok(Some(Pair {
            certificate: certificate.clone(),
            key: key.clone(),
        }))
    }
}

fn unsound(why: &str) -> BackupError {
    BackupError::refused(
        format!("the CA in the backup cannot be used: {why}"),
        "`sudo tavernctl backup list` shows the other backups",
    )
}
