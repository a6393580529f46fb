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
    },
}

impl Certificate {
    /// Made anew when less than a third of its life is left.
    fn renew_below(&self) -> i64 {
        i64::from(self.days) / 3
    }

    pub(super) fn compare(&self, state: &CertificateState) -> Option<Change> {
        match state {
            CertificateState::Absent => Some(Change::new(Action::Create, "not made yet")),
            CertificateState::Foreign => None,
            CertificateState::ForeignBroken => Some(Change {
                conflict: true,
                ..Change::new(
                    Action::Update,
                    "a certificate that Tavern did not make, and the key beside it does not fit: put its own there",
                )
            }),
            CertificateState::Broken(why) => Some(Change::new(Action::Update, why.clone())),
            CertificateState::Present { begun: false, .. } => Some(Change::new(
                Action::Update,
                "its life has not begun: was the clock wrong when it was made?",
            )),
            CertificateState::Present { days_left, .. } if *days_left < self.renew_below() => Some(
                Change::new(Action::Update, format!("{days_left} days left")),
            ),
            CertificateState::Present { names, .. } => {
                let missing: Vec<_> = self
                    .names
                    .iter()
                    .filter(|name| !names.contains(name))
                    .cloned()
                    .collect();
                (!missing.is_empty()).then(|| {
                    Change::new(
                        Action::Update,
                        format!("does not cover {}", missing.join(", ")),
                    )
                })
            }
        }
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
        }
    }

    fn present(names: &[&str], days_left: i64, begun: bool) -> CertificateState {
        CertificateState::Present {
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
}
