//! Messages to people, over each way that a stack names.

use std::collections::BTreeMap;
use std::path::Path;

use tracing::error;

use super::alert::{Message, Outbox};
use super::health::{News, Second};
use crate::engine::Engine;
use crate::host::{HostError, Invocation, post};
use crate::resource::PathState;
use crate::stack::{Alert, Stack, Webhook, is_webhook};

/// Where Debian's mail programs have it, all of them.
const SENDMAIL: &str = "/usr/sbin/sendmail";

/// One way, and how it went.
pub struct Sent {
    /// `webhook`, `mail to …`, `program …`.
    pub way: String,
    /// Nothing, or why it was not taken.
    pub outcome: Result<(), HostError>,
}

/// Tells each stack's people what is news for them: its own, and what is the whole host's. What reached nobody is
/// tried again by the next round.
pub(super) fn alert(
    engine: &Engine<'_>,
    stacks: &[Stack],
    news: &[News],
    outboxes: &mut BTreeMap<String, Outbox>,
    now: Second,
) {
    let with_alert = || stacks.iter().filter(|stack| !stack.alert.is_silent());
    outboxes.retain(|name, _| with_alert().any(|stack| stack.name.as_str() == name));
    for stack in with_alert() {
        let outbox = outboxes.entry(stack.name.to_string()).or_default();
        let is_others = |one: &&News| {
            let of = |other: &Stack| one.subject().starts_with(&format!("{}: ", other.name));
            stacks
                .iter()
                .any(|other| other.name != stack.name && of(other))
        };
        let own: Vec<News> = news.iter().filter(|one| !is_others(one)).cloned().collect();
        outbox.take(&own);
        let Some(message) = outbox.due(&hostname(), now) else {
            continue;
        };
        let ways = send(engine, &stack.alert, &message);
        for Sent { way, outcome } in &ways {
            if let Err(why) = outcome {
                error!(
                    state = "alert",
                    error = %why,
                    "an alert of stack {} was not taken: {way}", stack.name
                );
            }
        }
        if ways.iter().any(|sent| sent.outcome.is_ok()) {
            outbox.sent(now);
        }
    }
}

/// The host's own name.
pub fn hostname() -> String {
    nix::unistd::gethostname()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Sends a message over every way.
pub fn send(engine: &Engine<'_>, alert: &Alert, message: &Message) -> Vec<Sent> {
    let mut ways = Vec::new();
    if let Some(webhook) = &alert.webhook {
        ways.push(Sent {
            way: "webhook".to_owned(),
            outcome: address(engine, webhook).and_then(|url| post(&url, message.slack())),
        });
    }
    if !alert.mail.is_empty() {
        ways.push(Sent {
            way: format!("mail to {}", alert.mail.join(", ")),
            outcome: mail(engine, &alert.mail, message),
        });
    }
    if let Some((program, arguments)) = alert.program.split_first() {
        let json = serde_json::to_vec(message).unwrap_or_default();
        let invocation = Invocation::new(program, arguments).input(json);
        ways.push(Sent {
            way: format!("program {program}"),
            outcome: engine.host.processes.run_ok(&invocation).map(|_| ()),
        });
    }
    ways
}

fn mail(engine: &Engine<'_>, to: &[String], message: &Message) -> Result<(), HostError> {
    if !engine.host.files.exists(Path::new(SENDMAIL)) {
        return Err(HostError::Unexpected(format!(
            "there is no {SENDMAIL}: install a mail program, such as `msmtp-mta` or `postfix`"
        )));
    }
    // `-i`: a line with a dot alone is text. `--`: no address is an option.
    let mut arguments = vec!["-i".to_owned(), "--".to_owned()];
    arguments.extend(to.iter().cloned());
    let invocation = Invocation::new(SENDMAIL, &arguments).input(message.mail(to));
    engine.host.processes.run_ok(&invocation).map(|_| ())
}

/// The address of a webhook; a file of it must be root's alone.
fn address(engine: &Engine<'_>, webhook: &Webhook) -> Result<String, HostError> {
    let path = match webhook {
        Webhook::Url(url) => return Ok(url.clone()),
        Webhook::File(path) => path,
    };
    let refused = |why: &str| HostError::Unexpected(format!("{}: {why}", path.display()));
    let PathState::File {
        content,
        mode,
        owner,
    } = engine.host.files.state(path)?
    else {
        return Err(refused("there is no such file"));
    };
    if mode.0 & 0o077 != 0 || owner.user != "root" {
        return Err(refused(
            "others may read it: `chown root: FILE; chmod 600 FILE`",
        ));
    }
    let url = String::from_utf8_lossy(&content).trim().to_owned();
    if is_webhook(&url) {
        Ok(url)
    } else {
        Err(refused("what is in it is not the address of a webhook"))
    }
}
