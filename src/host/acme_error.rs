//! An authority's refusals in words that say what to do.

use std::time::Duration;

use instant_acme::{Error, Problem};

use super::acme::{AcmeAccount, AcmeError};
use super::cause::chain;

/// RFC 8555's prefix of problem types.
const PREFIX: &str = "urn:ietf:params:acme:error:";

/// Whoever runs into a rate limit waits at least as long: limits are counted per hour or week.
const LIMITED: Duration = Duration::from_secs(3600);

pub(super) fn is_bad_nonce(error: &Error) -> bool {
    matches!(error, Error::Api(problem) if kind(problem) == "badNonce")
}

/// Whether the authority cannot make sense of the request, in the state that things are in there.
pub(super) fn is_malformed(error: &Error) -> bool {
    matches!(error, Error::Api(problem) if kind(problem) == "malformed")
}

fn kind(problem: &Problem) -> &str {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    kind.strip_prefix(PREFIX).unwrap_or(kind)
}

/// What the authority answered, or why it did not.
pub(super) fn explained(account: &AcmeAccount, error: &Error) -> AcmeError {
    match error {
        Error::Api(problem) => refused(account, problem),
        Error::Str(_) | Error::Timeout(_) | Error::Unsupported(_) | Error::KeyRejected => {
            failed(account, &error.to_string())
        }
        // hyper says "client error (Connect)": the reason is further down.
        other => failed(account, &chain(other)),
    }
}

/// The authority could not be asked.
pub(super) fn failed(account: &AcmeAccount, why: &str) -> AcmeError {
    AcmeError {
        what: format!("{} cannot be asked: {why}", account.directory),
        help: "does this host reach it (`curl -I` on that address), and is ca-certificates installed? The certificate in use stays, and it is tried again"
            .to_owned(),
        retry_after: None,
    }
}

pub(super) fn silent(account: &AcmeAccount, limit: Duration) -> AcmeError {
    failed(
        account,
        &format!("it did not come to an end within {} s", limit.as_secs()),
    )
}

fn refused(account: &AcmeAccount, problem: &Problem) -> AcmeError {
    let mut what = format!(
        "{} refuses ({}): {}",
        account.directory,
        kind(problem),
        problem.detail.as_deref().unwrap_or("it does not say why")
    );
    for sub in &problem.subproblems {
        if let Some(detail) = &sub.detail {
            what.push_str("; ");
            what.push_str(detail);
        }
    }
    // The authority's text goes to terminals and logs.
    let what: String = what
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(1000)
        .collect();
    let (help, retry_after) = advice(kind(problem));
    AcmeError {
        what,
        help: help.to_owned(),
        retry_after,
    }
}

fn advice(kind: &str) -> (&'static str, Option<Duration>) {
    let help = match kind {
        "dns" => {
            "the name must lead here: compare its A and AAAA records (`getent ahosts NAME`) with this host's addresses"
        }
        "connection" => {
            "the name must lead here, and the authority must reach port 80 of every address of it: look at its A and AAAA records (`getent ahosts NAME`) and at firewalls"
        }
        "unauthorized" | "incorrectResponse" => {
            "another server answers for the name: do all its A and AAAA records lead here, and no proxy stands between?"
        }
        "caa" => {
            "the name's CAA record allows other authorities only: add this one, or choose another"
        }
        "rejectedIdentifier" | "unsupportedIdentifier" => {
            "the authority does not sign this name: correct `hosts`, or use `issuer = \"local-ca\"`"
        }
        "externalAccountRequired" => {
            "the authority wants an account of its own: add `eab-kid` and `eab-key-file` to [tls]"
        }
        "invalidContact" | "unsupportedContact" => "correct `email` in [tls]",
        "userActionRequired" => "the authority's terms changed: follow the link it gives",
        "accountDoesNotExist" => {
            "the authority forgot the account: remove its file below /var/lib/tavern/acme, and a new one is made"
        }
        "rateLimited" => {
            return (
                "wait: the authority counts orders and failures; `staging = true` is for trying things",
                Some(LIMITED),
            );
        }
        _ => "the certificate in use stays, and it is tried again by itself",
    };
    (help, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> AcmeAccount {
        AcmeAccount {
            directory: "https://ca.example/dir".into(),
            ca_file: None,
            email: None,
            secret: "s3cret".into(),
        }
    }

    fn problem(json: &str) -> AcmeError {
        explained(&account(), &Error::Api(serde_json::from_str(json).unwrap()))
    }

    #[test]
    fn refusals_say_what_to_do() {
        for (kind, words) in [
            ("dns", "A and AAAA"),
            ("connection", "port 80"),
            ("caa", "CAA"),
            ("unauthorized", "another server answers"),
            ("externalAccountRequired", "eab-kid"),
            ("serverInternal", "tried again"),
        ] {
            let error = problem(&format!(
                "{{\"type\":\"{PREFIX}{kind}\",\"detail\":\"no\\u001b[31mway\",\"status\":400}}"
            ));
            assert!(error.help.contains(words), "{kind}: {}", error.help);
            assert!(error.what.contains("no [31mway") && error.what.contains(kind));
            assert_eq!(error.retry_after, None);
        }
        let limited = problem(&format!("{{\"type\":\"{PREFIX}rateLimited\"}}"));
        assert_eq!(limited.retry_after, Some(LIMITED));
    }

    #[test]
    fn the_secret_is_not_shown() {
        assert!(!format!("{:?}", account()).contains("s3cret"));
        assert!(!failed(&account(), "x").to_string().contains("s3cret"));
    }
}
