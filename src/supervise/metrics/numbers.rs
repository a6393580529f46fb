//! What there is to count of a host, in Prometheus's text. The names are promised in `www/docs/metrics.md`.

use std::path::Path;

use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::check::Verdict;
use crate::engine::Engine;
use crate::monitor::JournalReport;
use crate::resource::Resource;
use crate::supervise::snapshot::{Site, Snapshot, Survey};

/// Everything, as text.
pub(super) fn text(engine: &Engine<'_>) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        describe();
        let snapshot = Survey::default().look(engine);
        host(engine);
        units(engine);
        gauge!("tavern_generation").set(float(snapshot.generation));
        watched(&snapshot);
        sites(&snapshot.sites);
        if let Some(report) = &snapshot.journal {
            journal(report);
        }
        kept(&snapshot);
    });
    handle.render()
}

fn describe() {
    for (name, what) in [
        ("tavern_host_uptime_seconds", "Since the host booted"),
        (
            "tavern_host_load1",
            "Processes that want to run, over a minute",
        ),
        ("tavern_host_memory_total_bytes", "Memory there is"),
        (
            "tavern_host_memory_available_bytes",
            "Memory that may be had",
        ),
        ("tavern_host_disk_total_bytes", "Room there is"),
        ("tavern_host_disk_free_bytes", "Room that may be used"),
        ("tavern_unit_active", "1 if systemd calls it active"),
        ("tavern_generation", "The generation that was applied last"),
        ("tavern_container_up", "1 if it runs and answers"),
        (
            "tavern_container_crash_loop",
            "1 if it crashes again and again",
        ),
        (
            "tavern_probe_healthy",
            "1 if the probe's verdict is healthy",
        ),
        (
            "tavern_probe_since_seconds",
            "When that verdict began, Unix time",
        ),
        (
            "tavern_site_requests_5m",
            "Requests of the last five minutes",
        ),
        (
            "tavern_site_answers_5m",
            "Answers of the last five minutes by class",
        ),
        (
            "tavern_site_latency_seconds",
            "What that share of the last five minutes' requests took at most",
        ),
        (
            "tavern_site_findings",
            "What stands out in the log now, by kind",
        ),
        (
            "tavern_journal_followed",
            "1 if the log monitor reads the journal",
        ),
        (
            "tavern_journal_findings",
            "What stands out in the journal now, by kind",
        ),
        (
            "tavern_certificate_expiry_seconds",
            "Until the certificate ends; below 0 after it",
        ),
        (
            "tavern_backup_age_seconds",
            "Since the newest backup was made",
        ),
        (
            "tavern_backup_good_age_seconds",
            "Since the newest backup was made that was restored and found whole",
        ),
        (
            "tavern_backup_ok",
            "1 if neither the last backup nor the last trial failed",
        ),
    ] {
        describe_gauge!(name, what);
    }
    describe_counter!("tavern_container_mends_total", "How often it was put back");
    describe_counter!(
        "tavern_journal_errors_total",
        "Entries of priority err or worse since the log monitor began"
    );
    describe_counter!(
        "tavern_ssh_failed_logins_total",
        "Failed logins over SSH since the log monitor began"
    );
}

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

fn float(number: u64) -> f64 {
    number as f64
}

fn signed(number: i64) -> f64 {
    number as f64
}

fn host(engine: &Engine<'_>) {
    let host = engine.host;
    let word = |path: &str| {
        let bytes = host.files.read(Path::new(path)).ok().flatten();
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    };
    if let Ok(uptime) = host.clock.uptime() {
        gauge!("tavern_host_uptime_seconds").set(uptime.length.as_secs_f64());
    }
    let load = word("/proc/loadavg");
    if let Some(load) = load
        .split(' ')
        .next()
        .and_then(|word| word.parse::<f64>().ok())
    {
        gauge!("tavern_host_load1").set(load);
    }
    let memory = word("/proc/meminfo");
    for (field, name) in [
        ("MemTotal:", "tavern_host_memory_total_bytes"),
        ("MemAvailable:", "tavern_host_memory_available_bytes"),
    ] {
        let line = memory.lines().find_map(|line| line.strip_prefix(field));
        let kibibytes = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse().ok());
        if let Some(kibibytes) = kibibytes {
            gauge!(name).set(float(kibibytes) * 1024.0);
        }
    }
    let mut devices = Vec::new();
    for path in ["/", "/var/lib/tavern", "/var/lib/docker"] {
        let Ok(space) = host.files.space(Path::new(path)) else {
            continue;
        };
        // One file system is one number.
        if devices.contains(&space.device) {
            continue;
        }
        devices.push(space.device);
        gauge!("tavern_host_disk_total_bytes", "path" => path).set(float(space.total));
        gauge!("tavern_host_disk_free_bytes", "path" => path).set(float(space.free));
    }
}

/// Those that Tavern made, and nginx.
fn units(engine: &Engine<'_>) {
    let Ok(receipt) = engine.receipt() else {
        return;
    };
    let own = receipt
        .entries
        .iter()
        .filter_map(|entry| match &entry.resource {
            Resource::Unit(unit) => Some(unit.name.as_str()),
            _ => None,
        });
    let names: Vec<&str> = own.chain(["nginx.service"]).collect();
    let Ok(reports) = engine.host.systemd.reports(&names) else {
        return;
    };
    for (name, report) in names.iter().zip(reports) {
        gauge!("tavern_unit_active", "unit" => (*name).to_owned())
            .set(flag(report.active == "active"));
    }
}

fn watched(snapshot: &Snapshot) {
    for one in &snapshot.containers {
        let labels = [
            ("container", one.name.clone()),
            ("stack", one.stack.clone()),
        ];
        gauge!("tavern_container_up", &labels).set(flag(one.phase == "up"));
        gauge!("tavern_container_crash_loop", &labels).set(flag(one.crash_loop));
        counter!("tavern_container_mends_total", &labels).absolute(one.mends);
    }
    for probe in &snapshot.probes {
        let labels = [("probe", probe.name.clone())];
        gauge!("tavern_probe_healthy", &labels).set(flag(probe.verdict == Verdict::Healthy));
        gauge!("tavern_probe_since_seconds", &labels).set(signed(probe.since));
    }
}

fn sites(sites: &[Site]) {
    for Site { name, report } in sites {
        let site = || name.clone();
        gauge!("tavern_site_requests_5m", "site" => site()).set(float(report.requests));
        for (class, count) in (1..).zip(report.statuses) {
            gauge!("tavern_site_answers_5m", "site" => site(), "class" => format!("{class}xx"))
                .set(float(count));
        }
        for (quantile, time) in [("0.5", report.p50_ms), ("0.99", report.p99_ms)] {
            if let Some(time) = time {
                gauge!("tavern_site_latency_seconds", "site" => site(), "quantile" => quantile)
                    .set(time / 1000.0);
            }
        }
        let mut kinds = std::collections::BTreeMap::<&str, u64>::new();
        for finding in &report.findings {
            *kinds.entry(finding.kind.as_str()).or_default() += 1;
        }
        for (kind, count) in kinds {
            gauge!("tavern_site_findings", "site" => site(), "kind" => kind).set(float(count));
        }
    }
}

fn journal(report: &JournalReport) {
    gauge!("tavern_journal_followed").set(flag(report.is_followed));
    counter!("tavern_ssh_failed_logins_total").absolute(report.failed_logins);
    for (unit, about) in &report.units {
        counter!("tavern_journal_errors_total", "unit" => unit.clone()).absolute(about.errors);
    }
    let mut kinds = std::collections::BTreeMap::<&str, u64>::new();
    for (_, finding) in report.found() {
        *kinds.entry(finding.kind.as_str()).or_default() += 1;
    }
    for (kind, count) in kinds {
        gauge!("tavern_journal_findings", "kind" => kind).set(float(count));
    }
}

/// What has an age.
fn kept(snapshot: &Snapshot) {
    for one in &snapshot.certificates {
        if let Some(ends) = one.not_after {
            gauge!("tavern_certificate_expiry_seconds", "stack" => one.stack.clone())
                .set(signed(ends - snapshot.time));
        }
    }
    for one in &snapshot.backups {
        let stack = || one.stack.clone();
        for (name, at) in [
            ("tavern_backup_age_seconds", one.newest),
            ("tavern_backup_good_age_seconds", one.good),
        ] {
            if let Some(at) = at {
                gauge!(name, "stack" => stack()).set(signed(snapshot.time - at));
            }
        }
        let is_ok = one.newest.is_some() && one.failure.is_none() && one.fault.is_none();
        gauge!("tavern_backup_ok", "stack" => stack()).set(flag(is_ok));
    }
}
