//! What a backup asks of a Redis: to save, and how many keys it has.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::BackupError;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(10);

/// How long a save may take.
const SAVING: Duration = Duration::from_secs(3600);

/// No answer of these is longer.
const LONGEST: u64 = 64 * 1024;

/// A Redis that was logged in to.
pub struct Session {
    stream: BufReader<UnixStream>,
    name: String,
}

impl Session {
    /// Logs in at a socket.
    ///
    /// # Errors
    /// When nobody answers there, or not to this user.
    pub fn open(
        name: &str,
        socket: &Path,
        user: &str,
        password: &str,
    ) -> Result<Self, BackupError> {
        let stream = UnixStream::connect(socket)
            .and_then(|stream| {
                stream.set_read_timeout(Some(LIMIT))?;
                stream.set_write_timeout(Some(LIMIT))?;
                Ok(stream)
            })
            .map_err(|error| refused(name, &error.to_string()))?;
        let mut session = Self {
            stream: BufReader::new(stream),
            name: name.to_owned(),
        };
        session.ask(&["AUTH", user, password])?;
        Ok(session)
    }

    /// Keys that do not expire, in all of its databases.
    ///
    /// # Errors
    /// When it does not say.
    pub fn lasting_keys(&mut self) -> Result<u64, BackupError> {
        let text = self.ask(&["INFO", "keyspace"])?;
        Ok(lasting_keys(&text))
    }

    /// Has it write its data to the disk, and waits until it has.
    ///
    /// # Errors
    /// When it fails or takes for ever.
    pub fn save(&mut self, waiting: &mut dyn FnMut()) -> Result<(), BackupError> {
        let begun = Instant::now();
        let before = self.ask(&["LASTSAVE"])?;
        // A save of its own may be under way; ours must begin after now. LASTSAVE counts whole seconds.
        std::thread::sleep(Duration::from_millis(1100));
        loop {
            match self.ask(&["BGSAVE"]) {
                Ok(_) => break,
                Err(_) if begun.elapsed() < SAVING && self.is_saving()? => {
                    waiting();
                    std::thread::sleep(Duration::from_millis(200));
                }
                Err(error) => return Err(error),
            }
        }
        loop {
            let text = self.ask(&["INFO", "persistence"])?;
            let is_over = field(&text, "rdb_bgsave_in_progress") == Some("0");
            if is_over && field(&text, "rdb_last_bgsave_status") != Some("ok") {
                return Err(refused(&self.name, "it could not save its data"));
            }
            if is_over && self.ask(&["LASTSAVE"])? != before {
                return Ok(());
            }
            if begun.elapsed() > SAVING {
                return Err(refused(&self.name, "its save did not end in an hour"));
            }
            waiting();
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn is_saving(&mut self) -> Result<bool, BackupError> {
        let text = self.ask(&["INFO", "persistence"])?;
        Ok(field(&text, "rdb_bgsave_in_progress") == Some("1")
            || field(&text, "aof_rewrite_in_progress") == Some("1"))
    }

    /// One command as RESP has it, and its answer: a line, or a text of known length.
    fn ask(&mut self, words: &[&str]) -> Result<String, BackupError> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        let answer = self
            .stream
            .get_mut()
            .write_all(request.as_bytes())
            .and_then(|()| read_answer(&mut self.stream));
        match answer {
            Ok(Ok(text)) => Ok(text),
            Ok(Err(said)) => Err(refused(&self.name, &said)),
            Err(error) => Err(refused(&self.name, &error.to_string())),
        }
    }
}

/// What it answered, or with what it refused.
fn read_answer(stream: &mut impl BufRead) -> std::io::Result<Result<String, String>> {
    let mut line = String::new();
    stream.by_ref().take(LONGEST).read_line(&mut line)?;
    let line = line.trim_end();
    if line.is_empty() {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let (sign, rest) = line.split_at(1);
    match sign {
        "+" | ":" => Ok(Ok(rest.to_owned())),
        "-" => Ok(Err(rest
            .chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect())),
        "$" => {
            let length: u64 = rest
                .parse()
                .ok()
                .filter(|length| *length <= LONGEST)
                .ok_or(std::io::ErrorKind::InvalidData)?;
            let mut bytes = Vec::new();
            stream.take(length + 2).read_to_end(&mut bytes)?;
            Ok(Ok(String::from_utf8_lossy(&bytes).into_owned()))
        }
        _ => Err(std::io::ErrorKind::InvalidData.into()),
    }
}

fn refused(name: &str, what: &str) -> BackupError {
    BackupError::refused(
        format!("{name}: {what}"),
        "`sudo tavernctl check` says whether it is well; a stack file that is newer than the last install: `sudo tavernctl install`",
    )
}

fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

/// `db0:keys=5,expires=2,avg_ttl=0`, a line for each database.
pub fn lasting_keys(text: &str) -> u64 {
    let number = |line: &str, name: &str| -> u64 {
        let mut parts = line.split([':', ',']);
        let value = parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        value
            .and_then(|value| value.trim().parse().ok())
            .unwrap_or(0)
    };
    text.lines()
        .filter(|line| line.starts_with("db"))
        .map(|line| number(line, "keys").saturating_sub(number(line, "expires")))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_expire_do_not_count() {
        let text =
            "# Keyspace\r\ndb0:keys=5,expires=2,avg_ttl=10\r\ndb3:keys=1,expires=0,avg_ttl=0\r\n";
        assert_eq!(lasting_keys(text), 4);
        assert_eq!(lasting_keys("# Keyspace\r\n"), 0);
    }

    #[test]
    fn answers_of_every_kind() {
        let read = |bytes: &[u8]| read_answer(&mut &*bytes.to_vec());
        assert_eq!(read(b"+OK\r\n").unwrap(), Ok("OK".to_owned()));
        assert_eq!(read(b":17\r\n").unwrap(), Ok("17".to_owned()));
        assert_eq!(read(b"$2\r\nab\r\n").unwrap(), Ok("ab\r\n".to_owned()));
        assert_eq!(
            read(b"-NOPERM no\r\n").unwrap(),
            Err("NOPERM no".to_owned())
        );
        for bad in [&b""[..], b"?\r\n", b"$99999999999\r\n", b"$x\r\n"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
