//! `issuer = "files"`: the owner's own pair, judged before anything is written.

use std::path::{Component, Path, PathBuf};

use super::{Engine, EngineError};
use crate::mint::{self, Pair};
use crate::model::Mode;
use crate::plan::Plan;
use crate::resource::{Action, Owner, PathState, Resource, Signer};

/// The roots that this host trusts, as Debian's ca-certificates keeps them.
const ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// More links in a row than this are a loop.
const LINKS: usize = 16;

impl Engine<'_> {
    /// Refuses a plan that would take a pair that cannot be served.
    pub(super) fn owner_pairs_are_sound(&self, plan: &Plan) -> Result<(), EngineError> {
        for step in &plan.steps {
            if let (Resource::Certificate(certificate), true) =
                (&step.resource, step.change.action != Action::Remove)
                && let Signer::Files {
                    certificate: theirs,
                    key,
                } = &certificate.signer
            {
                self.owner_pair(theirs, key, &certificate.names)?;
            }
        }
        Ok(())
    }

    /// The owner's pair, if it is fit to be served for `names`.
    pub(super) fn owner_pair(
        &self,
        certificate: &Path,
        key: &Path,
        names: &[String],
    ) -> Result<Pair, EngineError> {
        let (chain, _) = self.owner_file(certificate, "certificate")?;
        let (secret, mode) = self.owner_file(key, "key")?;
        if mode.0 & 0o007 != 0 {
            return Err(refused(
                key,
                format!("everybody may read it (mode {mode})"),
                format!(
                    "`chmod 600 {}`; who could log in here may have a copy: consider a new key",
                    key.display()
                ),
            ));
        }
        if mode.0 & 0o020 != 0 {
            return Err(refused(
                key,
                format!("its group may write it (mode {mode})"),
                format!("`chmod 600 {}`", key.display()),
            ));
        }
        let roots = self.host.files.read(Path::new(ROOTS))?;
        let now = self.host.clock.now();
        mint::inspect(&chain, &secret, names, roots.as_deref(), now).map_err(|flaw| {
            EngineError::NotReady {
                what: format!(
                    "{} cannot be served with {}: {flaw}",
                    certificate.display(),
                    key.display()
                ),
                help: flaw.help().to_owned(),
            }
        })?;
        let text = |path: &Path, bytes: Vec<u8>| {
            String::from_utf8(bytes).map_err(|_| {
                refused(
                    path,
                    "it is not text throughout".to_owned(),
                    "PEM is plain ASCII: remove what is not".to_owned(),
                )
            })
        };
        Ok(Pair {
            certificate: text(certificate, chain)?,
            key: text(key, secret)?,
        })
    }

    /// The bytes and the mode of a file of the owner's, wherever links lead that only root could have made.
    pub(super) fn owner_file(
        &self,
        path: &Path,
        what: &str,
    ) -> Result<(Vec<u8>, Mode), EngineError> {
        let mut place = path.to_owned();
        for _ in 0..LINKS {
            match self.follow(&place)? {
                Followed::File(content, mode) => return Ok((content, mode)),
                Followed::Link(next) => place = next,
                Followed::Nothing => {
                    return Err(refused(
                        path,
                        format!("there is no such file ({what} of a stack)"),
                        "put it there, or correct the stack file".to_owned(),
                    ));
                }
                Followed::Unsafe { link, by } => {
                    return Err(refused(
                        path,
                        format!("{} is a link that {by} could point elsewhere", link.display()),
                        "name the file itself, or keep the link in a directory that only root may write".to_owned(),
                    ));
                }
                Followed::Other => {
                    return Err(refused(
                        path,
                        "it is not a regular file".to_owned(),
                        "name a PEM file".to_owned(),
                    ));
                }
            }
        }
        Err(refused(
            path,
            "too many links in a row".to_owned(),
            "name the file itself".to_owned(),
        ))
    }

    /// One step along a path: to its end, or to the first link in it.
    fn follow(&self, path: &Path) -> Result<Followed, EngineError> {
        let mut walked = PathBuf::from("/");
        let mut may_write: Option<String> = self.others_who_write(&walked)?;
        let parts: Vec<_> = path
            .components()
            .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
            .collect();
        for (at, part) in parts.iter().enumerate() {
            if *part == Component::ParentDir {
                walked.pop();
                continue;
            }
            let parent = walked.clone();
            walked.push(part);
            let is_last = at + 1 == parts.len();
            match self.host.files.state(&walked)? {
                PathState::Absent => return Ok(Followed::Nothing),
                PathState::Link { target } => {
                    if let Some(by) = may_write {
                        return Ok(Followed::Unsafe { link: walked, by });
                    }
                    let rest: PathBuf = parts[at + 1..].iter().collect();
                    return Ok(Followed::Link(parent.join(target).join(rest)));
                }
                PathState::Directory { .. } if !is_last => {
                    may_write = may_write.or(self.others_who_write(&walked)?);
                }
                PathState::File { content, mode, .. } if is_last => {
                    return Ok(Followed::File(content, mode));
                }
                _ => return Ok(Followed::Other),
            }
        }
        Ok(Followed::Other)
    }

    /// Who but root may put something into a directory.
    fn others_who_write(&self, directory: &Path) -> Result<Option<String>, EngineError> {
        let PathState::Directory { mode, owner } = self.host.files.state(directory)? else {
            return Ok(None);
        };
        Ok(if owner.user != Owner::root().user {
            Some(owner.user)
        } else if mode.0 & 0o002 != 0 {
            Some("anybody".to_owned())
        } else if mode.0 & 0o020 != 0 && owner.group != Owner::root().group {
            Some(format!("group {}", owner.group))
        } else {
            None
        })
    }
}

/// Where a path led.
enum Followed {
    File(Vec<u8>, Mode),
    Link(PathBuf),
    Nothing,
    Unsafe { link: PathBuf, by: String },
    Other,
}

fn refused(path: &Path, what: String, help: String) -> EngineError {
    EngineError::NotReady {
        what: format!("{}: {what}", path.display()),
        help,
    }
}
