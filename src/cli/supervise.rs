use std::process::ExitCode;

use clap::Args;

use super::{Answer, require_host};
use crate::host::Host;
use crate::supervise::Keeper;
use crate::web::telemetry;

#[derive(Args)]
#[command(after_help = "Example:\n  systemctl status tavernd\n\n\
                        It is what `tavernd.service` runs; `journalctl -u tavernd` has what it did, and\n\
                        `sudo tavernctl status` what it knows. `sudo tavernctl hold` keeps it from repairs.")]
pub(super) struct Arguments {}

pub(super) fn run(_arguments: &Arguments) -> Answer {
    let host = Host::real();
    require_host(&host, "supervise")?;
    let _telemetry = telemetry::start("tavernd");
    Keeper::new(host).run()?;
    Ok(ExitCode::SUCCESS)
}
