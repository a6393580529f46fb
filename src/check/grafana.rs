use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use super::finding::{Finding, Judged, healthy, refused, since, unhealthy};
use crate::host::{Answer, Door, Host, HostError, Request};
use crate::model::Name;
use crate::stack::{ContainerKind, SiteContent, Stack};

/// Asks each Grafana whether it runs and has its database.
pub(super) fn probe(host: &Host, stack: &Stack) -> Vec<Finding> {
    let containers = stack.containers.iter();
    containers
        .filter(|one| one.kind == ContainerKind::Grafana)
        .filter_map(|one| Some((one, one.observer?.port)))
        .map(|(container, port)| {
            let begun = Instant::now();
            let content = SiteContent::Container(container.role.clone());
            let mut sites = stack.sites.iter();
            let site = sites.find(|site| site.content == content);
            let prefix = site.map(|site| site.path.prefix()).unwrap_or_default();
            let door = Door::Plain(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
            let asked = [Request::get(door, format!("{prefix}/api/health"))];
            let answers = host.http.send_all(&asked);
            let judged = match answers.first() {
                Some(answer) => judge(&container.name, answer),
                None => unhealthy("it was not asked"),
            };
            let subject = format!("grafana {}", container.name);
            Finding::new(Some(&stack.name), subject, judged, since(begun))
        })
        .collect()
}

fn judge(name: &Name, answer: &Result<Answer, HostError>) -> Judged {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return refused(error),
    };
    let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match (answer.status, told["database"].as_str()) {
        (200, Some("ok")) => healthy("ready, its database answers"),
        (status, _) => unhealthy(format!(
            "{status}: it does not say that its database is well; `docker logs {name}` says why"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Verdict;

    #[test]
    fn each_answer_of_a_grafana() {
        let name: Name = "counter-grafana".parse().unwrap();
        let verdict = |status, body: &str| {
            let answer = Answer {
                status,
                body: body.as_bytes().to_vec(),
                ..Answer::default()
            };
            judge(&name, &Ok(answer)).verdict
        };
        let well = r#"{"database":"ok","version":"11.4.0"}"#;
        assert_eq!(verdict(200, well), Verdict::Healthy);
        assert_eq!(
            verdict(503, r#"{"database":"failing"}"#),
            Verdict::Unhealthy
        );
        assert_eq!(verdict(200, "<html>"), Verdict::Unhealthy);
        assert_eq!(verdict(301, well), Verdict::Unhealthy);
        let refused = judge(&name, &Err(HostError::Unexpected("refused".into())));
        assert_ne!(refused.verdict, Verdict::Healthy);
    }
}
