use super::finding::{Judged, Verdict, healthy, refused, unhealthy, unknown};
use crate::host::{Answer, HostError};

/// What must come of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// 200, from the app itself.
    Alive,
    /// 200, or the app's own word on what it lacks.
    Ready,
    /// 200, through nginx.
    Served,
    /// 401: nobody gets in without a password.
    PasswordAsked,
    /// 200, with a password.
    LoggedIn,
    /// 403: the address is not on the list.
    AddressRefused,
    /// To the same host by TLS.
    Redirected {
        /// What `Location` must begin with.
        to: String,
    },
    /// Whatever the stack answers, as long as it is the stack's server that does.
    Named,
}

/// Where a person looks when a request went wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// The app behind it, if there is one.
    pub app: Option<String>,
    /// The directory behind it, if it is static.
    pub directory: Option<String>,
    /// nginx's error log for it.
    pub log: Option<String>,
    /// Where generated passwords are kept.
    pub passwords: Option<String>,
}

/// Judges an answer, or that there was none.
pub fn judge(expect: &Expect, hints: &Hints, answer: &Result<Answer, HostError>) -> Judged {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return no_answer(expect, hints, error),
    };
    let status = answer.status;
    // Our own probes may be too many for a limit: that proves nothing.
    if status == 429 {
        return unknown("429, nginx limits requests now: try again in a minute");
    }
    match expect {
        Expect::Alive | Expect::Served if status == 200 => healthy("200"),
        Expect::Ready if status == 200 => healthy("ready, its store answers"),
        Expect::Ready => unhealthy(format!("{status}, {}; {}", word(answer), app_hint(hints))),
        Expect::PasswordAsked if status == 401 => healthy("401, as declared"),
        Expect::LoggedIn if status == 200 => healthy("200 with the password"),
        Expect::LoggedIn if status == 401 => unhealthy(format!(
            "401 with the password in {}: if you changed it since, remove that line",
            hints.passwords.as_deref().unwrap_or("the passwords file")
        )),
        Expect::AddressRefused if status == 403 => healthy("403, as declared"),
        Expect::PasswordAsked | Expect::AddressRefused if (200..400).contains(&status) => {
            unhealthy(format!(
                "{status}: anybody gets in; `tavernctl plan` shows what changed"
            ))
        }
        Expect::AddressRefused if status == 401 => unhealthy(
            "401 instead of 403: a password alone lets anybody in; `tavernctl plan` shows what changed",
        ),
        Expect::Redirected { to } => judge_redirect(answer, to),
        Expect::Named if status < 500 => healthy(format!("{status}")),
        _ => unhealthy(format!("{status}: {}", status_hint(status, hints))),
    }
}

fn judge_redirect(answer: &Answer, to: &str) -> Judged {
    let location = answer.header("location").unwrap_or("");
    if !matches!(answer.status, 301 | 302 | 307 | 308) {
        unhealthy(format!(
            "{} instead of a redirect to {to}: does another site answer instead? `tavernctl plan` shows what changed",
            answer.status
        ))
    } else if location.starts_with(to) {
        healthy(format!("{} to {to}", answer.status))
    } else {
        unhealthy(format!(
            "{} to {}, not {to}: `tavernctl plan` shows what changed",
            answer.status,
            location.escape_default()
        ))
    }
}

fn no_answer(expect: &Expect, hints: &Hints, error: &HostError) -> Judged {
    let judged = refused(error);
    let own_socket = matches!(expect, Expect::Alive | Expect::Ready);
    match judged.verdict {
        Verdict::Unhealthy if own_socket => unhealthy(format!("{error}; {}", app_hint(hints))),
        Verdict::Unhealthy => unhealthy(format!("{error}; does nginx run?")),
        _ => judged,
    }
}

/// What an app says of a failure: the title and detail of its JSON, else its status alone.
fn word(answer: &Answer) -> String {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = ["detail", "title", "message", "error", "status"]
        .iter()
        .find_map(|key| body.get(key)?.as_str())
        .unwrap_or("without a reason");
    let text: String = text.chars().filter(|c| !c.is_control()).take(160).collect();
    text.trim_end_matches('.').to_owned()
}

fn app_hint(hints: &Hints) -> String {
    match &hints.app {
        Some(app) => format!("`tavernctl logs {app}` says more"),
        None => "`tavernctl logs` says more".into(),
    }
}

fn status_hint(status: u16, hints: &Hints) -> String {
    let log = hints.log.as_deref().unwrap_or("nginx's error log");
    match (status, &hints.app, &hints.directory) {
        (502..=504, Some(app), _) => {
            format!("nginx gets no answer from the app: `tavernctl restart {app}`, then see {log}")
        }
        (403 | 404, _, Some(directory)) => {
            format!("is there an index.html in {directory} that www-data can read?")
        }
        (401, ..) => {
            "it asks for a password the stack file does not ask for: `tavernctl plan` shows what changed".into()
        }
        (403, ..) => {
            "the address is refused: `allow` of the site in its stack file says who may come in; \
             `tavernctl plan` shows what changed"
                .into()
        }
        (500, ..) => format!("is the password file readable for www-data? See {log}"),
        _ => format!("see {log}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Verdict::{Healthy, Unhealthy, Unknown};

    fn verdict(expect: &Expect, status: u16) -> Verdict {
        let answer = Answer {
            status,
            ..Answer::default()
        };
        judge(expect, &Hints::default(), &Ok(answer)).verdict
    }

    #[test]
    fn every_expectation_both_ways() {
        for (expect, good, bad) in [
            (Expect::Alive, 200, 404),
            (Expect::Ready, 200, 503),
            (Expect::Served, 200, 502),
            (Expect::PasswordAsked, 401, 200),
            (Expect::PasswordAsked, 401, 403),
            (Expect::LoggedIn, 200, 401),
            (Expect::LoggedIn, 200, 500),
            (Expect::AddressRefused, 403, 200),
            (Expect::AddressRefused, 403, 401),
            (Expect::Named, 404, 502),
        ] {
            assert_eq!(verdict(&expect, good), Healthy, "{expect:?} {good}");
            assert_eq!(verdict(&expect, bad), Unhealthy, "{expect:?} {bad}");
            assert_eq!(verdict(&expect, 429), Unknown, "{expect:?}");
        }
    }

    #[test]
    fn an_open_door_is_called_one() {
        let answer = Ok(Answer {
            status: 200,
            ..Answer::default()
        });
        let judged = judge(&Expect::PasswordAsked, &Hints::default(), &answer);
        assert!(
            judged.reason.contains("anybody gets in"),
            "{}",
            judged.reason
        );
    }

    #[test]
    fn redirects() {
        let to = Expect::Redirected {
            to: "https://a.example/".into(),
        };
        let verdict = |status, location: &str| {
            let answer = Answer {
                status,
                headers: vec![("location".into(), location.into())],
                ..Answer::default()
            };
            judge(&to, &Hints::default(), &Ok(answer)).verdict
        };
        assert_eq!(verdict(301, "https://a.example/x"), Healthy);
        assert_eq!(verdict(301, "https://b.example/"), Unhealthy);
        assert_eq!(verdict(301, "http://a.example/"), Unhealthy);
        assert_eq!(verdict(200, ""), Unhealthy);
    }

    #[test]
    fn a_degraded_app_says_why() {
        let hints = Hints {
            app: Some("counter".into()),
            ..Hints::default()
        };
        let answer = Ok(Answer {
            status: 503,
            body: br#"{"title":"x","detail":"The store is away."}"#.to_vec(),
            ..Answer::default()
        });
        let judged = judge(&Expect::Ready, &hints, &answer);
        assert_eq!(
            judged,
            unhealthy("503, The store is away; `tavernctl logs counter` says more")
        );
    }

    #[test]
    fn no_answer_is_unhealthy_unless_we_may_not_ask() {
        let io = |kind| {
            Err(HostError::Io {
                action: "connect to",
                path: "/run/tavern/counter.sock".into(),
                source: std::io::Error::from(kind),
            })
        };
        let judge = |kind| judge(&Expect::Alive, &Hints::default(), &io(kind)).verdict;
        assert_eq!(judge(std::io::ErrorKind::ConnectionRefused), Unhealthy);
        assert_eq!(judge(std::io::ErrorKind::PermissionDenied), Unknown);
    }
}
