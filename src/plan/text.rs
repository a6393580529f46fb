use std::fmt::Write as _;

use similar::TextDiff;

use super::Plan;
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
    for step in &plan.steps {
        let _ = writeln!(
            text,
            "{} {}  ({})",
            step.change.action.sign(),
            step.id,
            step.change.reason
        );
        let Some(diff) = step
            .change
            .diff
            .as_ref()
            .filter(|_| diffs == Diffs::All || step.change.action != Action::Create)
        else {
            continue;
        };
        let unified = TextDiff::from_lines(&diff.before, &diff.after)
            .unified_diff()
            .context_radius(2)
            .to_string();
        for line in unified.lines() {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}
