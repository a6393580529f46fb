use clap::Args;

use super::change::{Consent, carry_out};
use super::{Answer, Printer, confirm, require_host};
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
    /// Go back by itself unless `tavernctl confirm` comes from a new login within that time, such as 60s or 5m
    #[arg(long, value_name = "TIME")]
    confirm_within: Option<String>,
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
        confirm_within: confirm::within(arguments.confirm_within.as_deref())?,
        ..Request::default()
    };
    let consent = Consent {
        yes: arguments.yes,
        dry_run: arguments.dry_run,
    };
    carry_out(&host, &request, consent, printer)
}
