use std::path::PathBuf;

use clap::Args;

use super::change::{Consent, carry_out};
use super::{Answer, Printer, confirm, image, require_host};
use crate::engine::Request;
use crate::host::Host;

#[derive(Args)]
#[command(
    after_help = "Examples:\n  sudo tavernctl install              show the plan, ask, apply, check\n  \
                        sudo tavernctl install --yes        for cloud-init and scripts\n  \
                        sudo tavernctl install --adopt      take over a host that was set up by hand\n  \
                        sudo tavernctl install --pull       newer images, where their tags have moved\n  \
                        sudo tavernctl install --root DIR   prepare an image; its first boot's install finishes it"
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
    /// Take the images that the registries have now, instead of those that this host is pinned to
    #[arg(long, conflicts_with = "root")]
    pull: bool,
    /// Prepare the image in DIR, a mounted or unpacked root file system, and touch nothing of this host
    #[arg(long, value_name = "DIR", conflicts_with = "confirm_within")]
    root: Option<PathBuf>,
}

impl Arguments {
    /// Whether it is about an image, and not about this host.
    pub(super) fn is_for_an_image(&self) -> bool {
        self.root.is_some()
    }
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    let request = Request {
        asked: arguments.stacks.clone(),
        adopt: arguments.adopt,
        confirm_within: confirm::within(arguments.confirm_within.as_deref())?,
        pull: arguments.pull,
        ..Request::default()
    };
    let consent = Consent {
        yes: arguments.yes,
        dry_run: arguments.dry_run,
    };
    if let Some(root) = &arguments.root {
        return image::install(root, &request, consent, printer);
    }
    let host = Host::real();
    require_host(&host, "install")?;
    carry_out(&host, &request, consent, printer)
}
