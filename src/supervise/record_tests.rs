use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::engine::Silent;
use crate::host::memory::{MemoryHost, Node};
use crate::host::{Host, HostError, Invocation, Outcome, Processes};
use crate::model::Layout;

const STACK: &str = "name = \"web\"\nhosts = [\"*\"]\n[tls]\nissuer = \"self-signed\"\n\
                     [[site]]\npath = \"/\"\nstatic = \"main\"\n\
                     [alert]\nmail = [\"root\"]\nprogram = [\"/usr/local/bin/page\"]\n";
const SENDMAIL: &str = "/usr/sbin/sendmail";
/// What gives sendmail a scope of its own.
const MAILER: &str = "systemd-run";
const PAGER: &str = "/usr/local/bin/page";

/// Takes what it is given, and notes who took it.
#[derive(Clone, Default)]
struct Programs(Arc<Mutex<Vec<String>>>);

impl Programs {
    fn taken(&self) -> Vec<String> {
        let mut taken = std::mem::take(&mut *self.0.lock().unwrap());
        taken.sort();
        taken
    }
}

impl Processes for Programs {
    fn run(&self, invocation: &Invocation) -> Result<Outcome, HostError> {
        self.0.lock().unwrap().push(invocation.program().to_owned());
        Ok(Outcome {
            code: 0,
            stdout: String::new(),
            stderr: String::new(),
        })
    }

    fn stream(&self, _: &Invocation, _: &mut dyn FnMut(&str) -> bool) -> Result<(), HostError> {
        Ok(())
    }
}

/// A host whose store is on the real disk. Nothing but `tavernd` is not well: it does not run.
struct Bench {
    memory: MemoryHost,
    host: Host,
    programs: Programs,
    stacks: Vec<Stack>,
    directory: tempfile::TempDir,
}

impl Bench {
    #[allow(clippy::disallowed_methods, reason = "a place for the store")]
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let health = directory.path().join("health");
        std::fs::create_dir(&health).unwrap();
        let memory = MemoryHost::prepared();
        for below in [health.join(".keep"), "/run/tavernd/.keep".into()] {
            let mut machine = memory.machine();
            machine.tree.plant(below.to_str().unwrap(), Node::file(""));
        }
        let programs = Programs::default();
        let host = Host {
            processes: Box::new(programs.clone()),
            ..memory.doors()
        };
        let stack = crate::stack::parse(Path::new("web.toml"), STACK.as_bytes()).unwrap();
        Self {
            memory,
            host,
            programs,
            stacks: vec![stack],
            directory,
        }
    }

    /// A round, a minute after the one before.
    fn round(&self) -> Result<Round, RecordError> {
        self.memory.machine().gone_on += Duration::from_secs(60);
        // The log monitor is at work, and sees nothing.
        let now = self.host.clock.now().unix_timestamp();
        let seen = format!(
            "{{\"version\":1,\"time\":{now},\"sites\":{{}},\"journal\":{{\"is_followed\":true,\"units\":{{}},\"failed_logins\":0,\"findings\":[],\"unreadable\":0}}}}"
        );
        let place = "/run/tavern-monitor/report.json";
        let mut machine = self.memory.machine();
        machine.tree.plant(place, Node::file(&*seen));
        drop(machine);
        let layout = Layout {
            state: self.directory.path().to_owned(),
            lock: self.directory.path().join("lock"),
            ..Layout::system()
        };
        let engine = Engine {
            layout,
            ..Engine::new(&self.host, &Silent)
        };
        let report = Report {
            findings: Vec::new(),
            took_ms: 0,
        };
        record(&engine, &self.stacks, &report)
    }
}

#[test]
fn what_one_way_took_another_still_owes() {
    let bench = Bench::new();
    assert!(bench.round().unwrap().news.is_empty());
    // There is no mail program yet.
    assert_eq!(bench.round().unwrap().news.len(), 1);
    assert_eq!(bench.programs.taken(), [PAGER]);
    bench.round().unwrap();
    assert_eq!(bench.programs.taken(), [""; 0]);
    bench.memory.machine().tree.plant(SENDMAIL, Node::file(""));
    bench.round().unwrap();
    assert_eq!(bench.programs.taken(), [MAILER]);
    bench.round().unwrap();
    assert_eq!(bench.programs.taken(), [""; 0]);
}

/// A way that takes nothing is said once, stands in `status` with its reason, and is over when it takes the next one.
#[test]
fn a_dead_way_is_a_probe_of_its_own() {
    let bench = Bench::new();
    bench.round().unwrap();
    let dead = |round: &Round| round.health.tracks["web: alerts"].clone();
    assert_eq!(dead(&bench.round().unwrap()).verdict, Verdict::Healthy);
    bench.round().unwrap();
    let round = bench.round().unwrap();
    assert_eq!(dead(&round).verdict, Verdict::Unhealthy);
    assert_eq!(round.news.len(), 1, "{round:?}");
    let reason = dead(&round).reason;
    assert!(reason.contains("mail to root: "), "{reason}");
    assert!(!reason.contains("page"), "{reason}");
    assert!(bench.round().unwrap().news.is_empty());
    bench.memory.machine().tree.plant(SENDMAIL, Node::file(""));
    bench.round().unwrap();
    bench.round().unwrap();
    assert_eq!(dead(&bench.round().unwrap()).verdict, Verdict::Healthy);
}

#[test]
fn a_host_that_cannot_be_compared_after_a_reboot_is_told() {
    let bench = Bench::new();
    bench.round().unwrap();
    bench.memory.machine().boots += 1;
    let receipt = bench.directory.path().join("receipt.json");
    let receipt = receipt.to_str().unwrap();
    bench
        .memory
        .machine()
        .tree
        .plant(receipt, Node::file("no JSON"));
    // What comes up with the host gets its time.
    let early = bench.round().unwrap();
    let texts: Vec<_> = early.news.iter().map(News::subject).collect();
    assert_eq!(texts, ["tavernd"]);
    assert_eq!(bench.programs.taken(), [PAGER]);
    bench.memory.machine().up = SETTLES;
    bench.memory.machine().gone_on += Duration::from_secs(600);
    let round = bench.round().unwrap();
    let News::SelfTest { text } = &round.news[0] else {
        panic!("{round:?}");
    };
    assert!(text.contains("could not be compared"), "{text}");
    assert_eq!(bench.programs.taken(), [PAGER]);
    // Once a boot.
    let later = bench.round().unwrap();
    assert!(!later.news.iter().any(|one| one.subject() == "self-test"));
}

#[test]
#[allow(clippy::disallowed_methods, reason = "takes the disk away")]
fn people_are_told_though_the_disk_takes_nothing_and_told_once() {
    let bench = Bench::new();
    bench.memory.machine().tree.plant(SENDMAIL, Node::file(""));
    std::fs::remove_dir(bench.directory.path().join("health")).unwrap();
    assert!(bench.round().is_err());
    assert_eq!(bench.programs.taken(), [""; 0]);
    assert!(bench.round().is_err());
    assert_eq!(bench.programs.taken(), [PAGER, MAILER]);
    for _ in 0..10 {
        assert!(bench.round().is_err());
    }
    assert_eq!(bench.programs.taken(), [""; 0]);
}

#[test]
fn a_container_that_is_not_kept_is_not_healthy_though_nothing_failed() {
    for (phase, verdict) in [
        ("up", Verdict::Healthy),
        ("held", Verdict::Healthy),
        ("no_docker", Verdict::Unknown),
        ("foreign", Verdict::Unhealthy),
        ("needs_create", Verdict::Unhealthy),
        ("mending_image", Verdict::Unhealthy),
    ] {
        let bench = Bench::new();
        let text = format!(
            "{{\"version\":1,\"since\":\"\",\"containers\":[{{\"name\":\"r\",\"stack\":\"web\",\
             \"phase\":\"{phase}\",\"since\":\"\",\"mends\":0,\"crash_loop\":false}}]}}"
        );
        let state = Node::file(text);
        bench
            .memory
            .machine()
            .tree
            .plant("/run/tavernd/state.json", state);
        bench.round().unwrap();
        let round = bench.round().unwrap();
        assert_eq!(round.health.tracks["keeping r"].verdict, verdict, "{phase}");
    }
}
