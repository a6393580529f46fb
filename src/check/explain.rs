//! Why somebody may see a site, or may not: asked of the rules that nginx was given, not of nginx.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Serialize;

use crate::host::Host;
use crate::model::{Layout, Name};
use crate::resource::{LocationRules, directives};
use crate::stack::{Access, Site, SiteContent, Stack};

/// The answer to "may they see it?".
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The stack.
    pub stack: Name,
    /// The site.
    pub site: Name,
    /// Where it lives.
    pub path: String,
    /// Who asks.
    pub from: IpAddr,
    /// As whom, with the right password.
    pub account: Option<String>,
    /// Whether they see it.
    pub allowed: bool,
    /// The status that stands for it: 200, 401 or 403.
    pub status: u16,
    /// By what.
    pub reason: String,
    /// The file that says so.
    pub rules: PathBuf,
    /// Whether that is the stack file, because nginx's own could not be read.
    pub by_stack_file: bool,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

/// Who asks for which site.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The stack.
    pub stack: &'a Stack,
    /// Its site.
    pub site: &'a Site,
    /// The address.
    pub from: IpAddr,
    /// The account whose password they know.
    pub account: Option<&'a str>,
}

impl Question<'_> {
    /// Answers from nginx's file of the stack as it stands; from the stack file if there is none.
    ///
    /// # Errors
    /// When nginx's file says something that is not understood.
    pub fn answer(&self, host: &Host, layout: &Layout) -> Result<Explained, String> {
        let file = layout
            .nginx
            .join("sites-available")
            .join(format!("tavern-{}.conf", self.stack.name));
        let text = match host.files.read(&file) {
            Ok(Some(bytes)) => String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?,
            Ok(None) | Err(_) => return Ok(self.by_stack(layout)),
        };
        let fault = |what: String| format!("{}: {what}", file.display());
        let read = directives(&text).map_err(|error| fault(error.to_string()))?;
        let log = layout
            .logs
            .join(format!("{}-{}.access.log", self.stack.name, self.site.name));
        let path = self.location();
        let rules = LocationRules::find(&read, &path, &log.to_string_lossy()).map_err(fault)?;
        let Some(rules) = rules else {
            return Err(fault(format!(
                "has no location `{path}`: the stack file may be ahead of what was applied"
            )));
        };
        let (accounts, note) = self.accounts(host, &rules);
        let knows = |name: &str| accounts.iter().any(|known| known == name);
        let ruling = rules.answer(self.from, self.account.is_some_and(knows));
        let mut notes = self.notes();
        notes.extend(note);
        if let Some(name) = self.account.filter(|name| !knows(name))
            && rules.user_file.is_some()
        {
            notes.push(format!("`{name}` has no account there"));
        }
        Ok(Explained {
            status: ruling.status,
            allowed: ruling.status == 200,
            reason: ruling.reason,
            rules: file,
            by_stack_file: false,
            notes,
            ..self.blank()
        })
    }

    fn by_stack(&self, layout: &Layout) -> Explained {
        let open = Access {
            accounts: Vec::new(),
            allow: Vec::new(),
            require: crate::stack::Require::All,
        };
        let access = self.site.access.as_ref().unwrap_or(&open);
        let answer = access.answer(self.from, self.account);
        Explained {
            status: answer.status,
            allowed: answer.allowed,
            reason: answer.reason,
            rules: layout.stack_file(&self.stack.name),
            by_stack_file: true,
            notes: self.notes(),
            ..self.blank()
        }
    }

    fn blank(&self) -> Explained {
        Explained {
            stack: self.stack.name.clone(),
            site: self.site.name.clone(),
            path: self.site.path.to_string(),
            from: self.from.to_canonical(),
            account: self.account.map(ToOwned::to_owned),
            allowed: false,
            status: 0,
            reason: String::new(),
            rules: PathBuf::new(),
            by_stack_file: false,
            notes: Vec::new(),
        }
    }

    /// The prefix location that most of the site is served from.
    fn location(&self) -> String {
        format!("{}/", self.site.path.prefix())
    }

    /// Who is in the password file; who should be, where it may not be read.
    fn accounts(&self, host: &Host, rules: &LocationRules) -> (Vec<String>, Option<String>) {
        let Some(file) = &rules.user_file else {
            return (Vec::new(), None);
        };
        if let Ok(Some(bytes)) = host.files.read(file) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let names = text.lines().filter_map(|line| line.split_once(':'));
            return (names.map(|(name, _)| name.to_owned()).collect(), None);
        }
        let declared = self.site.access.iter().flat_map(|access| &access.accounts);
        let note = format!(
            "{} could not be read: the accounts are those of the stack file",
            file.display()
        );
        (declared.map(ToString::to_string).collect(), Some(note))
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self
            .stack
            .proxy
            .trusted
            .iter()
            .any(|hop| hop.contains(self.from))
        {
            notes.push(format!(
                "{} is a trusted proxy: its `X-Forwarded-For` counts, not its own address",
                self.from
            ));
        }
        if let SiteContent::App(app) = &self.site.content
            && self.site.access.is_none()
        {
            notes.push(format!("the app `{app}` has a login of its own"));
        }
        notes
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
