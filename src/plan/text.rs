use std::fmt::Write as _;

use similar::TextDiff;

use super::Plan;

/// The plan as a person reads it: a line a step, with diffs below if asked for.
pub fn render(plan: &Plan, with_diffs: bool) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        let _ = writeln!(
            text,
            "{} {}  ({})",
            step.change.action.sign(),
            step.id,
            step.change.reason
        );
        let Some(diff) = step.change.diff.as_ref().filter(|_| with_diffs) else {
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
