//! restic, with arguments that are typed and secrets that are not among them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::far::far;
use super::{BackupError, Kind, Snapshot};
use crate::engine::Progress;
use crate::host::{HostError, Invocation, Outcome, Processes};
use crate::stack::Retention;

/// Asking for a list or a key.
const SHORT: Duration = Duration::from_secs(600);

/// Opening the door. A store that refuses or is away is asked again for a quarter of an hour by restic itself.
const ANSWER: Duration = Duration::from_secs(60);

/// Carrying data.
const LONG: Duration = Duration::from_secs(12 * 3600);

/// restic's exit code for a backup that it made though not all could be read.
const INCOMPLETE: i32 = 3;

/// Safety copies that are kept: one for each of the last restores.
const SAFETY_COPIES: &str = "3";

/// A repository of one stack, and what opens it.
pub struct Restic<'a> {
    pub(super) processes: &'a dyn Processes,
    pub(super) progress: &'a dyn Progress,
    pub(super) repository: String,
    pub(super) key: PathBuf,
    pub(super) cache: PathBuf,
    /// Variables with the access to the store, such as `AWS_ACCESS_KEY_ID`.
    pub(super) access: Vec<(String, String)>,
}

/// What was saved.
#[derive(Debug, PartialEq, Eq)]
pub struct Made {
    /// The backup's name.
    pub id: String,
    /// What of it could not be read, if it was not all.
    pub unread: Option<String>,
}

/// What restic says of a file that is not there, in a directory, over SFTP, and in a store.
const ABSENT: [&str; 5] = [
    "no such file",
    "file does not exist",
    "repository does not exist",
    "specified key does not exist",
    "specified bucket does not exist",
];

/// Whether there is a repository, and whether the key is its.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    Absent,
    WrongKey,
}

impl Restic<'_> {
    /// Where it is.
    pub fn place(&self) -> &str {
        &self.repository
    }

    /// Makes the repository if there is none.
    ///
    /// # Errors
    /// When another key is its, or it cannot be reached.
    pub fn make(&self) -> Result<(), BackupError> {
        match self.door()? {
            Door::Open => Ok(()),
            Door::Absent => self.run(&["init"], SHORT).map(|_| ()),
            Door::WrongKey => Err(self.wrong_key()),
        }
    }

    /// Whether there is one to read from.
    ///
    /// # Errors
    /// When there is none, or another key is its.
    pub fn open(&self) -> Result<(), BackupError> {
        match self.door()? {
            Door::Open => Ok(()),
            Door::Absent => Err(BackupError::refused(
                format!("there is no repository at {}", self.repository),
                "`sudo tavernctl backup now` makes it; to restore another host's, bring its repository there",
            )),
            Door::WrongKey => Err(self.wrong_key()),
        }
    }

    /// Opens one that has backups of this host, which `record` knows of.
    ///
    /// # Errors
    /// When it is no longer there, or another key is its.
    pub fn open_again(&self, record: &Path) -> Result<(), BackupError> {
        match self.door()? {
            Door::Open => Ok(()),
            Door::Absent => Err(BackupError::refused(
                format!("the repository at {} is gone", self.repository),
                format!(
                    "is its disk mounted, or its host there? To begin another without the backups of before: `sudo rm {}`, then `sudo tavernctl backup now`",
                    record.display()
                ),
            )),
            Door::WrongKey => Err(self.wrong_key()),
        }
    }

    fn wrong_key(&self) -> BackupError {
        BackupError::refused(
            format!("the key does not open {}", self.repository),
            "it was made with another one: `sudo tavernctl restore --key FILE` takes the key of the host that made it",
        )
    }

    fn door(&self) -> Result<Door, BackupError> {
        let outcome = match self.try_run(&["cat", "config"], ANSWER) {
            Err(BackupError::Host(HostError::Timeout { tail, .. })) => {
                return Err(BackupError::refused(
                    format!("{} does not open: {}", self.repository, last_words(&tail)),
                    "is the store in `[backup]` there, and is the access in its `credentials` right?",
                ));
            }
            outcome => outcome?,
        };
        let said = outcome.stderr.to_ascii_lowercase();
        // It asks whether there is one as well where it was refused, or reached nobody.
        let is_absent = said
            .lines()
            .any(|line| line.contains("config") && ABSENT.iter().any(|words| line.contains(words)));
        Ok(if outcome.success() {
            Door::Open
        } else if said.contains("wrong password") || said.contains("no key found") {
            Door::WrongKey
        } else if is_absent {
            Door::Absent
        } else {
            return Err(self.failed("cat config", &outcome));
        })
    }

    /// Takes away the locks that killed ones left; those of living ones stay.
    ///
    /// # Errors
    /// When the repository cannot be reached.
    pub fn unlock(&self) -> Result<(), BackupError> {
        self.run(&["unlock"], SHORT).map(|_| ())
    }

    /// Saves these paths. What could not be read is a fault, but of a safety copy only a flaw.
    ///
    /// # Errors
    /// When it, or for any but a safety copy anything of it, could not be saved.
    pub fn save(&self, kind: Kind, stack: &str, paths: &[PathBuf]) -> Result<Made, BackupError> {
        #[derive(Deserialize)]
        struct Line {
            message_type: String,
            snapshot_id: Option<String>,
        }
        let paths: Vec<String> = paths
            .iter()
            .map(|path| path.to_string_lossy().into_owned())
            .collect();
        let mut args = vec![
            "backup",
            "--json",
            "--host",
            stack,
            "--tag",
            kind.as_str(),
            "--",
        ];
        args.extend(paths.iter().map(String::as_str));
        let mut told = |line: &str| {
            let told = far(line);
            told.iter().for_each(|text| self.progress.detail(text));
            told.is_some()
        };
        let outcome = self.watched(&args, LONG, &mut told)?;
        let lines = outcome.stdout.lines();
        let summary = lines
            .filter_map(|line| serde_json::from_str::<Line>(line).ok())
            .find(|line| line.message_type == "summary");
        let id = summary.and_then(|line| line.snapshot_id);
        match (outcome.code, id) {
            (0, Some(id)) => Ok(Made { id, unread: None }),
            (INCOMPLETE, Some(id)) if kind == Kind::Safety => Ok(Made {
                id,
                unread: Some(last_words(&outcome.stderr)),
            }),
            (INCOMPLETE, Some(id)) => {
                // It would pass for a whole one.
                self.run(&["forget", &id], SHORT)?;
                Err(BackupError::refused(
                    format!(
                        "not all of it could be read: {}",
                        last_words(&outcome.stderr)
                    ),
                    "the backup was not kept; mend that, or take the directory out of `directories` in `[backup]`",
                ))
            }
            _ => Err(self.failed("backup", &outcome)),
        }
    }

    /// How many bytes a backup takes when it is laid out.
    ///
    /// # Errors
    /// When that cannot be said.
    pub fn size(&self, id: &str) -> Result<u64, BackupError> {
        #[derive(Deserialize)]
        struct Stats {
            total_size: u64,
        }
        let args = ["stats", "--mode", "restore-size", "--json", id];
        let outcome = self.run(&args, SHORT)?;
        let stats: Option<Stats> = serde_json::from_str(&outcome.stdout).ok();
        stats
            .map(|stats| stats.total_size)
            .ok_or_else(|| self.failed("stats", &outcome))
    }

    /// All backups, oldest first.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>, BackupError> {
        let outcome = self.run(&["snapshots", "--json"], SHORT)?;
        let mut all: Vec<Snapshot> = serde_json::from_str(&outcome.stdout).map_err(|error| {
            BackupError::refused(
                format!("restic's list of backups cannot be read: {error}"),
                "`restic version` must say 0.14 or later",
            )
        })?;
        all.sort_by_key(Snapshot::at);
        Ok(all)
    }

    /// Whether the repository holds together; with `data`, reads every byte of it.
    ///
    /// # Errors
    /// When anything is damaged or missing.
    pub fn check(&self, data: bool) -> Result<(), BackupError> {
        let mut args = vec!["check"];
        args.extend(data.then_some("--read-data"));
        let outcome = self.try_run(&args, LONG)?;
        if outcome.success() {
            return Ok(());
        }
        Err(self.damaged(&outcome))
    }

    fn damaged(&self, outcome: &Outcome) -> BackupError {
        BackupError::refused(
            format!(
                "{} is damaged: {}",
                self.repository,
                last_words(&outcome.stderr)
            ),
            "nothing was touched; bring back a copy of the repository, or see restic's own notes on damaged ones",
        )
    }

    /// The text of one small file of a backup.
    ///
    /// # Errors
    /// When it is not in it, or damaged.
    pub fn text(&self, id: &str, path: &Path) -> Result<String, BackupError> {
        let outcome = self.try_run(&["dump", id, &path.to_string_lossy()], SHORT)?;
        if outcome.success() {
            return Ok(outcome.stdout);
        }
        Err(BackupError::refused(
            format!("{id} has no manifest: {}", last_words(&outcome.stderr)),
            "Tavern did not make it, or it is damaged: `sudo tavernctl backup list` shows the others",
        ))
    }

    /// Lays a backup out below `target`; every byte is compared with its hash.
    ///
    /// # Errors
    /// When any of it is damaged, or cannot be written.
    pub fn restore(&self, id: &str, target: &Path) -> Result<(), BackupError> {
        let target = target.to_string_lossy();
        let args = ["restore", id, "--target", &target, "--verify"];
        let outcome = self.try_run(&args, LONG)?;
        if outcome.success() {
            return Ok(());
        }
        if outcome
            .stderr
            .to_ascii_lowercase()
            .contains("no space left")
        {
            return Err(BackupError::NoRoom {
                what: format!("the disk is full at {target}"),
                help: format!("`df -h {target}`; make room, then run it again"),
            });
        }
        Err(self.damaged(&outcome))
    }

    /// Forgets the backups of a stack that are not to be kept, and gives their room back.
    ///
    /// # Errors
    /// When the repository refuses.
    pub fn forget(&self, stack: &str, keep: Retention) -> Result<(), BackupError> {
        let counts = [
            ("--keep-daily", keep.daily),
            ("--keep-weekly", keep.weekly),
            ("--keep-monthly", keep.monthly),
        ];
        let counts: Vec<(&str, String)> = counts
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(option, count)| (option, count.to_string()))
            .collect();
        // Whatever the paths were at the time. What others have in the repository is theirs.
        let ours = ["forget", "--group-by", "host", "--host", stack, "--tag"];
        // The newest is kept whatever the clock says.
        let mut args = [&ours[..], &[Kind::Regular.as_str(), "--keep-last", "1"]].concat();
        for (option, count) in &counts {
            args.extend([option, count.as_str()]);
        }
        self.run(&args, SHORT)?;
        let safety = [Kind::Safety.as_str(), "--keep-last", SAFETY_COPIES];
        self.run(&[&ours[..], &safety].concat(), SHORT)?;
        self.run(&["prune"], LONG).map(|_| ())
    }

    fn run(&self, args: &[&str], limit: Duration) -> Result<Outcome, BackupError> {
        let outcome = self.try_run(args, limit)?;
        if outcome.success() {
            return Ok(outcome);
        }
        Err(self.failed(args.first().copied().unwrap_or_default(), &outcome))
    }

    fn failed(&self, verb: &str, outcome: &Outcome) -> BackupError {
        let said = last_words(&outcome.stderr);
        let help = if said.contains("already locked") {
            "another restic is at work there: wait until it has ended"
        } else if said.contains("no space left") {
            "make room where the backups go, or keep fewer (`keep` in `[backup]`)"
        } else {
            "is the place in `[backup]` reachable from this host, and may root write there?"
        };
        BackupError::refused(
            format!("`restic {verb}` at {}: {said}", self.repository),
            help,
        )
    }

    fn try_run(&self, args: &[&str], limit: Duration) -> Result<Outcome, BackupError> {
        self.watched(args, limit, &mut |_| false)
    }

    fn watched(
        &self,
        args: &[&str],
        limit: Duration,
        seen: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Outcome, BackupError> {
        // Of all but a backup it is kept in memory until it ends: a line in 50 s is enough.
        let times_a_second = match args.first() {
            Some(&"backup") => "2",
            _ => "0.02",
        };
        let key = self.key.to_string_lossy();
        let cache = self.cache.to_string_lossy();
        let mut invocation = Invocation::new("restic", args)
            .limit(limit)
            .env("RESTIC_REPOSITORY", &self.repository)
            .env("RESTIC_PASSWORD_FILE", &key)
            .env("RESTIC_CACHE_DIR", &cache)
            .env("RESTIC_PROGRESS_FPS", times_a_second);
        for (name, value) in &self.access {
            invocation = invocation.env(name, value);
        }
        Ok(self.processes.watch(&invocation, seen)?)
    }
}

/// The end of what was said, on one line.
fn last_words(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let from = lines.len().saturating_sub(3);
    let text = lines.get(from..).unwrap_or_default().join("; ");
    text.chars().filter(|c| !c.is_control()).take(600).collect()
}
