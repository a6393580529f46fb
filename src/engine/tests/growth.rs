//! What a plan asks of the host grows with the sites and apps, and no faster.

use super::rig::{Files, Rig};
use crate::host::memory::MemoryHost;

/// As many sites as apps, ten of each in a stack, and each app with a Redis of its own.
fn files(things: usize) -> Files {
    (0..things / 20)
        .map(|stack| {
            let name = format!("s{stack}");
            let mut text = format!(
                "name = \"{name}\"\nhosts = [\"{name}.example\"]\n[tls]\nissuer = \"self-signed\"\n"
            );
            for n in 0..10 {
                text.push_str(&format!(
                    "[[site]]\npath = \"/p{n}\"\nstatic = \"p{n}\"\n\
                     [[site]]\npath = \"/a{n}/\"\nname = \"x{n}\"\napp = \"a{n}\"\n\
                     [app.a{n}]\nserve = \"counter\"\nneeds = [\"r{n}\"]\naccounts = [\"ann\"]\n\
                     [container.r{n}]\nkind = \"redis\"\nimage = \"redis:7-alpine\"\n"
                ));
            }
            (name, text)
        })
        .collect()
}

/// How many questions a plan asks, and how many steps it comes to.
fn plan(things: usize) -> (u64, usize) {
    let rig = Rig::new(MemoryHost::prepared());
    rig.declare(&files(things));
    let plan = rig.plan().unwrap();
    let questions = rig.memory.machine().questions;
    (questions, plan.steps.len())
}

#[test]
fn a_plan_of_a_thousand_sites_and_apps_is_no_more_than_a_thousand_plans_of_one() {
    let sizes = [200, 600, 1000].map(plan);
    let [small, middle, large] = sizes;
    assert!(large.1 > 5000, "{sizes:?}");
    // On one line: as much more from 200 to 600 as from 600 to 1000.
    assert_eq!(middle.0 - small.0, large.0 - middle.0, "{sizes:?}");
    assert_eq!(middle.1 - small.1, large.1 - middle.1, "{sizes:?}");
}
