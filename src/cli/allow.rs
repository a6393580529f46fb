use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::amend::{Change, Done, carry_out, named_stacks};
use super::{Answer, Failure, Printer, require_host};
use crate::host::Host;
use crate::model::Cidr;
use crate::stack::{Amendment, Site, Stack};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  sudo tavernctl allow add close 203.0.113.0/24     let these in too\n  \
                  sudo tavernctl allow remove /close 10.0.0.5       and this one no longer\n  \
                  tavernctl allow list close\n\n\
                  The stack file is changed, its comments and layout kept, and applied; nothing else is."
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Let an address or a range in
    Add(Edit),
    /// Let it in no longer
    Remove(Edit),
    /// Show who is let in
    List(List),
}

#[derive(Args)]
struct Edit {
    /// The site, by its name or path
    site: String,
    /// An address or a range, such as 203.0.113.0/24
    range: String,
    /// The stack, where several have such a site
    #[arg(long)]
    stack: Option<String>,
    /// Show the plan and stop
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
struct List {
    /// The site, by its name or path
    site: String,
    /// The stack, where several have such a site
    #[arg(long)]
    stack: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    let host = Host::real();
    let (edit, adds) = match &arguments.verb {
        Verb::List(asked) => return list(&host, asked, printer),
        Verb::Add(edit) => (edit, true),
        Verb::Remove(edit) => (edit, false),
    };
    require_host(&host, "allow")?;
    let range: Cidr = edit
        .range
        .parse()
        .map_err(|refused: crate::model::Refused| Failure::new(refused.message, refused.help))?;
    let stacks = named_stacks(&host, edit.stack.as_deref())?;
    let all: Vec<Stack> = stacks.iter().map(|named| named.stack.clone()).collect();
    let (stack, site) = super::access::one_site(&all, &edit.site)?;
    let (stack, site) = (stack.name.clone(), site.name.clone());
    let Some(named) = stacks.iter().find(|named| named.stack.name == stack) else {
        return Ok(ExitCode::FAILURE);
    };
    let (word, amendment) = if adds {
        ("add", Amendment::Allow(site.clone(), range))
    } else {
        ("remove", Amendment::Disallow(site.clone(), range))
    };
    let change = Change {
        named,
        amendment: Some(amendment),
        chosen: None,
        what: format!("allow {word} {site} {range}"),
    };
    match carry_out(&host, change, edit.dry_run, printer)? {
        Done::Shown(code) => Ok(code),
        Done::Applied(stack) => {
            printer.out(&said(&stack, &site, range, adds));
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn said(stack: &Stack, site: &crate::model::Name, range: Cidr, adds: bool) -> String {
    let verb = if adds { "lets" } else { "no longer lets" };
    let mut text = format!("Site {site} of stack {} {verb} {range} in.", stack.name);
    let access = stack.sites.iter().find(|one| &one.name == site);
    let wider = access
        .and_then(|site| site.access.as_ref())
        .into_iter()
        .flat_map(|access| &access.allow)
        .find(|other| **other != range && other.overlaps(&range));
    if let Some(wider) = wider.filter(|_| !adds) {
        text.push_str(&format!("\nnote: {wider} is still on the list"));
    }
    text
}

fn list(host: &Host, asked: &List, printer: &Printer) -> Answer {
    let stacks = super::installed_stacks(host, asked.stack.as_slice())?;
    let (stack, site) = super::access::one_site(&stacks, &asked.site)?;
    let ranges: Vec<String> = ranges(site);
    if asked.json {
        printer.json(&json!({ "stack": stack.name, "site": site.name, "allow": ranges }));
    } else if ranges.is_empty() {
        let who = match &site.access {
            None => "everybody may see it",
            Some(_) => "its accounts get in from every address",
        };
        printer.out(&format!("Site {} has no allowlist: {who}.", site.name));
    } else {
        printer.out(&ranges.join("\n"));
    }
    Ok(ExitCode::SUCCESS)
}

fn ranges(site: &Site) -> Vec<String> {
    let allow = site.access.iter().flat_map(|access| &access.allow);
    allow.map(ToString::to_string).collect()
}
