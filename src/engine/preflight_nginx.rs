//! Whether the host's nginx can take what is written for it.

use std::path::Path;

use super::{Engine, EngineError};
use crate::host::NginxSetup;
use crate::plan::Plan;
use crate::resource::{NginxTree, Resource};

/// Where a plan is tried before there is a state directory; gone when it was.
pub(super) const STAGE: &str = "/run/tavern-stage";

const NGINX_UNIT: &str = "nginx.service";

/// The group of sockets and password files.
const WEB: &str = "www-data";

impl Engine<'_> {
    pub(super) fn ports_are_free(&self, plan: &Plan) -> Result<(), EngineError> {
        let mut ours = vec![self.edge.http_port, self.edge.https_port];
        ours.extend(nginx_tree(plan).iter().flat_map(|tree| &tree.ports));
        for listener in self.host.net.listeners() {
            let taken = ours.contains(&listener.port);
            if taken && !self.is_the_hosts_nginx(listener.owner.as_ref())? {
                return Err(taken_by(listener.port, listener.owner.as_ref()));
            }
        }
        Ok(())
    }

    /// Whether a process is nginx.service's. One that is merely called nginx, in a container on the host's
    /// network or started by hand, would not reload what is written for the host's.
    fn is_the_hosts_nginx(&self, owner: Option<&(u32, String)>) -> Result<bool, EngineError> {
        let Some((pid, _)) = owner.filter(|(_, name)| name == "nginx") else {
            return Ok(false);
        };
        let systemd = &self.host.systemd;
        if systemd.unit_of(*pid).as_deref() == Some(NGINX_UNIT) {
            return Ok(true);
        }
        let reports = systemd.reports(&[NGINX_UNIT])?;
        Ok(reports.iter().any(|report| report.main_pid == *pid))
    }

    /// A configuration that is broken already is its owner's to mend: with it, no reload of ours could succeed.
    pub(super) fn nginx_is_sound(&self, plan: &Plan) -> Result<(), EngineError> {
        let (Some(tree), Some(_)) = (nginx_tree(plan), self.host.nginx.version()) else {
            return Ok(());
        };
        let masked = self
            .host
            .systemd
            .reports(&[NGINX_UNIT])?
            .iter()
            .any(|report| report.load == "masked");
        if masked {
            return Err(EngineError::NotReady {
                what: "nginx.service is masked: it would not start".into(),
                help: "`systemctl unmask nginx` if that is not what you want, then run it again"
                    .into(),
            });
        }
        let Err(fault) = self.host.nginx.test(&tree.ports) else {
            return would_serve(&self.host.nginx.setup()?, tree);
        };
        // It may be a file of ours that somebody deleted: then the plan is the cure.
        let removed = self.host.nginx.stale(tree)?;
        match self
            .host
            .nginx
            .test_staged(tree, &removed, Path::new(STAGE))
        {
            Ok(_) => Ok(()),
            Err(_) => Err(fault.into()),
        }
    }
}

fn nginx_tree(plan: &Plan) -> Option<&NginxTree> {
    plan.steps.iter().find_map(|step| match &step.resource {
        Resource::Nginx(tree) => Some(tree),
        _ => None,
    })
}

/// Whether nginx would read our files, and its workers get at our sockets. Debian's does; nginx.org's, say,
/// reads no `sites-enabled` and works as `nginx`.
fn would_serve(setup: &NginxSetup, tree: &NginxTree) -> Result<(), EngineError> {
    let main = setup.main.display();
    let mut faults = Vec::new();
    let own = tree
        .files
        .keys()
        .filter(|path| in_directory(path, "conf.d"));
    let mut unread: Vec<_> = own
        .chain(tree.links.keys())
        .filter(|path| !setup.includes(path))
        .map(|path| {
            let names = if in_directory(path, "conf.d") {
                "*.conf"
            } else {
                "*"
            };
            path.with_file_name(names)
        })
        .collect();
    unread.dedup();
    for pattern in unread {
        let pattern = pattern.display();
        faults.push((
            format!("{main} does not include {pattern}"),
            format!("add `include {pattern};` inside `http {{ }}`"),
        ));
    }
    let why = format!("sockets and password files are for group {WEB}");
    let say = |file: &Path| format!("set `user {WEB};` in {}", file.display());
    match &setup.workers {
        Some(workers) if workers.group == WEB => {}
        Some(workers) => faults.push((
            format!(
                "{} has nginx work as `{}`, and {why}",
                workers.file.display(),
                workers.user
            ),
            say(&workers.file),
        )),
        None => faults.push((
            format!("{main} does not say as whom nginx works, and {why}"),
            say(&setup.main),
        )),
    }
    if faults.is_empty() {
        return Ok(());
    }
    let (what, help): (Vec<_>, Vec<_>) = faults.into_iter().unzip();
    Err(EngineError::NotReady {
        what: what.join("; "),
        help: format!("{}; then run it again", help.join(", ")),
    })
}

fn in_directory(path: &Path, name: &str) -> bool {
    path.parent()
        .is_some_and(|directory| directory.ends_with(name))
}

fn taken_by(port: u16, owner: Option<&(u32, String)>) -> EngineError {
    let who = match owner {
        Some((pid, name)) => format!("{name} (process {pid})"),
        None => "a process that cannot be seen from here".to_owned(),
    };
    let help = match owner {
        Some((_, name)) if name == "docker-proxy" => {
            "a container publishes it, `docker ps` shows which: move it to another port, then run it again"
        }
        Some((_, name)) if name == "nginx" => {
            "that nginx is not nginx.service's but a container's (`docker ps`) or was started by hand: stop it, \
             or move it to another port, then run it again"
        }
        Some(_) => "stop and disable that service, or move it to another port, then run it again",
        None => "`ss -ltnp` on the machine around this one may show it: stop it, then run it again",
    };
    EngineError::NotReady {
        what: format!("port {port} is taken by {who}"),
        help: help.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_taken_by_somebody() {
        let error = taken_by(443, Some(&(7, "python3".into())));
        assert_eq!(
            error.to_string(),
            "port 443 is taken by python3 (process 7)"
        );
        let container = taken_by(443, Some(&(7, "docker-proxy".into())));
        assert!(container.help().unwrap().contains("docker ps"));
        let nginx = taken_by(443, Some(&(7, "nginx".into())));
        assert!(nginx.help().unwrap().contains("not nginx.service's"));
        assert!(taken_by(443, None).help().is_some());
    }

    #[test]
    fn nginx_must_read_our_files_and_get_at_our_sockets() {
        let tree = NginxTree {
            files: [
                "/etc/nginx/conf.d/tavern.conf",
                "/etc/nginx/sites-available/tavern-a.conf",
            ]
            .map(|path| (path.into(), String::new()))
            .into(),
            links: ["a", "b"]
                .map(|name| {
                    (
                        format!("/etc/nginx/sites-enabled/tavern-{name}.conf").into(),
                        "x".into(),
                    )
                })
                .into(),
            generation: String::new(),
            http_port: 80,
            ports: vec![80, 443],
            claims_default: true,
        };
        let refusal = |text: &str| {
            let dump = format!("# configuration file /etc/nginx/nginx.conf:\n{text}");
            would_serve(&NginxSetup::read(&dump), &tree).err()
        };
        let both = "include conf.d/*.conf; include sites-enabled/*;";
        for user in ["www-data", "www-data www-data", "nginx www-data"] {
            let sound = refusal(&format!("user {user}; http {{ {both} }}"));
            assert!(sound.is_none(), "{user}: {sound:?}");
        }
        let theirs = refusal("user nginx; http { include /etc/nginx/conf.d/*.conf; }").unwrap();
        assert_eq!(
            theirs.to_string(),
            "/etc/nginx/nginx.conf does not include /etc/nginx/sites-enabled/*; /etc/nginx/nginx.conf has \
             nginx work as `nginx`, and sockets and password files are for group www-data"
        );
        assert_eq!(
            theirs.help().unwrap(),
            "add `include /etc/nginx/sites-enabled/*;` inside `http { }`, set `user www-data;` in /etc/nginx/nginx.conf; \
             then run it again"
        );
        let unsaid = refusal(&format!("http {{ {both} }}")).unwrap().to_string();
        assert!(unsaid.contains("does not say as whom"), "{unsaid}");
    }
}
