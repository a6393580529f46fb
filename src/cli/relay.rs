use std::process::ExitCode;

use clap::Args;

use super::{Answer, Failure};
use crate::relay::{self, Source};

#[derive(Args)]
pub(super) struct Arguments {
    /// A path to be asked for, and the socket of its numbers: `/path=/run/….sock`
    #[arg(required = true)]
    sources: Vec<Source>,
}

pub(super) fn run(arguments: &Arguments) -> Answer {
    relay::serve(arguments.sources.clone()).map_err(|error| {
        let help = "start the unit instead: `systemctl restart tavern-metrics.socket`";
        Failure::new(error.to_string(), help)
    })?;
    Ok(ExitCode::SUCCESS)
}
