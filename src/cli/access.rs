use std::net::IpAddr;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{Answer, FOUND, Failure, Printer, installed_stacks};
use crate::check::{Explained, Question};
use crate::host::Host;
use crate::model::Layout;
use crate::stack::{Site, Stack, is_called};

#[derive(Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Say whether somebody may see a site, and by which rule
    Explain(Explain),
}

#[derive(Args)]
#[command(
    after_help = "Examples:\n  tavernctl access explain close --from 203.0.113.7             may this address see it?\n  \
                  sudo tavernctl access explain /close --from ::1 --as admin    and with admin's password?\n\n\
                  Nobody is asked: the answer is read from the file that nginx was given. Exit codes: 0 allowed, 2 refused."
)]
struct Explain {
    /// The site, by its name or path
    site: String,
    /// The address that asks
    #[arg(long, value_name = "ADDRESS")]
    from: IpAddr,
    /// The account whose password they know
    #[arg(long = "as", value_name = "ACCOUNT")]
    account: Option<String>,
    /// The stack, where several have such a site
    #[arg(long)]
    stack: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    let Verb::Explain(asked) = &arguments.verb;
    let host = Host::real();
    let stacks = installed_stacks(&host, asked.stack.as_slice())?;
    let (stack, site) = one_site(&stacks, &asked.site)?;
    let question = Question {
        stack,
        site,
        from: asked.from,
        account: asked.account.as_deref(),
    };
    let explained = question
        .answer(&host, &Layout::system())
        .map_err(|what| Failure::new(what, "`tavernctl plan` shows what differs from the stack"))?;
    if asked.json {
        printer.json(&explained);
    } else {
        printer.out(&shown(&explained));
    }
    Ok(ExitCode::from(if explained.allowed { 0 } else { FOUND }))
}

/// The one site that is meant.
pub(super) fn one_site<'s>(
    stacks: &'s [Stack],
    asked: &str,
) -> Result<(&'s Stack, &'s Site), Failure> {
    let all = || {
        stacks
            .iter()
            .flat_map(|stack| stack.sites.iter().map(move |site| (stack, site)))
    };
    let mut found = all().filter(|(_, site)| is_called(site, asked));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (Some((first, _)), Some((second, _))) => Err(Failure::new(
            format!(
                "`{asked}` is a site of stack `{}` and one of stack `{}`",
                first.name, second.name
            ),
            "say which with `--stack NAME`",
        )),
        (None, _) => {
            let names: Vec<_> = all().map(|(_, site)| site.name.to_string()).collect();
            Err(Failure::new(
                format!("there is no site called `{asked}`"),
                format!("this host has: {}", names.join(", ")),
            ))
        }
    }
}

fn shown(explained: &Explained) -> String {
    let who = match &explained.account {
        Some(account) => format!("{} as {account}", explained.from),
        None => explained.from.to_string(),
    };
    let verdict = if explained.allowed {
        "allowed".to_owned()
    } else {
        format!("refused ({})", explained.status)
    };
    let mut text = format!(
        "{who} at site {} ({}) of {}: {verdict}\n  {}\n  by {}",
        explained.site,
        explained.path,
        explained.stack,
        explained.reason,
        explained.rules.display()
    );
    if explained.by_stack_file {
        text.push_str(" (the stack file: nginx's own could not be read)");
    }
    for note in &explained.notes {
        text.push_str(&format!("\n  note: {note}"));
    }
    text
}
