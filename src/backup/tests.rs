//! Backups on a machine in memory, with a restic that answers as the real one was seen to.

mod drill;
mod postgres;

use std::path::Path;
use std::sync::{Arc, Mutex};

use super::{BackupError, Backups};
use crate::engine::{Engine, Silent};
use crate::expand::Edge;
use crate::host::memory::{MemoryHost, Node};
use crate::host::{Host, HostError, Invocation, Outcome, Processes};
use crate::model::{BackupRecord, Layout, Saved};
use crate::stack::{Stack, parse};

const STACK: &str = "name = \"web\"\nhosts = [\"*\"]\n[tls]\nissuer = \"self-signed\"\n\
                     [[site]]\npath = \"/\"\nstatic = \"main\"\n\
                     [backup]\nto = \"/srv/backup\"\ndirectories = [\"/srv/uploads\"]\n";
const ID: &str = "8f1c2d3e00112233445566778899aabbccddeeff00112233445566778899aabb";
const SUMMARY: &str = r#"{"message_type":"summary","files_new":3,"snapshot_id":"8f1c2d3e00112233445566778899aabbccddeeff00112233445566778899aabb"}"#;
const NONE: &str = "Fatal: unable to open config file: stat /srv/backup/web/config: no such file or directory\n\
                    Is there a repository at the following location?\n/srv/backup/web\n";

/// What restic says, by its verb; all else of it ends well and says nothing.
#[derive(Default)]
struct Said {
    answers: Vec<(&'static str, i32, String, &'static str)>,
    asked: Vec<String>,
}

struct Script(Arc<Mutex<Said>>, MemoryHost);

impl Processes for Script {
    fn run(&self, invocation: &Invocation) -> Result<Outcome, HostError> {
        let mut said = self.0.lock().unwrap();
        let words = invocation.words().join(" ");
        let asked = format!("{} {words}", invocation.program());
        let answer = said.answers.iter().find(|one| asked.contains(one.0));
        let answer = answer.map_or((0, String::new(), ""), |one| (one.1, one.2.clone(), one.3));
        // In one line with what Docker did.
        self.1.machine().log.push(asked.clone());
        said.asked.push(asked);
        Ok(Outcome {
            code: answer.0,
            stdout: answer.1,
            stderr: answer.2.to_owned(),
        })
    }

    fn stream(
        &self,
        _invocation: &Invocation,
        _line: &mut dyn FnMut(&str) -> bool,
    ) -> Result<(), HostError> {
        unreachable!()
    }
}

struct Bench {
    memory: MemoryHost,
    host: Host,
    said: Arc<Mutex<Said>>,
    layout: Layout,
    stack: Stack,
    _directory: tempfile::TempDir,
}

impl Bench {
    fn new(answers: &[(&'static str, i32, &str, &'static str)]) -> Self {
        Self::of(MemoryHost::bare(), STACK, answers)
    }

    fn of(
        memory: MemoryHost,
        stack: &str,
        answers: &[(&'static str, i32, &str, &'static str)],
    ) -> Self {
        for (path, text) in [
            ("/etc/tavern/stacks/web.toml", stack),
            ("/etc/tavern/credentials/web/backup-key", "00"),
            ("/srv/uploads/file", "kept"),
        ] {
            memory.machine().tree.plant(path, Node::file(text));
        }
        let answers = answers.iter();
        let said = Arc::new(Mutex::new(Said {
            answers: answers
                .map(|one| (one.0, one.1, one.2.to_owned(), one.3))
                .collect(),
            ..Said::default()
        }));
        let directory = tempfile::tempdir().unwrap();
        Self {
            host: Host {
                processes: Box::new(Script(Arc::clone(&said), memory.clone())),
                ..memory.doors()
            },
            memory,
            said,
            layout: Layout {
                lock: directory.path().join("lock"),
                ..Layout::system()
            },
            stack: parse(Path::new("web.toml"), stack.as_bytes()).unwrap(),
            _directory: directory,
        }
    }

    fn with<T>(&self, work: impl FnOnce(&Backups<'_>) -> T) -> T {
        self.with_stop(&|| false, work)
    }

    fn with_stop<T>(
        &self,
        is_stop_wanted: &dyn Fn() -> bool,
        work: impl FnOnce(&Backups<'_>) -> T,
    ) -> T {
        let engine = Engine {
            host: &self.host,
            layout: self.layout.clone(),
            edge: Edge::public(),
            progress: &Silent,
            is_stop_wanted,
        };
        work(&Backups::new(&engine))
    }

    fn save(&self) -> Result<String, BackupError> {
        self.with(|backups| backups.save(&self.stack))
    }

    fn record(&self) -> BackupRecord {
        self.with(|backups| backups.record(&self.stack.name))
            .unwrap()
    }

    fn note(&self, record: &BackupRecord) {
        let path = self.layout.backup_record(&self.stack.name);
        let path = path.to_string_lossy();
        self.memory
            .machine()
            .tree
            .plant(&path, Node::file(record.to_bytes()));
    }

    fn was_asked(&self, words: &str) -> bool {
        let said = self.said.lock().unwrap();
        said.asked
            .iter()
            .any(|one| one.starts_with("restic") && one.contains(words))
    }
}

fn made(place: Option<&str>) -> BackupRecord {
    let saved = || {
        Some(Saved {
            id: "8f1c2d3e".to_owned(),
            at: 1_795_000_000,
        })
    };
    BackupRecord {
        place: place.map(str::to_owned),
        newest: saved(),
        good: saved(),
        ..BackupRecord::default()
    }
}

#[test]
fn a_whole_backup_is_noted_with_its_place() {
    let bench = Bench::new(&[("restic backup", 0, SUMMARY, "")]);
    assert_eq!(bench.save().unwrap(), "8f1c2d3e");
    let record = bench.record();
    assert_eq!(record.newest.unwrap().id, "8f1c2d3e");
    assert_eq!(record.place.as_deref(), Some("/srv/backup/web"));
    assert_eq!(record.failure, None);
    assert!(bench.was_asked("backup --json --host web --tag tavern"));
    // Days, weeks and months as the stack file has them, of this stack alone.
    let ours = "forget --group-by host --host web --tag";
    let kept = "--keep-last 1 --keep-daily 7 --keep-weekly 4 --keep-monthly 6";
    assert!(bench.was_asked(&format!("{ours} tavern {kept}")));
    assert!(bench.was_asked(&format!("{ours} safety --keep-last 3")));
    assert!(bench.was_asked("prune"));
}

/// bug: restic keeps what it could not read all of, and the next drill called it good.
#[test]
fn an_incomplete_backup_is_not_kept() {
    let denied = "error: open /srv/uploads/x: permission denied\nWarning: at least one source file could not be read\n";
    let bench = Bench::new(&[("restic backup", 3, SUMMARY, denied)]);
    let error = bench.save().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("/srv/uploads/x: permission denied"),
        "{error}"
    );
    assert!(bench.was_asked(&format!("forget {ID}")));
    let record = bench.record();
    assert!(record.newest.is_none() && record.failure.is_some());
}

/// bug: with its disk not mounted, a new repository was made in the mount point, and all looked well.
#[test]
fn a_repository_that_was_there_is_not_made_again() {
    let answers = [
        ("cat config", 10, "", NONE),
        ("restic backup", 0, SUMMARY, ""),
    ];
    for known in [made(None), made(Some("/srv/backup/web"))] {
        let bench = Bench::new(&answers);
        bench.note(&known);
        let error = bench.save().unwrap_err();
        assert!(
            error.to_string().contains("/srv/backup/web is gone"),
            "{error}"
        );
        assert!(error.help().unwrap().contains("mounted"));
        assert!(!bench.was_asked("init") && !bench.was_asked("backup --json"));
    }
    // The first of all, and the first at another place.
    for known in [BackupRecord::default(), made(Some("/mnt/old/web"))] {
        let bench = Bench::new(&answers);
        bench.note(&known);
        bench.save().unwrap();
        assert!(bench.was_asked("init"));
    }
}

/// bug: the timer saved a state that was half that of a backup.
#[test]
fn nothing_is_saved_while_a_restore_is_cut_off() {
    let bench = Bench::new(&[("restic backup", 0, SUMMARY, "")]);
    let note = "{\"version\":1,\"what\":\"the restore of backup x\",\"containers\":[],\
                \"restarts\":[],\"swaps\":[],\"is_over\":false}";
    let path = "/var/lib/tavern/exchange.json";
    bench.memory.machine().tree.plant(path, Node::file(note));
    let error = bench.save().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the restore of backup x did not end"),
        "{error}"
    );
    assert!(!bench.was_asked(""));
}

/// bug: a store that refused the access, or was away, had no repository, by restic's own question, and another was to be
/// made.
#[test]
fn a_store_that_refuses_is_not_an_empty_one() {
    for refusal in [
        "Fatal: unable to open config file: Stat: Access Denied.\nIs there a repository at the following location?\ns3:x\n",
        "Fatal: unable to open config file: client.GetObject: The request signature we calculated does not match\n\
         Is there a repository at the following location?\n",
        "Fatal: unable to open config file: Stat: Get \"https://s3.example/b/?location=\": dial tcp 203.0.113.9:443: \
         connect: connection refused\nIs there a repository at the following location?\ns3:x\n",
        "Fatal: unable to open config file: Stat: The AWS Access Key Id you provided does not exist in our records.\n\
         Is there a repository at the following location?\ns3:x\n",
    ] {
        let bench = Bench::new(&[("cat config", 1, "", refusal)]);
        let error = bench.save().unwrap_err().to_string();
        assert!(error.contains("unable to open config file: "), "{error}");
        assert!(!bench.was_asked("init") && !bench.was_asked("backup --json"));
    }
}

/// bug: what could never be swapped for a backup was saved, and called good.
#[test]
fn a_mount_point_is_not_saved() {
    let bench = Bench::new(&[("restic backup", 0, SUMMARY, "")]);
    bench.memory.machine().mounts.insert("/srv/uploads".into());
    let error = bench.save().unwrap_err();
    assert!(
        error.to_string().contains("a file system of its own"),
        "{error}"
    );
    assert!(!bench.was_asked("backup --json"));
    let whole = Bench::new(&[("restic backup", 0, SUMMARY, "")]);
    whole.memory.machine().mounts.insert("/srv".into());
    whole.save().unwrap();
}

/// bug: what was restored below a volume that its driver mounts was hidden as its container started.
#[test]
fn a_volume_that_its_driver_mounts_is_not_swapped() {
    let bench = Bench::new(&[]);
    let stack = parse(Path::new("counter.toml"), crate::stack::DEFAULT.as_bytes()).unwrap();
    let container = &stack.containers[0];
    let name = container.volume.clone();
    let path = Path::new("/var/lib/docker/volumes").join(&name);
    {
        let mut machine = bench.memory.machine();
        machine.tree.plant("/var/run/docker.sock", Node::Socket);
        machine.volumes.insert(name, None);
    }
    let found = bench.with(|backups| backups.own_volume(container));
    assert_eq!(found.unwrap(), path);
    bench.memory.machine().mounts.insert(path);
    let error = bench.with(|backups| backups.own_volume(container));
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("mounted by its driver")
    );
}

/// bug: the password in a file of another host's Grafana took the place of the true one.
#[test]
fn what_is_true_of_a_volume_that_is_not_saved_stays_here() {
    let bench = Bench::new(&[]);
    for name in ["jwt-key", "grafana-admin-password", "grafana-secret-key"] {
        let path = format!("/etc/tavern/credentials/web/{name}");
        let mut machine = bench.memory.machine();
        machine.tree.plant(&path, Node::file("secret"));
    }
    let saved = bench.with(|backups| backups.small_files(&bench.stack).unwrap());
    let has = |word: &str| saved.iter().any(|(name, _)| name.contains(word));
    assert!(has("jwt-key") && !has("grafana") && !has("backup-key"));
}

/// As people copy them from a list.
#[test]
fn a_backup_is_chosen_by_the_beginning_of_its_name() {
    let line = |id: &str, tag: &str| {
        format!(
            "{{\"id\":\"{id}{id}\",\"short_id\":\"{id}\",\"time\":\"2026-11-18T03:00:00Z\",\"tags\":[\"{tag}\"]}}"
        )
    };
    let all = [
        line("8f1c2d3e", "tavern"),
        line("8f1caaaa", "safety"),
        line("77777777", "theirs"),
    ];
    let all = format!("[{}]", all.join(","));
    let key = "0a".repeat(32);
    let chosen = |id: &str| {
        let bench = Bench::new(&[
            ("restic snapshots", 0, &all, ""),
            ("restic dump", 1, "", "x"),
        ]);
        let path = "/etc/tavern/credentials/web/backup-key";
        bench.memory.machine().tree.plant(path, Node::file(&*key));
        let outcome = bench.with(|backups| {
            let found = backups.restorable(&bench.stack, Some(id), None);
            found.err().unwrap().to_string()
        });
        let asked = bench.said.lock().unwrap().asked.join("\n");
        (outcome, asked.contains("restic dump").then_some(()))
    };
    for (id, whole) in [
        ("8f1c2", "8f1c2d3e"),
        ("8f1ca", "8f1caaaa"),
        ("8f1caaaa8f1c", "8f1caaaa"),
    ] {
        let (outcome, fetched) = chosen(id);
        assert!(fetched.is_some() && outcome.contains(whole), "{outcome}");
    }
    for (id, words) in [
        ("8f1c", "`8f1c` begins more than one backup's name"),
        ("", "more than one"),
        ("8f1c2d3f", "there is no backup `8f1c2d3f`"),
        ("7777", "77777777 was not made by Tavern"),
    ] {
        let (outcome, fetched) = chosen(id);
        assert!(fetched.is_none() && outcome.contains(words), "{outcome}");
    }
}

#[test]
fn what_a_killed_one_left_open_is_cleared_away() {
    let leftovers = ["stage", "drill", "drill-data", "restore"];
    let bench = Bench::new(&[]);
    let plant = || {
        for name in leftovers {
            let path = format!("/var/lib/tavern/backup/{name}/etc/credentials/jwt-key");
            bench
                .memory
                .machine()
                .tree
                .plant(&path, Node::file("secret"));
        }
    };
    let left = || {
        let machine = bench.memory.machine();
        let place = Path::new("/var/lib/tavern/backup");
        machine.tree.below(place).count()
    };
    plant();
    let planted = left();
    // One is at work: it is its own.
    let at_work = bench.with(|backups| backups.alone()).unwrap();
    plant();
    bench.with(|backups| backups.clear_leftovers()).unwrap();
    assert_eq!(left(), planted);
    drop(at_work);
    bench.with(|backups| backups.clear_leftovers()).unwrap();
    assert_eq!(left(), 0);
}
