use clap::{Args, Subcommand};

use super::change::{Consent, carry_out};
use super::{Answer, Printer, require_host};
use crate::engine::{Request, Source};
use crate::host::Host;
use crate::resource::Rotation;

#[derive(Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Give apps a new key to sign tokens with, or containers a new password
    Rotate(Rotate),
}

#[derive(Args)]
#[command(
    after_help = "Examples:\n  sudo tavernctl secret rotate              every app of every stack\n  \
                        sudo tavernctl secret rotate counter      one app\n  \
                        sudo tavernctl secret rotate --at-once    the key may be in wrong hands\n  \
                        sudo tavernctl secret rotate redis        the password of a container\n\n\
                        The new key is on disk before the app restarts, and the restart loses no request. Tokens that\n\
                        the key before signed hold until they expire, an hour at most; the app then forgets that key,\n\
                        and the next rotation takes it out of the file. A container accepts the password before until the\n\
                        next rotation, or not at all with `--at-once`."
)]
struct Rotate {
    /// Apps by name, or containers; all apps if none is named
    apps: Vec<String>,
    /// End every token that was given out, so that people have to log in again; or the password before
    #[arg(long)]
    at_once: bool,
    /// Rotate without asking
    #[arg(long, short)]
    yes: bool,
    /// Show the plan and stop
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    let Act::Rotate(rotate) = &arguments.act;
    let host = Host::real();
    require_host(&host, "secret rotate")?;
    let request = Request {
        source: Source::Rotated {
            apps: rotate.apps.clone(),
            rotation: if rotate.at_once {
                Rotation::AtOnce
            } else {
                Rotation::WithOverlap
            },
        },
        ..Request::default()
    };
    let consent = Consent {
        yes: rotate.yes,
        dry_run: rotate.dry_run,
    };
    carry_out(&host, &request, consent, printer)
}
