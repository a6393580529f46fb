//! One line of a JSON log, as nginx writes it. A stranger chose most of its text.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::Deserialize;

/// nginx escapes what a header may hold at most (`large_client_header_buffers`, 4 of 8 kB) sixfold at worst, and
/// writes some fields of its own. A longer line is not nginx's.
pub(super) const LONGEST: usize = 256 * 1024;

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    client: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    request_time: Cow<'a, str>,
}

/// What is counted of a request. No text of the client's is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Request {
    pub(super) client: IpAddr,
    pub(super) status: u16,
    pub(super) seconds: f64,
}

/// Nothing for a line that nginx did not write so.
pub(super) fn parse(line: &[u8]) -> Option<Request> {
    // A header that is no UTF-8 is written as it came.
    let line = String::from_utf8_lossy(line);
    let fields: Fields<'_> = serde_json::from_str(&line).ok()?;
    let status: u16 = fields.status.parse().ok()?;
    let seconds: f64 = fields.request_time.parse().ok()?;
    ((100..600).contains(&status) && (0.0..1e6).contains(&seconds)).then_some(Request {
        client: fields.client.parse().ok()?,
        status,
        seconds,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// As nginx would write it.
    pub(in crate::monitor) fn written(client: &str, status: u16, agent: &str) -> Vec<u8> {
        format!(
            r#"{{"time":"2026-11-21T10:00:00+00:00","client":"{client}","uri":"/","status":"{status}","request_time":"0.004","user_agent":"{agent}"}}"#
        )
        .into_bytes()
    }

    #[test]
    fn what_nginx_writes_is_read() {
        let request = parse(&written("2001:db8::1", 404, "curl")).unwrap();
        assert_eq!(request.client, "2001:db8::1".parse::<IpAddr>().unwrap());
        assert_eq!((request.status, request.seconds), (404, 0.004));
    }

    #[test]
    fn hostile_lines_are_counted_as_what_nginx_says_or_not_at_all() {
        let mut odd = written("192.0.2.1", 200, "");
        let agent = odd.len() - 2;
        odd.splice(agent..agent, [0xff, 0xfe, b'<', b'b', b'>']);
        assert_eq!(parse(&odd).unwrap().status, 200);
        let forged = written("192.0.2.1", 200, r#"\",\"status\":\"500"#);
        assert_eq!(parse(&forged).unwrap().status, 200);
        let escapes = written("192.0.2.1", 200, "\\u001b]0;owned\\u0007");
        assert_eq!(parse(&escapes).unwrap().status, 200);
        for line in [
            &b""[..],
            b"{}",
            b"[1]",
            b"\x1b[2J",
            b"GET / HTTP/1.1",
            &written("192.0.2.1", 999, ""),
            &written("not an address", 200, ""),
            &[b'{'; 200_000],
            br#"{"client":"192.0.2.1","status":"200","request_time":"-1"}"#,
            br#"{"client":"192.0.2.1","status":"200","request_time":"NaN"}"#,
            br#"{"client":"192.0.2.1","status":"200","request_time":"1","status":"500"}"#,
        ] {
            assert_eq!(parse(line), None, "{}", String::from_utf8_lossy(line));
        }
    }
}
