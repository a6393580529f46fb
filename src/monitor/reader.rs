//! Follows the journal by systemd's own `journalctl`, which knows its files, their rotation and their removal. Where it
//! ends, another goes on after the entry that was read last.
#![allow(
    clippy::disallowed_methods,
    reason = "a unit of its own: it starts the one program that it reads from, and has no host adapter"
)]

use std::io::{self, ErrorKind, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tracing::warn;

use super::entry::FIELDS;
use super::lines::Lines;

const PROGRAM: &str = "/usr/bin/journalctl";
const CHUNK: usize = 64 * 1024;
/// Chunks before it is the logs' turn.
const TURN: usize = 16;
/// One that lived so many seconds did not fail at once.
const LIFE: u64 = 10;
/// Seconds before it is tried again, doubled with each failure up to the most.
const WAIT: u64 = 1;
const LONGEST_WAIT: u64 = 60;
/// So many failures in a row, and nobody reads the journal.
const FAILURES: u32 = 3;

/// The journal's entries that matter, as lines.
pub(super) struct Reader {
    program: String,
    /// Which entries are wanted.
    matches: Vec<String>,
    child: Option<(Child, ChildStdout, u64)>,
    chunk: Vec<u8>,
    lines: Lines,
    /// The last one that was read.
    cursor: Option<String>,
    /// Without one: from here on.
    since: u64,
    failures: u32,
    next: u64,
}

impl Reader {
    /// From this second on: errors of these units, and what sshd writes; both of this machine.
    pub(super) fn new<'a>(
        units: impl Iterator<Item = &'a String>,
        machine: &str,
        since: u64,
    ) -> Self {
        let machine = format!("_MACHINE_ID={machine}");
        let logins =
            ["+", &machine, "_UID=0", "_COMM=sshd", "_COMM=sshd-session"].map(str::to_owned);
        let matches = std::iter::once(machine.clone())
            .chain(units.map(|unit| format!("_SYSTEMD_UNIT={unit}")))
            .chain((0..4).map(|priority| format!("PRIORITY={priority}")))
            .chain(logins)
            .collect();
        Self::of(PROGRAM.to_owned(), matches, since)
    }

    fn of(program: String, matches: Vec<String>, since: u64) -> Self {
        Self {
            program,
            matches,
            child: None,
            chunk: vec![0; CHUNK],
            lines: Lines::default(),
            cursor: None,
            since,
            failures: 0,
            next: 0,
        }
    }

    /// Whether somebody reads, or will in a moment.
    pub(super) fn is_followed(&self) -> bool {
        self.failures < FAILURES
    }

    /// Hands over the entries that came since the last time; `each` says where in the journal one is. True if there may
    /// be more already.
    pub(super) fn read(
        &mut self,
        now: u64,
        each: &mut impl FnMut(&[u8]) -> Option<String>,
    ) -> bool {
        if self.child.is_none() && !self.start(now) {
            return false;
        }
        match self.read_on(each) {
            Ok(true) => true,
            Ok(false) => false,
            Err(error) => {
                self.end(&error, now);
                false
            }
        }
    }

    fn read_on(&mut self, each: &mut impl FnMut(&[u8]) -> Option<String>) -> io::Result<bool> {
        let Some((_, output, _)) = &mut self.child else {
            return Ok(false);
        };
        for _ in 0..TURN {
            let length = match output.read(&mut self.chunk) {
                Ok(0) => return Err(io::Error::other("it ended")),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let (cursor, read) = (&mut self.cursor, self.chunk.get(..length));
            self.lines.split(read.unwrap_or_default(), &mut |line| {
                if let Some(place) = each(line) {
                    *cursor = Some(place);
                }
            });
        }
        Ok(true)
    }

    /// Whether there is one now.
    fn start(&mut self, now: u64) -> bool {
        // A clock that was set back is no reason to wait for long.
        if now < self.next && self.next - now <= LONGEST_WAIT {
            return false;
        }
        match self.spawn() {
            Ok((child, output)) => {
                self.child = Some((child, output, now));
                self.lines = Lines::default();
                true
            }
            Err(error) => {
                self.failed(&error, now);
                false
            }
        }
    }

    fn spawn(&self) -> io::Result<(Child, ChildStdout)> {
        let mut child = Command::new(&self.program)
            .args(self.arguments())
            .env_clear()
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take();
        let output = output.ok_or_else(|| io::Error::other("it has no output"))?;
        fcntl(&output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok((child, output))
    }

    fn arguments(&self) -> Vec<String> {
        let from = match &self.cursor {
            Some(cursor) => format!("--after-cursor={cursor}"),
            None => format!("--since=@{}", self.since),
        };
        let fields = format!("--output-fields={FIELDS}");
        let options = [
            "--follow",
            "--no-tail",
            "--quiet",
            "--no-pager",
            "--system",
            // Else it asks for the boot, which is hidden from the unit (`ProcSubset=pid`). Other machines' entries come
            // with it: hence the match.
            "--merge",
            "--output=json",
            &fields,
            &from,
            "--",
        ];
        let options = options.map(str::to_owned).into_iter();
        options.chain(self.matches.iter().cloned()).collect()
    }

    fn end(&mut self, error: &io::Error, now: u64) {
        let Some((mut child, _, since)) = self.child.take() else {
            return;
        };
        let _ = child.kill();
        let status = child.wait();
        if now.abs_diff(since) >= LIFE {
            self.failures = 0;
        }
        match status {
            Ok(status) => self.failed(&io::Error::other(format!("it ended: {status}")), now),
            Err(_) => self.failed(error, now),
        }
    }

    fn failed(&mut self, error: &io::Error, now: u64) {
        let wait = (WAIT << self.failures.min(10)).min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        self.next = now + wait;
        // The first times and then no more: it is said once that nobody reads.
        if self.failures <= FAILURES {
            warn!(state = "restarted", error = %error, "journalctl does not follow the journal; once more in {wait} s");
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some((child, ..)) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn lines(reader: &mut Reader, now: u64) -> Vec<String> {
        let (mut lines, until) = (Vec::new(), Instant::now() + Duration::from_secs(20));
        // It is over when the program ended, which is seen once all of its output was read.
        let failures = reader.failures;
        while Instant::now() < until && (reader.child.is_some() || reader.failures == failures) {
            reader.read(now, &mut |line| {
                lines.push(String::from_utf8_lossy(line).into_owned());
                Some(format!("place{}", lines.len()))
            });
            std::thread::sleep(Duration::from_millis(2));
        }
        lines
    }

    /// A program that ends is started again, after the last entry and after a while; what it left unfinished is none.
    #[test]
    fn another_goes_on_where_one_ended() {
        let mut reader = Reader::of("/usr/bin/echo".into(), vec!["a\nb\ncut".into()], 5000);
        let first = lines(&mut reader, 6000);
        assert!(first[0].ends_with("--since=@5000 -- a"), "{first:?}");
        // `echo` ends its line.
        assert_eq!(first[1..], ["b", "cut"]);
        assert!(!reader.read(6000, &mut |_| None), "at once");
        let second = lines(&mut reader, 6001);
        assert!(
            second[0].contains(" --after-cursor=place3 -- a"),
            "{second:?}"
        );
        assert!(reader.is_followed());
        lines(&mut reader, 6003);
        assert!(!reader.is_followed());
        // A clock that is set back does not stop it.
        assert_eq!(lines(&mut reader, 1000).len(), 3);
        assert!(reader.next > 1000 && reader.next <= 1000 + LONGEST_WAIT);
    }

    #[test]
    fn without_the_program_nobody_reads() {
        let mut reader = Reader::of("/nonexistent-x".into(), Vec::new(), 5000);
        for now in [6000, 6001, 6003] {
            assert!(reader.is_followed());
            assert!(!reader.read(now, &mut |_| None));
        }
        assert!(!reader.is_followed());
    }

    /// Errors of our units, or root's sshd: not errors of sshd only.
    #[test]
    fn what_is_wanted_is_asked_for() {
        let units = ["a.service".to_owned(), "b.service".to_owned()];
        let reader = Reader::new(units.iter(), "ab12", 7);
        let asked = reader.arguments().join(" ");
        assert!(
            asked.ends_with(
                "--since=@7 -- _MACHINE_ID=ab12 _SYSTEMD_UNIT=a.service _SYSTEMD_UNIT=b.service PRIORITY=0 PRIORITY=1 PRIORITY=2 \
                 PRIORITY=3 + _MACHINE_ID=ab12 _UID=0 _COMM=sshd _COMM=sshd-session"
            ),
            "{asked}"
        );
    }
}
