use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

const OBSERVERS: &str = "[container.grafana]\nkind = \"grafana\"\nimage = \"grafana/grafana:11.4.0\"\n\
     [container.prometheus]\nkind = \"prometheus\"\nimage = \"prom/prometheus:v3.1.0\"\nretention-days = 30\n\
     [[site]]\npath = \"/grafana/\"\ncontainer = \"grafana\"\n[firewall]";

/// What is there for them, and only with them.
#[test]
fn prometheus_and_grafana_are_as_reviewed() {
    let stacks = [stack("[firewall]", OBSERVERS)];
    let desired = expand(&stacks, &facts(), &Layout::system(), &Edge::public()).unwrap();
    let ids: Vec<String> = desired
        .iter()
        .map(|d| d.resource.id().to_string())
        .collect();
    let words = ["grafana", "prometheus", "metrics"];
    let about: Vec<&String> = ids
        .iter()
        .filter(|id| words.iter().any(|word| id.contains(word)))
        .collect();
    let mut shown = format!("{about:#?}\n");
    for path in [
        "/etc/tavern/containers/counter-prometheus/prometheus.yml",
        "/etc/tavern/containers/counter-grafana/grafana.ini",
        "/etc/tavern/containers/counter-grafana/provisioning/datasources/tavern.yml",
        "/etc/tavern/containers/counter-grafana/provisioning/dashboards/tavern.yml",
        "/etc/systemd/system/tavern-metrics.socket",
        "/etc/systemd/system/tavern-metrics.service",
        "/etc/systemd/system/tavern-counter.metrics.socket",
        "/etc/sysusers.d/tavern.conf",
        "/etc/tmpfiles.d/tavern.conf",
    ] {
        shown.push_str(&format!("== {path}\n{}", text_of(&desired, path)));
    }
    let containers = desired.iter().filter_map(|d| match &d.resource {
        Resource::Container(one) if one.name != "redis-flask" => Some(one),
        _ => None,
    });
    for container in containers {
        shown.push_str(&serde_json::to_string_pretty(container).unwrap());
        shown.push('\n');
    }
    let nginx = text_of(&desired, "/etc/nginx/sites-available/tavern-counter.conf");
    let from = nginx.find("location /grafana/ {").unwrap();
    let until = from + nginx[from..].find("\n    }\n").unwrap();
    shown.push_str(&nginx[from..until]);
    insta::assert_snapshot!(shown);
    let without = all(&facts());
    assert!(!without.iter().any(|d| {
        let id = d.resource.id().to_string();
        id.contains("tavern-metrics") || id.contains("prometheus") || id.contains("grafana")
    }));
}

/// The names of numbers in an expression.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = expression.split(move |c| !is_word(c));
    words.filter(|word| word.starts_with("tavern_") || word.starts_with("process_"))
}

/// What a Grafana is given is checked for its form: Debian has no Grafana that could be asked.
#[test]
fn the_dashboard_and_the_rules_ask_for_numbers_that_are_promised() {
    let dashboard: Value =
        serde_json::from_str(include_str!("../../../provision/grafana/dashboard.json")).unwrap();
    let source = include_str!("../../../provision/grafana/datasource.yml");
    let promised = include_str!("../../../www/docs/metrics.md");
    let apps = include_str!("../../../www/docs/service.md");
    let mut ids = BTreeSet::new();
    let mut asked = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{}", panel["id"]);
        for target in panel["targets"].as_array().into_iter().flatten() {
            let uid = target["datasource"]["uid"].as_str().unwrap();
            assert!(source.contains(&format!("uid: {uid}\n")), "{uid}");
            asked.extend(names(target["expr"].as_str().unwrap()).map(str::to_owned));
        }
    }
    let rules = include_str!("../../../provision/alerts.yml");
    let expressions = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "));
    asked.extend(expressions.flat_map(names).map(str::to_owned));
    assert!(ids.len() > 15 && asked.len() > 20, "{asked:?}");
    for name in asked {
        // A histogram is promised by its own name.
        let name = name.trim_end_matches("_bucket");
        let is_promised = [promised, apps].iter().any(|text| text.contains(name));
        assert!(is_promised, "{name} is in no document");
    }
}

#[test]
fn no_password_of_a_grafana_is_in_what_docker_shows() {
    let stacks = [stack("[firewall]", OBSERVERS)];
    let desired = expand(&stacks, &facts(), &Layout::system(), &Edge::public()).unwrap();
    for item in &desired {
        let Resource::Container(container) = &item.resource else {
            continue;
        };
        for (name, value) in &container.environment {
            assert!(name.ends_with("__FILE"), "{name}");
            assert!(value.starts_with("/etc/grafana/"), "{value}");
        }
    }
    let copies = desired.iter().filter(|item| match &item.resource {
        Resource::File(file) => {
            matches!(file.content, Content::Password(_))
                && file.mode == crate::model::Mode(0o640)
                && file.owner.group == "tavern-counter-grafana"
        }
        _ => false,
    });
    assert_eq!(copies.count(), 2);
}
