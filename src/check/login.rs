//! Whether a password opens a door: asked for real, through nginx.

use super::Setting;
use super::access::source;
use super::front::Front;
use super::passwords::basic;
use crate::host::{Answer, Host, HostError, Request};
use crate::stack::{App, Door, Program, Site, Stack};

/// What came of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// The door opened.
    Opened,
    /// It did not.
    Refused {
        /// nginx's or the app's status.
        status: u16,
    },
    /// No address of this host may ask.
    NotAsked,
    /// Nobody answered.
    NoAnswer(String),
}

/// Logs in once.
pub fn try_login(
    host: &Host,
    setting: &Setting,
    (stack, door): (&Stack, &Door),
    (account, password): (&str, &str),
) -> Login {
    let site_of = |is_it: &dyn Fn(&&Site) -> bool| stack.sites.iter().find(is_it);
    let (site, app) = match door {
        Door::Site(name) => (site_of(&|site| &site.name == name), None),
        Door::App(name) => {
            let leads_there = |site: &&Site| matches!(&site.content, crate::stack::SiteContent::App(app) if app == name);
            (site_of(&leads_there), stack.app(name))
        }
    };
    let Some(site) = site else {
        return Login::NotAsked;
    };
    let allow = site.access.as_ref().map(|access| access.allow.as_slice());
    let from = match allow {
        None | Some([]) => None,
        Some(allow) => match source(allow, &host.net.addresses(), setting.loopback, true) {
            Some(from) => Some(from),
            None => return Login::NotAsked,
        },
    };
    let prefix = site.path.prefix();
    let front = Front::of_site(stack, site);
    let request = match app {
        None => front
            .request(setting, &format!("{prefix}/"), from)
            .header("authorization", basic(account, password)),
        Some(app) => {
            let (path, body) = login_of(app, account, password);
            Request {
                method: "POST",
                body,
                ..front.request(setting, &format!("{prefix}{path}"), from)
            }
            .header("content-type", "application/json")
        }
    };
    judge(host.http.send_all(&[request]).pop())
}

fn judge(answer: Option<Result<Answer, HostError>>) -> Login {
    match answer {
        Some(Ok(answer)) if matches!(answer.status, 401 | 403 | 429) || answer.status >= 500 => {
            Login::Refused {
                status: answer.status,
            }
        }
        // A page that is missing behind an open door is no matter of the password.
        Some(Ok(_)) => Login::Opened,
        Some(Err(error)) => Login::NoAnswer(error.to_string()),
        None => Login::NotAsked,
    }
}

fn login_of(app: &App, account: &str, password: &str) -> (&'static str, Vec<u8>) {
    match app.program {
        Program::Counter => {
            let body = serde_json::json!({ "username": account, "password": password });
            ("/auth/login", body.to_string().into_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_closed_door_is_a_refusal() {
        let came = |status| {
            judge(Some(Ok(Answer {
                status,
                ..Answer::default()
            })))
        };
        for status in [200, 301, 404] {
            assert_eq!(came(status), Login::Opened, "{status}");
        }
        for status in [401, 403, 429, 500, 502] {
            assert_eq!(came(status), Login::Refused { status });
        }
        assert_eq!(judge(None), Login::NotAsked);
    }
}
