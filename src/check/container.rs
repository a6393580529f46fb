use std::time::Instant;

use super::finding::{Finding, Judged, healthy, refused, since, unhealthy};
use super::{Setting, redis};
use crate::host::{FoundContainer, Host};
use crate::mint;
use crate::model::{Layout, Name};
use crate::stack::{Container, ContainerKind, Stack};

/// Asks Docker about the containers of all stacks.
pub fn probe_docker(host: &Host, stacks: &[Stack]) -> Vec<Finding> {
    let containers = stacks
        .iter()
        .flat_map(|stack| stack.containers.iter().map(move |one| (&stack.name, one)));
    let ask = |stack: &Name, container: &Container| {
        let begun = Instant::now();
        let judged = match host.docker.container(container.name.as_str()) {
            Ok(found) => judge(stack, &container.name, found.as_ref()),
            Err(error) => refused(&error),
        };
        let subject = format!("container {}", container.name);
        Finding::new(Some(stack), subject, judged, since(begun))
    };
    // All at once: an engine that hangs takes its whole time for each question.
    std::thread::scope(|scope| {
        let asked: Vec<_> = containers
            .map(|(stack, container)| scope.spawn(move || ask(stack, container)))
            .collect();
        let answers = asked.into_iter().filter_map(|one| one.join().ok());
        answers.collect()
    })
}

fn judge(stack: &Name, name: &Name, found: Option<&FoundContainer>) -> Judged {
    let Some(found) = found else {
        return unhealthy(format!(
            "there is no container {name}: `tavernctl install` makes it"
        ));
    };
    if found.stack.as_deref() != Some(stack.as_str()) {
        let whose = match &found.stack {
            Some(other) => format!("it belongs to stack `{other}`"),
            None => "Tavern did not make it".to_owned(),
        };
        return unhealthy(format!("{whose}: `tavernctl plan` shows what can be done"));
    }
    if !found.running {
        return unhealthy(format!(
            "not running: `docker start {name}`; `docker logs {name}` says why it ended"
        ));
    }
    if !found.published.is_empty() {
        return unhealthy(format!(
            "it publishes {}: `tavernctl install` makes it anew without",
            found.published.join(", ")
        ));
    }
    if !matches!(found.restart_policy.as_str(), "unless-stopped" | "always") {
        return unhealthy(format!(
            "it will not start after a reboot: `docker update --restart unless-stopped {name}`"
        ));
    }
    match found.health.as_str() {
        "unhealthy" => unhealthy(format!(
            "running, but Docker's health check fails: `docker logs {name}`"
        )),
        "starting" => healthy("running, health check not done yet, publishes nothing"),
        "healthy" => healthy("running and healthy, publishes nothing"),
        _ => healthy("running, publishes nothing"),
    }
}

/// Logs in to a Redis as each app that needs it.
pub fn probe_redis(host: &Host, stack: &Stack, site: &Setting) -> Vec<Finding> {
    stack
        .apps
        .iter()
        .flat_map(|app| app.needs.iter().map(move |role| (app, role)))
        .filter_map(|(app, role)| stack.container(role).map(|container| (app, container)))
        .filter(|(_, container)| container.kind == ContainerKind::Redis)
        .map(|(app, container)| {
            let begun = Instant::now();
            let judged = log_in(host, &site.layout, stack, container, &app.name);
            let subject = format!("redis {} as {}", container.name, app.name);
            Finding::new(Some(&stack.name), subject, judged, since(begun))
        })
        .collect()
}

fn log_in(
    host: &Host,
    layout: &Layout,
    stack: &Stack,
    container: &Container,
    user: &Name,
) -> Judged {
    let path = layout.credential(&stack.name, "redis-password");
    let password = match host.files.read(&path) {
        Ok(Some(bytes)) => {
            let passwords = String::from_utf8_lossy(&bytes);
            mint::keys(&passwords).next().unwrap_or_default().to_owned()
        }
        Ok(None) => {
            return unhealthy(format!(
                "no {}: `tavernctl install` makes it",
                path.display()
            ));
        }
        Err(error) => return refused(&error),
    };
    let socket = layout
        .container_run(container.name.as_str())
        .join("redis.sock");
    redis::ping(&socket, user.as_str(), &password)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Verdict;

    #[test]
    fn each_fault_of_a_container() {
        let (stack, name): (Name, Name) =
            ("counter".parse().unwrap(), "redis-flask".parse().unwrap());
        let good = FoundContainer {
            stack: Some("counter".into()),
            running: true,
            health: "healthy".into(),
            restart_policy: "unless-stopped".into(),
            ..FoundContainer::default()
        };
        let verdict = |found: &FoundContainer| judge(&stack, &name, Some(found)).verdict;
        assert_eq!(verdict(&good), Verdict::Healthy);
        let starting = FoundContainer {
            health: "starting".into(),
            restart_policy: "always".into(),
            ..good.clone()
        };
        assert_eq!(verdict(&starting), Verdict::Healthy);
        assert_eq!(judge(&stack, &name, None).verdict, Verdict::Unhealthy);
        let faults: [fn(&mut FoundContainer); 6] = [
            |found| found.running = false,
            |found| found.health = "unhealthy".into(),
            |found| found.restart_policy = "no".into(),
            |found| found.published = vec!["0.0.0.0:6379".into()],
            |found| found.stack = None,
            |found| found.stack = Some("other".into()),
        ];
        for fault in faults {
            let mut bad = good.clone();
            fault(&mut bad);
            assert_eq!(verdict(&bad), Verdict::Unhealthy, "{bad:?}");
        }
    }
}
