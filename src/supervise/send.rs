//! Messages to people, over each way that a stack names.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::channel;

use tracing::{error, info};

use super::alert::{Message, Outbox};
use super::health::{News, Second};
use super::history::Book;
use crate::check::{Finding, Verdict};
use crate::host::{Host, HostError, Invocation, post};
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

/// A way to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Webhook,
    Mail,
    Program,
}

impl Way {
    fn all(alert: &Alert) -> impl Iterator<Item = Self> {
        let named = [
            (Self::Webhook, alert.webhook.is_some()),
            (Self::Mail, !alert.mail.is_empty()),
            (Self::Program, !alert.program.is_empty()),
        ];
        named
            .into_iter()
            .filter_map(|(way, is_named)| is_named.then_some(way))
    }

    /// The name of its outbox: what one way took, another may still owe.
    fn outbox(self, stack: &Stack) -> String {
        let way = match self {
            Self::Webhook => "webhook",
            Self::Mail => "mail",
            Self::Program => "program",
        };
        format!("{}/{way}", stack.name)
    }
}

/// Puts what is news into the outboxes of whom it concerns: a stack's people hear of their own, and of the whole
/// host.
pub(super) fn post_out(stacks: &[Stack], news: &[News], outboxes: &mut BTreeMap<String, Outbox>) {
    let before = std::mem::take(outboxes);
    for stack in stacks {
        let is_others = |one: &&News| {
            let of = |other: &Stack| one.subject().starts_with(&format!("{}: ", other.name));
            stacks
                .iter()
                .any(|other| other.name != stack.name && of(other))
        };
        let own: Vec<News> = news.iter().filter(|one| !is_others(one)).cloned().collect();
        for way in Way::all(&stack.alert) {
            let name = way.outbox(stack);
            // Until now there was one for all ways of a stack.
            let earlier = before.get(&name).or(before.get(stack.name.as_str()));
            let mut outbox = earlier.cloned().unwrap_or_default();
            outbox.take(&own);
            outboxes.insert(name, outbox);
        }
    }
}

/// For each stack that names a way whether each took the last message: who is to hear of trouble may not.
pub(super) fn findings(stacks: &[Stack], outboxes: &BTreeMap<String, Outbox>) -> Vec<Finding> {
    let of = |stack: &Stack| {
        let ways = Way::all(&stack.alert);
        let outboxes: Vec<Option<&Outbox>> =
            ways.map(|way| outboxes.get(&way.outbox(stack))).collect();
        let dead: Vec<&str> = outboxes
            .iter()
            .flatten()
            .filter_map(|one| one.trouble())
            .collect();
        let (verdict, reason) = match dead[..] {
            [] => (Verdict::Healthy, "every way took the last one".to_owned()),
            _ => {
                let why = dead.join("; ");
                let text = format!("not taken, and tried again each minute: {why}");
                (Verdict::Unhealthy, text)
            }
        };
        (!outboxes.is_empty()).then(|| Finding {
            stack: Some(stack.name.clone()),
            subject: "alerts".to_owned(),
            verdict,
            reason,
            took_ms: 0,
        })
    };
    stacks.iter().filter_map(of).collect()
}

/// Sends what is due, over all ways at once: a slow one holds up no other, and each has a limit of its own. What was
/// taken is noted at once; what was not is tried again by the next round.
pub(super) fn deliver(
    host: &Host,
    stacks: &[Stack],
    book: &mut Book,
    now: Second,
    mut note: impl FnMut(&Book),
) {
    let name = hostname();
    let (to, done) = channel();
    std::thread::scope(|scope| {
        for stack in stacks {
            for way in Way::all(&stack.alert) {
                let outbox = way.outbox(stack);
                let waiting = book.outboxes.get(&outbox);
                let Some(message) = waiting.and_then(|outbox| outbox.due(&name, now)) else {
                    continue;
                };
                let to = to.clone();
                let begun = std::thread::Builder::new().spawn_scoped(scope, move || {
                    let sent = send_by(host, &stack.alert, way, &message);
                    let _ = to.send((outbox, stack, sent));
                });
                if let Err(error) = begun {
                    error!(state = "alert", %error, "an alert of stack {} was not sent", stack.name);
                }
            }
        }
        drop(to);
        for (outbox, stack, Sent { way, outcome }) in done {
            match outcome {
                Ok(()) => {
                    let outbox = book.outboxes.get_mut(&outbox);
                    if outbox.is_some_and(|outbox| outbox.sent(now)) {
                        info!(
                            state = "alert",
                            "alerts of stack {} are taken again: {way}", stack.name
                        );
                    }
                }
                Err(why) => {
                    let outbox = book.outboxes.get_mut(&outbox);
                    if outbox.is_none_or(|outbox| outbox.refused(format!("{way}: {why}"))) {
                        error!(
                            state = "alert",
                            error = %why,
                            "an alert of stack {} was not taken, and is sent again each minute: {way}", stack.name
                        );
                    }
                }
            }
            note(book);
        }
    });
}

/// The host's own name.
pub fn hostname() -> String {
    nix::unistd::gethostname()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Sends a message over every way.
pub fn send(host: &Host, alert: &Alert, message: &Message) -> Vec<Sent> {
    Way::all(alert)
        .map(|way| send_by(host, alert, way, message))
        .collect()
}

fn send_by(host: &Host, alert: &Alert, way: Way, message: &Message) -> Sent {
    match way {
        Way::Webhook => Sent {
            way: "webhook".to_owned(),
            outcome: alert.webhook.as_ref().map_or(Ok(()), |webhook| {
                address(host, webhook).and_then(|url| post(&url, message.slack()))
            }),
        },
        Way::Mail => Sent {
            way: format!("mail to {}", alert.mail.join(", ")),
            outcome: mail(host, &alert.mail, message),
        },
        Way::Program => {
            let mut words = alert.program.iter();
            let program = words.next().map_or("", String::as_str);
            let arguments: Vec<_> = words.collect();
            let json = serde_json::to_vec(message).unwrap_or_default();
            let invocation = Invocation::new(program, &arguments).input(json);
            Sent {
                way: format!("program {program}"),
                outcome: host.processes.run_ok(&invocation).map(|_| ()),
            }
        }
    }
}

fn mail(host: &Host, to: &[String], message: &Message) -> Result<(), HostError> {
    if !host.files.exists(Path::new(SENDMAIL)) {
        return Err(HostError::Unexpected(format!(
            "there is no {SENDMAIL}: install a mail program, such as `msmtp-mta` or `postfix`"
        )));
    }
    // Exim and dma go on delivering after it has ended. In a scope of its own systemd does not end them with the
    // service that sent the message.
    let scope = ["--scope", "--quiet", "--collect", "--", SENDMAIL];
    // `-i`: a line with a dot alone is text. `--`: no address is an option.
    let arguments = scope.into_iter().chain(["-i", "--"]);
    let arguments: Vec<&str> = arguments.chain(to.iter().map(String::as_str)).collect();
    let invocation = Invocation::new("systemd-run", &arguments).input(message.mail(to));
    host.processes.run_ok(&invocation).map(|_| ())
}

/// The address of a webhook; a file of it must be root's alone.
fn address(host: &Host, webhook: &Webhook) -> Result<String, HostError> {
    let path = match webhook {
        Webhook::Url(url) => return Ok(url.clone()),
        Webhook::File(path) => path,
    };
    let refused = |why: &str| HostError::Unexpected(format!("{}: {why}", path.display()));
    let PathState::File {
        content,
        mode,
        owner,
    } = host.files.state(path)?
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
