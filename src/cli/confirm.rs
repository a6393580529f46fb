use std::process::ExitCode;

use clap::Args;

use super::{Answer, Failure, Printer, require_host};
use crate::engine::{Engine, Silent};
use crate::host::Host;
use crate::model::Span;

/// Shorter, and nobody logs in in time; longer, and nobody knows any more what it was about.
const SHORTEST: Span = Span::seconds(30);
const LONGEST: Span = Span::seconds(3_600);

#[derive(Args)]
#[command(
    after_help = "Example:\n  sudo tavernctl install --confirm-within 60s\n  sudo tavernctl confirm      from a new login: keep it\n\n\
                        Without it the generation from before the change comes back by itself, at the deadline or\n\
                        when the host boots. A session that was open before the change cannot confirm it: it does\n\
                        not show that one can still log in."
)]
pub(super) struct Arguments {}

pub(super) fn run(_arguments: &Arguments, printer: &Printer) -> Answer {
    let host = Host::real();
    require_host(&host, "confirm")?;
    let generation = Engine::new(&host, &Silent).confirm()?;
    printer.out(&format!("Confirmed: generation {generation} stays."));
    Ok(ExitCode::SUCCESS)
}

/// Reads what stands after `--confirm-within`.
pub(super) fn within(text: Option<&str>) -> Result<Option<Span>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let span: Span = text
        .parse()
        .map_err(|refused: crate::model::Refused| Failure::new(refused.message, refused.help))?;
    if span < SHORTEST || span > LONGEST {
        return Err(Failure::new(
            format!("`--confirm-within {text}` is too short or too long"),
            format!("from {SHORTEST} to {LONGEST}, such as 60s or 5m"),
        ));
    }
    Ok(Some(span))
}

/// Says that a change waits to be confirmed, whatever was asked for.
pub(super) fn note_pending(printer: &Printer) {
    let host = Host::real();
    let engine = Engine::new(&host, &Silent);
    // Without root it cannot be read.
    let (Ok(Some(pending)), Ok(now)) = (engine.pending(), host.clock.uptime()) else {
        return;
    };
    let left = pending.left(&now).as_secs();
    printer.note(&if left == 0 {
        format!(
            "note: nobody confirmed the last change in time: generation {} comes back",
            pending.back_to
        )
    } else {
        format!(
            "note: a change waits to be confirmed: `sudo tavernctl confirm` from a new login within {left} s, \
             or generation {} comes back",
            pending.back_to
        )
    });
}
