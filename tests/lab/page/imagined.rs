//! Snapshots that no test can wait for.

use serde_json::{Value, json};

/// A host with a past: 90 days of every probe, one that is ill, somebody at the door.
pub fn a_host_with_a_past(real: &Value, time: i64, step: usize) -> Value {
    let mut snapshot = real.clone();
    let today = u32::try_from(time / 86_400).expect("a day");
    let mut days = serde_json::Map::new();
    for (at, probe) in snapshot["probes"]
        .as_array_mut()
        .into_iter()
        .flatten()
        .enumerate()
    {
        probe["since"] = (time - 86_400 * 12 - 4000 * i64::try_from(at).unwrap_or_default()).into();
        let row: Vec<Value> = (0..90_u32)
            .filter(|day| *day >= 8)
            .map(|day| {
                let number = today - 89 + day;
                match (day * 7 + u32::try_from(at).unwrap_or_default() * 13) % 97 {
                    0 => json!([number, 1200, 240, 0]),
                    1 | 2 => json!([number, 1436, 4, 0]),
                    3 => json!([number, 1390, 20, 30]),
                    _ => json!([number, 1440, 0, 0]),
                }
            })
            .collect();
        days.insert(
            probe["name"].as_str().unwrap_or_default().to_owned(),
            row.into(),
        );
    }
    let ill = snapshot["probes"]
        .as_array()
        .into_iter()
        .flatten()
        .position(|probe| {
            probe["subject"]
                .as_str()
                .is_some_and(|subject| subject.starts_with("app counter, ready"))
        });
    let ill = &mut snapshot["probes"][ill.unwrap_or_default()];
    ill["verdict"] = "unhealthy".into();
    ill["since"] = (time - 340).into();
    ill["reason"] = "503, the store does not answer; `tavernctl logs counter` says more".into();
    snapshot["time"] = time.into();
    snapshot["days"] = json!({"today": today, "probes": days});
    snapshot["alerts"] = json!([
        {"at": time - 330, "text": "counter: app counter, ready: unhealthy: 503, the store does not answer", "good": false},
        {"at": time - 90_000, "text": "disk /: healthy again, was unhealthy", "good": true},
        {"at": time - 93_000, "text": "disk /: unhealthy: 410 MB free, 3 %", "good": false},
    ]);
    snapshot["backups"] = json!([{"stack": "counter", "newest": time - 30_000, "good": time - 100_000, "failure": null, "fault": null,
        "verdict": "healthy", "reason": null}]);
    for one in snapshot["containers"].as_array_mut().into_iter().flatten() {
        let since = time::OffsetDateTime::from_unix_timestamp(time - 86_400 * 12 - 600);
        let rfc3339 = &time::format_description::well_known::Rfc3339;
        one["since"] = since
            .expect("a time")
            .format(rfc3339)
            .expect("in RFC 3339")
            .into();
    }
    let wave = u64::try_from(step).unwrap_or_default();
    for (at, site) in snapshot["sites"]
        .as_array_mut()
        .into_iter()
        .flatten()
        .enumerate()
    {
        let base = 400 + 210 * u64::try_from(at).unwrap_or_default() + 37 * (wave % 7);
        site["requests"] = (base + 36).into();
        site["statuses"] = json!([0, base, 12, 20, if wave > 18 { 4 } else { 0 }]);
        site["p50_ms"] = [2.5, 5.0, 2.5, 1.0][(step + at) % 4].into();
        site["p99_ms"] = [25.0, 50.0, 25.0, 100.0, 50.0, 250.0][(step + at) % 6].into();
        site["findings"] = json!([]);
        if site["name"] == "counter-close" {
            site["findings"] =
                json!([{"kind": "brute-force", "client": "198.51.100.7", "count": 43}]);
        }
    }
    snapshot
}

/// What its own numbers would call otherwise than its probe does, and lists that are too long for their box.
pub fn contradictions(real: &Value, time: i64) -> Value {
    let mut snapshot = real.clone();
    let day = 86_400;
    let certificate = |stack: &str,
                       ends: Option<i64>,
                       error: Option<&str>,
                       verdict: &str,
                       reason: Option<&str>| {
        json!({"stack": stack, "issuer": "acme", "not_after": ends, "error": error, "verdict": verdict, "reason": reason})
    };
    let ill = Some("8 days left: `sudo tavernctl cert renew` makes or orders a new one");
    snapshot["time"] = time.into();
    snapshot["certificates"] = json!([
        certificate("year", Some(time + 8 * day + 60), None, "unhealthy", ill),
        certificate("six-days", Some(time + 2 * day + 60), None, "healthy", None),
        certificate(
            "torn",
            None,
            Some("no PEM"),
            "unhealthy",
            Some("chain.pem: no PEM")
        ),
        certificate(
            "over",
            Some(time - day),
            None,
            "unhealthy",
            Some("it ended on 2026-11-01")
        ),
        certificate(
            "new",
            Some(time + 80 * day + 60),
            None,
            "unknown",
            Some("not asked yet")
        ),
    ]);
    let backup = |stack: &str,
                  old: i64,
                  fault: Option<&str>,
                  verdict: &str,
                  reason: Option<&str>| {
        json!({"stack": stack, "newest": time - old * day - 605, "good": time - old * day - 605, "failure": null,
            "fault": fault, "verdict": verdict, "reason": reason})
    };
    snapshot["backups"] = json!([
        backup(
            "forgotten",
            70,
            None,
            "unhealthy",
            Some("the newest is 70 days old")
        ),
        backup("monthly", 20, None, "healthy", None),
        backup(
            "torn",
            1,
            Some("3 keys, not 4"),
            "unhealthy",
            Some("abc could not be restored: 3 keys, not 4; `sudo tavernctl backup now`")
        ),
        backup("first", 0, None, "note", None),
    ]);
    snapshot["alerts"] = (0..40)
        .map(
            |at| json!({"at": time - 600 * at, "text": format!("alert {at}"), "good": at % 2 == 0}),
        )
        .collect();
    snapshot["generations"] = (1..40)
        .rev()
        .map(|number| json!({"number": number, "at": time - day, "verb": "install"}))
        .collect();
    snapshot
}
