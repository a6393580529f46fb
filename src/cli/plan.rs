use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::change::shown;
use super::{Answer, FOUND, Printer, image, require_host};
use crate::check::{Setting, doubts, unsaved};
use crate::engine::{Engine, Request, Silent};
use crate::host::{Host, raise_open_files};
use crate::plan::{self, Diffs};

#[derive(Args)]
#[command(
    after_help = "Example:\n  sudo tavernctl plan     exit code 0: nothing to do, 2: changes, 1: error"
)]
pub(super) struct Arguments {
    /// Stacks that must be among those of this host
    stacks: Vec<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Print the JSON schema of what --json prints, and stop
    #[arg(long, exclusive = true)]
    schema: bool,
    /// As if somebody else's things may be taken over
    #[arg(long)]
    adopt: bool,
    /// As if the images that the registries have now were to be taken
    #[arg(long, conflicts_with = "root")]
    pull: bool,
    /// Plan for the image in DIR, a mounted or unpacked root file system
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

impl Arguments {
    /// Whether it is about an image, and not about this host.
    pub(super) fn is_for_an_image(&self) -> bool {
        self.root.is_some()
    }
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    if arguments.schema {
        printer.out(plan::SCHEMA);
        return Ok(ExitCode::SUCCESS);
    }
    let request = Request {
        asked: arguments.stacks.clone(),
        adopt: arguments.adopt,
        pull: arguments.pull,
        ..Request::default()
    };
    if let Some(root) = &arguments.root {
        return image::plan(root, &request, arguments.json, printer);
    }
    raise_open_files();
    let host = Host::real();
    require_host(&host, "plan")?;
    let proposal = Engine::new(&host, &Silent).propose(&request)?;
    if arguments.json {
        printer.json(&proposal.plan);
    } else {
        printer.out(&shown(&proposal.plan, Diffs::All));
        for line in unsaved(&host, &proposal.stacks) {
            printer.note(&format!("note: {line}"));
        }
        for doubt in doubts(&host, &proposal.stacks, &Setting::installed()) {
            let (stack, path) = (doubt.stack, doubt.path);
            printer.note(&format!("note: site {path} of {stack}: {}", doubt.what));
        }
    }
    Ok(ExitCode::from(if proposal.plan.is_empty() {
        0
    } else {
        FOUND
    }))
}
