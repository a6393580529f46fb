use std::path::Path;

use minijinja::context;

use super::emit::{EmitError, emit};
use crate::model::Span;

/// The units that bring a generation back unless somebody confirms what came after it: `tavern-revert`.
pub struct RevertUnits {
    /// `.service`: comes back.
    pub service: String,
    /// `.timer`: when.
    pub timer: String,
}

/// The units that bring `generation` back after `within`, by `binary`.
///
/// # Errors
/// When the path cannot be written in a unit.
pub fn revert_units(
    generation: u64,
    within: Span,
    binary: &Path,
) -> Result<RevertUnits, EmitError> {
    let binary = binary.to_string_lossy();
    let seconds = within.duration().whole_seconds();
    Ok(RevertUnits {
        service: emit("revert.service", &context! { generation, binary })?,
        timer: emit("revert.timer", &context! { generation, seconds })?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_say_what_when_and_by_which_binary() {
        let binary = Path::new("/var/lib/tavern/revert/tavernctl");
        let units = revert_units(7, Span::seconds(90), binary).unwrap();
        let has = |text: &str, line: &str| text.lines().any(|found| found == line);
        assert!(units.service.starts_with("# Written by Tavern while "));
        assert!(has(
            &units.service,
            "ExecStart=/var/lib/tavern/revert/tavernctl revert"
        ));
        assert!(has(&units.service, "WantedBy=multi-user.target"));
        assert!(units.service.contains("generation 7"));
        assert!(has(&units.timer, "OnActiveSec=90"));
        assert!(revert_units(7, Span::seconds(90), Path::new("/a\nb")).is_err());
    }
}
