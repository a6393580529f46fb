use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{Answer, Failure};
use crate::host::Events;
use crate::model::Layout;
use crate::monitor::{self, Places, REPORT_FILE, Rules};
use crate::web::telemetry;

#[derive(Args)]
pub(super) struct Arguments {
    /// The directory of the report; set by systemd
    #[arg(long, env = "RUNTIME_DIRECTORY")]
    report: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Answer {
    let events = Events::catch()?;
    let _telemetry = telemetry::start("tavern-monitor");
    let places = Places {
        logs: Layout::system().logs,
        report: arguments.report.join(REPORT_FILE),
    };
    let ended = monitor::run(&places, &Rules::default(), &|| events.is_stop_wanted());
    ended.map_err(|error| {
        let help = "start the unit instead: `systemctl restart tavern-monitor`";
        Failure::new(error.to_string(), help)
    })?;
    Ok(ExitCode::SUCCESS)
}
