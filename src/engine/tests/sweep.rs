//! Killed or refused at every change that a run makes: before its commit the host is as it was, byte for byte;
//! after it, as it was to be; and the same command again always gets there.
#![allow(clippy::print_stdout, reason = "its figures are for eyes")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::rig::{Files, Rig, unlike};
use super::rotation::{ring, rotation};
use crate::engine::{EngineError, Purge, Recovered, Request, Source};
use crate::host::memory::{Killed, MemoryHost, Node, Picture, differences};
use crate::model::Mode;
use crate::resource::{Owner, Rotation};

const RECEIPT: &str = "/var/lib/tavern/receipt.json:";

/// After how many refusals one is followed by the same command again.
const RETRIED: u64 = 4;

pub(super) type Run = fn(&Rig) -> Result<(), EngineError>;

/// A run to be killed: on what machine, and what it is.
pub(super) struct Sweep {
    pub(super) name: &'static str,
    pub(super) start: Rig,
    pub(super) run: Run,
}

/// How many points a sweep had.
#[derive(Debug, Default)]
struct Points {
    undone: usize,
    finished: usize,
    nothing: usize,
    refused: usize,
    borne: usize,
}

impl Sweep {
    /// What the run makes of the machine when nobody disturbs it.
    fn goal(&self) -> (Picture, u64) {
        let rig = self.start.twin();
        let effects = rig.memory.machine().effects();
        (self.run)(&rig).unwrap();
        rig.is_right().unwrap();
        let effects = rig.memory.machine().effects() - effects;
        (rig.picture(), effects)
    }

    /// After whatever happened, the same command again gets there.
    fn gets_there(&self, rig: &Rig, goal: &Picture) -> Result<(), String> {
        (self.run)(rig).map_err(|error| format!("run again: {error}"))?;
        rig.is_right()?;
        same(&unlike(goal, &rig.picture()))
    }

    fn kill_at(&self, point: u64, goal: &Picture, points: &mut Points) -> Result<(), String> {
        let before = self.start.whole_picture();
        let rig = self.start.twin();
        let lines = rig.journal_length();
        rig.memory.machine().die_at(point);
        let end = catch_unwind(AssertUnwindSafe(|| (self.run)(&rig)));
        match end {
            Err(thrown) if thrown.is::<Killed>() => {}
            Err(_) => return Err("it panicked".to_owned()),
            Ok(_) => return Err("it was not killed".to_owned()),
        }
        rig.memory.machine().revive();
        let recovered = rig
            .engine()
            .recover(false)
            .map_err(|error| format!("recover: {error}"))?;
        match recovered {
            Some(Recovered::Undone { .. }) => {
                points.undone += 1;
                if rig.has_committed(lines) {
                    return Err("undone after its commit".to_owned());
                }
                same(&but_for_data(differences(&before, &rig.whole_picture())))?;
            }
            Some(Recovered::Finished { .. }) => points.finished += 1,
            Some(Recovered::Uninstall { .. } | Recovered::SetAside { .. }) => {
                return Err("another kind of run".to_owned());
            }
            // Its first line, or its last: there is nothing to set right.
            None => points.nothing += 1,
        }
        let temporaries = rig.memory.machine().temporaries();
        if !temporaries.is_empty() {
            return Err(format!("left: {}", temporaries.join(", ")));
        }
        let stale = rig.memory.machine().stale();
        if !stale.is_empty() {
            return Err(format!("after recover: {}", stale.join("; ")));
        }
        self.gets_there(&rig, goal)
    }

    fn refuse_at(&self, point: u64, goal: &Picture, points: &mut Points) -> Result<(), String> {
        let before = self.start.whole_picture();
        let rig = self.start.twin();
        let lines = rig.journal_length();
        rig.memory.machine().fail_at(point);
        let end = (self.run)(&rig);
        rig.memory.machine().revive();
        match end {
            Ok(()) => points.borne += 1,
            Err(EngineError::Step { left, .. }) if !left.is_empty() => {
                return Err(format!("not undone: {}", left.join("; ")));
            }
            Err(EngineError::NotRemoved(_)) => points.borne += 1,
            Err(_) => {
                points.refused += 1;
                if !rig.has_committed(lines) {
                    same(&differences(&before, &rig.whole_picture()))?;
                }
            }
        }
        // A kill at the same place has shown what comes after it; here a part of the points is enough.
        if point.is_multiple_of(RETRIED) {
            self.gets_there(&rig, goal)
        } else {
            Ok(())
        }
    }

    pub(super) fn sweep(&self) {
        let (goal, effects) = self.goal();
        let mut points = Points::default();
        let mut faults = Vec::new();
        for point in 1..=effects {
            if let Err(why) = self.kill_at(point, &goal, &mut points) {
                faults.push(format!("killed at {point} ({}): {why}", self.effect(point)));
            }
            if let Err(why) = self.refuse_at(point, &goal, &mut points) {
                faults.push(format!("refused {point} ({}): {why}", self.effect(point)));
            }
        }
        println!("{}: {effects} changes, {points:?}", self.name);
        assert!(
            faults.is_empty(),
            "{}: {} of {} points:\n{}",
            self.name,
            faults.len(),
            2 * effects,
            faults.join("\n")
        );
    }

    /// What the nth change is.
    fn effect(&self, point: u64) -> String {
        let rig = self.start.twin();
        let from = rig.memory.machine().log.len();
        let _ = (self.run)(&rig);
        let machine = rig.memory.machine();
        machine.log[from..]
            .get(point as usize - 1)
            .cloned()
            .unwrap_or_default()
    }
}

fn same(differences: &[String]) -> Result<(), String> {
    if differences.is_empty() {
        Ok(())
    } else {
        Err(differences.join("\n    "))
    }
}

/// A volume that a container may have written to is kept, and so is in the receipt.
fn but_for_data(mut differences: Vec<String>) -> Vec<String> {
    let is_volume = |line: &String| line.starts_with("volume ") && line.contains(": nothing -> ");
    if differences.iter().any(is_volume) {
        differences.retain(|line| !is_volume(line) && !line.starts_with(RECEIPT));
    }
    differences
}

pub(super) fn install(rig: &Rig) -> Result<(), EngineError> {
    rig.install(None)
}

/// Two stacks: with an app, Redis and a page for some; and plain pages.
pub(super) fn first() -> Files {
    let web = "name = \"web\"\nhosts = [\"*\"]\n[tls]\nissuer = \"self-signed\"\n\
               [[site]]\npath = \"/\"\nstatic = \"main\"\n\
               [[site]]\npath = \"/closed\"\nstatic = \"closed\"\naccess = { accounts = [\"ann\"] }\n\
               [[site]]\npath = \"/api/\"\napp = \"counter\"\n\
               [app.counter]\nserve = \"counter\"\nneeds = [\"redis\"]\naccounts = [\"ann\"]\nalias = \"old\"\n\
               [container.redis]\nkind = \"redis\"\nimage = \"redis:7-alpine\"\n\
               [firewall]\nallow = [\"80/tcp\"]\n";
    let blog = "name = \"blog\"\nhosts = [\"blog.example\"]\n[tls]\nissuer = \"self-signed\"\n\
                [[site]]\npath = \"/\"\nstatic = \"pages\"\n[firewall]\nallow = [\"8080/tcp\"]\n\
                [container.db]\nkind = \"postgres\"\nimage = \"postgres:15-alpine\"\n\
                [backup]\nto = \"/srv/backup\"\nat = \"04:00\"\n";
    [("web", web), ("blog", blog)]
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .into()
}

/// A bit of everything changed.
fn second() -> Files {
    let mut files = first();
    files.remove("blog");
    let shop = "name = \"shop\"\nhosts = [\"shop.example\"]\n[tls]\nissuer = \"self-signed\"\n\
                [[site]]\npath = \"/\"\nstatic = \"pages\"\n\
                [container.cache]\nkind = \"redis\"\nimage = \"redis:7-alpine\"\n\
                [container.db]\nkind = \"postgres\"\nimage = \"postgres:16-alpine\"\nuser = \"clerk\"\n";
    files.insert("shop".to_owned(), shop.to_owned());
    if let Some(web) = files.get_mut("web") {
        for (from, to) in [
            ("redis:7-alpine", "redis:8.2"),
            ("alias = \"old\"", "alias = \"new\"\ncount-key = \"hits\""),
            ("[[site]]\npath = \"/\"\nstatic = \"main\"\n", ""),
            (
                "access = { accounts = [\"ann\"] }",
                "access = { accounts = [\"ann\", \"bob\"] }",
            ),
        ] {
            assert!(web.contains(from), "{from}");
            *web = web.replace(from, to);
        }
        web.push_str("[backup]\nto = \"/srv/backup\"\ndrill = \"daily\"\n");
    }
    files
}

pub(super) fn bare_of_ours() -> Rig {
    let rig = Rig::new(MemoryHost::prepared());
    rig.memory.machine().enable_ufw();
    // Packages stay when a run is undone; here all else is to be as before, to the byte.
    let restic = "restic".to_owned();
    rig.memory.machine().packages.insert(restic);
    rig
}

pub(super) fn host(files: &Files) -> Rig {
    let rig = bare_of_ours();
    rig.declare(files);
    // From an earlier install whose data was kept: making it takes most of a run's time, by design.
    let account = "ann:$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaA\n";
    let node = Node::File {
        bytes: account.into(),
        mode: Mode(0o600),
        owner: Owner::root(),
    };
    rig.memory
        .machine()
        .tree
        .plant("/etc/tavern/credentials/web/accounts", node);
    rig
}

pub(super) fn uninstall(rig: &Rig) -> Result<(), EngineError> {
    let everything = Purge {
        data: true,
        packages: true,
    };
    let left = rig.engine().uninstall(everything)?;
    if left.failed.is_empty() {
        return Ok(());
    }
    Err(EngineError::NotRemoved(left.failed))
}

/// Killed or refused anywhere, an uninstall that is run again leaves the host as it was before Tavern, byte for byte.
#[test]
fn an_uninstall_is_ended_by_the_next() {
    let pristine = bare_of_ours().whole_picture();
    let start = host(&first());
    install(&start).unwrap();
    let rig = start.twin();
    let from = rig.memory.machine().effects();
    uninstall(&rig).unwrap();
    let effects = rig.memory.machine().effects() - from;
    same(&differences(&pristine, &rig.whole_picture())).unwrap();
    let again = |rig: &Rig| {
        rig.memory.machine().revive();
        uninstall(rig).map_err(|error| error.to_string())?;
        same(&differences(&pristine, &rig.whole_picture()))
    };
    let whole = start.whole_picture();
    // bug: killed between the state and the binary, it left the binary, and `recover` saw nothing to do.
    let is_forgotten = |rig: &Rig| {
        rig.memory.machine().revive();
        let now = rig.whole_picture();
        rig.engine().unfinished().unwrap().is_none()
            && !differences(&whole, &now).is_empty()
            && !differences(&pristine, &now).is_empty()
    };
    let mut faults = Vec::new();
    for point in 1..=effects {
        let rig = start.twin();
        rig.memory.machine().die_at(point);
        let end = catch_unwind(AssertUnwindSafe(|| uninstall(&rig)));
        assert!(end.is_err(), "it was not killed at {point}");
        if is_forgotten(&rig) {
            faults.push(format!("killed at {point}: nobody knows of it"));
        }
        if let Err(why) = again(&rig) {
            faults.push(format!("killed at {point}: {why}"));
        }
        let rig = start.twin();
        rig.memory.machine().fail_at(point);
        let _ = uninstall(&rig);
        if let Err(why) = again(&rig) {
            faults.push(format!("refused {point}: {why}"));
        }
    }
    println!("uninstall: {effects} changes, each killed and refused");
    assert!(
        faults.is_empty(),
        "{} points:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

/// A unit and a Redis of the operator's own, by the names that ours will have.
fn operate(rig: &Rig) {
    let mut machine = rig.memory.machine();
    machine.tree.plant("/opt/old/app", Node::file("theirs"));
    let unit = "[Service]\nExecStart=/opt/old/app\n[Install]\nWantedBy=multi-user.target\n";
    machine.operate("old.service", unit);
    machine.operate_container("web-redis", "redis:6.2", "web-redis-data");
}

fn adopt(rig: &Rig) -> Result<(), EngineError> {
    let request = Request {
        adopt: true,
        ..Request::default()
    };
    rig.engine().install(None, &request).map(|_| ())
}

#[test]
fn what_was_taken_over_is_given_back() {
    let pristine = bare_of_ours();
    operate(&pristine);
    let rig = host(&first());
    operate(&rig);
    adopt(&rig).unwrap();
    let kept = differences(&pristine.whole_picture(), &rig.whole_picture());
    assert!(
        kept.iter()
            .any(|line| line.starts_with("container web-redis.before-tavern"))
    );
    uninstall(&rig).unwrap();
    same(&differences(
        &pristine.whole_picture(),
        &rig.whole_picture(),
    ))
    .unwrap();
}

/// What somebody ran before makes way for ours, or runs on.
#[test]
fn a_takeover_ends_or_never_was() {
    let start = host(&first());
    operate(&start);
    assert!(start.plan().is_err(), "theirs is not taken without leave");
    Sweep {
        name: "install --adopt",
        start,
        run: adopt,
    }
    .sweep();
}

#[test]
fn the_first_install_ends_or_never_was() {
    Sweep {
        name: "install",
        start: host(&first()),
        run: install,
    }
    .sweep();
}

#[test]
fn an_upgrade_ends_or_never_was() {
    let start = host(&first());
    install(&start).unwrap();
    start.declare(&second());
    Sweep {
        name: "upgrade",
        start,
        run: install,
    }
    .sweep();
}

#[test]
fn a_rollback_ends_or_never_was() {
    let start = host(&first());
    install(&start).unwrap();
    start.declare(&second());
    install(&start).unwrap();
    let rollback = |rig: &Rig| {
        let request = Request {
            source: Source::Generation(1),
            ..Request::default()
        };
        rig.engine().install(None, &request).map(|_| ())
    };
    Sweep {
        name: "rollback",
        start,
        run: rollback,
    }
    .sweep();
}

/// Killed anywhere, the key before signs as if nothing had been, or the new one does beside it and the app runs with
/// both.
#[test]
fn a_rotation_ends_or_never_was() {
    let start = host(&first());
    install(&start).unwrap();
    Sweep {
        name: "secret rotate",
        start,
        run: |rig| {
            // A second one would add a second key, by design.
            if ring(rig).len() > 1 {
                return install(rig);
            }
            let request = rotation(Rotation::WithOverlap, &[]);
            rig.engine().install(None, &request).map(|_| ())
        },
    }
    .sweep();
}

/// The same of the passwords of containers, and of what reads them.
#[test]
fn a_rotation_of_a_password_ends_or_never_was() {
    let start = host(&first());
    install(&start).unwrap();
    Sweep {
        name: "secret rotate redis db",
        start,
        run: |rig| {
            let request = rotation(Rotation::AtOnce, &["redis", "db"]);
            rig.engine().install(None, &request).map(|_| ())
        },
    }
    .sweep();
}
