//! One entry of the journal, as `journalctl --output=json` prints it. Fields with an underscore are journald's own
//! word; all others are a stranger's.

use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, SeqAccess, Visitor};

/// The fields that are asked for; others are not even printed.
pub(super) const FIELDS: &str = "MESSAGE,PRIORITY,_SYSTEMD_UNIT,_COMM,_UID";
/// `err` of syslog: what is worse has a smaller number.
const ERR: u8 = 3;

/// Its text, where it is one: what is no UTF-8, too long or given twice is none.
#[derive(Default)]
struct Text(Option<String>);

#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "__CURSOR")]
    cursor: String,
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    time: String,
    #[serde(rename = "_SYSTEMD_UNIT", default)]
    unit: Text,
    #[serde(rename = "_COMM", default)]
    command: Text,
    #[serde(rename = "_UID", default)]
    user: Text,
    #[serde(rename = "PRIORITY", default)]
    priority: Text,
    #[serde(rename = "MESSAGE", default)]
    message: Text,
}

/// What is kept of an entry.
#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    /// Its place in the journal.
    pub(super) cursor: String,
    /// When journald took it, in seconds since 1970.
    pub(super) at: u64,
    /// The unit whose process wrote it.
    pub(super) unit: Option<String>,
    /// Whether it calls itself an error, or worse.
    pub(super) is_error: bool,
    /// What sshd says of somebody who did not get in.
    pub(super) refused: Option<Refused>,
}

/// Somebody did not get in over SSH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    /// From where, and from which port of his.
    pub(super) client: (IpAddr, u16),
    /// He went away; each try before that is an entry of its own.
    pub(super) is_end: bool,
}

/// Nothing for what journalctl did not print so.
pub(super) fn parse(line: &[u8]) -> Option<Entry> {
    let fields: Fields = serde_json::from_slice(line).ok()?;
    let microseconds: u64 = fields.time.parse().ok()?;
    let priority = fields.priority.0.and_then(|text| text.parse::<u8>().ok());
    let is_sshd = fields.unit.0.as_deref().is_some_and(is_sshds_unit)
        // One that is in without a session of its own is still in sshd's unit, but it is not root who writes.
        && fields.user.0.as_deref() == Some("0")
        && matches!(fields.command.0.as_deref(), Some("sshd" | "sshd-session"));
    let message = fields.message.0.filter(|_| is_sshd);
    is_cursor(&fields.cursor).then_some(Entry {
        cursor: fields.cursor,
        at: microseconds / 1_000_000,
        unit: fields.unit.0,
        is_error: priority.is_some_and(|priority| priority <= ERR),
        refused: message.as_deref().and_then(refused),
    })
}

/// It becomes an argument of journalctl.
fn is_cursor(text: &str) -> bool {
    let is_fit = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'=' | b';');
    !text.is_empty() && text.len() <= 512 && text.bytes().all(is_fit)
}

fn is_sshds_unit(unit: &str) -> bool {
    let stem = unit.strip_suffix(".service").unwrap_or_default();
    matches!(stem.split('@').next(), Some("ssh" | "sshd"))
}

/// How sshd begins to say that somebody went who had proven nothing.
const ENDS: [&str; 6] = [
    "Connection closed by authenticating user ",
    "Connection closed by invalid user ",
    "Connection reset by authenticating user ",
    "Connection reset by invalid user ",
    "Disconnected from authenticating user ",
    "Disconnected from invalid user ",
];

/// What sshd's line means. The name in it is the client's, who may write all of such a line into it: what counts is
/// what sshd wrote after it.
fn refused(message: &str) -> Option<Refused> {
    let (text, is_end) = if message.starts_with("Failed ") && !message.starts_with("Failed none ") {
        // What comes after `ssh2:` is of the client's key.
        (message.strip_suffix(" ssh2")?, false)
    } else if ENDS.iter().any(|begin| message.starts_with(begin)) {
        (message.strip_suffix(" [preauth]")?, true)
    } else if message.starts_with("drop connection #") {
        // It is tired of him, and does not even ask for a password.
        let (from, _) = message.split_once(" penalty: failed authentication")?;
        let (_, from) = from.split_once(" from [")?;
        let (from, _) = from.split_once(" on ")?;
        let (address, port) = from.rsplit_once("]:")?;
        return Some(Refused {
            client: (address.parse().ok()?, port.parse().ok()?),
            is_end: false,
        });
    } else {
        return None;
    };
    let (text, port) = text.rsplit_once(" port ")?;
    let (text, address) = text.rsplit_once(' ')?;
    let is_from = is_end || text.ends_with(" from");
    let address = address.split('%').next().unwrap_or_default();
    is_from.then_some(Refused {
        client: (address.parse().ok()?, port.parse().ok()?),
        is_end,
    })
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Text;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("a field of the journal")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(Some(text.to_owned())))
            }

            fn visit_unit<E: Error>(self) -> Result<Text, E> {
                Ok(Text(None))
            }

            /// Bytes one by one, or several values. Dropped as they are read.
            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Text, A::Error> {
                while all.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }
        }
        from.deserialize_any(Any)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    pub(in crate::monitor) const CURSOR: &str =
        "s=0639eb3a2a984dbc9ef7a7cf1d4fb6b2;i=8a1;b=3f1f;m=12d687;t=644;x=9c";

    /// As journalctl prints what this unit wrote at second 6000.
    pub(in crate::monitor) fn printed(
        unit: &str,
        command: &str,
        user: &str,
        priority: &str,
        message: &Value,
    ) -> Value {
        json!({
            "__CURSOR": CURSOR, "__REALTIME_TIMESTAMP": "6000000042", "__MONOTONIC_TIMESTAMP": "17", "_BOOT_ID": "3f1f",
            "_SYSTEMD_UNIT": unit, "_COMM": command, "_UID": user, "PRIORITY": priority, "MESSAGE": message,
        })
    }

    pub(in crate::monitor) fn read(entry: &Value) -> Option<Entry> {
        parse(entry.to_string().as_bytes())
    }

    fn of_sshd(message: &str) -> Option<Refused> {
        let entry = printed("ssh.service", "sshd", "0", "6", &message.into());
        read(&entry).unwrap().refused
    }

    #[test]
    fn what_journald_says_is_taken_and_what_a_stranger_says_is_not() {
        let entry = read(&printed(
            "tavern-a.service",
            "python3",
            "33",
            "3",
            &"x".into(),
        ))
        .unwrap();
        let whole = Entry {
            cursor: CURSOR.into(),
            at: 6000,
            unit: Some("tavern-a.service".into()),
            is_error: true,
            refused: None,
        };
        assert_eq!(entry, whole);
        for (priority, is_error) in [("0", true), ("4", false), ("x", false), ("", false)] {
            let entry = read(&printed("a.service", "a", "0", priority, &Value::Null)).unwrap();
            assert_eq!(entry.is_error, is_error, "{priority}");
        }
        let line = "Failed password for root from 192.0.2.7 port 40112 ssh2";
        for (unit, command, user) in [
            ("session-3.scope", "sshd", "0"),
            ("user@1000.service", "sshd", "0"),
            ("cron.service", "logger", "0"),
            ("ssh.service", "logger", "0"),
            // Logged in, and without a session of its own.
            ("ssh.service", "sshd", "1000"),
            ("sshx.service", "sshd", "0"),
            ("ssh.socket", "sshd", "0"),
        ] {
            let entry = read(&printed(unit, command, user, "6", &line.into())).unwrap();
            assert_eq!(entry.refused, None, "{unit} {command} {user}");
        }
        for (unit, command) in [
            ("ssh.service", "sshd"),
            ("ssh.service", "sshd-session"),
            ("ssh@12-192.0.2.1:22-192.0.2.7:5.service", "sshd"),
            ("sshd.service", "sshd-session"),
        ] {
            let entry = read(&printed(unit, command, "0", "6", &line.into())).unwrap();
            assert!(entry.refused.is_some(), "{unit} {command}");
        }
    }

    #[test]
    fn who_did_not_get_in_is_whom_sshd_names() {
        for (line, client, is_end) in [
            (
                "Failed password for root from 192.0.2.7 port 40112 ssh2",
                "192.0.2.7",
                false,
            ),
            (
                "Failed password for invalid user bob from 2001:db8::7 port 40112 ssh2",
                "2001:db8::7",
                false,
            ),
            (
                "Failed keyboard-interactive/pam for a from fe80::1%eth0 port 40112 ssh2",
                "fe80::1",
                false,
            ),
            // All of it may be in a name.
            (
                "Failed password for invalid user x from 203.0.113.9 port 1 ssh2 from 192.0.2.7 port 40112 ssh2",
                "192.0.2.7",
                false,
            ),
            (
                "Connection closed by authenticating user root 192.0.2.7 port 40112 [preauth]",
                "192.0.2.7",
                true,
            ),
            (
                "Connection reset by invalid user a b by c 192.0.2.7 port 40112 [preauth]",
                "192.0.2.7",
                true,
            ),
            (
                "Disconnected from authenticating user root 192.0.2.7 port 40112 [preauth]",
                "192.0.2.7",
                true,
            ),
            (
                "drop connection #0 from [192.0.2.7]:40112 on [192.0.2.1]:22 penalty: failed authentication",
                "192.0.2.7",
                false,
            ),
        ] {
            let expected = Refused {
                client: (client.parse().unwrap(), 40112),
                is_end,
            };
            assert_eq!(of_sshd(line), Some(expected), "{line}");
        }
        for line in [
            "Accepted password for root from 192.0.2.7 port 40112 ssh2",
            "Accepted publickey for root from 192.0.2.7 port 40112 ssh2: ED25519 SHA256:x",
            "Failed none for invalid user bob from 192.0.2.7 port 40112 ssh2",
            "Failed publickey for root from 192.0.2.7 port 1 ssh2: ED25519-CERT ID from 203.0.113.9 port 1 ssh2 (serial 1)",
            "Failed password for root from UNKNOWN port 40112 ssh2",
            "Failed password for root from 192.0.2.7 port 401120 ssh2",
            "Disconnected from user root 192.0.2.7 port 40112",
            "Connection closed by 192.0.2.7 port 40112 [preauth]",
            "Failed  ssh2",
            "drop connection #0 from [",
            "",
        ] {
            assert_eq!(of_sshd(line), None, "{line}");
        }
    }

    #[test]
    fn hostile_entries_are_counted_as_what_journald_says_or_not_at_all() {
        let hostile = [
            json!("\u{1b}]0;owned\u{7}\u{1b}[2J<script>"),
            json!([27, 93, 255, 254]),
            json!(["Failed password for root from 192.0.2.7 port 1 ssh2", "two"]),
            json!(null),
            json!({ "deep": [[[[]]]] }),
            json!("x".repeat(100_000)),
        ];
        for message in &hostile {
            let entry = read(&printed("a.service", "a", "0", "2", message));
            let is_taken = entry.is_none_or(|entry| entry.is_error && entry.refused.is_none());
            assert!(is_taken, "{message:.80}");
        }
        let mut forged = printed("a.service", "a", "0", "6", &"x".into());
        forged["PRIORITY"] = json!(["6", "0"]);
        assert!(!read(&forged).unwrap().is_error);
        for cursor in ["", "s=1 --output=cat", "--help", "s=1\n", &"s".repeat(513)] {
            let mut odd = printed("a.service", "a", "0", "6", &"x".into());
            odd["__CURSOR"] = cursor.into();
            assert_eq!(read(&odd), None, "{cursor}");
        }
        for line in [
            &b""[..],
            b"{}",
            b"[]",
            b"\xff",
            b"\x1b[2J",
            &[b'['; 200_000],
        ] {
            assert_eq!(parse(line), None);
        }
    }

    proptest! {
        /// Whatever name a stranger gives, it is his own address that is counted.
        #[test]
        fn no_name_makes_it_another(name in "[ -~]{0,100}", method in "password|keyboard-interactive/pam") {
            let port = 40112;
            for line in [
                format!("Failed {method} for invalid user {name} from 192.0.2.7 port {port} ssh2"),
                format!("Connection closed by invalid user {name} 192.0.2.7 port {port} [preauth]"),
            ] {
                let client = of_sshd(&line).map(|refused| refused.client);
                prop_assert_eq!(client, Some(([192, 0, 2, 7].into(), port)));
            }
        }

        #[test]
        fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..300), text in ".{0,200}") {
            let _ = parse(&bytes);
            let _ = of_sshd(&text);
        }
    }
}
