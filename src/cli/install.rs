use clap::Args;

use super::change::{Consent, carry_out};
use super::{Answer, Printer, require_host};
use crate::engine::Request;
use crate::host::Host;

#[derive(Args)]
#[command(
    after_help = "Examples:\n  sudo tavernctl install              show the plan, ask, apply, check\n  \
                        sudo tavernctl install --yes        for cloud-init and scripts\n  \
                        sudo tavernctl install --adopt      take over a host that was set up by hand"
)]
pub(super) struct Arguments {
    /// Stacks that must be among those of this host; all are applied together
    stacks: Vec<String>,
    /// Apply without asking
    #[arg(long, short)]
    yes: bool,
    /// Show the plan and stop
    #[arg(long)]
    dry_run: bool,
    /// Take over what somebody else set up; its data is kept, uninstall gives it back
    #[arg(long)]
    adopt: bool,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    let host = Host::real();
    require_host(&host, "install")?;
    let request = Request {
        asked: arguments.stacks.clone(),
        adopt: arguments.adopt,
        ..Request::default()
    };
    let consent = Consent {
        yes: arguments.yes,
        dry_run: arguments.dry_run,
    };
    carry_out(&host, &request, consent, printer)
}
