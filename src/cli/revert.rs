use std::process::ExitCode;

use clap::Args;

use super::{Answer, Printer, require_host};
use crate::engine::{Engine, Reverted};
use crate::host::Host;

#[derive(Args)]
pub(super) struct Arguments {}

pub(super) fn run(_arguments: &Arguments, printer: &Printer) -> Answer {
    let host = Host::real();
    require_host(&host, "revert")?;
    let said = match Engine::new(&host, printer).revert()? {
        Reverted::Nothing => "nothing waits to be confirmed".to_owned(),
        Reverted::NotYet { left } => format!("{} s are left to confirm the change", left.as_secs()),
        Reverted::Back { to, as_generation } => format!(
            "nobody confirmed the change: generation {to} is back, as generation {as_generation}"
        ),
    };
    printer.out(&said);
    Ok(ExitCode::SUCCESS)
}
