use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{Answer, Failure};
use crate::apps::status;

#[derive(Args)]
pub(super) struct Arguments {
    /// The file that `tavernd` writes
    #[arg(long)]
    snapshot: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Answer {
    status::serve(arguments.snapshot.clone()).map_err(|error| {
        let text = error.to_string();
        let message = text.split("\nhelp: ").next().unwrap_or_default();
        let help = "start the unit instead: `systemctl restart tavern-status.socket`";
        Failure::new(message, help)
    })?;
    Ok(ExitCode::SUCCESS)
}
