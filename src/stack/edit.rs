//! Changes of a stack file's text: one entry of one list, and not a byte beside that list.

use std::ops::Range;
use std::path::Path;

use toml_edit::{Array, Decor, Document, DocumentMut, Item, TableLike, Value};

use super::{Access, Site, SiteContent, Stack, StackError, parse};
use crate::model::{Cidr, Name};

/// A change of the list of those who may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amendment {
    /// An address or range more for a site.
    Allow(Name, Cidr),
    /// One less.
    Disallow(Name, Cidr),
    /// An account more.
    Enrol(Door, Name),
    /// One less.
    Dismiss(Door, Name),
}

/// What an account opens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Door {
    /// A site, by its name.
    Site(Name),
    /// An app.
    App(Name),
}

impl std::fmt::Display for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Site(name) => write!(f, "site {name}"),
            Self::App(name) => write!(f, "app {name}"),
        }
    }
}

/// Why a stack file was not changed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct NotAmended {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl NotAmended {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
        }
    }
}

impl From<StackError> for NotAmended {
    fn from(error: StackError) -> Self {
        let help = error.help().unwrap_or_default().to_owned();
        Self::new(error.to_string(), help)
    }
}

impl Amendment {
    /// Makes the change in a stack.
    fn make(&self, stack: &mut Stack) -> Result<(), NotAmended> {
        match self {
            Self::Allow(site, range) => {
                let allow = &mut ruled(stack, site)?.allow;
                if allow.is_empty() {
                    return Err(NotAmended::new(
                        format!(
                            "site {site} has no allowlist: its accounts get in from every address"
                        ),
                        format!(
                            "add `allow = [\"{range}\"]` to its `access` in the stack file: then nobody else gets in"
                        ),
                    ));
                }
                add(allow, range, &format!("the allowlist of site {site}"))
            }
            Self::Disallow(site, range) => {
                let allow = &mut ruled(stack, site)?.allow;
                take(allow, range, &format!("the allowlist of site {site}"))
            }
            Self::Enrol(door, name) => {
                let accounts = accounts_of(stack, door)?;
                add(accounts, name, &format!("the accounts of {door}"))
            }
            Self::Dismiss(door, name) => {
                let accounts = accounts_of(stack, door)?;
                take(accounts, name, &format!("the accounts of {door}"))
            }
        }
    }
}

fn add<T: PartialEq + Clone + std::fmt::Display>(
    list: &mut Vec<T>,
    one: &T,
    what: &str,
) -> Result<(), NotAmended> {
    if list.contains(one) {
        let message = format!("`{one}` is in {what} already");
        return Err(NotAmended::new(message, "there is nothing to do"));
    }
    list.push(one.clone());
    Ok(())
}

fn take<T: PartialEq + std::fmt::Display>(
    list: &mut Vec<T>,
    one: &T,
    what: &str,
) -> Result<(), NotAmended> {
    if !list.contains(one) {
        let known: Vec<String> = list.iter().map(ToString::to_string).collect();
        let known = if known.is_empty() {
            "it is empty".to_owned()
        } else {
            format!("it has {}", known.join(", "))
        };
        let message = format!("`{one}` is not in {what}");
        return Err(NotAmended::new(message, known));
    }
    // Without its last entry the rule would not ask for it at all.
    if list.len() == 1 {
        return Err(NotAmended::new(
            format!("`{one}` is the last in {what}: without it that would not be asked for"),
            "add another first; to open or close the site for everybody, change the stack file",
        ));
    }
    list.retain(|known| known != one);
    Ok(())
}

fn ruled<'s>(stack: &'s mut Stack, name: &Name) -> Result<&'s mut Access, NotAmended> {
    let known: Vec<String> = stack
        .sites
        .iter()
        .map(|site| site.name.to_string())
        .collect();
    let Some(site) = stack.sites.iter_mut().find(|site| &site.name == name) else {
        return Err(NotAmended::new(
            format!("there is no site called `{name}`"),
            format!("the stack has {}", known.join(", ")),
        ));
    };
    let path = site.path.clone();
    site.access.as_mut().ok_or_else(|| {
        NotAmended::new(
            format!("site {name} ({path}) has no access rule: everybody may see it"),
            "give it one in the stack file, such as `access = { accounts = [\"admin\"] }`",
        )
    })
}

fn accounts_of<'s>(stack: &'s mut Stack, door: &Door) -> Result<&'s mut Vec<Name>, NotAmended> {
    match door {
        Door::Site(site) => {
            let accounts = &mut ruled(stack, site)?.accounts;
            if accounts.is_empty() {
                return Err(NotAmended::new(
                    format!("site {site} asks for no account: addresses alone decide"),
                    "add `accounts = [\"…\"]` to its `access` in the stack file",
                ));
            }
            Ok(accounts)
        }
        Door::App(name) => stack
            .apps
            .iter_mut()
            .find(|app| &app.name == name)
            .map(|app| &mut app.accounts)
            .ok_or_else(|| {
                NotAmended::new(
                    format!("there is no app called `{name}`"),
                    "`tavernctl status` lists them",
                )
            }),
    }
}

/// The text of a stack file with the change made. Comments and layout stay; a text in which the change cannot be
/// made so is refused.
///
/// # Errors
/// When the file is wrong, the change makes no sense, or the text cannot be changed to say it.
pub fn amend(path: &Path, source: &[u8], amendment: &Amendment) -> Result<String, NotAmended> {
    let before = parse(path, source)?;
    let mut wanted = before.clone();
    amendment.make(&mut wanted)?;
    let by_hand = || {
        NotAmended::new(
            format!("{} cannot be changed without rewriting it", path.display()),
            "make the change in the file yourself, then `sudo tavernctl install`",
        )
    };
    let text = std::str::from_utf8(source).map_err(|_| by_hand())?;
    let changed = change(text, &before, amendment).ok_or_else(by_hand)?;
    // Whatever the editing library made of it: it must say that, only that, and change nothing else.
    match parse(path, changed.as_bytes()) {
        Ok(after) if after == wanted => Ok(changed),
        Ok(_) => Err(by_hand()),
        Err(error) => Err(error.into()),
    }
}

fn change(text: &str, stack: &Stack, amendment: &Amendment) -> Option<String> {
    let (door, key, value, adds) = match amendment {
        Amendment::Allow(site, range) => {
            (Door::Site(site.clone()), "allow", range.to_string(), true)
        }
        Amendment::Disallow(site, range) => {
            (Door::Site(site.clone()), "allow", range.to_string(), false)
        }
        Amendment::Enrol(door, name) => (door.clone(), "accounts", name.to_string(), true),
        Amendment::Dismiss(door, name) => (door.clone(), "accounts", name.to_string(), false),
    };
    let position = match &door {
        Door::Site(name) => stack.sites.iter().position(|site| &site.name == name)?,
        Door::App(_) => 0,
    };
    let place = span(text, &door, position, key)?;
    let mut document: DocumentMut = text.parse().ok()?;
    let list = list_mut(document.as_item_mut(), &door, position)?.get_mut(key)?;
    let list = list.as_value_mut()?.as_array_mut()?;
    if adds {
        push(list, &value);
    } else {
        let same = |entry: &Value| match (entry.as_str(), value.parse::<Cidr>()) {
            // One address may be written in more than one way.
            (Some(text), Ok(range)) => text.parse::<Cidr>().is_ok_and(|other| other == range),
            (Some(text), Err(_)) => text == value,
            (None, _) => false,
        };
        let at = list.iter().position(same)?;
        remove(list, at);
    }
    let changed = document.to_string();
    let tail = text.len().checked_sub(place.end)?;
    let same_head = changed.get(..place.start)? == &text[..place.start];
    let same_tail = changed.get(changed.len().checked_sub(tail)?..)? == &text[place.end..];
    (same_head && same_tail).then_some(changed)
}

/// Where in the text the list stands.
fn span(text: &str, door: &Door, position: usize, key: &str) -> Option<Range<usize>> {
    let document = Document::parse(text).ok()?;
    let root = document.as_item();
    let list = match door {
        Door::Site(_) => {
            let site = root.get("site")?.as_array_of_tables()?.get(position)?;
            site.get("access")?.get(key)?
        }
        Door::App(name) => root.get("app")?.get(name.as_str())?.get(key)?,
    };
    list.span()
}

fn list_mut<'d>(root: &'d mut Item, door: &Door, position: usize) -> Option<&'d mut dyn TableLike> {
    match door {
        Door::Site(_) => root
            .get_mut("site")?
            .as_array_of_tables_mut()?
            .get_mut(position)?
            .get_mut("access")?
            .as_table_like_mut(),
        Door::App(name) => root
            .get_mut("app")?
            .get_mut(name.as_str())?
            .as_table_like_mut(),
    }
}

fn raw(text: Option<&toml_edit::RawString>) -> String {
    text.and_then(|raw| raw.as_str())
        .unwrap_or_default()
        .to_owned()
}

/// Adds a value in the layout of the others: on a line of its own where they are.
fn push(list: &mut Array, text: &str) {
    let mut value = Value::from(text);
    let last = list.len().saturating_sub(1);
    let own_lines = list
        .get(last)
        .map(|last| raw(last.decor().prefix()))
        .filter(|prefix| prefix.contains('\n'));
    let Some(prefix) = own_lines else {
        let suffix = list.get_mut(last).map(|last| {
            let suffix = raw(last.decor().suffix());
            last.decor_mut().set_suffix("");
            suffix
        });
        *value.decor_mut() = Decor::new(" ", suffix.unwrap_or_default());
        list.push_formatted(value);
        return;
    };
    let indent = prefix.rsplit('\n').next().unwrap_or_default().to_owned();
    // A comment behind the last entry stays behind it: it is in front of the new one now.
    let behind = if list.trailing_comma() {
        raw(Some(list.trailing()))
    } else {
        let suffix = list.get_mut(last).map(|last| {
            let suffix = raw(last.decor().suffix());
            last.decor_mut().set_suffix("");
            suffix
        });
        suffix.unwrap_or_default() + &raw(Some(list.trailing()))
    };
    let (kept, end) = match behind.rfind('\n') {
        Some(at) => behind.split_at(at),
        None => (behind.as_str(), "\n"),
    };
    value.decor_mut().set_prefix(format!("{kept}\n{indent}"));
    list.push_formatted(value);
    list.set_trailing(end);
    list.set_trailing_comma(true);
}

/// Takes an entry out, with the comment on its line and no other.
fn remove(list: &mut Array, at: usize) {
    let has_comma = list.trailing_comma();
    let gone = list.remove(at);
    let prefix = raw(gone.decor().prefix());
    let suffix = raw(gone.decor().suffix());
    // What stands between this entry and the next begins on this entry's line.
    let rest_of_line = |text: &str| match text.find('\n') {
        Some(end) => text[end..].to_owned(),
        None => text.to_owned(),
    };
    let lines_before = match prefix.rfind('\n') {
        Some(end) => prefix[..end].to_owned(),
        None => String::new(),
    };
    if let Some(next) = list.get_mut(at) {
        let behind = raw(next.decor().prefix());
        let joined = if at == 0 && !behind.contains('\n') {
            prefix
        } else {
            lines_before + &rest_of_line(&behind)
        };
        next.decor_mut().set_prefix(joined);
        return;
    }
    let behind = if has_comma {
        raw(Some(list.trailing()))
    } else {
        suffix + &raw(Some(list.trailing()))
    };
    list.set_trailing(lines_before + &rest_of_line(&behind));
    list.set_trailing_comma(has_comma);
}

/// The doors that bear this name or path: a site by its name or path if it asks for accounts, and an app. `site:` or
/// `app:` before a name tells the two apart.
pub fn doors(stack: &Stack, asked: &str) -> Vec<Door> {
    let (sites, apps, asked) = match asked.split_once(':') {
        Some(("site", name)) => (true, false, name),
        Some(("app", name)) => (false, true, name),
        _ => (true, true, asked),
    };
    let app_asked = apps && stack.apps.iter().any(|app| app.name.as_str() == asked);
    let mut doors = Vec::new();
    for site in stack.sites.iter().filter(|_| sites) {
        let asks = site
            .access
            .as_ref()
            .is_some_and(|access| !access.accounts.is_empty());
        if !is_called(site, asked) || (app_asked && !asks) {
            continue;
        }
        doors.push(match &site.content {
            // Who logs in at an app that is open to everybody has the app's account.
            SiteContent::App(app) if !asks && apps => Door::App(app.clone()),
            _ => Door::Site(site.name.clone()),
        });
    }
    if app_asked && let Some(app) = stack.apps.iter().find(|app| app.name.as_str() == asked) {
        doors.push(Door::App(app.name.clone()));
    }
    doors.sort();
    doors.dedup();
    doors
}

/// Whether a person means this site: by its name, or by its path with or without the last slash.
pub fn is_called(site: &Site, asked: &str) -> bool {
    site.name.as_str() == asked
        || site.path.as_str() == asked
        || (!site.path.is_root() && site.path.prefix() == asked.trim_end_matches('/'))
}

#[cfg(test)]
#[path = "edit_tests.rs"]
mod tests;
