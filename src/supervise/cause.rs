//! Why a container's process ended, by what it logged last: a person must do something else about damaged data than
//! about too little memory. Nothing is repaired here.

use crate::resource::{Container, Mount};

/// Why it ended, as far as can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It refuses to start on its data. The line that says so.
    DamagedData(String),
    /// Its data is of another version than it is. The line that says so.
    OtherVersion(String),
    /// The kernel killed it for want of memory.
    NoMemory,
    /// It was killed: by hand, or for want of memory. Engines do not always say which.
    Killed,
    /// It could not write. The line that says so.
    FullDisk(String),
    /// Something else: the last line.
    Other {
        /// What its process ended with.
        code: i64,
        /// What it logged last.
        line: String,
    },
}

/// What Redis says when it does not start on its data.
const DAMAGE: [&str; 12] = [
    "bad file format reading the append only file",
    "unexpected end of file reading the append only file",
    "unrecoverable error reading the append only file",
    "invalid aof manifest",
    "fatal error loading the db",
    "wrong signature trying to load db",
    "short read or oom loading db",
    "internal error in rdb reading",
    "rdb crc error",
    "can't handle rdb format version",
    "the rdb file was saved",
    "doesn't exist in the aof directory",
];

/// What Postgres says when it does not.
const DAMAGE_OF_POSTGRES: [&str; 10] = [
    "could not locate a valid checkpoint record",
    "incorrect checksum in control file",
    "is not a valid data directory",
    "pg_control\": ",
    "could not read file \"global/",
    "could not open file \"global/",
    "could not open directory \"",
    "could not read blocks",
    "invalid page in block",
    "wal contains references to invalid pages",
];

/// What it says of data of another major version.
const OTHER_VERSION: [&str; 2] = [
    "database files are incompatible with server",
    "the data directory was initialized by postgresql version",
];

/// What they say at each start: what was before belongs to an earlier one.
const START: [&str; 3] = [
    "Redis is starting",
    "Skipping initialization",
    "starting PostgreSQL",
];

const LONGEST: usize = 240;

impl Cause {
    /// Reads it off the end of a log.
    pub fn of(log: &str, code: i64, killed_for_memory: bool) -> Self {
        let lines: Vec<&str> = log.lines().collect();
        let start = lines
            .iter()
            .rposition(|line| START.iter().any(|start| line.contains(start)));
        let lines = &lines[start.unwrap_or_default()..];
        let says = |words: &[&str]| {
            let mut found = lines.iter().rev().filter(|line| {
                let line = line.to_lowercase();
                words.iter().any(|word| line.contains(word))
            });
            found.next().map(|line| plain(line))
        };
        if killed_for_memory {
            return Self::NoMemory;
        }
        if code == 137 {
            return Self::Killed;
        }
        if let Some(line) = says(&OTHER_VERSION).filter(|_| code != 0) {
            return Self::OtherVersion(line);
        }
        let damage = [&DAMAGE[..], &DAMAGE_OF_POSTGRES].concat();
        if let Some(line) = says(&damage).filter(|_| code != 0) {
            return Self::DamagedData(line);
        }
        if let Some(line) = says(&["no space left on device"]) {
            return Self::FullDisk(line);
        }
        let last = lines.iter().rev().find(|line| !line.trim().is_empty());
        Self::Other {
            code,
            line: last.map(|line| plain(line)).unwrap_or_default(),
        }
    }

    /// In words, with what to do.
    pub fn describe(&self, container: &Container) -> String {
        let volume = container
            .mounts
            .iter()
            .find_map(Mount::volume)
            .unwrap_or_default();
        let is_redis = container.probe.is_of_redis();
        let container = &container.name;
        match self {
            Self::OtherVersion(line) => format!(
                "{line}: the volume {volume} has data of another version. Nothing is touched: `sudo tavernctl plan` says \
                 what can be done"
            ),
            Self::DamagedData(line) if !is_redis => format!(
                "its data is damaged, and it does not start on it: {line}. Nothing is repaired by guessing: the volume \
                 {volume} is as it was. `sudo tavernctl restore` brings back a backup"
            ),
            Self::DamagedData(line) => format!(
                "its data is damaged, and it does not start on it: {line}. Nothing is repaired by guessing. To restore: \
                 `sudo tavernctl hold {container}`, set `appendonlydir` of the volume {volume} aside, \
                 `sudo tavernctl hold --end`, `sudo tavernctl restore`"
            ),
            Self::NoMemory => format!(
                "it was killed for want of memory: `docker stats {container}` shows what it takes, \
                 `journalctl -k` the kernel's side"
            ),
            Self::Killed => format!(
                "it was killed, by hand or for want of memory: `docker stats {container}` shows what it takes, \
                 `journalctl -k` the kernel's side"
            ),
            Self::FullDisk(line) => format!("the disk is full: {line}"),
            Self::Other { code, line } if line.is_empty() => {
                format!("it ended with {code}: `docker logs {container}` may say why")
            }
            Self::Other { code, line } => {
                format!("it ended with {code}: {line} (`docker logs {container}`)")
            }
        }
    }
}

/// One line of a log, fit for a terminal and a message; without the time that Docker puts before it.
fn plain(line: &str) -> String {
    let text = match line.split_once(' ') {
        Some((time, rest)) if time.ends_with('Z') && time.contains('T') => rest,
        _ => line,
    };
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::resource::{Network, Probe};

    fn redis() -> Container {
        Container {
            name: "redis".into(),
            stack: "counter".into(),
            image: "redis:7".parse().unwrap(),
            command: Vec::new(),
            uid: 0,
            group: String::new(),
            mounts: vec![Mount::Volume {
                name: "redis-data".into(),
                target: "/data".into(),
            }],
            memory: 0,
            pids: 0,
            network: Network::None,
            environment: BTreeMap::new(),
            probe: Probe::of_redis(),
            settle: Vec::new(),
        }
    }

    const SOUND: &str = "1:C 21 Nov 2026 # oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo\n\
                         1:M 21 Nov 2026 * Ready to accept connections\n";

    #[test]
    fn damage_is_told_from_another_crash() {
        let bad = "2026-11-21T19:00:00.123456789Z 1:M 21 Nov 2026 # Bad file format reading the append only file \
                   appendonly.aof.1.incr.aof: make a backup of your AOF file, then use ./redis-check-aof --fix\n";
        let log = format!("{SOUND}{bad}");
        let cause = Cause::of(&log, 1, false);
        let Cause::DamagedData(line) = &cause else {
            panic!("{cause:?}");
        };
        assert!(
            line.starts_with("1:M 21 Nov 2026 # Bad file format"),
            "{line}"
        );
        let said = cause.describe(&redis());
        assert!(said.contains("sudo tavernctl restore") && said.contains("volume redis-data"));
        assert!(said.contains("appendonly.aof.1.incr.aof"));
        // Of an earlier start: it has been restored since, and ended for another reason.
        let later = format!("{bad}{SOUND}");
        assert!(matches!(Cause::of(&later, 1, false), Cause::Other { .. }));
        // It said so and was stopped by somebody.
        assert!(matches!(
            Cause::of(&log, 0, false),
            Cause::Other { code: 0, .. }
        ));
    }

    const POSTGRES: &str = "PostgreSQL Database directory appears to contain a database; Skipping initialization\n\
                            2026-11-21 20:00:00.000 UTC [1] LOG:  starting PostgreSQL 15.14 on x86_64-pc-linux-gnu\n";

    #[test]
    fn damage_of_a_postgres_is_told_from_data_of_another_version() {
        let mut postgres = redis();
        postgres.probe.says = None;
        let bad = format!(
            "{POSTGRES}2026-11-21 20:00:00.010 UTC [27] PANIC:  could not locate a valid checkpoint record\n\
             2026-11-21 20:00:00.011 UTC [1] LOG:  startup process (PID 27) was terminated by signal 6: Aborted\n"
        );
        let cause = Cause::of(&bad, 1, false);
        assert!(matches!(&cause, Cause::DamagedData(line) if line.contains("checkpoint record")));
        let said = cause.describe(&postgres);
        assert!(
            said.contains("sudo tavernctl restore") && !said.contains("appendonlydir"),
            "{said}"
        );
        let other = format!(
            "{POSTGRES}{}2026-11-21 21:00:00.000 UTC [1] FATAL:  database files are incompatible with server\n\
             2026-11-21 21:00:00.000 UTC [1] DETAIL:  The data directory was initialized by PostgreSQL version 15, \
             which is not compatible with this version 16.1.\n",
            POSTGRES.lines().next().unwrap().to_owned() + "\n"
        );
        let cause = Cause::of(&other, 1, false);
        assert!(
            matches!(&cause, Cause::OtherVersion(line) if line.contains("version 15")),
            "{cause:?}"
        );
        // It has been restored since, and was stopped.
        let later = Cause::of(&format!("{bad}{POSTGRES}"), 1, false);
        assert!(matches!(later, Cause::Other { .. }), "{later:?}");
    }

    #[test]
    fn each_other_cause() {
        assert_eq!(Cause::of(SOUND, 137, true), Cause::NoMemory);
        assert_eq!(Cause::of(SOUND, 137, false), Cause::Killed);
        let full = format!("{SOUND}1:M # Error writing: No space left on device\n");
        assert!(matches!(Cause::of(&full, 1, false), Cause::FullDisk(_)));
        let other = Cause::of(
            &format!("{SOUND}\n=== REDIS BUG REPORT END\n\n"),
            139,
            false,
        );
        assert!(
            other
                .describe(&redis())
                .contains("ended with 139: === REDIS BUG REPORT END")
        );
        assert!(
            Cause::of("", 3, false)
                .describe(&redis())
                .contains("docker logs redis")
        );
    }

    #[test]
    fn a_line_moves_no_terminal_and_is_bounded() {
        let line = format!("\u{1b}[2J\u{7}{}", "é".repeat(10_000));
        let Cause::Other { line, .. } = Cause::of(&line, 1, false) else {
            panic!("another cause");
        };
        assert!(!line.contains(char::is_control) && line.chars().count() == LONGEST + 1);
    }
}
