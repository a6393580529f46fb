//! A plan is exact: what it prints is what is done, and then nothing is left to do.

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use super::pairs::{Stack, files, pair};
use super::rig::{Rig, printed, unlike};
use crate::host::memory::MemoryHost;

fn machine(ufw: bool) -> Rig {
    let rig = Rig::new(MemoryHost::prepared());
    if ufw {
        rig.memory.machine().enable_ufw();
    }
    rig
}

fn exact(first: &[Stack], second: &[Stack], ufw: bool) -> Result<(), String> {
    let (first, second) = (files(first), files(second));
    let rig = machine(ufw);
    rig.declare(&first);
    rig.install(None)
        .map_err(|error| format!("first install: {error}"))?;
    rig.is_right()
        .map_err(|why| format!("first install, {why}"))?;
    let before = rig.picture();

    rig.declare(&second);
    let plan = rig.plan().map_err(|error| format!("plan: {error}"))?;
    let mut once = std::collections::BTreeSet::new();
    if let Some(step) = plan.steps.iter().find(|step| !once.insert(&step.id)) {
        return Err(format!("planned twice: {}", step.id));
    }
    let from = rig.journal_length();
    rig.install(Some(&plan))
        .map_err(|error| format!("install: {error}"))?;
    let (said, done) = (printed(&plan), rig.journaled(from));
    if said != done {
        return Err(format!("printed {said:?}, did {done:?}"));
    }
    rig.is_right().map_err(|why| format!("install, {why}"))?;

    // However it came there, a host is what its stack files say.
    let fresh = machine(ufw);
    fresh.bring_secrets(&rig);
    fresh.declare(&second);
    fresh
        .install(None)
        .map_err(|error| format!("install on a fresh host: {error}"))?;
    let other = unlike(&fresh.picture(), &rig.picture());
    if !other.is_empty() {
        return Err(format!(
            "another host than a fresh one: {}",
            other.join("\n")
        ));
    }

    rig.declare(&first);
    rig.install(None)
        .map_err(|error| format!("way back: {error}"))?;
    rig.is_right().map_err(|why| format!("way back, {why}"))?;
    let unlike = unlike(&before, &rig.picture());
    if unlike.is_empty() {
        Ok(())
    } else {
        Err(format!("way back leaves: {}", unlike.join("\n")))
    }
}

#[test]
fn explore() {
    let mut runner = TestRunner::deterministic();
    let mut seen = std::collections::BTreeMap::<String, (usize, String)>::new();
    let begun = std::time::Instant::now();
    for _ in 0..600 {
        let (first, second) = pair().new_tree(&mut runner).unwrap().current();
        if let Err(why) = exact(&first, &second, true) {
            let key: String = why.chars().take(150).collect();
            let text = format!(
                "{why}\n--- first {:?}\n--- second {:?}",
                files(&first),
                files(&second)
            );
            let entry = seen.entry(key).or_insert((0, text.clone()));
            entry.0 += 1;
            if text.len() < entry.1.len() {
                entry.1 = text;
            }
        }
    }
    println!("{:?}", begun.elapsed());
    for (key, (count, text)) in &seen {
        println!("== {count} x {key}");
        let _ = text;
    }
    for (key, (count, text)) in &seen {
        println!(
            "\n\n== {count} x {key}\n{}",
            text.replace("\\n", "\n").replace("\\\"", "\"")
        );
    }
}
