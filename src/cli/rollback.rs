use clap::Args;

use super::change::{Consent, carry_out};
use super::{Answer, Failure, Printer, confirm, require_host};
use crate::engine::{Engine, Request, Silent, Source};
use crate::host::Host;

#[derive(Args)]
#[command(
    after_help = "Examples:\n  sudo tavernctl rollback         to the generation before this one\n  \
                        sudo tavernctl rollback 7       to generation 7; `tavernctl generations` lists them\n\n\
                        The whole host goes back: its stack files become those of that generation, and are applied.\n\
                        Keys, passwords and data stay as they are now. It makes a new generation."
)]
pub(super) struct Arguments {
    /// The generation to go back to; without it, the one before this one
    generation: Option<u64>,
    /// Apply without asking
    #[arg(long, short)]
    yes: bool,
    /// Show the plan and stop
    #[arg(long)]
    dry_run: bool,
    /// Take over what somebody else put in the way since; uninstall gives it back
    #[arg(long)]
    adopt: bool,
    /// Go back by itself unless `tavernctl confirm` comes from a new login within that time, such as 60s or 5m
    #[arg(long, value_name = "TIME")]
    confirm_within: Option<String>,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    let host = Host::real();
    require_host(&host, "rollback")?;
    let number = match arguments.generation {
        Some(number) => number,
        None => previous(&host)?,
    };
    let request = Request {
        source: Source::Generation(number),
        adopt: arguments.adopt,
        confirm_within: confirm::within(arguments.confirm_within.as_deref())?,
        ..Request::default()
    };
    let consent = Consent {
        yes: arguments.yes,
        dry_run: arguments.dry_run,
    };
    carry_out(&host, &request, consent, printer)
}

fn previous(host: &Host) -> Result<u64, Failure> {
    let engine = Engine::new(host, &Silent);
    let mut now = engine.receipt()?.generation;
    // What a timer renewed is nothing to go back from.
    while let Ok(about) = engine.about(now)
        && matches!(about.verb, crate::engine::Verb::Renew { .. })
    {
        now -= 1;
    }
    let earlier = engine.generations()?.into_iter().filter(|n| *n < now).max();
    earlier.ok_or_else(|| {
        Failure::new(
            "there is no generation before this one",
            "`tavernctl generations` lists what there is; `sudo tavernctl uninstall` gives back what was there before Tavern",
        )
    })
}
