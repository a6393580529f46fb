use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{Answer, Failure, Printer, installed_stacks, require_host};
use crate::host::Host;
use crate::supervise::{self, Message};

#[derive(Args)]
#[command(after_help = "Example:\n  sudo tavernctl alert test\n\n\
                        Who is told stands in the stack file's `[alert]`. The journal has all alerts: \
                        journalctl -u tavern-check")]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Send a message over every way that the stack files name, and say which of them took it
    Test(Test),
}

#[derive(Args)]
struct Test {
    /// Of these stacks; of all if none is named
    stacks: Vec<String>,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    let Verb::Test(test) = &arguments.verb;
    let host = Host::real();
    require_host(&host, "alert test")?;
    let stacks = installed_stacks(&host, &test.stacks)?;
    let message = Message {
        host: supervise::hostname(),
        title: "a test".to_owned(),
        lines: vec!["somebody ran `tavernctl alert test`: alerts arrive here".to_owned()],
        is_good: true,
    };
    let (mut taken, mut refused) = (0, 0);
    for stack in stacks {
        for sent in supervise::send(&host, &stack.alert, &message) {
            let said = match sent.outcome {
                Ok(()) => {
                    taken += 1;
                    "taken".to_owned()
                }
                Err(error) => {
                    refused += 1;
                    format!("failed: {error}")
                }
            };
            printer.out(&format!("{}: {}: {said}", stack.name, sent.way));
        }
    }
    match (taken, refused) {
        (0, 0) => Err(Failure::new(
            "no stack says who is to be told",
            "add `[alert]` with `webhook`, `mail` or `program` to a stack file; the journal has all alerts anyway",
        )),
        (_, 0) => Ok(ExitCode::SUCCESS),
        _ => Err(Failure::new(
            format!("{refused} of {} ways failed", taken + refused),
            "mend what it names, then `sudo tavernctl alert test`",
        )),
    }
}
