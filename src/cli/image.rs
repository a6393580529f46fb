//! `--root DIR`, for `install` and `plan`: the same two into an image.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;

use super::change::{Consent, agree, overwritten, said, shown};
use super::{Answer, FOUND, Failure, Printer};
use crate::engine::{Engine, ImageProposal, Request, Silent};
use crate::host::{Events, Host, Root};
use crate::plan::{Diffs, Plan};
use crate::resource::ResourceId;

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    plan: &'a Plan,
    left_for_first_boot: &'a [ResourceId],
}

pub(super) fn plan(root: &Path, request: &Request, json: bool, printer: &Printer) -> Answer {
    let (host, _root) = open(root, "plan")?;
    let proposed = Engine::new(&host, &Silent).propose_image(request)?;
    let plan = &proposed.proposal.plan;
    if json {
        printer.json(&Shown {
            plan,
            left_for_first_boot: &proposed.left,
        });
    } else {
        printer.out(&(shown(plan, Diffs::All) + &left(&proposed)));
    }
    Ok(code(plan))
}

pub(super) fn install(
    root: &Path,
    request: &Request,
    consent: Consent,
    printer: &Printer,
) -> Answer {
    let (host, root) = open(root, "install")?;
    let engine = Engine::new(&host, printer);
    if !consent.dry_run
        && let Some(recovered) = engine.recover_image()?
    {
        printer.note(&said(&recovered));
    }
    let proposed = engine.propose_image(request)?;
    let proposal = &proposed.proposal;
    if consent.dry_run {
        printer.out(&(shown(&proposal.plan, Diffs::All) + &left(&proposed)));
        return Ok(code(&proposal.plan));
    }
    if engine.is_settled(proposal)? {
        printer.out(&(shown(&proposal.plan, Diffs::OfChanges) + &left(&proposed)));
        return Ok(ExitCode::SUCCESS);
    }
    if consent.yes {
        printer.note(&overwritten(&proposal.plan));
    } else {
        printer.note(&shown(&proposal.plan, Diffs::OfChanges));
        agree(printer, proposal)?;
    }
    let events = Events::catch()?;
    let is_stop_wanted = || events.is_stop_wanted();
    let engine = Engine {
        is_stop_wanted: &is_stop_wanted,
        ..engine
    };
    let agreed = (!consent.yes).then_some(&proposal.plan);
    engine.install_image(agreed, request)?;
    let done = format!("The image in {} is prepared.\n", root.path().display());
    printer.out(&(done + &left(&proposed)));
    Ok(ExitCode::SUCCESS)
}

fn open(root: &Path, verb: &str) -> Result<(Host, Arc<Root>), Failure> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Failure::new(
            format!("`tavernctl {verb} --root` writes as the image's root and needs root"),
            "run it with sudo",
        ));
    }
    let root = Arc::new(Root::open(root)?);
    Ok((Host::rooted(&root), root))
}

fn code(plan: &Plan) -> ExitCode {
    ExitCode::from(if plan.is_empty() { 0 } else { FOUND })
}

/// What an image cannot have, and what it had better not have, for whoever builds it.
fn left(proposed: &ImageProposal) -> String {
    let list = |heading: &str, ids: &[ResourceId]| -> String {
        if ids.is_empty() {
            return String::new();
        }
        let lines: String = ids.iter().map(|id| format!("  {id}\n")).collect();
        format!("\n{heading}:\n{lines}")
    };
    list(
        "Left for the first boot, where `sudo tavernctl install --yes` makes it \
         (no keys, passwords or certificates: copies of the image would share them)",
        &proposed.left,
    ) + &list(
        "warning: in the image already, and so the same on every host that boots a copy",
        &proposed.held,
    )
}
