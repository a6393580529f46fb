//! The pairs that nginx serves with: what is there, and how the next one comes into place.

use std::path::{Path, PathBuf};

use super::generations::json;
use super::{Engine, EngineError};
use crate::mint::{self, CertificateInfo, Pair};
use crate::model::{CHAIN, KEY, Mode};
use crate::resource::{Certificate, CertificateState, Origin, Owner, Signer};

/// Who signed it; beside what signs itself there is none.
const ORIGIN: &str = "origin.json";

/// The version of the form of `origin.json` that this build writes.
const VERSION: u32 = 1;

/// A chain and its key as they are on disk, which fit.
pub(super) struct Found {
    pub(super) chain: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) info: CertificateInfo,
}

impl Engine<'_> {
    pub(super) fn look_at_certificate(
        &self,
        certificate: &Certificate,
    ) -> Result<CertificateState, EngineError> {
        let read = |name: &str| self.host.files.read(&certificate.path.join(name));
        let (Some(chain), Some(key)) = (read(CHAIN)?, read(KEY)?) else {
            return Ok(CertificateState::Absent);
        };
        let info = match mint::read_certificate(&chain) {
            Ok(info) => info,
            Err(error) => return Ok(CertificateState::Broken(error.to_string())),
        };
        let signer = match self.signer_of(&certificate.path, &info)? {
            Some(signer) => signer,
            None if info.is_own => Signer::Itself,
            None => {
                return Ok(match mint::key_fits(&chain, &key) {
                    Ok(true) => CertificateState::Foreign,
                    _ => CertificateState::ForeignBroken,
                });
            }
        };
        match mint::key_fits(&chain, &key) {
            Ok(true) => {}
            Ok(false) => {
                return Ok(CertificateState::Broken(
                    "the key does not fit the certificate".into(),
                ));
            }
            Err(error) => return Ok(CertificateState::Broken(error.to_string())),
        }
        let now = self.host.clock.now();
        let is_outdated = self.is_outdated(certificate, &info, &signer, &chain, &key)?;
        Ok(CertificateState::Present {
            days_left: (info.not_after - now).whole_days(),
            begun: info.not_before <= now,
            names: match signer {
                Signer::Authority => info.permitted,
                _ => info.names,
            },
            signer,
            is_outdated,
        })
    }

    /// Who signed a certificate that we put there; nothing if what is there is not what we put there.
    pub(super) fn signer_of(
        &self,
        directory: &Path,
        info: &CertificateInfo,
    ) -> Result<Option<Signer>, EngineError> {
        let bytes = self.host.files.read(&directory.join(ORIGIN))?;
        let origin = bytes.and_then(|bytes| serde_json::from_slice::<Origin>(&bytes).ok());
        Ok(origin
            .filter(|origin| origin.version == VERSION && origin.sha256 == info.fingerprint())
            .map(|origin| origin.signer))
    }

    /// Whether the signer has another one for us than what is there.
    fn is_outdated(
        &self,
        certificate: &Certificate,
        info: &CertificateInfo,
        signer: &Signer,
        chain: &[u8],
        key: &[u8],
    ) -> Result<bool, EngineError> {
        Ok(match &certificate.signer {
            Signer::Itself | Signer::Authority => false,
            Signer::LocalCa { authority } => match self.pair_at(authority)? {
                Some(found) => found.info.key_id.is_none() || found.info.key_id != info.signer,
                None => true,
            },
            Signer::Files {
                certificate: theirs,
                key: their_key,
            } => {
                // What cannot be taken is another than ours: whoever takes it up is told what is wrong with it.
                let is_another = |path: &Path, ours: &[u8]| {
                    let read = self.owner_file(path, "file");
                    !read.is_ok_and(|(bytes, _)| bytes == ours)
                };
                is_another(theirs, chain) || is_another(their_key, key)
            }
            Signer::Acme { .. } => match self.staged(certificate)? {
                None => false,
                Some(staged) => {
                    staged.info.der != info.der
                        && (*signer != certificate.signer
                            || staged.info.not_after >= info.not_after)
                }
            },
        })
    }

    /// What an ACME authority signed for this certificate and nginx does not serve yet.
    pub(super) fn staged(&self, certificate: &Certificate) -> Result<Option<Found>, EngineError> {
        let Signer::Acme { staged, .. } = &certificate.signer else {
            return Ok(None);
        };
        let Some(found) = self.pair_at(staged)? else {
            return Ok(None);
        };
        let is_asked_for = self.signer_of(staged, &found.info)?.as_ref()
            == Some(&certificate.signer)
            && certificate.names.iter().all(|name| found.info.covers(name));
        Ok(is_asked_for.then_some(found))
    }

    /// The pair in a directory, if both halves are there and fit.
    pub(super) fn pair_at(&self, directory: &Path) -> Result<Option<Found>, EngineError> {
        let read = |name: &str| self.host.files.read(&directory.join(name));
        let (Some(chain), Some(key)) = (read(CHAIN)?, read(KEY)?) else {
            return Ok(None);
        };
        Ok(match mint::read_certificate(&chain) {
            Ok(info) if mint::key_fits(&chain, &key).unwrap_or(false) => {
                Some(Found { chain, key, info })
            }
            _ => None,
        })
    }

    /// Puts a pair in a directory of its own, then points the link at it: nginx sees the old pair or the new one.
    pub(super) fn apply_certificate(&self, certificate: &Certificate) -> Result<(), EngineError> {
        let (pair, signer) = self.next_pair(certificate)?;
        let stem = certificate
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let fingerprint = mint::read_certificate(pair.certificate.as_bytes())?.fingerprint();
        let name = format!("{stem}.{}", fingerprint.get(..16).unwrap_or(&fingerprint));
        self.write_pair(&certificate.path.with_file_name(&name), &pair, signer)?;
        // The pair before it stays until the run is over: it may be wanted back.
        Ok(self
            .host
            .files
            .link(&certificate.path, &PathBuf::from(name))?)
    }

    /// Writes the pair of a CA that comes from elsewhere, to be this host's.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_authority(&self, directory: &Path, pair: &Pair) -> Result<(), EngineError> {
        self.write_pair(directory, pair, Signer::Authority)
    }

    /// Writes a pair and who signed it: the key first, the certificate last.
    pub(super) fn write_pair(
        &self,
        directory: &Path,
        pair: &Pair,
        signer: Signer,
    ) -> Result<(), EngineError> {
        let files = &self.host.files;
        let root = Owner::root();
        files.make_directory(directory, Mode(0o700), &root)?;
        let write = |name: &str, bytes: &[u8], mode| {
            files.write(&directory.join(name), bytes, Mode(mode), &root)
        };
        write(KEY, pair.key.as_bytes(), 0o600)?;
        if signer == Signer::Itself {
            files.remove(&directory.join(ORIGIN))?;
        } else {
            let origin = Origin {
                version: VERSION,
                signer,
                sha256: mint::read_certificate(pair.certificate.as_bytes())?.fingerprint(),
            };
            write(ORIGIN, &json(&origin)?, 0o644)?;
        }
        Ok(write(CHAIN, pair.certificate.as_bytes(), 0o644)?)
    }

    /// The pair that is to serve from now on, and who signed it.
    fn next_pair(&self, certificate: &Certificate) -> Result<(Pair, Signer), EngineError> {
        let (names, days) = (&certificate.names, certificate.days);
        let now = self.host.clock.now();
        let signer = certificate.signer.clone();
        let own = || mint::self_signed(names, days, now);
        Ok(match &certificate.signer {
            Signer::Itself => (own()?, signer),
            Signer::Authority => {
                // With the key it had: who trusts it goes on doing so.
                let old = self
                    .pair_at(&certificate.path)?
                    .map(|found| text(&found.key));
                (mint::authority(names, days, old.as_deref(), now)?, signer)
            }
            Signer::LocalCa { authority } => {
                let Some(found) = self.pair_at(authority)? else {
                    return Err(EngineError::NotReady {
                        what: format!("the CA of this host is not in {}", authority.display()),
                        help: "`sudo tavernctl install` makes it anew; who trusted the old one must trust it again".into(),
                    });
                };
                (
                    mint::signed_by(&text(&found.key), names, days, now)?,
                    signer,
                )
            }
            Signer::Files {
                certificate: theirs,
                key,
            } => (self.owner_pair(theirs, key, names)?, signer),
            Signer::Acme { .. } => match self.staged(certificate)? {
                Some(found) => (
                    Pair {
                        certificate: text(&found.chain),
                        key: text(&found.key),
                    },
                    signer,
                ),
                None => (own()?, Signer::Itself),
            },
        })
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
