//! Killed or refused at every change that a run makes: before its commit the host is as it was, byte for byte;
//! after it, as it was to be; and the same command again always gets there.
#![allow(clippy::print_stdout, reason = "its figures are for eyes")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::rig::{Files, Rig, counter, unlike};
use crate::engine::{EngineError, Recovered, Request, Source};
use crate::host::memory::{Killed, MemoryHost, Picture, differences};

type Run = fn(&Rig) -> Result<(), EngineError>;

/// A run to be killed: on what machine, and what it is.
struct Sweep {
    name: &'static str,
    start: Rig,
    run: Run,
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
                same(&differences(&before, &rig.whole_picture()))?;
            }
            Some(Recovered::Finished { .. }) if lines == rig.journal_length() => {
                // Not even its first line was whole.
                points.nothing += 1;
                same(&differences(&before, &rig.whole_picture()))?;
            }
            Some(Recovered::Finished { .. }) => points.finished += 1,
            Some(Recovered::Uninstall { .. }) => return Err("an uninstall".to_owned()),
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
        self.gets_there(&rig, goal)
    }

    fn sweep(&self) {
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

fn install(rig: &Rig) -> Result<(), EngineError> {
    rig.install(None)
}

/// Two stacks: with an app, Redis and a page for some; and plain pages.
fn first() -> Files {
    let mut files = counter();
    let blog = "name = \"blog\"\nhosts = [\"blog.example\"]\n[tls]\nissuer = \"self-signed\"\n\
                [[site]]\npath = \"/\"\nstatic = \"pages\"\n[firewall]\nallow = [\"8080/tcp\"]\n";
    files.insert("blog".to_owned(), blog.to_owned());
    files
}

/// A bit of everything changed.
fn second() -> Files {
    let mut files = first();
    files.remove("blog");
    let shop = "name = \"shop\"\nhosts = [\"shop.example\"]\n[tls]\nissuer = \"self-signed\"\n\
                [[site]]\npath = \"/\"\nstatic = \"pages\"\n\
                [container.cache]\nkind = \"redis\"\nimage = \"redis:7-alpine\"\n";
    files.insert("shop".to_owned(), shop.to_owned());
    for text in files.values_mut() {
        for (from, to) in [
            (
                "image = \"redis:7-alpine\"\nvolume",
                "image = \"redis:8.2\"\nvolume",
            ),
            ("count-key = \"visits\" ", "count-key = \"hits\" "),
            ("alias = \"flask-app\"", "alias = \"web-app\""),
            (
                "[[site]]\npath = \"/open\"\nname = \"open\"\nstatic = \"open\"\n",
                "",
            ),
            (
                "accounts = [\"admin\"], allow",
                "accounts = [\"admin\", \"guest\"], allow",
            ),
        ] {
            *text = text.replace(from, to);
        }
    }
    files
}

fn host(files: &Files) -> Rig {
    let rig = Rig::new(MemoryHost::prepared());
    rig.memory.machine().enable_ufw();
    rig.declare(files);
    rig
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
