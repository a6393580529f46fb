use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::finding::{Finding, Judged, healthy, refused, since, unhealthy};
use crate::host::{Answer, Door, Host, HostError, Request};
use crate::stack::{Container, ContainerKind, Stack};

/// What Prometheus wraps its answers in.
#[derive(Deserialize)]
struct Told<T> {
    data: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Targets {
    active_targets: Vec<Target>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    scrape_pool: String,
    health: String,
    #[serde(default)]
    last_error: String,
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    name: String,
    health: String,
    #[serde(default, rename = "lastError")]
    last_error: String,
}

/// Asks each Prometheus whether it is ready, whether all that it asks answers, and whether its rules hold.
pub(super) fn probe(host: &Host, stack: &Stack) -> Vec<Finding> {
    let containers = stack.containers.iter();
    containers
        .filter(|one| one.kind == ContainerKind::Prometheus)
        .filter_map(|one| Some((one, one.observer?.port)))
        .map(|(container, port)| {
            let begun = Instant::now();
            let door = || Door::Plain(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
            let answers = host.http.send_all(&[
                Request::get(door(), "/-/ready"),
                Request::get(door(), "/api/v1/targets?state=active"),
                Request::get(door(), "/api/v1/rules?type=alert&exclude_alerts=true"),
            ]);
            let judged = judge(container, &answers);
            let subject = format!("prometheus {}", container.name);
            Finding::new(Some(&stack.name), subject, judged, since(begun))
        })
        .collect()
}

fn judge(container: &Container, answers: &[Result<Answer, HostError>]) -> Judged {
    let [ready, targets, rules] = answers else {
        return unhealthy("it was not asked");
    };
    let name = &container.name;
    match ready {
        Ok(answer) if answer.status == 200 => {}
        Ok(answer) => {
            return unhealthy(format!(
                "not ready ({}): `docker logs {name}` says why",
                answer.status
            ));
        }
        Err(error) => return refused(error),
    }
    let (Some(targets), Some(groups)) = (told::<Targets>(targets), told::<Groups>(rules)) else {
        return unhealthy(format!(
            "something else than Prometheus answers on its port, or not whole: `docker logs {name}`"
        ));
    };
    let targets = targets.active_targets;
    let mut down = targets.iter().filter(|one| one.health == "down");
    if let Some(one) = down.next() {
        return unhealthy(format!(
            "it gets no numbers of `{}` ({}): `systemctl status tavern-metrics tavernd` shows more",
            one.scrape_pool, one.last_error
        ));
    }
    let rules = || groups.groups.iter().flat_map(|group| &group.rules);
    if let Some(rule) = rules().find(|rule| rule.health == "err") {
        return unhealthy(format!("rule {} fails: {}", rule.name, rule.last_error));
    }
    match (targets.len(), rules().count()) {
        (0, _) => unhealthy(format!("it asks nobody: `docker restart {name}`")),
        (_, 0) => unhealthy(format!("it has no rules: `docker restart {name}`")),
        (targets, rules) => healthy(format!("ready, {targets} sources answer, {rules} rules")),
    }
}

fn told<T: DeserializeOwned>(answer: &Result<Answer, HostError>) -> Option<T> {
    let answer = answer.as_ref().ok().filter(|one| one.status == 200)?;
    let told: Told<T> = serde_json::from_slice(&answer.body).ok()?;
    Some(told.data)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::check::finding::Verdict;

    const TARGETS: &str = r#"{"status":"success","data":{"activeTargets":[
        {"scrapePool":"tavern","health":"up","lastError":""},
        {"scrapePool":"app-counter","health":"unknown","lastError":""}],"droppedTargets":[]}}"#;
    const RULES: &str = r#"{"status":"success","data":{"groups":[{"name":"counter","rules":[
        {"name":"AppDown","health":"ok","type":"alerting"}]}]}}"#;

    fn answer(status: u16, body: &str) -> Result<Answer, HostError> {
        Ok(Answer {
            status,
            body: body.as_bytes().to_vec(),
            ..Answer::default()
        })
    }

    fn judged(ready: Result<Answer, HostError>, targets: &str, rules: &str) -> Judged {
        let text = format!(
            "{}\n[container.numbers]\nkind = \"prometheus\"\nimage = \"prom/prometheus:v3.1.0\"\n",
            crate::stack::DEFAULT
        );
        let stack = crate::stack::parse(Path::new("counter.toml"), text.as_bytes()).unwrap();
        let container = stack.container(&"numbers".parse().unwrap()).unwrap();
        judge(
            container,
            &[ready, answer(200, targets), answer(200, rules)],
        )
    }

    #[test]
    fn each_fault_of_a_prometheus() {
        let ready = || answer(200, "ready");
        let good = judged(ready(), TARGETS, RULES);
        assert_eq!(good, healthy("ready, 2 sources answer, 1 rules"));
        let none = r#"{"data":{"activeTargets":[]}}"#;
        for (ready, targets, rules, what) in [
            (answer(503, "no"), TARGETS, RULES, "not ready (503)"),
            (
                Err(HostError::Unexpected("connection refused".into())),
                TARGETS,
                RULES,
                "connection refused",
            ),
            (ready(), "<html>", RULES, "something else"),
            (ready(), none, RULES, "asks nobody"),
            (
                ready(),
                &TARGETS.replace(r#""unknown","lastError":"""#, r#""down","lastError":"502""#),
                RULES,
                "no numbers of `app-counter` (502)",
            ),
            (ready(), TARGETS, r#"{"data":{"groups":[]}}"#, "no rules"),
            (
                ready(),
                TARGETS,
                &RULES.replace(r#""ok""#, r#""err","lastError":"many-to-many""#),
                "rule AppDown fails: many-to-many",
            ),
        ] {
            let judged = judged(ready, targets, rules);
            assert_ne!(judged.verdict, Verdict::Healthy);
            assert!(judged.reason.contains(what), "{judged:?}");
        }
    }
}
