//! Killed or refused at every change of an exchange: all of it is there, or none.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::rig::Rig;
use super::sweep::{first, host, install};
use crate::engine::{Engine, EngineError, Exchange, Place};
use crate::host::memory::{Killed, Node, Picture, differences};
use crate::model::Mode;
use crate::resource::{Mend, Owner, ResourceId};

const PAGES: &str = "/var/www/web";
const NEW: &str = "/srv/new";
const DATA: &str = "/srv/data";
/// In its place nothing comes.
const GOES: &str = "/srv/data-wal";

fn start() -> Rig {
    let rig = host(&first());
    install(&rig).unwrap();
    let mut machine = rig.memory.machine();
    machine.tree.plant("/srv/data/before", Node::file("before"));
    machine.tree.plant(GOES, Node::file("of the one before"));
    drop(machine);
    rig
}

/// Swaps a directory of pages, one beside a container, and one that was not there.
fn exchange(rig: &Rig, prove: &dyn Fn() -> Result<(), EngineError>) -> Result<(), EngineError> {
    exchange_by(&rig.engine(), &|| Ok(()), prove)
}

fn exchange_by(
    engine: &Engine<'_>,
    count: &dyn Fn() -> Result<(), EngineError>,
    prove: &dyn Fn() -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    let prepare = |live: &Path, ready: &Path| {
        if live == Path::new(GOES) {
            return Ok(());
        }
        let files = &engine.host.files;
        files.make_directory(ready, Mode(0o755), &Owner::root())?;
        for name in ["one", "two"] {
            let path = ready.join(name);
            files.write(&path, b"after", Mode(0o644), &Owner::root())?;
        }
        Ok(())
    };
    let place = |path: &str, contained| Place {
        path: path.into(),
        contained,
    };
    let exchanged = engine.exchange(&Exchange {
        what: "the restore of backup x".to_owned(),
        places: vec![
            place(PAGES, false),
            place(NEW, false),
            place(GOES, false),
            place(DATA, true),
        ],
        containers: vec!["web-redis".to_owned()],
        restarts: vec![ResourceId("unit:tavern-web-counter.service".into())],
        prepare: &prepare,
        count,
        prove,
    });
    exchanged.map(|_| ())
}

fn is_all_or_none(rig: &Rig, before: &Picture, after: &Picture) -> Result<(), String> {
    let now = rig.picture();
    if differences(before, &now).is_empty() || differences(after, &now).is_empty() {
        return Ok(());
    }
    Err(differences(before, &now).join("\n    "))
}

fn recovered(rig: &Rig, before: &Picture, after: &Picture) -> Result<(), String> {
    rig.memory.machine().revive();
    let recovered = rig.engine().recover(false);
    recovered.map_err(|error| error.to_string())?;
    is_all_or_none(rig, before, after)?;
    rig.is_right()
}

#[test]
fn an_exchange_ends_or_never_was() {
    let start = start();
    let before = start.picture();
    let done = start.twin();
    let from = done.memory.machine().effects();
    exchange(&done, &|| Ok(())).unwrap();
    let effects = done.memory.machine().effects() - from;
    let after = done.picture();
    assert!(!differences(&before, &after).is_empty());
    done.is_right().unwrap();
    let mut faults = Vec::new();
    let (mut old, mut new) = (0, 0);
    for point in 1..=effects {
        let rig = start.twin();
        rig.memory.machine().die_at(point);
        let end = catch_unwind(AssertUnwindSafe(|| exchange(&rig, &|| Ok(()))));
        assert!(
            end.is_err_and(|thrown| thrown.is::<Killed>()),
            "killed at {point}"
        );
        rig.memory.machine().revive();
        if let Err(why) = nobody_goes_on(&rig) {
            faults.push(format!("killed at {point}: {why}"));
        }
        let judged = recovered(&rig, &before, &after);
        if let Err(why) = judged {
            faults.push(format!("killed at {point}: {why}"));
        }
        if differences(&before, &rig.picture()).is_empty() {
            old += 1;
        } else {
            new += 1;
        }
        let rig = start.twin();
        rig.memory.machine().fail_at(point);
        let _ = exchange(&rig, &|| Ok(()));
        let judged = recovered(&rig, &before, &after);
        if let Err(why) = judged {
            faults.push(format!("refused {point}: {why}"));
        }
    }
    assert!(old > 5 && new > 0, "{old} were undone, {new} finished");
    assert!(
        faults.is_empty(),
        "{} of {}:\n{}",
        faults.len(),
        2 * effects,
        faults.join("\n")
    );
}

#[test]
fn what_cannot_be_proven_is_put_back() {
    let start = start();
    let before = start.picture();
    let refused = EngineError::NotReady {
        what: "3 keys, not 4".into(),
        help: String::new(),
    };
    let refused = std::cell::Cell::new(Some(refused));
    let error = exchange(&start, &|| refused.take().map_or(Ok(()), Err)).unwrap_err();
    assert!(error.to_string().contains("3 keys, not 4"), "{error}");
    assert_eq!(error.help().as_deref(), Some("all is as it was before"));
    assert_eq!(differences(&before, &start.picture()), [""; 0]);
    start.is_right().unwrap();
}

/// The supervisor starts nothing on data that is half there, and what somebody made in its place is no obstacle.
fn nobody_goes_on(rig: &Rig) -> Result<(), String> {
    let engine = rig.engine();
    if engine.open_exchange().unwrap().is_none() {
        return Ok(());
    }
    let before = rig.whole_picture();
    let mended = engine.mend("web-redis", Mend::Start);
    let refused = mended.is_err_and(|unmended| unmended.error.to_string().contains("did not end"));
    if !refused || !differences(&before, &rig.whole_picture()).is_empty() {
        return Err("mended".to_owned());
    }
    let mut machine = rig.memory.machine();
    if machine.tree.get(Path::new(DATA)).is_none() {
        machine
            .tree
            .plant("/srv/data/empty", Node::file("began anew"));
    }
    Ok(())
}

/// The count is taken before anything is led to what came, and what it refuses is put back.
#[test]
fn what_is_not_counted_is_put_back_before_an_app_sees_it() {
    let start = start();
    let before = start.picture();
    let from = start.memory.machine().log.len();
    let restarts = || {
        let machine = start.memory.machine();
        let log = machine.log[from..].iter();
        log.filter(|line| line.contains("tavern-web-counter.service"))
            .count()
    };
    let error = exchange_by(
        &start.engine(),
        &|| {
            assert_eq!(restarts(), 0);
            Err(EngineError::NotReady {
                what: "1 keys, not 2".into(),
                help: String::new(),
            })
        },
        &|| unreachable!(),
    )
    .unwrap_err();
    assert!(error.to_string().contains("1 keys, not 2"), "{error}");
    assert_eq!(differences(&before, &start.picture()), [""; 0]);
    start.is_right().unwrap();
}

#[test]
fn a_second_stop_does_not_end_the_way_back() {
    let start = start();
    let before = start.picture();
    let is_stopped = std::cell::Cell::new(false);
    let is_stop_wanted = || is_stopped.get();
    let engine = Engine {
        is_stop_wanted: &is_stop_wanted,
        ..start.engine()
    };
    let error = exchange_by(
        &engine,
        &|| {
            is_stopped.set(true);
            Ok(())
        },
        &|| Ok(()),
    )
    .unwrap_err();
    assert_eq!(error.help().as_deref(), Some("all is as it was before"));
    assert_eq!(differences(&before, &start.picture()), [""; 0]);
    start.is_right().unwrap();
}

/// bug: it was taken for what this run had set aside, and cleared away, or put in the place of live data.
#[test]
fn what_another_exchange_set_aside_is_nobodys_to_remove() {
    let start = start();
    let mut machine = start.memory.machine();
    machine
        .tree
        .plant("/srv/.data.tavern-before/old", Node::file("old"));
    drop(machine);
    let before = start.whole_picture();
    let error = exchange(&start, &|| Ok(())).unwrap_err();
    assert!(
        error.to_string().contains("/srv/.data.tavern-before"),
        "{error}"
    );
    assert_eq!(differences(&before, &start.whole_picture()), [""; 0]);
    assert_eq!(start.engine().open_exchange().unwrap(), None);
}

/// Nothing is planned on top of one that was cut off, and an install sets it right first.
#[test]
fn one_that_was_cut_off_is_named_and_undone_by_the_next_run() {
    let start = start();
    let before = start.picture();
    // Late enough that names have changed.
    let done = start.twin();
    exchange(&done, &|| Ok(())).unwrap();
    let log = done.memory.machine().log.clone();
    let point = log
        .iter()
        .rposition(|line| line.starts_with("rename /srv/data"))
        .unwrap();
    let from = start.memory.machine().log.len();
    start.memory.machine().die_at((point - from) as u64);
    let _ = catch_unwind(AssertUnwindSafe(|| exchange(&start, &|| Ok(()))));
    start.memory.machine().revive();
    assert!(start.engine().open_exchange().unwrap().is_some());
    assert!(!differences(&before, &start.picture()).is_empty());
    assert!(
        start
            .plan()
            .unwrap_err()
            .to_string()
            .contains("did not end")
    );
    start.install(None).unwrap();
    assert_eq!(differences(&before, &start.picture()), [""; 0]);
}
