use std::time::Instant;

use super::finding::{Finding, Judged, healthy, refused, since, unhealthy, unknown};
use crate::host::{Host, UnitReport};
use crate::model::{Layout, Name};
use crate::stack::Stack;

const NGINX: &str = "nginx.service";

/// A unit to look at.
struct Watched<'a> {
    stack: Option<&'a Name>,
    unit: String,
    /// For an alias, the unit that it must be.
    stands_for: Option<String>,
}

/// Asks systemd, in one go, about nginx and the services, sockets and aliases of all stacks.
pub fn probe(host: &Host, stacks: &[Stack]) -> Vec<Finding> {
    let begun = Instant::now();
    if !host.systemd.is_booted() {
        let judged = unknown("the host was not booted with systemd: units cannot be asked");
        return vec![Finding::new(None, "systemd", judged, since(begun))];
    }
    let watched = watched(stacks);
    let units: Vec<_> = watched.iter().map(|one| one.unit.as_str()).collect();
    let reports = match host.systemd.reports(&units) {
        Ok(reports) => reports,
        Err(error) => {
            let judged = unknown(refused(&error).reason);
            return vec![Finding::new(None, "systemd", judged, since(begun))];
        }
    };
    let took = since(begun);
    watched
        .iter()
        .zip(&reports)
        .map(|(one, report)| {
            let judged = match &one.stands_for {
                Some(service) => judge_alias(&one.unit, service, report),
                None => judge(&one.unit, report),
            };
            Finding::new(one.stack, format!("unit {}", one.unit), judged, took)
        })
        .collect()
}

fn watched(stacks: &[Stack]) -> Vec<Watched<'_>> {
    let mut watched = Vec::new();
    for stack in stacks {
        for app in &stack.apps {
            let stem = Layout::unit_stem(&stack.name, &app.name);
            let service = format!("{stem}.service");
            let mut add = |unit: String, stands_for: Option<String>| {
                watched.push(Watched {
                    stack: Some(&stack.name),
                    unit,
                    stands_for,
                });
            };
            add(format!("{stem}.socket"), None);
            add(Layout::metrics_unit(&stem), None);
            add(service.clone(), None);
            if let Some(alias) = &app.alias {
                add(format!("{alias}.service"), Some(service));
            }
        }
    }
    if stacks.iter().any(|stack| stack.backup.is_some()) {
        let timers = [
            "tavern-backup.timer",
            "tavern-drill.timer",
            "tavern-recover.timer",
        ];
        watched.extend(timers.map(|unit| Watched {
            stack: None,
            unit: unit.to_owned(),
            stands_for: None,
        }));
    }
    if stacks.iter().any(Stack::has_prometheus) {
        let units = ["tavern-metrics.socket", "tavern-metrics.service"];
        watched.extend(units.map(|unit| Watched {
            stack: None,
            unit: unit.to_owned(),
            stands_for: None,
        }));
    }
    if stacks.iter().any(Stack::has_status_page) {
        let units = ["tavern-status.socket", "tavern-status.service"];
        watched.extend(units.map(|unit| Watched {
            stack: None,
            unit: unit.to_owned(),
            stands_for: None,
        }));
    }
    watched.push(Watched {
        stack: None,
        unit: NGINX.to_owned(),
        stands_for: None,
    });
    watched
}

fn judge(unit: &str, report: &UnitReport) -> Judged {
    match report.load.as_str() {
        "loaded" => {}
        "not-found" => return unhealthy(format!("no such unit: {}", mend(unit))),
        "masked" => {
            return unhealthy(format!(
                "masked, or its file is empty: `sudo tavernctl plan` says which; `systemctl unmask {unit}` if it is masked and you do not want that"
            ));
        }
        other => {
            return unhealthy(format!("{other}: `systemd-analyze verify {unit}` says why"));
        }
    }
    match report.active.as_str() {
        "active" => {}
        "activating" | "reloading" => {
            return unhealthy(format!(
                "still {}: wait, then `journalctl -u {unit}` if it stays so",
                report.active
            ));
        }
        "failed" if unit.ends_with(".socket") => {
            // A crash-looping service takes its socket along: clients are refused for good.
            return unhealthy(format!(
                "failed: mend its service, then `systemctl reset-failed {unit}` and `systemctl start {unit}`"
            ));
        }
        "failed" => return unhealthy(format!("failed: `journalctl -u {unit}` says why")),
        other => return unhealthy(format!("{other}: `systemctl start {unit}`")),
    }
    if report.needs_reload {
        return unhealthy("its file changed since systemd read it: `systemctl daemon-reload`");
    }
    if report.file == "disabled" {
        return unhealthy(format!(
            "will not start after a reboot: `systemctl enable {unit}`"
        ));
    }
    let text = report.status_text.trim();
    if text.starts_with("degraded") {
        return unhealthy(text);
    }
    let text = if text.is_empty() { &report.sub } else { text };
    // What the administrator added is respected, and must not surprise whoever looks.
    let own = format!("/{unit}.d/");
    let added: Vec<_> = report
        .drop_ins
        .iter()
        .filter(|path| unit != NGINX && path.contains(&own))
        .map(String::as_str)
        .collect();
    if added.is_empty() {
        return healthy(text);
    }
    healthy(format!("{text}; with {}", added.join(", ")))
}

fn mend(unit: &str) -> &'static str {
    if unit == NGINX {
        "`tavernctl install` installs nginx"
    } else {
        "`tavernctl install` writes it"
    }
}

fn judge_alias(alias: &str, service: &str, report: &UnitReport) -> Judged {
    if report.load == "loaded" && report.path.rsplit('/').next() == Some(service) {
        healthy(format!("is {service}"))
    } else if report.load == "not-found" {
        unhealthy(format!("not there: `systemctl enable {service}` makes it"))
    } else {
        unhealthy(format!(
            "{alias} is {} ({}), not {service}: `tavernctl plan` shows what can be done",
            report.path, report.load
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Verdict;

    fn good() -> UnitReport {
        UnitReport {
            load: "loaded".into(),
            active: "active".into(),
            sub: "running".into(),
            file: "enabled".into(),
            path: "/etc/systemd/system/tavern-counter.service".into(),
            ..UnitReport::default()
        }
    }

    #[test]
    fn each_state_of_a_unit() {
        let service = "tavern-counter.service";
        assert_eq!(judge(service, &good()), healthy("running"));
        let changed = UnitReport {
            drop_ins: vec![
                "/usr/lib/systemd/system/service.d/10-all.conf".into(),
                format!("/etc/systemd/system/{service}.d/more.conf"),
            ],
            ..good()
        };
        assert_eq!(
            judge(service, &changed),
            healthy(format!(
                "running; with /etc/systemd/system/{service}.d/more.conf"
            ))
        );
        let talks = UnitReport {
            status_text: "degraded: store away".into(),
            ..good()
        };
        assert_eq!(judge(service, &talks), unhealthy("degraded: store away"));
        let faults: [fn(&mut UnitReport); 8] = [
            |report| report.load = "not-found".into(),
            |report| report.load = "masked".into(),
            |report| report.load = "bad-setting".into(),
            |report| report.active = "failed".into(),
            |report| report.active = "inactive".into(),
            |report| report.active = "activating".into(),
            |report| report.needs_reload = true,
            |report| report.file = "disabled".into(),
        ];
        for fault in faults {
            let mut bad = good();
            fault(&mut bad);
            assert_eq!(judge(service, &bad).verdict, Verdict::Unhealthy, "{bad:?}");
        }
        let failed = UnitReport {
            active: "failed".into(),
            ..good()
        };
        let socket = judge("tavern-counter.socket", &failed);
        assert!(socket.reason.contains("reset-failed"), "{}", socket.reason);
    }

    #[test]
    fn an_alias_is_the_unit_it_stands_for() {
        let alias = |report| judge_alias("flask-app.service", "tavern-counter.service", &report);
        assert_eq!(alias(good()).verdict, Verdict::Healthy);
        let absent = UnitReport {
            load: "not-found".into(),
            ..UnitReport::default()
        };
        assert_eq!(alias(absent).verdict, Verdict::Unhealthy);
        let foreign = UnitReport {
            path: "/etc/systemd/system/flask-app.service".into(),
            ..good()
        };
        assert_eq!(alias(foreign).verdict, Verdict::Unhealthy);
    }

    #[test]
    fn watches_every_unit_of_the_default_stack() {
        let path = std::path::Path::new("counter.toml");
        let stack = crate::stack::parse(path, crate::stack::DEFAULT.as_bytes()).unwrap();
        let stacks = [stack];
        let units: Vec<_> = watched(&stacks).into_iter().map(|one| one.unit).collect();
        assert_eq!(
            units,
            [
                "tavern-counter.socket",
                "tavern-counter.metrics.socket",
                "tavern-counter.service",
                "flask-app.service",
                "tavern-status.socket",
                "tavern-status.service",
                NGINX
            ]
        );
    }
}
