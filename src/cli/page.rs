use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{Answer, Failure};
use crate::apps::status;
use crate::model::UrlPath;

#[derive(Args)]
pub(super) struct Arguments {
    /// The file that `tavernd` writes
    #[arg(long)]
    snapshot: PathBuf,
    /// Where sites have the page, such as `/tavern/`
    #[arg(long)]
    at: Vec<UrlPath>,
}

pub(super) fn run(arguments: &Arguments) -> Answer {
    let prefixes: BTreeSet<&str> = arguments.at.iter().map(UrlPath::prefix).collect();
    status::serve(arguments.snapshot.clone(), &prefixes).map_err(|error| {
        let text = error.to_string();
        let message = text.split("\nhelp: ").next().unwrap_or_default();
        let help = "start the unit instead: `systemctl restart tavern-status.socket`";
        Failure::new(message, help)
    })?;
    Ok(ExitCode::SUCCESS)
}
