//! Kills at every system call by which a run changes the host, or has a child or a daemon change it.
//!
//! What is killed before its commit point is undone by `recover`, byte for byte; after it, finished.

use crate::points::{self, INSTALL, Outcome, ROLLBACK, Scene, UNINSTALL, UPGRADE, Verb};
use crate::site::host_with_binary;
use crate::support::lab::{Image, redis_image_tar};

const KILLED: i32 = 137;
/// More than that tell nothing new, and each costs a host.
const ENOUGH: usize = 12;

#[test]
fn debian_12_survives_some_kills_of_install_and_uninstall() {
    sweep(Image::BookwormPrepared, &INSTALL, Some(12));
    sweep(Image::BookwormPrepared, &UNINSTALL, Some(8));
}

#[test]
fn debian_13_survives_some_kills_of_an_upgrade_and_its_rollback() {
    sweep(Image::TrixiePrepared, &UPGRADE, Some(12));
    sweep(Image::TrixiePrepared, &ROLLBACK, Some(8));
}

#[test]
#[ignore = "longer: tests/full"]
fn every_kill_of_install() {
    sweep(Image::BookwormPrepared, &INSTALL, None);
}

#[test]
#[ignore = "longer: tests/full"]
fn every_kill_of_upgrade() {
    sweep(Image::TrixiePrepared, &UPGRADE, None);
}

#[test]
#[ignore = "longer: tests/full"]
fn every_kill_of_rollback() {
    sweep(Image::BookwormPrepared, &ROLLBACK, None);
}

#[test]
#[ignore = "longer: tests/full"]
fn every_kill_of_uninstall() {
    sweep(Image::TrixiePrepared, &UNINSTALL, None);
}

fn scene(image: Image, verb: &'static Verb) -> Scene {
    let host = host_with_binary(image, &format!("kill-{}", verb.name));
    host.load_image(&redis_image_tar());
    Scene::new(host, verb)
}

fn sweep(image: Image, verb: &'static Verb, sample: Option<usize>) {
    let began = std::time::Instant::now();
    let mut scene = self::scene(image, verb);
    let all = scene.points.len();
    let chosen = points::spread(scene.points.clone(), sample.unwrap_or(all));
    let (mut undone, mut finished, mut untouched, mut unreached) = (0, 0, 0, 0);
    let mut failures = Vec::new();
    for point in &chosen {
        let outcome = scene.at(point, "signal=KILL");
        if let Some(fault) = fault(&outcome) {
            points::went_wrong(&mut failures, fault, point, &outcome);
            if failures.len() >= ENOUGH {
                break;
            }
        }
        match (outcome.code, outcome.journal.as_str()) {
            (KILLED, "open") => undone += 1,
            (KILLED, "committed") => finished += 1,
            (KILLED, _) => untouched += 1,
            // It took one call fewer this time.
            _ => unreached += 1,
        }
        if outcome.is == "neither" {
            scene = self::scene(image, verb);
        }
    }
    points::note(&format!(
        "kill sweep of {} on {}: {} of {all} points: {undone} undone, {finished} finished, {untouched} outside of the steps, \
         {unreached} not reached; {} s",
        verb.name,
        image.name(),
        chosen.len(),
        began.elapsed().as_secs()
    ));
    points::all_well(verb.name, &failures);
    assert!(unreached * 10 <= chosen.len(), "{unreached} kills missed");
    assert!(undone + finished > 0, "no kill came inside the steps");
}

/// What is wrong with it.
fn fault(outcome: &Outcome) -> Option<&'static str> {
    let expected = match (outcome.code, outcome.journal.as_str()) {
        (0, _) => "b",
        (KILLED, "open") => "a",
        (KILLED, "committed") => "b",
        (KILLED, _) => "ab",
        _ => return Some("it failed by itself"),
    };
    if outcome.recovered != Some(0) {
        Some("recover failed")
    } else if !expected.contains(&outcome.is) {
        Some("neither what it was nor what it should be")
    } else if !outcome.is_clean() {
        Some("something is left")
    } else {
        None
    }
}
