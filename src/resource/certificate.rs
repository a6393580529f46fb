use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Action, Change};

/// A stack's certificate and key: `PATH` is a link to the directory of the pair in use,
/// so that both change at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The link.
    pub path: PathBuf,
    /// Names and addresses it must cover.
    pub names: Vec<String>,
    /// Days it is made for. Browsers refuse more than 398 (CA/Browser Forum ballot SC31).
    pub days: u16,
    /// Who signs it.
    #[serde(default, skip_serializing_if = "Signer::is_itself")]
    pub signer: Signer,
}

/// Who signs a certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Signer {
    /// It signs itself.
    #[default]
    Itself,
    /// It signs itself, and may sign others: the CA of this host, bound to its names.
    Authority,
    /// The CA of this host.
    LocalCa {
        /// Its link, as `path` is one.
        authority: PathBuf,
    },
    /// An authority that speaks ACME. Until it has signed, a certificate that signs itself stands in.
    Acme {
        /// Where its directory is.
        directory: String,
        /// Where what it signed waits to be taken up.
        staged: PathBuf,
    },
    /// Whoever the owner asked.
    Files {
        /// The owner's chain.
        certificate: PathBuf,
        /// The owner's key.
        key: PathBuf,
    },
}

impl Signer {
    fn is_itself(&self) -> bool {
        *self == Self::Itself
    }

    /// For people.
    pub fn describe(&self) -> String {
        match self {
            Self::Itself => "itself".to_owned(),
            Self::Authority => "itself, as the CA of this host".to_owned(),
            Self::LocalCa { .. } => "the CA of this host".to_owned(),
            Self::Acme { directory, .. } => directory.clone(),
            Self::Files { certificate, .. } => format!("whoever signed {}", certificate.display()),
        }
    }

    /// Whether what `other` had signed is what this one signs: an authority is its directory, a file its path.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Acme { directory: a, .. }, Self::Acme { directory: b, .. }) => a == b,
            // Wherever they are kept: the bytes count.
            (Self::Files { .. }, Self::Files { .. }) => true,
            (a, b) => a == b,
        }
    }
}

/// Beside a pair, who signed it. Beside any other certificate than its own it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The version of this form.
    pub version: u32,
    /// Who.
    pub signer: Signer,
    /// SHA-256 of the certificate, in hexadecimal.
    pub sha256: String,
}

/// The certificate on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateState {
    /// None.
    Absent,
    /// Key and certificate do not fit, or cannot be read.
    Broken(String),
    /// There, and made by somebody else: theirs to renew; `check` counts its days.
    Foreign,
    /// As above, and its key does not fit: half of it is replaced yet.
    ForeignBroken,
    /// There.
    Present {
        /// Names and addresses it covers.
        names: Vec<String>,
        /// Days left; negative when it has expired.
        days_left: i64,
        /// Whether its life has begun.
        begun: bool,
        /// Who signed it.
        signer: Signer,
        /// Whether its signer has another one for us: a renewed one that waits, the owner's newer files, a CA with
        /// another key.
        is_outdated: bool,
    },
}

impl Certificate {
    /// Made anew when less than a third of its life is left.
    fn renew_below(&self) -> i64 {
        i64::from(self.days) / 3
    }

    /// How what is there must change; nothing if it need not.
    pub fn compare(&self, state: &CertificateState) -> Option<Change> {
        match state {
            CertificateState::Absent => Some(Change::new(
                Action::Create,
                match &self.signer {
                    Signer::Acme { directory, .. } => {
                        format!("signs itself until {directory} has signed one")
                    }
                    _ => "not made yet".to_owned(),
                },
            )),
            // An owner's certificate in the place of one that warns is welcome.
            CertificateState::Foreign if self.signer == Signer::Itself => None,
            CertificateState::Foreign => Some(Change {
                conflict: true,
                ..Change::new(
                    Action::Update,
                    "a certificate that Tavern did not make: move it away, and point `issuer = \"files\"` at it to keep it",
                )
            }),
            CertificateState::ForeignBroken => Some(Change {
                conflict: true,
                ..Change::new(
                    Action::Update,
                    "a certificate that Tavern did not make, and the key beside it does not fit: put its own there",
                )
            }),
            CertificateState::Broken(why) => Some(Change::new(Action::Update, why.clone())),
            CertificateState::Present { begun: false, .. } if self.is_made_here() => {
                Some(Change::new(
                    Action::Update,
                    "its life has not begun: was the clock wrong when it was made?",
                ))
            }
            CertificateState::Present {
                signer,
                is_outdated,
                days_left,
                names,
                ..
            } => self.compare_present(signer, *is_outdated, *days_left, names),
        }
    }

    fn compare_present(
        &self,
        signer: &Signer,
        is_outdated: bool,
        days_left: i64,
        names: &[String],
    ) -> Option<Change> {
        let update = |reason: String| Some(Change::new(Action::Update, reason));
        match &self.signer {
            // Whoever signed what is there: it serves until the authority has signed. When to ask it again is a
            // matter of time, and so of `cert renew`.
            Signer::Acme { directory, .. } => {
                if is_outdated {
                    return update(format!("{directory} has signed a new one"));
                }
                (days_left < 0 && *signer == Signer::Itself)
                    .then(|| Change::new(Action::Update, "what stands in for it has expired"))
            }
            own if !own.is_same(signer) => update(format!(
                "it is signed by {}, and is to be by {}",
                signer.describe(),
                own.describe()
            )),
            Signer::Files { certificate, .. } if is_outdated => {
                update(format!("{} is another one now", certificate.display()))
            }
            Signer::LocalCa { .. } if is_outdated => {
                update("the CA of this host has another key now".to_owned())
            }
            _ => {
                if self.is_made_here() && days_left < self.renew_below() {
                    return update(format!("{days_left} days left"));
                }
                let missing: Vec<_> = self
                    .names
                    .iter()
                    .filter(|name| !self.is_covered(name, names))
                    .cloned()
                    .collect();
                (!missing.is_empty())
                    .then(|| format!("does not cover {}", missing.join(", ")))
                    .and_then(update)
            }
        }
    }

    /// Whether it is made and signed on this host.
    fn is_made_here(&self) -> bool {
        matches!(
            self.signer,
            Signer::Itself | Signer::Authority | Signer::LocalCa { .. }
        )
    }

    /// What is made here has every name in full; others may have a wildcard.
    fn is_covered(&self, name: &str, by: &[String]) -> bool {
        if by.iter().any(|own| own == name) {
            return true;
        }
        let parent = name.split_once('.').map(|(_, parent)| parent);
        let is_wildcard = |own: &String| parent.is_some() && own.strip_prefix("*.") == parent;
        matches!(self.signer, Signer::Files { .. }) && by.iter().any(is_wildcard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Certificate {
        Certificate {
            path: "/etc/tavern/tls/a".into(),
            names: vec!["a.example".into()],
            days: 397,
            signer: Signer::Itself,
        }
    }

    fn present(names: &[&str], days_left: i64, begun: bool) -> CertificateState {
        by(Signer::Itself, false, names, days_left, begun)
    }

    fn by(
        signer: Signer,
        is_outdated: bool,
        names: &[&str],
        days_left: i64,
        begun: bool,
    ) -> CertificateState {
        CertificateState::Present {
            signer,
            is_outdated,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            days_left,
            begun,
        }
    }

    #[test]
    fn made_anew_when_a_third_of_its_life_is_left_or_a_name_is_missing() {
        assert_eq!(
            wanted().compare(&present(&["a.example", "b"], 133, true)),
            None
        );
        for state in [
            present(&["a.example"], 131, true),
            present(&["b.example"], 300, true),
            present(&["a.example"], 300, false),
            CertificateState::Absent,
            CertificateState::Broken("no".into()),
        ] {
            assert!(wanted().compare(&state).is_some(), "{state:?}");
        }
    }

    /// bug: a certificate of the owner's with 90 days was replaced by a self-signed one.
    #[test]
    fn somebody_elses_is_left_alone() {
        assert_eq!(wanted().compare(&CertificateState::Foreign), None);
        let half = wanted().compare(&CertificateState::ForeignBroken);
        assert!(half.is_some_and(|change| change.conflict));
    }

    fn acme(directory: &str) -> Signer {
        Signer::Acme {
            directory: directory.into(),
            staged: "/s".into(),
        }
    }

    fn files(certificate: &str) -> Signer {
        Signer::Files {
            certificate: certificate.into(),
            key: "/k".into(),
        }
    }

    /// Issuing is no part of a plan: a plan that waits for an authority would never come out empty.
    #[test]
    fn an_authority_that_has_not_signed_yet_leaves_nothing_to_plan() {
        let wanted = Certificate {
            signer: acme("https://a"),
            ..wanted()
        };
        for (there, outdated, days, plans) in [
            (Signer::Itself, false, 300, false),
            (Signer::Itself, false, -1, true),
            (Signer::Itself, true, 300, true),
            (acme("https://a"), false, 3, false),
            (acme("https://a"), true, 3, true),
            (acme("https://staging"), false, 80, false),
            (files("/c"), false, -1, false),
        ] {
            let state = by(there, outdated, &[], days, true);
            assert_eq!(wanted.compare(&state).is_some(), plans, "{state:?}");
        }
        assert!(wanted.compare(&CertificateState::Absent).is_some());
        let foreign = wanted.compare(&CertificateState::Foreign);
        assert!(foreign.is_some_and(|change| change.conflict));
    }

    #[test]
    fn another_issuer_makes_another_certificate() {
        let local = Signer::LocalCa {
            authority: "/ca".into(),
        };
        for signer in [Signer::Itself, local, files("/c")] {
            let wanted = Certificate {
                signer: signer.clone(),
                ..wanted()
            };
            let state = |signer, outdated| by(signer, outdated, &["a.example"], 300, true);
            assert_eq!(wanted.compare(&state(signer.clone(), false)), None);
            assert!(wanted.compare(&state(acme("https://a"), false)).is_some());
            if signer != Signer::Itself {
                assert!(wanted.compare(&state(signer, true)).is_some());
            }
        }
    }

    #[test]
    fn the_owners_own_may_cover_by_wildcard_and_end_when_it_ends() {
        let wanted = Certificate {
            signer: files("/c"),
            ..wanted()
        };
        let state = |names: &[&str], days| by(files("/moved"), false, names, days, true);
        assert_eq!(wanted.compare(&state(&["*.example"], -3)), None);
        assert!(wanted.compare(&state(&["*.b.example"], 300)).is_some());
    }

    /// As receipts of earlier versions have it, and as today's still do.
    #[test]
    fn one_that_signs_itself_is_written_as_ever() {
        let text = serde_json::to_string(&wanted()).unwrap();
        assert!(!text.contains("signer"), "{text}");
        assert_eq!(
            serde_json::from_str::<Certificate>(&text).unwrap(),
            wanted()
        );
    }
}
