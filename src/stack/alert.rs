//! Who is told when something goes wrong.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::StackError;
use super::validate::Validation;

/// Where alerts go, beside the journal, where all of them go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alert {
    /// An address that takes what Slack takes.
    pub webhook: Option<Webhook>,
    /// By the host's own `sendmail`.
    pub mail: Vec<String>,
    /// A program with its arguments; it reads the alert as JSON.
    pub program: Vec<String>,
}

/// Where a webhook's address is. Whoever knows it may post there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Webhook {
    /// Itself.
    Url(String),
    /// In this file.
    File(PathBuf),
}

impl Alert {
    /// Whether nobody but the journal is told.
    pub fn is_silent(&self) -> bool {
        self.webhook.is_none() && self.mail.is_empty() && self.program.is_empty()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawAlert {
    webhook: Option<Spanned<String>>,
    #[serde(default)]
    mail: Vec<Spanned<String>>,
    #[serde(default)]
    program: Vec<Spanned<String>>,
}

/// Whether an address is one of a webhook: `https`, or `http` on this host itself.
pub fn is_webhook(url: &str) -> bool {
    let is_plain = url.len() <= 2000 && url.bytes().all(|byte| byte.is_ascii_graphic());
    let authority = |rest: &str| rest.split(['/', '?', '#']).next().map(str::to_owned);
    let Some((scheme, rest)) = url.split_once("://") else {
        return false;
    };
    let Some(authority) = authority(rest).filter(|text| !text.is_empty() && !text.contains('@'))
    else {
        return false;
    };
    let host = authority
        .rsplit_once(':')
        .map_or(authority.as_str(), |(host, _)| host);
    let is_here = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
    is_plain && (scheme == "https" || (scheme == "http" && is_here))
}

fn is_mailbox(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._+-@".contains(c);
    !text.is_empty()
        && text.len() <= 254
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(is_plain)
        && text.matches('@').count() <= 1
}

impl Validation<'_> {
    pub(super) fn alert(&self, raw: Option<Spanned<RawAlert>>) -> Result<Alert, StackError> {
        let Some(raw) = raw else {
            return Ok(Alert::default());
        };
        let span = raw.span();
        let RawAlert {
            webhook,
            mail,
            program,
        } = raw.into_inner();
        let webhook = match webhook {
            Some(text) if text.get_ref().starts_with('/') => {
                Some(Webhook::File(text.into_inner().into()))
            }
            Some(text) if is_webhook(text.get_ref()) => Some(Webhook::Url(text.into_inner())),
            Some(text) => {
                return self.fault(
                    text.span(),
                    "not the address of a webhook",
                    "write `https://…`, or the path of a file that only root reads and that has the address in it",
                );
            }
            None => None,
        };
        if let Some(bad) = mail.iter().find(|one| !is_mailbox(one.get_ref())) {
            return self.fault(
                bad.span(),
                "not a mailbox",
                "write an account of this host such as `root`, or an address such as `ann@example.org`",
            );
        }
        if let Some(first) = program.first()
            && !first.get_ref().starts_with('/')
        {
            return self.fault(
                first.span(),
                "not the path of a program",
                "write it from `/` on; its arguments follow, each a text of its own",
            );
        }
        let alert = Alert {
            webhook,
            mail: mail.into_iter().map(Spanned::into_inner).collect(),
            program: program.into_iter().map(Spanned::into_inner).collect(),
        };
        if alert.is_silent() {
            return self.fault(
                span,
                "nobody is alerted",
                "add `webhook`, `mail` or `program`, or leave `[alert]` out: the journal has all alerts anyway",
            );
        }
        Ok(alert)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::stack::parse;

    fn parsed(alert: &str) -> Result<Alert, String> {
        let text = format!(
            "name = \"web\"\nhosts = [\"*\"]\n[tls]\nissuer = \"self-signed\"\n[[site]]\npath = \"/\"\nstatic = \"main\"\n{alert}"
        );
        parse(Path::new("/etc/tavern/stacks/web.toml"), text.as_bytes())
            .map(|stack| stack.alert)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn each_way_is_read() {
        assert_eq!(parsed(""), Ok(Alert::default()));
        let alert = parsed(
            "[alert]\nwebhook = \"https://hooks.example/T/B/x\"\nmail = [\"root\", \"ann@example.org\"]\nprogram = [\"/usr/local/bin/page\", \"--loud\"]\n",
        )
        .unwrap();
        assert_eq!(
            alert.webhook,
            Some(Webhook::Url("https://hooks.example/T/B/x".into()))
        );
        assert_eq!((alert.mail.len(), alert.program.len()), (2, 2));
        let file = parsed("[alert]\nwebhook = \"/etc/tavern/credentials/web/webhook\"\n").unwrap();
        assert!(matches!(file.webhook, Some(Webhook::File(_))));
        assert!(parsed("[alert]\nwebhook = \"http://127.0.0.1:9/x\"\n").is_ok());
    }

    #[test]
    fn what_reaches_nobody_or_somebody_else_is_refused() {
        for (bad, said) in [
            ("", "nobody is alerted"),
            (
                "webhook = \"http://hooks.example/x\"",
                "not the address of a webhook",
            ),
            ("webhook = \"https://\"", "not the address of a webhook"),
            (
                "webhook = \"https://localhost@evil.example/\"",
                "not the address of a webhook",
            ),
            ("webhook = \"https://a b/\"", "not the address of a webhook"),
            (
                "webhook = \"file:///etc/shadow\"",
                "not the address of a webhook",
            ),
            ("mail = [\"-oQ/tmp\"]", "not a mailbox"),
            ("mail = [\"a@b@c\"]", "not a mailbox"),
            ("mail = [\"a b\"]", "not a mailbox"),
            ("program = [\"page\"]", "not the path of a program"),
            ("pager = 1", "unknown field"),
        ] {
            let error = parsed(&format!("[alert]\n{bad}\n")).unwrap_err();
            assert!(error.contains(said), "{bad}: {error}");
        }
    }
}
