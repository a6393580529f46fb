use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde_json::json;

use super::amend::{Change, Done, carry_out, named_stacks};
use super::{Answer, Failure, Printer, password, require_host};
use crate::check::{Login, Setting, try_login};
use crate::engine::{ChosenPassword, NamedStack};
use crate::expand::app_credentials;
use crate::host::Host;
use crate::model::{Layout, Name};
use crate::stack::{Amendment, Door, Stack, doors};

/// How long an app may take to come back with its new accounts.
const COMING_BACK: Duration = Duration::from_secs(15);

#[derive(Args)]
#[command(
    after_help = "Examples:\n  sudo tavernctl user add close ann                        asks for the password, twice\n  \
                  sudo tavernctl user add counter ann --generate           makes one\n  \
                  pass web/ann | sudo tavernctl user passwd close ann --password-stdin\n  \
                  sudo tavernctl user remove close ann                     at once\n  \
                  tavernctl user list close\n\n\
                  A site asks for its accounts itself (basic authentication); an app has its own. Where both have one \
                  name, write `site:NAME` or `app:NAME`."
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Give somebody an account
    Add(WithPassword),
    /// Give an account another password
    Passwd(WithPassword),
    /// Take an account away
    Remove(Remove),
    /// Show the accounts
    List(List),
}

#[derive(Args)]
struct Whom {
    /// The site or app, by its name, or the site's path
    door: String,
    /// The account
    account: String,
    /// The stack, where several have such a site or app
    #[arg(long)]
    stack: Option<String>,
}

#[derive(Args)]
struct WithPassword {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    from: password::From,
}

#[derive(Args)]
struct Remove {
    #[command(flatten)]
    whom: Whom,
    /// Show the plan and stop
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
struct List {
    /// The site or app, by its name, or the site's path
    door: String,
    /// The stack, where several have such a site or app
    #[arg(long)]
    stack: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    let host = Host::real();
    match &arguments.verb {
        Verb::List(asked) => list(&host, asked, printer),
        Verb::Add(asked) => with_password(&host, asked, true, printer),
        Verb::Passwd(asked) => with_password(&host, asked, false, printer),
        Verb::Remove(asked) => remove(&host, asked, printer),
    }
}

fn with_password(host: &Host, asked: &WithPassword, adds: bool, printer: &Printer) -> Answer {
    require_host(host, "user")?;
    let stacks = named_stacks(host, asked.whom.stack.as_deref())?;
    let (named, door) = one_door(&stacks, &asked.whom.door)?;
    let account = account(&asked.whom.account)?;
    let amendment = adds.then(|| Amendment::Enrol(door.clone(), account.clone()));
    // Before a password is asked for that would be for nothing.
    match &amendment {
        Some(amendment) => {
            let path = Layout::system().stack_file(&named.stack.name);
            crate::stack::amend(&path, &named.source, amendment)?;
        }
        None => must_have(&named.stack, &door, &account)?,
    }
    let given = asked.from.get(account.as_str())?;
    let (word, how) = if adds {
        ("add", "now")
    } else {
        ("passwd", "with the new password")
    };
    let change = Change {
        named,
        amendment,
        chosen: Some(ChosenPassword {
            file: hashes(&named.stack, &door),
            account: account.to_string(),
            password: given.password.clone(),
            is_generated: given.is_generated,
        }),
        what: format!("user {word} {door} {account}"),
    };
    let Done::Applied(stack) = carry_out(host, change, false, printer)? else {
        return Ok(ExitCode::SUCCESS);
    };
    prove(host, &stack, &door, account.as_str(), &given.password)?;
    printer.out(&format!(
        "`{account}` opens {door} of stack {} {how}.",
        stack.name
    ));
    if given.is_generated {
        let kept = Layout::system().passwords(&stack.name);
        if printer.is_terminal() {
            printer.out(&format!(
                "Its password, shown this once: {}",
                given.password
            ));
        }
        printer.note(&format!("The password is kept in {}.", kept.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Logs in for real.
fn prove(
    host: &Host,
    stack: &Stack,
    door: &Door,
    account: &str,
    password: &str,
) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        let setting = Setting::installed().seen_from(host);
        let what = match try_login(host, &setting, (stack, door), (account, password)) {
            Login::Opened | Login::NotAsked => return Ok(()),
            Login::Refused { status } => format!("{status}"),
            Login::NoAnswer(what) => what,
        };
        if begun.elapsed() > COMING_BACK {
            return Err(Failure::new(
                format!("applied, but logging in as `{account}` at {door} gave: {what}"),
                "`sudo tavernctl check` says more",
            ));
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}

fn remove(host: &Host, asked: &Remove, printer: &Printer) -> Answer {
    require_host(host, "user")?;
    let stacks = named_stacks(host, asked.whom.stack.as_deref())?;
    let (named, door) = one_door(&stacks, &asked.whom.door)?;
    let account = account(&asked.whom.account)?;
    let change = Change {
        named,
        amendment: Some(Amendment::Dismiss(door.clone(), account.clone())),
        chosen: None,
        what: format!("user remove {door} {account}"),
    };
    match carry_out(host, change, asked.dry_run, printer)? {
        Done::Shown(code) => Ok(code),
        Done::Applied(stack) => {
            printer.out(&format!(
                "`{account}` no longer opens {door} of stack {}.",
                stack.name
            ));
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn list(host: &Host, asked: &List, printer: &Printer) -> Answer {
    let stacks = named_stacks(host, asked.stack.as_deref())?;
    let (named, door) = one_door(&stacks, &asked.door)?;
    let names: Vec<String> = accounts(&named.stack, &door)
        .iter()
        .map(ToString::to_string)
        .collect();
    if asked.json {
        let of = door.to_string();
        printer.json(&json!({ "stack": named.stack.name, "of": of, "accounts": names }));
    } else if names.is_empty() {
        printer.out(&format!("{door} asks for no account."));
    } else {
        printer.out(&names.join("\n"));
    }
    Ok(ExitCode::SUCCESS)
}

fn account(text: &str) -> Result<Name, Failure> {
    text.parse()
        .map_err(|refused: crate::model::Refused| Failure::new(refused.message, refused.help))
}

fn accounts<'s>(stack: &'s Stack, door: &Door) -> &'s [Name] {
    match door {
        Door::Site(name) => stack
            .sites
            .iter()
            .find(|site| &site.name == name)
            .and_then(|site| site.access.as_ref())
            .map(|access| access.accounts.as_slice()),
        Door::App(name) => stack.app(name).map(|app| app.accounts.as_slice()),
    }
    .unwrap_or_default()
}

fn must_have(stack: &Stack, door: &Door, account: &Name) -> Result<(), Failure> {
    let known = accounts(stack, door);
    if known.contains(account) {
        return Ok(());
    }
    let names: Vec<String> = known.iter().map(ToString::to_string).collect();
    Err(Failure::new(
        format!("{door} has no account `{account}`"),
        if names.is_empty() {
            "it asks for no account".to_owned()
        } else {
            format!(
                "it has {}; `tavernctl user add` gives one more",
                names.join(", ")
            )
        },
    ))
}

fn hashes(stack: &Stack, door: &Door) -> std::path::PathBuf {
    let layout = Layout::system();
    match door {
        Door::Site(site) => layout.htpasswd(&stack.name, site),
        Door::App(name) => {
            let app = stack.apps.iter().find(|app| app.name == *name);
            let folder = app.map(|app| app_credentials(stack, app, &layout));
            folder.unwrap_or_default().join("accounts")
        }
    }
}

/// The one door that is meant.
fn one_door<'s>(stacks: &'s [NamedStack], asked: &str) -> Result<(&'s NamedStack, Door), Failure> {
    let mut found: Vec<(&NamedStack, Door)> = Vec::new();
    for named in stacks {
        let doors = doors(&named.stack, asked);
        found.extend(doors.into_iter().map(|door| (named, door)));
    }
    if found.len() == 1
        && let Some(one) = found.pop()
    {
        return Ok(one);
    }
    if found.is_empty() {
        let known = stacks.iter().flat_map(|named| {
            let sites = named.stack.sites.iter().map(|site| site.name.to_string());
            let apps = named.stack.apps.iter().map(|app| app.name.to_string());
            sites.chain(apps)
        });
        let mut known: Vec<String> = known.collect();
        known.sort();
        known.dedup();
        return Err(Failure::new(
            format!("there is no site or app called `{asked}`"),
            format!("this host has: {}", known.join(", ")),
        ));
    }
    let list = found
        .iter()
        .map(|(named, door)| format!("{door} of stack {}", named.stack.name));
    let list: Vec<String> = list.collect();
    Err(Failure::new(
        format!("`{asked}` may be {}", list.join(" or ")),
        "say which: `site:NAME` or `app:NAME`, and `--stack NAME`",
    ))
}
