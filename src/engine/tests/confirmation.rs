//! Killed or refused at every change around a confirmation: what nobody confirmed goes back when its time is over or
//! the host boots, what was confirmed stays, and nothing of the way back stays with it.
#![allow(clippy::print_stdout, reason = "its figures are for eyes")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use super::rig::{Files, Rig, unlike};
use crate::engine::{EngineError, Request, Reverted};
use crate::host::memory::{Killed, MemoryHost, Picture};
use crate::model::Span;

const WITHIN: u32 = 60;
const TIMER: &str = "tavern-revert.timer";
const ENABLED: &str = "/etc/systemd/system/multi-user.target.wants/tavern-revert.service";
const STACK: &str = "/etc/tavern/stacks/counter.toml";

fn counter() -> Files {
    Files::from([("counter".to_owned(), crate::stack::DEFAULT.to_owned())])
}

fn other() -> Files {
    let mut files = counter();
    let text = files.get_mut("counter").unwrap();
    *text = text.replace(r#"hosts = ["*"]"#, r#"hosts = ["tavern.example"]"#);
    files
}

/// The counter is installed, and what is to change is declared; somebody is logged in.
fn ready() -> (Rig, Picture) {
    let rig = Rig::new(MemoryHost::prepared());
    rig.memory.machine().session = Some(3);
    rig.declare(&counter());
    rig.install(None).unwrap();
    let before = rig.picture();
    rig.declare(&other());
    (rig, before)
}

fn change(rig: &Rig) -> Result<(), EngineError> {
    let request = Request {
        confirm_within: Some(Span::seconds(WITHIN)),
        ..Request::default()
    };
    rig.engine().install(None, &request).map(|_| ())
}

fn revert(rig: &Rig) -> Result<(), EngineError> {
    rig.engine().revert().map(|_| ())
}

fn confirm(rig: &Rig) -> Result<(), EngineError> {
    rig.engine().confirm().map(|_| ())
}

/// What becomes of an unconfirmed change by itself.
#[derive(Debug, Clone, Copy)]
enum End {
    Deadline,
    Boot,
}

fn pass(rig: &Rig, end: End) {
    let mut machine = rig.memory.machine();
    let starts = match end {
        End::Deadline => {
            machine.up += Duration::from_secs(WITHIN.into());
            machine.units.contains_key(TIMER)
        }
        End::Boot => {
            machine.boots += 1;
            machine.up = Duration::ZERO;
            machine.units.remove(TIMER);
            machine.tree.get(Path::new(ENABLED)).is_some()
        }
    };
    drop(machine);
    assert!(
        starts || rig.engine().pending().unwrap().is_none(),
        "a change waits, and nothing ends that"
    );
    if starts {
        revert(rig).unwrap();
    }
}

/// As it was, but for the stack file, which is the owner's until the change is applied.
fn is_back(rig: &Rig, before: &Picture) {
    assert!(rig.engine().pending().unwrap().is_none());
    assert!(rig.engine().unfinished().unwrap().is_none());
    let mut differ = unlike(before, &rig.picture());
    differ.retain(|line| !line.contains(STACK) && !line.contains("tavern-revert"));
    assert_eq!(differ, [""; 0]);
    rig.declare(&counter());
    rig.install(None).unwrap();
    is_settled(rig, before);
}

#[track_caller]
fn is_settled(rig: &Rig, wanted: &Picture) {
    assert_eq!(unlike(wanted, &rig.picture()), [""; 0]);
    assert!(!rig.engine().is_way_back_left().unwrap());
    assert!(!rig.memory.machine().units.contains_key(TIMER));
    rig.is_right().unwrap();
}

/// Kills a run at each change it makes, on a twin each time; says at how many.
fn kills(start: &Rig, run: fn(&Rig) -> Result<(), EngineError>, then: impl Fn(&Rig)) -> usize {
    for point in 1.. {
        let rig = start.twin();
        rig.memory.machine().die_at(point);
        let end = catch_unwind(AssertUnwindSafe(|| run(&rig)));
        rig.memory.machine().revive();
        match end {
            Err(thrown) => assert!(thrown.is::<Killed>(), "it panicked at {point}"),
            Ok(end) => {
                end.unwrap();
                return usize::try_from(point).unwrap() - 1;
            }
        }
        then(&rig);
    }
    0
}

#[test]
fn a_change_that_nobody_confirms_goes_back() {
    for end in [End::Deadline, End::Boot] {
        let (rig, before) = ready();
        change(&rig).unwrap();
        assert!(!unlike(&before, &rig.picture()).is_empty());
        assert!(matches!(
            rig.engine().revert().unwrap(),
            Reverted::NotYet { left } if left == Duration::from_secs(WITHIN.into())
        ));
        pass(&rig, end);
        assert_eq!(unlike(&before, &rig.picture()), [""; 0]);
        is_back(&rig, &before);
    }
}

#[test]
fn only_a_session_from_after_the_change_keeps_it() {
    let (rig, _) = ready();
    change(&rig).unwrap();
    assert!(confirm(&rig).is_err());
    rig.memory.machine().session = None;
    assert!(confirm(&rig).is_err());
    rig.memory.machine().session = Some(4);
    let after = {
        let plain = Rig::new(MemoryHost::prepared());
        plain.bring_secrets(&rig);
        plain.declare(&other());
        plain.install(None).unwrap();
        plain.picture()
    };
    confirm(&rig).unwrap();
    is_settled(&rig, &after);
    pass(&rig, End::Deadline);
    pass(&rig, End::Boot);
    is_settled(&rig, &after);
}

#[test]
fn nothing_is_kept_when_the_time_is_over() {
    let (rig, before) = ready();
    change(&rig).unwrap();
    let mut machine = rig.memory.machine();
    machine.session = Some(4);
    machine.up += Duration::from_secs(WITHIN.into());
    drop(machine);
    assert!(confirm(&rig).is_err());
    assert!(rig.install(None).is_err());
    revert(&rig).unwrap();
    is_back(&rig, &before);
}

#[test]
fn without_a_generation_to_come_back_to_nothing_is_begun() {
    let rig = Rig::new(MemoryHost::prepared());
    rig.declare(&counter());
    let before = rig.whole_picture();
    assert!(change(&rig).is_err());
    let left = crate::host::memory::differences(&before, &rig.whole_picture());
    assert!(
        left.iter().all(|line| line.contains("/var/lib/tavern")),
        "{left:?}"
    );
    change(&rig).unwrap_err();
    rig.install(None).unwrap();
    rig.is_right().unwrap();
}

#[test]
fn killed_anywhere_it_goes_back() {
    let (start, before) = ready();
    let mut points = 0;
    for end in [End::Deadline, End::Boot] {
        points += kills(&start, change, |rig| {
            pass(rig, end);
            is_back(rig, &before);
        });
    }
    println!("note: killed at {points} points of a change that nobody confirmed");
    assert!(points > 40, "{points}");
}

#[test]
fn killed_while_it_goes_back_it_goes_on_going_back() {
    let (start, before) = ready();
    change(&start).unwrap();
    start.memory.machine().up += Duration::from_secs(WITHIN.into());
    let points = kills(&start, revert, |rig| {
        // Tried again by systemd, or after a boot.
        revert(rig).unwrap();
        assert_eq!(unlike(&before, &rig.picture()), [""; 0]);
        is_back(rig, &before);
    });
    println!("note: killed at {points} points of a way back");
    assert!(points > 20, "{points}");
}

#[test]
fn killed_while_it_is_confirmed_it_stays_or_can_be_confirmed_again() {
    let (start, _) = ready();
    change(&start).unwrap();
    start.memory.machine().session = Some(4);
    let after = {
        let rig = start.twin();
        confirm(&rig).unwrap();
        rig.picture()
    };
    let points = kills(&start, confirm, |rig| {
        if rig.engine().pending().unwrap().is_some() {
            confirm(rig).unwrap();
        }
        pass(rig, End::Deadline);
        pass(rig, End::Boot);
        rig.install(None).unwrap();
        is_settled(rig, &after);
    });
    println!("note: killed at {points} points of a confirmation");
    assert!(points > 5, "{points}");
}

#[test]
fn refused_anywhere_it_goes_back_or_waits() {
    let (start, before) = ready();
    let mut refused = 0;
    for point in 1.. {
        let rig = start.twin();
        let from = rig.memory.machine().effects();
        rig.memory.machine().fail_at(point);
        let end = change(&rig);
        rig.memory.machine().revive();
        refused += u32::from(end.is_err());
        let effects = rig.memory.machine().effects() - from;
        pass(&rig, End::Deadline);
        is_back(&rig, &before);
        if end.is_ok() && effects < point {
            break;
        }
    }
    assert!(refused > 20, "{refused}");
}
