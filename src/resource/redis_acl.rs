//! Redis's access list: who may log in, and what they may do there.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The number of the rules that this build writes. One more with every change of them.
pub const RULES: u32 = 2;

/// The user that backups have it save as. No app is called so: the dot is none of its letters.
pub const BACKUP_USER: &str = "tavern.backup";

/// What the access list says, but for the passwords.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisAcl {
    /// The user that an app logs in as.
    pub user: String,
    /// The one key it may touch, and those below it.
    pub key: String,
    /// The users and keys of further apps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<(String, String)>,
    /// Whether backups are made, which takes a user that may have it save, and look at no data.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub saves: bool,
    /// The credential file with the passwords: the first is in use, the one below was.
    pub password: PathBuf,
    /// Which rules; those of before they had numbers are 1.
    #[serde(default = "unnumbered")]
    pub rules: u32,
}

fn unnumbered() -> u32 {
    1
}

/// Whoever is in the container or at its socket, and what an app may.
struct Rules {
    anybody: &'static str,
    app: &'static str,
}

/// Anybody may PING, as the health check does, and have the list read again, which only root writes. Data is for the
/// apps alone.
const CURRENT: Rules = Rules {
    anybody: "+ping +acl|load",
    app: "~{key} ~{key}:* resetchannels -@all +ping +get +set +incrby +zadd +zrange +zremrangebyscore +info +hello",
};

/// What was written before rules had numbers.
const UNNUMBERED: [Rules; 2] = [
    Rules {
        anybody: "+ping",
        app: CURRENT.app,
    },
    Rules {
        anybody: "+ping",
        app: "~{key} resetchannels -@all +ping +get +set +incrby +info +hello",
    },
];

impl RedisAcl {
    /// The file for passwords of these hashes.
    pub fn text(&self, hashes: &[String]) -> String {
        self.written(&CURRENT, hashes)
    }

    /// Whether an app of this build may lack a permission until the list is written anew.
    pub fn is_outdated(&self) -> bool {
        self.rules < RULES
    }

    /// Whether somebody changed what was written by these rules. A new password is no such change.
    pub fn is_edited(&self, found: &str) -> bool {
        let own = found
            .lines()
            .find(|line| line.starts_with(&format!("user {} ", self.user)));
        let words = own.into_iter().flat_map(|line| line.split(' '));
        let hashes: Vec<String> = words
            .filter_map(|word| word.strip_prefix('#'))
            .map(str::to_owned)
            .collect();
        let forms: &[Rules] = match self.rules {
            1 => &UNNUMBERED,
            _ => &[CURRENT],
        };
        !forms
            .iter()
            .any(|rules| self.written(rules, &hashes) == found)
    }

    fn written(&self, rules: &Rules, hashes: &[String]) -> String {
        let hashes: String = hashes.iter().map(|hash| format!("#{hash} ")).collect();
        let first = (self.user.clone(), self.key.clone());
        let mut text = format!(
            "user default on nopass resetkeys resetchannels -@all {}\n",
            rules.anybody
        );
        for (user, key) in [&first].into_iter().chain(&self.others) {
            let may = rules.app.replace("{key}", key);
            text.push_str(&format!("user {user} on {hashes}{may}\n"));
        }
        if self.saves {
            let may = "resetkeys resetchannels -@all +ping +bgsave +lastsave +info";
            text.push_str(&format!("user {BACKUP_USER} on {hashes}{may}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(rules: u32) -> RedisAcl {
        RedisAcl {
            user: "counter".into(),
            key: "visits".into(),
            others: Vec::new(),
            saves: false,
            password: "/x".into(),
            rules,
        }
    }

    fn hashes(list: &[&str]) -> Vec<String> {
        list.iter().map(|hash| (*hash).to_owned()).collect()
    }

    #[test]
    fn backups_may_have_it_save_and_look_at_nothing() {
        let mut acl = acl(RULES);
        let without = acl.text(&hashes(&["aa"]));
        acl.saves = true;
        let text = acl.text(&hashes(&["aa"]));
        let more = "user tavern.backup on #aa resetkeys resetchannels -@all +ping +bgsave +lastsave +info\n";
        assert_eq!(text, format!("{without}{more}"));
        assert!(!acl.is_edited(&text) && acl.is_edited(&without));
    }

    #[test]
    fn each_app_has_a_user_and_each_password_a_hash() {
        let mut acl = acl(RULES);
        acl.others.push(("api".into(), "hits".into()));
        let may = "resetchannels -@all +ping +get +set +incrby +zadd +zrange +zremrangebyscore +info +hello";
        assert_eq!(
            acl.text(&hashes(&["aa", "bb"])),
            format!(
                "user default on nopass resetkeys resetchannels -@all +ping +acl|load\n\
                 user counter on #aa #bb ~visits ~visits:* {may}\n\
                 user api on #aa #bb ~hits ~hits:* {may}\n"
            )
        );
    }

    /// bug: after an upgrade every list passed for edited by hand, since it was compared with what the new one makes.
    #[test]
    fn what_an_older_tavern_wrote_is_nobodys_edit() {
        let older = acl(1);
        for rules in &UNNUMBERED {
            let written = older.written(rules, &hashes(&["aa"]));
            assert!(!older.is_edited(&written), "{written}");
            assert!(older.is_edited(&written.replace("+info", "+info +flushall")));
            assert_ne!(written, older.text(&hashes(&["aa"])));
        }
        assert!(older.is_outdated());
        let now = acl(RULES);
        let written = now.text(&hashes(&["aa"]));
        assert!(!now.is_edited(&written) && !now.is_outdated());
        assert!(
            !now.is_edited(&now.text(&hashes(&["cc", "aa"]))),
            "a new password"
        );
        for edit in ["", "user x on nopass ~* +@all\n", &written.repeat(2)] {
            assert!(now.is_edited(edit), "{edit}");
        }
        assert!(now.is_edited(&format!("{written}user x on nopass ~* +@all\n")));
    }

    #[test]
    fn a_receipt_of_before_rules_had_numbers_is_read() {
        let old = r#"{"user":"counter","key":"visits","password":"/x"}"#;
        assert_eq!(serde_json::from_str::<RedisAcl>(old).unwrap(), acl(1));
    }
}
