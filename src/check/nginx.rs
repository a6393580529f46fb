use std::time::Instant;

use super::Setting;
use super::finding::{Finding, Judged, healthy, refused, since, unhealthy};
use crate::host::{Host, HostError};
use crate::model::HostPattern;
use crate::stack::Stack;

/// nginx's own word on its configuration; a person's `nginx -t`.
pub fn probe_configuration(host: &Host, stacks: &[Stack]) -> Finding {
    let begun = Instant::now();
    let judged = judge_test(host.nginx.test(&[]), stacks);
    Finding::new(None, "nginx configuration", judged, since(begun))
}

/// Which configuration the running nginx has: a reload may fail in silence.
pub fn probe_generation(host: &Host, site: &Setting) -> Finding {
    let begun = Instant::now();
    let running = host.nginx.generation(site.http_port);
    let judged = judge_generation(running.as_deref(), site);
    Finding::new(None, "nginx generation", judged, since(begun))
}

fn judge_test(result: Result<String, HostError>, stacks: &[Stack]) -> Judged {
    let said = match result {
        Ok(said) => said,
        Err(error) => return refused(&error),
    };
    let warnings: Vec<_> = said
        .lines()
        .filter(|line| line.contains("[warn]"))
        .collect();
    // `nginx -t` exits 0 on a name that two servers claim, and ours may be the one ignored.
    match warnings.iter().find(|line| concerns_us(line, stacks)) {
        Some(line) => unhealthy(format!(
            "{}: mend the other file, then reload nginx",
            line.trim()
        )),
        None if warnings.is_empty() => healthy("`nginx -t` is content"),
        None => healthy(format!(
            "valid; {} warnings about others' files",
            warnings.len()
        )),
    }
}

fn concerns_us(warning: &str, stacks: &[Stack]) -> bool {
    warning.contains("/tavern-")
        || stacks
            .iter()
            .flat_map(|stack| &stack.hosts)
            .any(|pattern| match pattern {
                HostPattern::Any => {
                    warning.contains("server name \"_\"") || warning.contains("server name \"\"")
                }
                named => warning.contains(&format!("\"{named}\"")),
            })
}

fn judge_generation(running: Option<&str>, site: &Setting) -> Judged {
    match (running, site.generation.as_deref()) {
        (None, _) => unhealthy(format!(
            "the running nginx does not say which configuration it has on port {}: {}",
            site.http_port,
            if site.managed {
                "`systemctl reload nginx`, then `journalctl -u nginx`"
            } else {
                "is it still running?"
            }
        )),
        (Some(running), Some(wanted)) if running != wanted => unhealthy(format!(
            "nginx runs an older configuration ({running}): `systemctl reload nginx`, then look at its error log"
        )),
        (Some(running), _) => healthy(format!("runs {running}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Verdict;

    fn stack(hosts: &str) -> Stack {
        let text = crate::stack::DEFAULT.replace("hosts = [\"*\"]", hosts);
        crate::stack::parse(std::path::Path::new("counter.toml"), text.as_bytes()).unwrap()
    }

    #[test]
    fn warnings_about_our_names_are_failures() {
        let named = [stack("hosts = [\"example.org\"]")];
        let verdict = |said: &str| judge_test(Ok(said.to_owned()), &named).verdict;
        assert_eq!(verdict(""), Verdict::Healthy);
        let conflict = |name| {
            format!("nginx: [warn] conflicting server name \"{name}\" on 0.0.0.0:443, ignored")
        };
        assert_eq!(verdict(&conflict("example.org")), Verdict::Unhealthy);
        assert_eq!(verdict(&conflict("other.example")), Verdict::Healthy);
        assert_eq!(verdict(&conflict("_")), Verdict::Healthy);
        let any = [stack("hosts = [\"*\"]")];
        assert_eq!(
            judge_test(Ok(conflict("_")), &any).verdict,
            Verdict::Unhealthy
        );
        let ours = "nginx: [warn] x in /etc/nginx/sites-enabled/tavern-counter.conf:3";
        assert_eq!(verdict(ours), Verdict::Unhealthy);
    }

    #[test]
    fn a_refused_configuration_is_a_failure() {
        let refused = |text: &str| judge_test(Err(HostError::Nginx(text.into())), &[]).verdict;
        assert_eq!(refused("[emerg] unknown directive"), Verdict::Unhealthy);
        assert_eq!(refused("open() (13: Permission denied)"), Verdict::Unknown);
    }

    #[test]
    fn generation() {
        let mut site = Setting::installed();
        assert_eq!(judge_generation(None, &site).verdict, Verdict::Unhealthy);
        assert_eq!(judge_generation(Some("a"), &site).verdict, Verdict::Healthy);
        site.generation = Some("b".into());
        assert_eq!(
            judge_generation(Some("a"), &site).verdict,
            Verdict::Unhealthy
        );
        assert_eq!(judge_generation(Some("b"), &site).verdict, Verdict::Healthy);
    }
}
