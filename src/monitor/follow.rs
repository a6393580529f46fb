//! Follows one log to its end and beyond: through renaming, through truncation, and past lines without an end.
#![allow(
    clippy::disallowed_methods,
    reason = "a unit of its own: it reads the logs that it is for, and has no host adapter"
)]

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::lines::Lines;

const CHUNK: usize = 256 * 1024;
/// Chunks of one log before it is another's turn.
const TURN: usize = 16;
/// nginx writes to the file that it has open until it is told to take the new one.
const LINGER: u64 = 60;

/// A log by its name, wherever its bytes are.
pub(super) struct Follower {
    path: PathBuf,
    current: Option<Tail>,
    /// The one before, while it may still be written to.
    former: Option<(Tail, u64)>,
}

impl Follower {
    /// From here on: what is in it already is history.
    pub(super) fn from_end(path: PathBuf) -> io::Result<Self> {
        let mut follower = Self::from_start(path);
        follower.current = Tail::open(&follower.path)?;
        if let Some(tail) = &mut follower.current {
            tail.at = tail.file.seek(SeekFrom::End(0))?;
            // The line that is being written is not whole.
            if tail.at > 0 && !tail.ended_a_line()? {
                tail.lines = Lines::within();
            }
        }
        Ok(follower)
    }

    /// From its first line on, once there is one.
    pub(super) fn from_start(path: PathBuf) -> Self {
        Self {
            path,
            current: None,
            former: None,
        }
    }

    /// Whether its last bytes may still be coming.
    pub(super) fn is_lingering(&self) -> bool {
        self.former.is_some()
    }

    /// Hands over the whole lines that came since the last time. True if there may be more already.
    pub(super) fn read(&mut self, now: u64, each: &mut impl FnMut(&[u8])) -> io::Result<bool> {
        let mut more = false;
        if let Some((tail, until)) = &mut self.former {
            more |= tail.read(each)?;
            if now >= *until && !more {
                self.former = None;
            }
        }
        if let Some(tail) = &mut self.current {
            more |= tail.read(each)?;
        }
        if more {
            return Ok(true);
        }
        let named = match std::fs::symlink_metadata(&self.path) {
            Ok(data) => Some((data.dev(), data.ino(), data.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        match (&mut self.current, named) {
            (Some(tail), Some((device, node, length))) if tail.identity == (device, node) => {
                if length < tail.at {
                    tail.restart()?;
                    return Ok(true);
                }
            }
            (_, Some(_)) => {
                // A new one under the name. The old one is read on, for what is still written to it.
                let next = Tail::open(&self.path)?;
                if let Some(old) = self.current.take() {
                    self.former = Some((old, now + LINGER));
                }
                self.current = next;
                return Ok(self.current.is_some());
            }
            // Renamed, and no new one yet: it is still written to.
            (_, None) => {}
        }
        Ok(false)
    }
}

struct Tail {
    file: File,
    identity: (u64, u64),
    at: u64,
    lines: Lines,
}

impl Tail {
    fn open(path: &Path) -> io::Result<Option<Self>> {
        let opened = File::options()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let data = file.metadata()?;
        // A fifo or a device in a log's place is nobody's log.
        Ok(data.is_file().then_some(Self {
            file,
            identity: (data.dev(), data.ino()),
            at: 0,
            lines: Lines::default(),
        }))
    }

    fn ended_a_line(&mut self) -> io::Result<bool> {
        self.file.seek(SeekFrom::Start(self.at - 1))?;
        let mut last = [0];
        self.file.read_exact(&mut last)?;
        Ok(last == *b"\n")
    }

    /// Somebody cut it off and writes from its beginning.
    fn restart(&mut self) -> io::Result<()> {
        self.at = self.file.seek(SeekFrom::Start(0))?;
        self.lines = Lines::default();
        Ok(())
    }

    fn read(&mut self, each: &mut impl FnMut(&[u8])) -> io::Result<bool> {
        // Nothing new, mostly: no memory is asked for.
        if self.file.metadata()?.len() <= self.at {
            return Ok(false);
        }
        let mut chunk = vec![0; CHUNK];
        for _ in 0..TURN {
            let length = match self.file.read(&mut chunk) {
                Ok(0) => return Ok(false),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.at += length as u64;
            self.lines
                .split(chunk.get(..length).unwrap_or_default(), each);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::super::line::LONGEST;
    use super::*;

    struct Log {
        _directory: tempfile::TempDir,
        path: PathBuf,
        follower: Follower,
        now: u64,
    }

    impl Log {
        fn new(history: &str) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("a.access.json");
            fs::write(&path, history).unwrap();
            Self {
                follower: Follower::from_end(path.clone()).unwrap(),
                _directory: directory,
                path,
                now: 1000,
            }
        }

        fn writer(&self) -> File {
            let mut options = File::options();
            options.append(true).create(true).open(&self.path).unwrap()
        }

        fn write(&self, text: &str) {
            self.writer().write_all(text.as_bytes()).unwrap();
        }

        fn lines(&mut self) -> Vec<String> {
            let mut lines = Vec::new();
            let mut each = |line: &[u8]| lines.push(String::from_utf8_lossy(line).into_owned());
            while self.follower.read(self.now, &mut each).unwrap() {}
            lines
        }
    }

    #[test]
    fn only_what_is_new_and_whole_is_read() {
        let mut log = Log::new("old\nhal");
        log.write("f\nnew\nbegun");
        assert_eq!(log.lines(), ["new"]);
        assert!(log.lines().is_empty());
        log.write(" and ended\n");
        assert_eq!(log.lines(), ["begun and ended"]);
    }

    #[test]
    fn a_rotation_loses_nothing() {
        let mut log = Log::new("");
        let mut nginx = log.writer();
        log.write("1\n");
        fs::rename(&log.path, log.path.with_extension("1")).unwrap();
        nginx.write_all(b"2\n").unwrap();
        assert_eq!(log.lines(), ["1", "2"]);
        log.write("4\n");
        // nginx has not been told yet.
        nginx.write_all(b"3\n").unwrap();
        assert_eq!(log.lines(), ["3", "4"]);
        nginx.write_all(b"5\n").unwrap();
        log.write("6\n");
        assert_eq!(log.lines(), ["5", "6"]);
        log.now += LINGER;
        nginx.write_all(b"7\n").unwrap();
        assert_eq!(log.lines(), ["7"]);
        assert!(log.follower.former.is_none());
    }

    #[test]
    fn a_log_that_is_cut_off_is_read_from_its_beginning() {
        let mut log = Log::new("");
        log.write("one\ntwo\n");
        assert_eq!(log.lines(), ["one", "two"]);
        File::create(&log.path).unwrap();
        assert!(log.lines().is_empty());
        log.write("3\n");
        assert_eq!(log.lines(), ["3"]);
    }

    #[test]
    fn a_log_that_is_not_there_yet_is_read_whole() {
        let mut log = Log::new("");
        fs::remove_file(&log.path).unwrap();
        log.follower = Follower::from_start(log.path.clone());
        assert!(log.lines().is_empty());
        log.write("first\n");
        assert_eq!(log.lines(), ["first"]);
    }

    #[test]
    fn a_line_without_an_end_takes_no_memory() {
        let mut log = Log::new("");
        let long = "x".repeat(1 << 20);
        for _ in 0..8 {
            log.write(&long);
            assert!(log.lines().is_empty());
        }
        let tail = log.follower.current.as_ref().unwrap();
        assert!(tail.lines.kept() <= 2 * (LONGEST + CHUNK));
        log.write("\nshort\n");
        assert_eq!(log.lines(), ["short"]);
        log.write(&format!("{long}\nnext\n"));
        assert_eq!(log.lines(), ["next"]);
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo.access.json");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut follower = Follower::from_end(fifo).unwrap();
        assert!(!follower.read(0, &mut |_| {}).unwrap());
        let link = directory.path().join("link.access.json");
        std::os::unix::fs::symlink("/etc/hostname", &link).unwrap();
        assert!(Follower::from_end(link).is_err());
    }
}
