//! A disk that is full or broken at every write, sync and rename of a run: the run says so, names
//! the file, and takes itself back; the old site serves on.

use crate::points::{self, INSTALL, Outcome, Point, Scene, UPGRADE, Verb};
use crate::site::host_with_binary;
use crate::support::lab::{Image, redis_image_tar};

/// More than that tell nothing new, and each costs a host.
const ENOUGH: usize = 12;

#[test]
fn debian_12_takes_some_failing_writes_back() {
    fail(Image::BookwormPrepared, &INSTALL, Some(8));
    fail(Image::BookwormPrepared, &UPGRADE, Some(8));
}

#[test]
#[ignore = "longer: tests/full"]
fn every_failing_write_of_install() {
    fail(Image::TrixiePrepared, &INSTALL, None);
}

#[test]
#[ignore = "longer: tests/full"]
fn every_failing_write_of_upgrade() {
    fail(Image::TrixiePrepared, &UPGRADE, None);
}

fn scene(image: Image, verb: &'static Verb) -> Scene {
    let host = host_with_binary(image, &format!("disk-{}", verb.name));
    host.load_image(&redis_image_tar());
    Scene::new(host, verb)
}

/// The errors that a call may have: a full disk shows at either of them, a broken one at all.
fn errors(point: &Point) -> &'static [&'static str] {
    match point.call.as_str() {
        "write" | "writev" | "pwrite64" | "copy_file_range" | "fsync" | "fdatasync" | "rename"
        | "renameat" | "renameat2" => &["ENOSPC", "EIO"],
        _ => &[],
    }
}

fn fail(image: Image, verb: &'static Verb, sample: Option<usize>) {
    let began = std::time::Instant::now();
    let mut scene = self::scene(image, verb);
    let of_the_disk = |point: &&Point| !errors(point).is_empty() && !point.files().is_empty();
    let disk: Vec<Point> = scene.points.iter().filter(of_the_disk).cloned().collect();
    let chosen = points::spread(disk.clone(), sample.unwrap_or(disk.len()));
    let (mut undone, mut borne) = (0, 0);
    let mut failures = Vec::new();
    for (index, point) in chosen.iter().enumerate() {
        // All of them where all is asked for; one of them in turn in a sample.
        let both = errors(point);
        let errors = if sample.is_some() {
            &both[index % 2..=index % 2]
        } else {
            both
        };
        for error in errors {
            let outcome = scene.at(point, &format!("error={error}"));
            if let Some(fault) = fault(&outcome) {
                points::went_wrong(&mut failures, fault, point, &outcome);
            }
            if outcome.code == 0 {
                borne += 1
            } else {
                undone += 1
            }
            if outcome.is == "neither" {
                scene = self::scene(image, verb);
            }
        }
        if failures.len() >= ENOUGH {
            break;
        }
    }
    points::note(&format!(
        "failing disk under {} on {}: {} of {} points: {undone} runs taken back, {borne} that did not need it; {} s",
        verb.name,
        image.name(),
        chosen.len(),
        disk.len(),
        began.elapsed().as_secs()
    ));
    points::all_well(verb.name, &failures);
    assert!(undone > borne, "{undone} runs failed, {borne} did not");
}

fn fault(outcome: &Outcome) -> Option<&'static str> {
    // Once its commit is on the disk a run does not go back, whatever fails then.
    let is_proven = outcome.said.contains("error: all is done and proven, but");
    let expected = match (outcome.code, outcome.journal.as_str()) {
        (0, "none") | (1, "committed") => "b",
        (1, "none") if is_proven => "b",
        (1, _) if !is_proven => "a",
        _ => return Some("neither done nor failed"),
    };
    let named = |file: &String| {
        let mut lines = outcome.said.lines();
        lines.any(|line| {
            let says = line.starts_with("error:") || is_proven && line.contains(": cannot ");
            says && line.contains(file)
        })
    };
    if outcome.code == 1 && !Point::of(&outcome.hit).files().iter().any(named) {
        Some("the error does not name the file")
    } else if outcome.recovered.is_some_and(|code| code != 0) {
        Some("recover failed")
    } else if outcome.repeated.is_some_and(|code| code != 0) {
        Some("the next run failed")
    } else if outcome.is != expected {
        Some("neither what it was nor what it should be")
    } else if !outcome.is_clean() {
        Some("something is left")
    } else {
        None
    }
}
