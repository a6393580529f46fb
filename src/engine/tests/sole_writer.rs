//! What a mend leaves to others: never two servers on the same files, no lock while an image comes, no run but its
//! own.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Mutex;

use super::mend::installed;
use super::rig::Rig;
use crate::engine::{Engine, Lock, Progress, RenewRequest, Verb};
use crate::resource::{Container, Mend, Sight};

const OTHER: &str = "renamed";

/// What `docker rename` does to a container that runs.
fn rename(rig: &Rig, name: &str) {
    let mut machine = rig.memory.machine();
    let container = machine.containers.remove(name).unwrap();
    machine.containers.insert(OTHER.to_owned(), container);
}

#[test]
fn beside_a_container_that_runs_on_the_same_volume_none_is_made() {
    let (rig, container) = installed();
    rename(&rig, &container.name);
    assert_eq!(rig.engine().glance(&container), Sight::Missing);
    let log = rig.memory.machine().log.len();
    let unmended = rig
        .engine()
        .mend(&container.name, Mend::Create)
        .unwrap_err();
    assert_eq!(unmended.at, Some(Mend::Create));
    let text = unmended.error.to_string();
    assert!(text.contains(OTHER), "{text}");
    // An install makes none either, and gives back what it began.
    let refused = rig.install(None).unwrap_err().to_string();
    assert!(refused.contains(OTHER), "{refused}");
    {
        let machine = rig.memory.machine();
        let made = machine.log[log..].iter();
        let touched: Vec<_> = made.filter(|line| line.starts_with("docker")).collect();
        assert_eq!(touched, [""; 0]);
        assert!(machine.containers[OTHER].found.running);
    }
    // It has ended: then its volume is free.
    let mut machine = rig.memory.machine();
    let other = machine.containers.get_mut(OTHER).unwrap();
    other.found.running = false;
    drop(machine);
    rig.engine().mend(&container.name, Mend::Create).unwrap();
    assert_eq!(rig.engine().glance(&container), Sight::Right);
}

#[test]
fn one_that_was_stopped_is_not_started_while_somebody_works_on_its_data() {
    let (rig, container) = installed();
    let mut machine = rig.memory.machine();
    let mut other = machine.containers[&container.name].clone();
    other.found.stack = None;
    machine.containers.insert(OTHER.to_owned(), other);
    let ours = machine.containers.get_mut(&container.name).unwrap();
    ours.found.running = false;
    drop(machine);
    let unmended = rig.engine().mend(&container.name, Mend::Start).unwrap_err();
    assert_eq!(unmended.at, Some(Mend::Start));
    assert_eq!(rig.engine().glance(&container), Sight::Stopped);
    assert_eq!(rig.engine().unfinished().unwrap(), None);
}

#[test]
fn a_paused_container_is_not_up_whatever_docker_said_of_it_before() {
    let (rig, container) = installed();
    let mut machine = rig.memory.machine();
    let found = &mut machine.containers.get_mut(&container.name).unwrap().found;
    found.health = "healthy".to_owned();
    found.paused = true;
    drop(machine);
    assert_eq!(rig.engine().glance(&container), Sight::Silent);
    rig.engine().mend(&container.name, Mend::Answer).unwrap();
    assert_eq!(rig.engine().glance(&container), Sight::Right);
}

/// Asks for the lock whenever it is told something.
struct Asks(PathBuf, Mutex<Vec<bool>>);

impl Progress for Asks {
    fn begin(&self, _: &str) {}

    fn detail(&self, text: &str) {
        if text == "pulling" {
            let is_free = Lock::take(&self.0).is_ok();
            self.1.lock().unwrap().push(is_free);
        }
    }
}

fn others_may_run_while_it_is_fetched(rig: &Rig, container: &Container, mend: Mend) {
    let asks = Asks(rig.engine().layout.lock, Mutex::default());
    let engine = Engine {
        progress: &asks,
        ..rig.engine()
    };
    engine.mend(&container.name, mend).unwrap();
    assert_eq!(*asks.1.lock().unwrap(), [true]);
    assert_eq!(engine.glance(container), Sight::Right);
    rig.is_right().unwrap();
}

#[test]
fn while_an_image_comes_nobody_waits_for_the_lock() {
    let (rig, container) = installed();
    let mut machine = rig.memory.machine();
    machine.containers.remove(&container.name);
    machine.images.clear();
    drop(machine);
    others_may_run_while_it_is_fetched(&rig, &container, Mend::Image);
}

/// bug: for a container that is there, and is to be made anew, its image was fetched while all others waited.
#[test]
fn nor_while_the_image_of_a_changed_one_comes() {
    let (rig, container) = installed();
    let mut machine = rig.memory.machine();
    let changed = &mut machine.containers.get_mut(&container.name).unwrap().changed;
    changed.push("memory is 6 instead of 512".into());
    machine.images.clear();
    drop(machine);
    others_may_run_while_it_is_fetched(&rig, &container, Mend::Renew);
}

#[test]
fn a_renewal_that_was_cut_off_is_left_to_who_may_write_below_etc() {
    let (whole, container) = installed();
    let force = RenewRequest {
        stacks: Vec::new(),
        force: true,
    };
    let mut seen = 0;
    for point in 1..60 {
        let rig = whole.twin();
        rig.memory.machine().die_at(point);
        let renewed = std::panic::catch_unwind(AssertUnwindSafe(|| rig.engine().renew(&force)));
        rig.memory.machine().revive();
        if renewed.is_ok() {
            break;
        }
        let unfinished = rig.engine().unfinished().unwrap();
        let begin = unfinished.and_then(|run| run.begin);
        if !begin.is_some_and(|begin| matches!(begin.verb, Verb::Renew { .. })) {
            continue;
        }
        seen += 1;
        rig.memory.machine().containers.remove(&container.name);
        let log = rig.memory.machine().log.len();
        let error = rig.engine().mend(&container.name, Mend::Create);
        let text = error.unwrap_err().error.to_string();
        assert!(text.contains("a run did not end"), "{text}");
        assert_eq!(rig.memory.machine().log[log..], [""; 0]);
        rig.engine().end_what_was_cut_off().unwrap();
        rig.engine().mend(&container.name, Mend::Create).unwrap();
        rig.is_right().unwrap();
    }
    assert!(seen > 1, "only {seen} points");
}
