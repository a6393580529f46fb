use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{Answer, Failure};
use crate::host::Events;
use crate::model::Layout;
use crate::monitor::{self, Places, REPORT_FILE, RULES_FILE, RuleBook};
use crate::web::telemetry;

#[derive(Args)]
pub(super) struct Arguments {
    /// The directory of the report; set by systemd
    #[arg(long, env = "RUNTIME_DIRECTORY")]
    report: PathBuf,
    /// The directory of the rules; set by systemd
    #[arg(long, env = "CREDENTIALS_DIRECTORY")]
    rules: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Answer {
    let events = Events::catch()?;
    let _telemetry = telemetry::start("tavern-monitor");
    let places = Places {
        logs: Layout::system().logs,
        machine: "/etc/machine-id".into(),
        report: arguments.report.join(REPORT_FILE),
    };
    let failed = |error: &dyn std::error::Error| {
        let help = "start the unit instead: `systemctl restart tavern-monitor`";
        Failure::new(error.to_string(), help)
    };
    let rules =
        RuleBook::read(&arguments.rules.join(RULES_FILE)).map_err(|error| failed(&error))?;
    monitor::run(&places, rules, &|| events.is_stop_wanted()).map_err(|error| failed(&error))?;
    Ok(ExitCode::SUCCESS)
}
