use clap::Args;
use nix::sys::signal::Signal;

use super::Answer;
use crate::host;

#[derive(Args)]
pub(super) struct Arguments {
    /// The process to end with
    parent: u32,
    /// The signal that ends it
    signal: Signal,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> Answer {
    let (program, args) = match arguments.command.split_first() {
        Some((program, args)) => (program.as_str(), args),
        None => ("", &[][..]),
    };
    Err(host::tether(arguments.parent, arguments.signal, program, args).into())
}
