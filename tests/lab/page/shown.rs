//! What the browser made of a snapshot: compared with the snapshot, part by part.

use serde_json::{Value, json};

use crate::support::browser::Browser;

/// Days of a strip.
const DAYS: usize = 90;

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

pub fn all_of(browser: &Browser, snapshot: &Value) {
    strips_have_their_days(browser, snapshot);
    sites_have_their_numbers(browser, snapshot);
    charts_have_their_lines(browser, snapshot);
    rows_say_what_the_snapshot_says(browser, snapshot);
}

/// Each probe: a bar for each of 90 days, as tall as the others, of the colour that its share of the day has.
fn strips_have_their_days(browser: &Browser, snapshot: &Value) {
    let seen = browser.script(
        "return Object.fromEntries([...document.querySelectorAll('#probes summary')].map((row) => [row.dataset.key, \
         [[...row.querySelectorAll('.strip rect')].map((bar) => bar.getAttribute('class')), \
          [...row.querySelectorAll('.strip rect')].filter((bar) => { const box = bar.getBoundingClientRect(); return box.width > 0 && box.height > 15; }).length, \
          row.querySelector('.mark').innerText, row.querySelector('.share-text').innerText]]))",
    );
    let probes = list(&snapshot["probes"]);
    assert!(probes.len() > 10);
    assert_eq!(
        seen.as_object().map(serde_json::Map::len),
        Some(probes.len())
    );
    let today = number(&snapshot["days"]["today"]);
    let mut kinds = std::collections::BTreeSet::new();
    for probe in probes {
        let name = text(&probe["name"]);
        let days = list(&snapshot["days"]["probes"][name]);
        let of = |date: u64| days.iter().find(|day| number(&day[0]) == date);
        let wanted: Vec<&str> = (0..DAYS as u64)
            .map(|at| of(today + 1 + at - DAYS as u64).map_or("none", kind))
            .collect();
        assert_eq!(seen[name][0], json!(wanted), "{name}");
        assert_eq!(seen[name][1], DAYS, "{name}");
        let verdict = match text(&probe["verdict"]) {
            "note" => "healthy",
            verdict => verdict,
        };
        assert_eq!(seen[name][2], verdict, "{name}");
        let sum = |at: usize| days.iter().map(|day| number(&day[at])).sum::<u64>();
        let hundredths = sum(1) * 10_000 / (sum(1) + sum(2) + sum(3));
        let share = match hundredths {
            10_000 => "100 %".to_owned(),
            less => format!("{}.{:02} %", less / 100, less % 100),
        };
        assert!(
            text(&seen[name][3]).starts_with(&share),
            "{name}: {share}, {}",
            seen[name]
        );
        kinds.extend(wanted);
    }
    assert_eq!(kinds.len(), 5, "{kinds:?}");
    let colours = browser.script(
        "return new Set(['good', 'fair', 'poor', 'bad', 'none'].map((kind) => getComputedStyle(document.querySelector(`.strip .${kind}`)).fill)).size",
    );
    assert_eq!(colours, 5);
}

fn kind(day: &Value) -> &'static str {
    let (healthy, all) = (
        number(&day[1]),
        (1..4).map(|at| number(&day[at])).sum::<u64>(),
    );
    match (healthy * 100, all) {
        (_, 0) => "none",
        (share, all) if share == all * 100 => "good",
        (share, all) if share >= all * 99 => "fair",
        (share, all) if share >= all * 90 => "poor",
        _ => "bad",
    }
}

/// A function that gives the card of a site, for the scripts below.
const CARD: &str = "const card = (name) => [...document.querySelectorAll('#sites .site')].find((one) => one.querySelector('h3').innerText === name); ";

fn sites_have_their_numbers(browser: &Browser, snapshot: &Value) {
    let sites = list(&snapshot["sites"]);
    assert!(sites.len() > 2);
    for site in sites {
        let name = text(&site["name"]);
        let seen = browser.script(&format!(
            "{CARD} const one = card('{name}'); return [one.querySelector('.big').innerText.replace(/[,.]/g, ''), \
             [...one.querySelectorAll('.legend li')].map((li) => li.innerText.replace(/[,.]/g, '')), \
             [...one.querySelectorAll('.share rect')].map((part) => [part.getAttribute('class'), part.getBoundingClientRect().width / part.closest('svg').getBoundingClientRect().width]), \
             [...one.querySelectorAll('dd')].map((dd) => dd.innerText), [...one.querySelectorAll('.found')].map((p) => p.innerText)]"
        ));
        assert_eq!(seen[0], format!("{} requests", site["requests"]), "{name}");
        let counts: Vec<(usize, u64)> = list(&site["statuses"])
            .iter()
            .enumerate()
            .map(|(at, count)| (at + 1, number(count)))
            .filter(|(_, count)| *count > 0)
            .collect();
        let legend: Vec<String> = counts
            .iter()
            .map(|(class, count)| format!("{class}xx {count}"))
            .collect();
        assert_eq!(seen[1], json!(legend), "{name}");
        let parts: Vec<&str> = list(&seen[2]).iter().map(|part| text(&part[0])).collect();
        let wanted: Vec<String> = counts
            .iter()
            .map(|(class, _)| format!("s{class}"))
            .collect();
        assert_eq!(parts, wanted, "{name}");
        let widths: Vec<f64> = list(&seen[2])
            .iter()
            .filter_map(|part| part[1].as_f64())
            .collect();
        assert!(
            widths.iter().all(|width| *width > 0.0) && widths.iter().sum::<f64>() > 0.9,
            "{name}: {widths:?}"
        );
        assert_eq!(
            seen[3],
            json!(
                [
                    format!("{} ms", site["p50_ms"]),
                    format!("{} ms", site["p99_ms"])
                ]
                .map(|time| time.replace(".0 ", " "))
            ),
            "{name}"
        );
        let clients = list(&site["findings"])
            .iter()
            .map(|one| text(&one["client"]));
        for (line, client) in list(&seen[4]).iter().zip(clients) {
            assert!(text(line).contains(client), "{name}: {line}");
        }
        assert_eq!(
            list(&seen[4]).len(),
            list(&site["findings"]).len(),
            "{name}"
        );
    }
}

/// The last hour: two lines with a point for each that the service keeps, and a bar for each that had failures.
fn charts_have_their_lines(browser: &Browser, snapshot: &Value) {
    let kept = browser.script(
        "return fetch('history.json').then((answer) => answer.json()).then((all) => all.charts)",
    );
    for site in list(&snapshot["sites"]) {
        let name = text(&site["name"]);
        let drawn = browser.script(&format!(
            "{CARD} const chart = card('{name}').querySelector('.chart'); const line = (kind) => {{ const path = chart.querySelector(`path.${{kind}}`); \
             if (!path) return null; const box = path.getBoundingClientRect(); const points = [...path.getAttribute('d').matchAll(/[ML]([\\d.]+) ([\\d.]+)/g)]; \
             return [points.length, new Set(points.map((point) => point[2])).size, box.width > 100 && box.height > 5, getComputedStyle(path).stroke]; }}; \
             return [line('usual'), line('slow'), [...chart.querySelectorAll('rect.failed')].filter((bar) => bar.getBoundingClientRect().height > 0).length]"
        ));
        let points = |column: &str| {
            list(&kept[name][column])
                .iter()
                .filter(|value| !value.is_null())
                .count()
        };
        for (line, column) in [(&drawn[0], "p50_ms"), (&drawn[1], "p99_ms")] {
            assert!(points(column) > 10, "{name}: {kept}");
            assert_eq!(line[0], points(column), "{name}, {column}: {drawn}");
            assert!(
                number(&line[1]) > 1 && line[2] == true,
                "{name}, {column}: {drawn}"
            );
        }
        assert_ne!(drawn[0][3], drawn[1][3], "{name}: one colour for both");
        let failed = list(&kept[name]["failures"])
            .iter()
            .filter(|count| number(count) > 0)
            .count();
        assert!(failed > 0, "{name}: {kept}");
        assert_eq!(drawn[2], failed, "{name}");
    }
}

pub fn rows_say_what_the_snapshot_says(browser: &Browser, snapshot: &Value) {
    let rows = |section: &str| -> Vec<(String, String)> {
        let seen = browser.script(&format!(
            "return [...document.querySelectorAll('#{section} li')].map((row) => [row.querySelector('.mark')?.dataset.verdict ?? '', row.innerText.replace(/\\s+/g, ' ')])"
        ));
        list(&seen)
            .iter()
            .map(|row| (text(&row[0]).to_owned(), text(&row[1]).to_owned()))
            .collect()
    };
    let time = snapshot["time"].as_i64().unwrap_or_default();
    let said = |section: &str, wanted: &dyn Fn(&Value) -> (String, Vec<String>)| {
        let shown = rows(section);
        let all = list(&snapshot[section]);
        assert!(!all.is_empty(), "the snapshot has no {section}");
        assert_eq!(shown.len(), all.len(), "{section}: {shown:?}");
        for (one, (verdict, line)) in all.iter().zip(&shown) {
            let (judged, words) = wanted(one);
            assert_eq!(*verdict, judged, "{section}: {line}");
            for word in words {
                assert!(line.contains(&word), "{section}: no `{word}` in `{line}`");
            }
        }
    };
    let own = |value: &Value| text(value).to_owned();
    let judged = |one: &Value| match text(&one["verdict"]) {
        "note" => "healthy".to_owned(),
        verdict => verdict.to_owned(),
    };
    said("containers", &|one| {
        let verdict = if one["phase"] == "up" {
            "healthy"
        } else {
            "unhealthy"
        };
        (
            verdict.into(),
            vec![
                own(&one["name"]),
                format!("{} for ", text(&one["phase"])),
                "never mended".into(),
            ],
        )
    });
    said("certificates", &|one| {
        let life = match one["not_after"].as_i64() {
            None => "cannot be read".to_owned(),
            Some(ends) if ends < time => "has ended".to_owned(),
            Some(ends) => format!("{} days left", (ends - time) / 86_400),
        };
        (
            judged(one),
            vec![
                own(&one["stack"]),
                life,
                own(&one["issuer"]),
                own(&one["reason"]),
            ],
        )
    });
    said("backups", &|one| {
        let old = |at: &Value| at.as_i64().map_or("never".to_owned(), |at| ago(time - at));
        let words = format!(
            "newest {}, last good {}",
            old(&one["newest"]),
            old(&one["good"])
        );
        (
            judged(one),
            vec![own(&one["stack"]), words, own(&one["reason"])],
        )
    });
    said("generations", &|one| {
        (
            String::new(),
            vec![one["number"].to_string(), own(&one["verb"])],
        )
    });
    said("alerts", &|one| {
        let verdict = if one["good"] == true {
            "healthy"
        } else {
            "unhealthy"
        };
        (verdict.into(), vec![own(&one["text"])])
    });
}

fn ago(seconds: i64) -> String {
    let (count, unit) = match seconds {
        ..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

/// What is too faint, in each state that the line and the banner can be in, and where the focus may be.
pub fn every_state_is_readable(browser: &Browser, name: &str) {
    let measure = format!(
        "const measured = () => {{ {} }};",
        include_str!("contrast.js")
    );
    let states = [
        (
            "source.close(); tellLine()",
            "not connected; asking again",
            "connect(); tellLine()",
        ),
        (
            "window.last = now.time; now.time -= 7200; tellLine()",
            "tavernd has written nothing since 2 hours ago",
            "now.time = last; tellLine()",
        ),
        (
            "window.kept = now; now = structuredClone(now); now.probes.forEach((one) => { one.verdict = 'unknown'; }); drawAll()",
            "probes got no answer",
            "now = kept; drawAll()",
        ),
        (
            "window.kept = now; now = structuredClone(now); now.probes.forEach((one) => { one.verdict = 'healthy'; }); drawAll()",
            "probes are healthy",
            "now = kept; drawAll()",
        ),
        (
            "window.kept = now; now = structuredClone(now); now.probes = []; now.certificates = []; now.backups = []; drawAll()",
            "Nothing has been asked yet.",
            "now = kept; drawAll()",
        ),
    ];
    for (make, words, back) in states {
        super::shows(browser, "#line", "live");
        let seen = browser.script(&format!(
            "{measure} {make}; const said = document.body.innerText; const seen = measured(); {back}; return [said, seen]"
        ));
        assert!(
            text(&seen[0]).contains(words),
            "{name}: no `{words}` in {}",
            seen[0]
        );
        assert_eq!(seen[1], json!([]), "{name}: {words}");
    }
}
