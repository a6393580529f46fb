use serde::{Deserialize, Serialize};

use super::{Action, Change};

/// A TCP port that ufw lets in. Only declared while ufw is active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The port.
    pub port: u16,
    /// A stack names the port: it is to be open from anywhere.
    #[serde(default)]
    pub public: bool,
    /// sshd is behind it: open to whom the operator chose is open enough, and the rule is never taken away.
    #[serde(default)]
    pub ssh: bool,
}

impl Opening {
    pub(super) fn compare(open: bool) -> Option<Change> {
        (!open).then(|| Change::new(Action::Create, "the firewall does not let it in"))
    }

    /// Whether somebody may be locked out without it. Receipts of old do not tell SSH's ports from others.
    pub fn is_way_in(&self) -> bool {
        self.ssh || (!self.public && !matches!(self.port, 80 | 443))
    }

    /// Whether a receipt that has `self` need not be told of `wanted`.
    pub fn covers(&self, wanted: &Self) -> bool {
        self.public == wanted.public && (self.ssh || !wanted.ssh)
    }

    /// Once SSH's, always SSH's: sshd may only be stopped for now.
    pub fn absorb(&mut self, earlier: &Self) {
        self.ssh |= earlier.ssh;
    }
}

#[cfg(test)]
mod tests {
    use super::Opening;

    #[test]
    fn a_receipt_of_old_reads_and_gives_no_way_in_away() {
        let read = |text| serde_json::from_str::<Opening>(text).unwrap();
        let old = read(r#"{"port":2222}"#);
        assert!(old.is_way_in() && !read(r#"{"port":443}"#).is_way_in());
        let now = Opening {
            ssh: true,
            ..old.clone()
        };
        assert!(!old.covers(&now) && now.covers(&now) && now.covers(&old));
        assert!(!read(r#"{"port":8080,"public":true}"#).is_way_in());
    }

    #[test]
    fn once_sshs_it_stays_so() {
        let mut later = Opening {
            port: 2222,
            public: true,
            ssh: false,
        };
        later.absorb(&Opening {
            port: 2222,
            public: false,
            ssh: true,
        });
        assert!(later.is_way_in() && later.public);
    }
}
