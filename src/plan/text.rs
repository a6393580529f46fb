use std::fmt::Write as _;

use similar::TextDiff;

use super::{HeldStep, Plan};
use crate::resource::Action;

/// Which texts are shown below the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Diffs {
    /// Every file's.
    All,
    /// Only of what is there already: a person who is asked wants to see what is lost.
    OfChanges,
}

/// The plan as a person reads it: a line a step, with diffs below.
pub fn render(plan: &Plan, diffs: Diffs) -> String {
    let mut text = String::new();
    for HeldStep { step, held } in &plan.held {
        let _ = writeln!(text, "‖ {}  ({held}: {})", step.id, step.change.reason);
    }
    for step in &plan.steps {
        let _ = writeln!(
            text,
            "{} {}  ({})",
            step.change.action.sign(),
            step.id,
            step.change.reason
        );
        for path in &step.change.edited {
            let _ = writeln!(
                text,
                "    {} was edited by hand: a copy is kept; `tavernctl drift --adopt` would keep the edit itself",
                path.display()
            );
        }
        let Some(diff) = step
            .change
            .diff
            .as_ref()
            .filter(|_| diffs == Diffs::All || step.change.action != Action::Create)
        else {
            continue;
        };
        text.push_str(&unified(&diff.before, &diff.after));
    }
    text
}

/// How a text changes, with two lines around each change, set in by four columns.
pub fn unified(before: &str, after: &str) -> String {
    let unified = TextDiff::from_lines(before, after)
        .unified_diff()
        .context_radius(2)
        .to_string();
    unified
        .lines()
        .map(|line| format!("    {line}\n"))
        .collect()
}
