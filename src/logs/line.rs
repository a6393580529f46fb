use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, PrimitiveDateTime};

use crate::host::Host;

/// A line of any log, with its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) time: OffsetDateTime,
    source: String,
    text: String,
}

impl Line {
    fn new(time: OffsetDateTime, source: &str, text: &str) -> Self {
        // A log line is somebody else's text: it must not move the terminal.
        let text = text
            .chars()
            .map(|c| {
                if c.is_control() && c != '\t' {
                    '\u{fffd}'
                } else {
                    c
                }
            })
            .collect();
        Self {
            time,
            source: source.to_owned(),
            text,
        }
    }

    pub(super) fn now(host: &Host, text: &str) -> Self {
        Self::new(host.clock.now(), "tavernctl", text)
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let form = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        );
        let utc = self.time.to_offset(time::UtcOffset::UTC);
        write!(
            f,
            "{} {:<16} {}",
            utc.format(form).unwrap_or_default(),
            self.source,
            self.text
        )
    }
}

/// A record of `journalctl -o json`. MESSAGE may be text, bytes or nothing.
pub(super) fn from_journal(unit: &str, json: &str) -> Option<Line> {
    let record: serde_json::Value = serde_json::from_str(json).ok()?;
    let micros: i128 = record.get("__REALTIME_TIMESTAMP")?.as_str()?.parse().ok()?;
    let time = OffsetDateTime::from_unix_timestamp_nanos(micros * 1000).ok()?;
    let message = match record.get("MESSAGE")? {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(bytes) => {
            let bytes: Vec<u8> = bytes
                .iter()
                .filter_map(|b| u8::try_from(b.as_u64()?).ok())
                .collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
        _ => return None,
    };
    Some(Line::new(time, unit, &message))
}

/// A line of an access log (`… [20/Nov/2026:13:00:00 +0000] …`) or an error log (`2026/11/20 13:00:00 [error] …`).
pub(super) fn from_nginx(site: &str, text: &str) -> Option<Line> {
    let source = format!("nginx/{site}");
    let access = text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).and_then(|(time, _)| {
        let form = format_description!(
            "[day]/[month repr:short]/[year]:[hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
        );
        OffsetDateTime::parse(time, form).ok()
    });
    let error = || {
        let mut words = text.split(' ');
        let date = Date::parse(words.next()?, format_description!("[year]/[month]/[day]")).ok()?;
        let clock = time::Time::parse(
            words.next()?,
            format_description!("[hour]:[minute]:[second]"),
        )
        .ok()?;
        // Error logs carry local time without an offset; Tavern's hosts keep UTC.
        Some(PrimitiveDateTime::new(date, clock).assume_utc())
    };
    Some(Line::new(access.or_else(error)?, &source, text))
}

/// A line of a container's log, which Docker puts a time before.
pub(super) fn from_container(name: &str, text: &str) -> Option<Line> {
    let (time, text) = text.split_once(' ').unwrap_or((text, ""));
    Some(Line::new(
        OffsetDateTime::parse(time, &Rfc3339).ok()?,
        name,
        text,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_kinds_of_time() {
        let journal = from_journal(
            "u",
            r#"{"__REALTIME_TIMESTAMP":"1795179600000000","MESSAGE":"a"}"#,
        )
        .unwrap();
        let access = from_nginx(
            "s",
            r#"1.2.3.4 - - [20/Nov/2026:13:00:00 +0000] "GET / HTTP/1.1" 200"#,
        )
        .unwrap();
        let error = from_nginx("s", "2026/11/20 13:00:00 [error] 1#1: x").unwrap();
        let container = from_container("c", "2026-11-20T13:00:00.000000000Z hello").unwrap();
        assert_eq!(journal.time, access.time);
        assert_eq!(error.time, container.time);
        assert_eq!(access.time, error.time);
        assert_eq!(
            container.to_string(),
            "2026-11-20T13:00:00.000Z c                hello"
        );
    }

    #[test]
    fn hostile_lines_do_not_reach_the_terminal() {
        let line = from_journal(
            "u",
            r#"{"__REALTIME_TIMESTAMP":"1","MESSAGE":[27,91,50,74,255,65]}"#,
        )
        .unwrap();
        assert!(!line.to_string().contains('\u{1b}'));
        assert_eq!(from_journal("u", "junk"), None);
        assert_eq!(from_nginx("s", "[[[]"), None);
    }
}
