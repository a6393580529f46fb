use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::finding::{Judged, healthy, unhealthy, unknown};

const LIMIT: Duration = Duration::from_millis(1500);

/// More than two status lines is not what was asked for.
const REPLY_LIMIT: u64 = 4096;

/// Logs in and pings, as the app does: an answer without authentication proves nothing (it may be `NOAUTH`).
pub fn ping(socket: &Path, user: &str, password: &str) -> Judged {
    match exchange(socket, user, password) {
        Ok(reply) => judge(&reply),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => unknown(format!(
            "cannot open {}: run it with sudo",
            socket.display()
        )),
        Err(error) => unhealthy(format!(
            "no answer at {} ({error}): is the container running?",
            socket.display()
        )),
    }
}

fn exchange(socket: &Path, user: &str, password: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let mut request = command(&["AUTH", user, password]);
    request.push_str(&command(&["PING"]));
    stream.write_all(request.as_bytes())?;
    let mut reply = Vec::new();
    let mut limited = stream.take(REPLY_LIMIT);
    let mut part = [0; 512];
    // A line for AUTH, a line for PING.
    while reply.iter().filter(|byte| **byte == b'\n').count() < 2 {
        match limited.read(&mut part)? {
            0 => break,
            count => reply.extend_from_slice(part.get(..count).unwrap_or_default()),
        }
    }
    Ok(String::from_utf8_lossy(&reply).into_owned())
}

/// A command as RESP sends it: an array of bulk strings.
fn command(words: &[&str]) -> String {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    text
}

/// Judges the replies to `AUTH` and `PING`.
fn judge(reply: &str) -> Judged {
    let mut lines = reply.lines();
    let (login, pong) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let next = |said: &str| {
        if said.starts_with("-WRONGPASS") || said.starts_with("-NOAUTH") {
            "its password is not the stack's: `tavernctl install` sets it"
        } else if said.starts_with("-LOADING") {
            "it is reading its data: try again soon"
        } else if said.starts_with("-MISCONF") {
            "it cannot save: free some disk space"
        } else {
            "see `tavernctl logs`"
        }
    };
    match (login, pong) {
        ("+OK", "+PONG") => healthy("PONG, logged in"),
        ("", _) => unhealthy("it closed without an answer: see `tavernctl logs`"),
        ("+OK", said) => unhealthy(format!("PING: {}; {}", shown(said), next(said))),
        (said, _) => unhealthy(format!("login: {}; {}", shown(said), next(said))),
    }
}

fn shown(said: &str) -> String {
    let text: String = said
        .trim_start_matches(['-', '+'])
        .chars()
        .take(120)
        .collect();
    text.escape_default().to_string()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::check::finding::Verdict;

    #[test]
    fn only_pong_after_a_login_is_healthy() {
        assert_eq!(judge("+OK\r\n+PONG\r\n").verdict, Verdict::Healthy);
        for bad in [
            "",
            "+OK\r\n",
            // bug: `redis-cli ping` exits 0 on this.
            "-NOAUTH Authentication required.\r\n-NOAUTH Authentication required.\r\n",
            "-WRONGPASS invalid username-password pair\r\n+PONG\r\n",
            "+OK\r\n-NOPERM no permission\r\n",
            "+OK\r\n-MISCONF Redis is configured to save\r\n",
            "-LOADING Redis is loading\r\n-LOADING\r\n",
        ] {
            let judged = judge(bad);
            assert_eq!(judged.verdict, Verdict::Unhealthy, "{bad}");
            assert!(
                judged.reason.contains('`') || judged.reason.contains(':'),
                "{}",
                judged.reason
            );
        }
    }

    #[test]
    fn speaks_resp_over_the_socket() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("redis.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let wanted = "*3\r\n$4\r\nAUTH\r\n$7\r\ncounter\r\n$2\r\npw\r\n*1\r\n$4\r\nPING\r\n";
            let mut got = vec![0; wanted.len()];
            stream.read_exact(&mut got).unwrap();
            assert_eq!(String::from_utf8(got).unwrap(), wanted);
            stream.write_all(b"+OK\r\n+PO").unwrap();
            stream.write_all(b"NG\r\n").unwrap();
        });
        assert_eq!(ping(&socket, "counter", "pw").verdict, Verdict::Healthy);
        server.join().unwrap();
        let gone = ping(&dir.path().join("none"), "counter", "pw");
        assert_eq!(gone.verdict, Verdict::Unhealthy);
    }
}
