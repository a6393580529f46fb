//! Containers that are put back, one at a time, without a generation.

use std::panic::AssertUnwindSafe;

use super::rig::{Files, Rig};
use crate::engine::Held;
use crate::host::memory::{Killed, MemoryHost, Node, differences};
use crate::resource::{Container, Mend, Sight};

const STACK: &str = "name = \"web\"\nhosts = [\"*\"]\n[tls]\nissuer = \"self-signed\"\n\
                     [[site]]\npath = \"/api/\"\napp = \"counter\"\n\
                     [app.counter]\nserve = \"counter\"\nneeds = [\"redis\"]\naccounts = [\"ann\"]\n\
                     [container.redis]\nkind = \"redis\"\nimage = \"redis:7-alpine\"\n";
const IMAGE: &str = "redis:7-alpine";

pub(super) fn installed() -> (Rig, Container) {
    let rig = Rig::new(MemoryHost::prepared());
    rig.declare(&Files::from([("web".to_owned(), STACK.to_owned())]));
    rig.install(None).unwrap();
    let container = rig.engine().containers().unwrap().remove(0);
    (rig, container)
}

/// What can happen to a container, by its name; how it is seen, and what is done.
type Loss = (&'static str, fn(&Rig, &str), Sight, Mend);

const LOSSES: [Loss; 5] = [
    (
        "stopped",
        |rig, name| {
            let mut machine = rig.memory.machine();
            machine.containers.get_mut(name).unwrap().found.running = false;
        },
        Sight::Stopped,
        Mend::Start,
    ),
    (
        "crashing",
        |rig, name| {
            let mut machine = rig.memory.machine();
            let found = &mut machine.containers.get_mut(name).unwrap().found;
            found.running = false;
            found.restarting = true;
        },
        Sight::Restarting,
        Mend::Start,
    ),
    (
        "removed",
        |rig, name| {
            rig.memory.machine().containers.remove(name);
        },
        Sight::Missing,
        Mend::Create,
    ),
    (
        "pruned",
        |rig, name| {
            let mut machine = rig.memory.machine();
            machine.containers.remove(name);
            machine.images.clear();
        },
        Sight::NoImage,
        // Its image is fetched before.
        Mend::Create,
    ),
    (
        "changed",
        |rig, name| {
            let mut machine = rig.memory.machine();
            let changed = &mut machine.containers.get_mut(name).unwrap().changed;
            changed.push("memory is 6 instead of 512".into());
        },
        Sight::Changed,
        Mend::Renew,
    ),
];

#[test]
fn each_loss_is_seen_and_mended_without_a_generation() {
    for (what, lose, sight, mend) in LOSSES {
        let (rig, container) = installed();
        let engine = rig.engine();
        assert_eq!(engine.glance(&container), Sight::Right, "{what}");
        let before = rig.whole_picture();
        lose(&rig, &container.name);
        assert_eq!(engine.glance(&container), sight, "{what}");
        let done = engine.mend(&container.name, Mend::Start).unwrap();
        assert_eq!(done, Some(mend), "{what}");
        assert_eq!(engine.glance(&container), Sight::Right, "{what}");
        let after = rig.whole_picture();
        assert_eq!(differences(&before, &after), [""; 0], "{what}");
        rig.is_right().unwrap();
    }
}

#[test]
fn what_is_well_is_not_touched() {
    let (rig, container) = installed();
    let log = rig.memory.machine().log.len();
    for mend in Mend::ALL {
        let done = rig.engine().mend(&container.name, mend).unwrap();
        assert_eq!(done, None);
    }
    rig.engine().mend("nobody", Mend::Create).unwrap();
    let machine = rig.memory.machine();
    assert_eq!(machine.log[log..], [""; 0]);
}

#[test]
fn a_mend_that_is_killed_anywhere_is_ended_by_the_next() {
    for (what, lose, _, _) in LOSSES {
        let (whole, container) = installed();
        lose(&whole, &container.name);
        let mut point = 1;
        loop {
            let rig = whole.twin();
            rig.memory.machine().die_at(point);
            let mended = std::panic::catch_unwind(AssertUnwindSafe(|| {
                rig.engine().mend(&container.name, Mend::Create).is_ok()
            }));
            let is_over = match mended {
                Ok(is_mended) => is_mended,
                Err(payload) => {
                    assert!(payload.is::<Killed>());
                    false
                }
            };
            rig.memory.machine().revive();
            if is_over {
                break;
            }
            // Nothing that a person asks for is refused because of it.
            rig.plan().unwrap();
            rig.engine().mend(&container.name, Mend::Create).unwrap();
            assert_eq!(
                rig.engine().glance(&container),
                Sight::Right,
                "{what} {point}"
            );
            assert_eq!(rig.engine().unfinished().unwrap(), None);
            rig.is_right()
                .unwrap_or_else(|why| panic!("{what}, killed at {point}: {why}"));
            point += 1;
        }
        assert!(point > 2, "{what}: only {point} points");
    }
}

#[test]
fn a_mend_that_fails_says_where_and_leaves_no_run() {
    let (rig, container) = installed();
    let name = &container.name;
    LOSSES[3].1(&rig, name);
    let mut places = Vec::new();
    for point in 1..20 {
        let rig = rig.twin();
        rig.memory.machine().fail_at(point);
        if let Err(unmended) = rig.engine().mend(name, Mend::Image) {
            places.extend(unmended.at);
            // Nothing that a person asks for is refused because of it.
            rig.plan().unwrap();
        }
        rig.engine().mend(name, Mend::Image).unwrap();
        rig.is_right().unwrap();
    }
    assert!(
        places.contains(&Mend::Image) && places.contains(&Mend::Create),
        "{places:?}"
    );
}

#[test]
fn without_a_network_the_image_comes_from_its_file() {
    let (rig, container) = installed();
    LOSSES[3].1(&rig, &container.name);
    let file = "/var/lib/tavern/images/redis_7-alpine.tar";
    rig.memory.machine().tree.plant(file, Node::file(IMAGE));
    let from = rig.memory.machine().log.len();
    rig.engine().mend(&container.name, Mend::Image).unwrap();
    let log = rig.memory.machine().log[from..].join("\n");
    assert!(
        log.contains(&format!("docker load {file}")) && !log.contains("pull"),
        "{log}"
    );
    // A file with something else in it is no reason to fail.
    LOSSES[3].1(&rig, &container.name);
    rig.memory.machine().tree.plant(file, Node::file("other:1"));
    rig.engine().mend(&container.name, Mend::Image).unwrap();
    assert_eq!(rig.engine().glance(&container), Sight::Right);
}

#[test]
fn a_container_is_not_made_on_an_empty_volume() {
    let (rig, container) = installed();
    {
        let mut machine = rig.memory.machine();
        machine.containers.clear();
        machine.volumes.clear();
    }
    let unmended = rig
        .engine()
        .mend(&container.name, Mend::Create)
        .unwrap_err();
    assert_eq!(unmended.at, Some(Mend::Create));
    assert!(
        unmended
            .error
            .to_string()
            .contains("is gone, and its data with it")
    );
    assert!(rig.memory.machine().containers.is_empty());
    // Whoever says so begins anew.
    rig.install(None).unwrap();
    assert_eq!(rig.engine().glance(&container), Sight::Right);
}

#[test]
fn what_is_held_or_somebody_elses_or_under_a_run_is_left_alone() {
    let (rig, container) = installed();
    let name = &container.name;
    LOSSES[0].1(&rig, name);
    let log = |rig: &Rig| rig.memory.machine().log.clone();
    rig.engine().hold(&[Held::Everything], None).unwrap();
    let before = log(&rig);
    let held = rig.engine().mend(name, Mend::Start).unwrap_err();
    assert!(held.at.is_none() && held.error.to_string().contains("is held"));
    assert_eq!(log(&rig), before);
    rig.engine().end_holds(None).unwrap();

    let before = log(&rig);
    let lock = crate::engine::Lock::take(&rig.engine().layout.lock).unwrap();
    let locked = rig.engine().mend(name, Mend::Start).unwrap_err();
    assert!(locked.at.is_none(), "{locked:?}");
    drop(lock);

    let mut machine = rig.memory.machine();
    machine.containers.get_mut(name).unwrap().found.stack = None;
    drop(machine);
    assert_eq!(rig.engine().glance(&container), Sight::Foreign);
    rig.engine().mend(name, Mend::Start).unwrap();
    assert_eq!(log(&rig), before);
}
