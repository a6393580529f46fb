//! A plan is exact: what it prints is what is done, and then nothing is left to do.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::pairs::{Stack, files, pair};
use super::rig::{Rig, printed, unlike};
use crate::engine::EngineError;
use crate::host::memory::MemoryHost;

/// Pairs for each of the two tests, which run at the same time.
const PAIRS: u32 = 256;

/// What a pair of hosts says of the engine.
type Verdict = Result<(), TestCaseError>;

fn fault<T>(when: &str, why: impl std::fmt::Display) -> Result<T, TestCaseError> {
    Err(TestCaseError::fail(format!("{when}: {why}")))
}

/// Two stacks that ask for the same thing are refused, and so are no pair.
fn or_clash<T>(when: &str, result: Result<T, EngineError>) -> Result<T, TestCaseError> {
    match result {
        Err(EngineError::Clash(_)) => Err(TestCaseError::reject("a clash")),
        Err(error) => fault(when, error),
        Ok(value) => Ok(value),
    }
}

/// The first hosts' stacks on a machine, then the second's, then the first's again.
fn exact(first: &[Stack], second: &[Stack], machine: impl Fn() -> MemoryHost) -> Verdict {
    let (first, second) = (files(first), files(second));
    let right = |when: &str, rig: &Rig| rig.is_right().or_else(|why| fault(when, why));
    let rig = Rig::new(machine());
    rig.declare(&first);
    or_clash("the first install", rig.install(None))?;
    right("after the first install", &rig)?;
    let before = rig.picture();

    rig.declare(&second);
    let plan = or_clash("the plan", rig.plan())?;
    let mut once = BTreeSet::new();
    if let Some(step) = plan.steps.iter().find(|step| !once.insert(&step.id)) {
        return fault("the plan", format!("{} is there twice", step.id));
    }
    let from = rig.journal_length();
    or_clash("the second install", rig.install(Some(&plan)))?;
    prop_assert_eq!(printed(&plan), rig.journaled(from));
    right("after the second install", &rig)?;

    // However it came there, a host is what its stack files say.
    let fresh = Rig::new(machine());
    fresh.bring_secrets(&rig);
    fresh.declare(&second);
    or_clash("an install on a fresh host", fresh.install(None))?;
    prop_assert_eq!(unlike(&fresh.picture(), &rig.picture()), no_difference());

    rig.declare(&first);
    or_clash("the way back", rig.install(None))?;
    right("after the way back", &rig)?;
    prop_assert_eq!(unlike(&before, &rig.picture()), no_difference());
    Ok(())
}

fn no_difference() -> Vec<String> {
    Vec::new()
}

/// Always the same pairs: what is found here is found again.
fn for_pairs(seed: u8, machine: impl Fn() -> MemoryHost) {
    let config = Config {
        cases: PAIRS,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let verdict = TestRunner::new_with_rng(config, rng)
        .run(&pair(), |(first, second)| exact(&first, &second, &machine));
    if let Err(error) = verdict {
        panic!("{error}");
    }
}

#[test]
fn a_plan_says_what_is_done_behind_a_firewall() {
    for_pairs(1, || {
        let memory = MemoryHost::prepared();
        memory.machine().enable_ufw();
        memory
    });
}

#[test]
fn a_plan_says_what_is_done_on_a_bare_host() {
    for_pairs(2, MemoryHost::bare);
}
