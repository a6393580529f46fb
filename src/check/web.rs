use std::net::IpAddr;

use super::access::visits;
use super::certificate::judge_served;
use super::expect::{Expect, Hints, judge};
use super::finding::{Finding, Verdict, note, refused};
use super::front::Front;
use super::passwords::{self, SitePassword};
use super::{Leaves, Setting};
use crate::host::{Answer, Door, Host, HostError, Request};
use crate::model::Name;
use crate::stack::{App, Program, Site, SiteContent, Stack};

/// A request, what must come of it, and where it belongs.
struct Ask<'a> {
    stack: &'a Stack,
    subject: String,
    request: Request,
    expect: Expect,
    hints: Hints,
    /// Whether the certificate shown gets a finding of its own.
    shows_certificate: bool,
}

/// Asks apps through their sockets and all sites through nginx, everything at once.
pub fn probe(host: &Host, stacks: &[Stack], site: &Setting, leaves: &Leaves) -> Vec<Finding> {
    let own = host.net.addresses();
    let mut asks = Vec::new();
    let mut findings = Vec::new();
    for stack in stacks {
        let planner = Planner {
            stack,
            site,
            front: Front::of(stack),
        };
        let known = match host.files.read(&site.layout.passwords(&stack.name)) {
            Ok(bytes) => Ok(bytes
                .map(|bytes| passwords::parse(&bytes))
                .unwrap_or_default()),
            Err(error) => Err(error),
        };
        asks.extend(planner.app_asks());
        asks.extend(planner.host_asks());
        for served in &stack.sites {
            let (site_asks, site_findings) = planner.site_asks(served, &own, &known);
            asks.extend(site_asks);
            findings.extend(site_findings);
        }
        // One handshake per stack speaks for its certificate.
        let through_tls = |ask: &&mut Ask| {
            ask.stack.name == stack.name && matches!(ask.request.door, Door::Tls { .. })
        };
        if let Some(ask) = asks.iter_mut().find(through_tls) {
            ask.shows_certificate = true;
        }
    }
    let requests: Vec<_> = asks.iter().map(|ask| ask.request.clone()).collect();
    let answers = host.http.send_all(&requests);
    for (ask, answer) in asks.iter().zip(&answers) {
        findings.extend(ask.findings(answer, leaves));
    }
    findings
}

impl Ask<'_> {
    fn findings(&self, answer: &Result<Answer, HostError>, leaves: &Leaves) -> Vec<Finding> {
        let took = answer.as_ref().map_or(0, |answer| {
            u64::try_from(answer.elapsed.as_millis()).unwrap_or(u64::MAX)
        });
        let name = &self.stack.name;
        let finding = |subject: &str, judged| Finding::new(Some(name), subject, judged, took);
        let mut judged = judge(&self.expect, &self.hints, answer);
        let served = answer.as_ref().ok().map(|answer| {
            let file = leaves.get(name).and_then(Option::as_deref);
            judge_served(answer.certificate.as_deref(), file)
        });
        // By another name, only the certificate tells whether it is the stack that answered.
        if let (Expect::Named, Some(served)) = (&self.expect, &served)
            && judged.verdict == Verdict::Healthy
            && served.verdict != Verdict::Healthy
        {
            judged = served.clone();
        }
        let mut findings = vec![finding(&self.subject, judged)];
        if let (true, Some(served)) = (self.shows_certificate, served) {
            findings.push(finding("certificate served", served));
        }
        findings
    }
}

struct Planner<'a> {
    stack: &'a Stack,
    site: &'a Setting,
    front: Front,
}

impl<'a> Planner<'a> {
    fn ask(&self, subject: String, request: Request, expect: Expect, hints: Hints) -> Ask<'a> {
        Ask {
            stack: self.stack,
            subject,
            request,
            expect,
            hints,
            shows_certificate: false,
        }
    }

    /// Each app through its own socket.
    fn app_asks(&self) -> Vec<Ask<'a>> {
        let mut asks = Vec::new();
        for app in &self.stack.apps {
            let socket = self.site.layout.app_socket(&self.stack.name, &app.name);
            let door = Door::Unix(socket);
            let hints = Hints {
                app: Some(app.name.to_string()),
                ..Hints::default()
            };
            let prefix = self.prefix(&app.name);
            let (alive, ready) = health_paths(app);
            for (what, path, expect) in [
                ("socket", alive, Expect::Alive),
                ("ready", ready, Expect::Ready),
            ] {
                let request = Request::get(door.clone(), format!("{prefix}{path}"));
                let subject = format!("app {}, {what}", app.name);
                asks.push(self.ask(subject, request, expect, hints.clone()));
            }
        }
        asks
    }

    /// Where an app is served: it answers below that path only.
    fn prefix(&self, app: &Name) -> &'a str {
        self.stack
            .sites
            .iter()
            .find(|site| site.content == SiteContent::App(app.clone()))
            .map_or("", |site| site.path.prefix())
    }

    /// The redirect to TLS, and the names beside the first.
    fn host_asks(&self) -> Vec<Ask<'a>> {
        let Some(first) = self.stack.sites.first() else {
            return Vec::new();
        };
        let path = format!("{}/", first.path.prefix());
        let mut asks = Vec::new();
        // One that answers to any name takes port 80 only together with 443.
        if !self.stack.is_default_server() || self.stack.is_on_standard_port() {
            let port = self.front.https_port(self.site);
            let to = format!("https://{}/", self.front.authority(port, 443));
            asks.push(self.ask(
                "http to https".into(),
                self.front.plain(self.site, &path),
                Expect::Redirected { to },
                Hints::default(),
            ));
        }
        for front in Front::others(self.stack) {
            let request = front.request(self.site, &path, None);
            let subject = format!("name {}", front.host);
            asks.push(self.ask(subject, request, Expect::Named, Hints::default()));
        }
        asks
    }

    /// A site through nginx and TLS, from where it is allowed and from where it is not.
    fn site_asks(
        &self,
        served: &Site,
        own: &[IpAddr],
        known: &Result<Vec<SitePassword>, HostError>,
    ) -> (Vec<Ask<'a>>, Vec<Finding>) {
        let path = self.probe_path(served);
        let hints = self.hints(served);
        let name = title(served);
        let title = |what: &str| match what {
            "" => name.clone(),
            what => format!("{name}, {what}"),
        };
        let front = Front::of_site(self.stack, served);
        if let SiteContent::Redirect(redirect) = &served.content {
            let to = redirect.to.to_string();
            let request = front.request(self.site, &path, None);
            let ask = self.ask(title(""), request, Expect::Redirected { to }, hints);
            return (vec![ask], Vec::new());
        }
        let (visits, unproven) = visits(served.access.as_ref(), own, self.site.loopback);
        let mut findings: Vec<_> = unproven
            .into_iter()
            .map(|why| Finding::new(Some(&self.stack.name), title(""), note(why), 0))
            .collect();
        let mut asks = Vec::new();
        for visit in visits {
            let mut request = front.request(self.site, &path, visit.from);
            if visit.with_password {
                let login = match (&served.access, known) {
                    (_, Err(error)) => Err(refused(error)),
                    (Some(access), Ok(known)) => {
                        passwords::find(known, &served.name, &access.accounts).ok_or_else(|| {
                            note("no password is kept for it: logging in was not tried")
                        })
                    }
                    (None, Ok(_)) => continue,
                };
                match login {
                    Ok(login) => {
                        let basic = passwords::basic(&login.account, &login.password);
                        request = request.header("authorization", basic);
                    }
                    Err(judged) => {
                        let title = title(visit.what);
                        findings.push(Finding::new(Some(&self.stack.name), title, judged, 0));
                        continue;
                    }
                }
            }
            asks.push(self.ask(title(visit.what), request, visit.expect, hints.clone()));
        }
        (asks, findings)
    }

    fn probe_path(&self, served: &Site) -> String {
        let prefix = served.path.prefix();
        let app = match &served.content {
            SiteContent::Container(_) => return format!("{prefix}/api/health"),
            SiteContent::App(name) => self.stack.app(name),
            _ => None,
        };
        match app {
            Some(app) => format!("{prefix}{}", health_paths(app).0),
            None => format!("{prefix}/"),
        }
    }

    fn hints(&self, served: &Site) -> Hints {
        let layout = &self.site.layout;
        let stack = &self.stack.name;
        let log = format!("{stack}-{}.error.log", served.name);
        let mut hints = Hints {
            log: Some(layout.logs.join(log).display().to_string()),
            passwords: Some(layout.passwords(stack).display().to_string()),
            ..Hints::default()
        };
        match &served.content {
            SiteContent::App(name) => hints.app = Some(name.to_string()),
            SiteContent::Seeded(name) => {
                hints.directory = Some(layout.site_root(stack, name).display().to_string());
            }
            SiteContent::Directory(path) => hints.directory = Some(path.display().to_string()),
            SiteContent::Redirect(_) | SiteContent::Status | SiteContent::Container(_) => {}
        }
        hints
    }
}

/// The same path may be served at another name too.
fn title(served: &Site) -> String {
    match &served.host {
        Some(host) => format!("site {host}{}", served.path),
        None => format!("site {}", served.path),
    }
}

/// Where an app says that it lives, and that it can do its work.
fn health_paths(app: &App) -> (&'static str, &'static str) {
    match app.program {
        Program::Counter => ("/api/ping", "/health/ready"),
    }
}

#[cfg(test)]
mod tests;
