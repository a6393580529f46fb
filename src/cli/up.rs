use clap::Args;

use super::{Answer, Failure, Printer};

#[derive(Args)]
pub(super) struct Arguments {}

pub(super) fn run(_arguments: &Arguments, _printer: &Printer) -> Answer {
    Err(Failure::new("not here yet", "later in this branch"))
}
