//! The snapshot as rows of text. Strangers wrote some of it: what would move a terminal is not in any row.

use crate::check::{Verdict, age};
use crate::monitor::{JournalReport, describe};
use crate::supervise::{Backup, Certificate, Counted, Judged, Probe, Site, Snapshot};

/// Days that a strip has room for.
const DAYS: u32 = 30;
/// Of a longer text so many characters.
const LONGEST: usize = 300;
const DAY: i64 = 86_400;

/// What a piece of text means, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Head,
    Soft,
    Good,
    Odd,
    Bad,
}

/// One row, piece by piece.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Row(pub(super) Vec<(Tone, String)>);

impl Row {
    fn one(tone: Tone, text: &str) -> Self {
        Self(vec![(tone, plain(text))])
    }

    fn with(mut self, tone: Tone, text: &str) -> Self {
        self.0.push((tone, plain(text)));
        self
    }

    /// Without colours.
    pub(super) fn text(&self) -> String {
        let text: String = self.0.iter().map(|(_, text)| text.as_str()).collect();
        text.trim_end().to_owned()
    }
}

/// What is left of a text that moves nothing: no control characters, none that turns or hides text.
fn plain(text: &str) -> String {
    let is_odd = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let mut plain: String = text
        .chars()
        .take(LONGEST)
        .map(|c| if is_odd(c) { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        plain.push('…');
    }
    plain
}

/// What may have lines, as one.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Healthy | Verdict::Note => Tone::Good,
        Verdict::Unhealthy => Tone::Bad,
        Verdict::Unknown => Tone::Odd,
    }
}

/// All there is to see, top to bottom.
pub(super) fn rows(snapshot: &Snapshot) -> Vec<Row> {
    let mut rows = head(snapshot);
    let mut section = |name: &str, of: Vec<Row>| {
        if !of.is_empty() {
            rows.push(Row::default());
            rows.push(Row::one(Tone::Head, name));
            rows.extend(of);
        }
    };
    let now = snapshot.time;
    let told = snapshot.alerts.iter().take(5).map(|told| {
        let tone = if told.good { Tone::Good } else { Tone::Bad };
        Row::one(Tone::Soft, &format!("  {:>8} ago  ", age(now - told.at))).with(tone, &told.text)
    });
    section("Alerts", told.collect());
    section("Probes, 30 days", probes(snapshot));
    let sites = snapshot.sites.iter();
    section("Sites, 5 minutes", sites.flat_map(site).collect());
    let journal = snapshot.journal.iter().flat_map(JournalReport::found);
    let journal = journal.map(|(of, one)| Row::one(Tone::Bad, &format!("  {}", describe(of, one))));
    section("Journal", journal.collect());
    let containers = snapshot.containers.iter().map(|one| {
        let tone = match one.phase.as_str() {
            "up" if !one.crash_loop => Tone::Good,
            "held" => Tone::Odd,
            _ => Tone::Bad,
        };
        Row::one(tone, "  ● ")
            .with(Tone::Plain, &format!("{:<28} ", one.name))
            .with(Tone::Soft, &one_line(&one.describe()))
    });
    section("Containers", containers.collect());
    let certificates = snapshot.certificates.iter();
    section(
        "Certificates",
        certificates.map(|one| certificate(one, now)).collect(),
    );
    let backups = snapshot.backups.iter();
    section("Backups", backups.map(|one| backup(one, now)).collect());
    let generations = snapshot.generations.iter().take(5).map(|one| {
        let old = one
            .at
            .map_or(String::new(), |at| format!("{} ago", age(now - at)));
        Row::one(
            Tone::Plain,
            &format!("  {:>4}  {:<32} ", one.number, one.verb),
        )
        .with(Tone::Soft, &old)
    });
    section("Generations", generations.collect());
    rows
}

fn head(snapshot: &Snapshot) -> Vec<Row> {
    let count = |verdict| {
        let probes = snapshot.probes.iter();
        probes.filter(|probe| probe.verdict == verdict).count()
    };
    let (ill, unclear) = (count(Verdict::Unhealthy), count(Verdict::Unknown));
    let all = snapshot.probes.len();
    let (tone, words) = match (all, ill, unclear) {
        (0, ..) => (Tone::Odd, "nothing has been asked yet".to_owned()),
        (_, 0, 0) => (Tone::Good, format!("all {all} probes are healthy")),
        (_, 0, _) => (
            Tone::Odd,
            format!("{unclear} of {all} probes got no answer"),
        ),
        _ => (Tone::Bad, format!("{ill} of {all} probes are unhealthy")),
    };
    let title = format!("{}  generation {}  ", snapshot.host, snapshot.generation);
    let mut rows = vec![Row::one(Tone::Head, &title).with(tone, &words)];
    if snapshot.watched_since.is_none() {
        let text = "tavernd does not run: `systemctl status tavernd` says why";
        rows.push(Row::one(Tone::Bad, text));
    }
    rows
}

fn probes(snapshot: &Snapshot) -> Vec<Row> {
    let mut sorted: Vec<&Probe> = snapshot.probes.iter().collect();
    let is_well = |probe: &&Probe| tone(probe.verdict) == Tone::Good;
    // The ill ones first, wherever they belong.
    sorted.sort_by_key(is_well);
    let mut rows = Vec::new();
    for probe in sorted {
        let days = snapshot.days.probes.get(&probe.name);
        let days = days.map_or(&[][..], Vec::as_slice);
        let mut row = Row::one(tone(probe.verdict), "  ● ")
            .with(Tone::Plain, &format!("{:<44} ", probe.name));
        row.0.extend(strip(days, snapshot.today()));
        let row = row.with(Tone::Soft, &format!(" {}", uptime(days)));
        rows.push(row);
        if tone(probe.verdict) != Tone::Good || probe.wavers {
            let wavers = if probe.wavers {
                "it changes again and again; "
            } else {
                ""
            };
            let since = age(snapshot.time - probe.since);
            let why = format!(
                "    {} for {since}: {wavers}{}",
                probe.verdict.as_str(),
                probe.reason
            );
            rows.push(Row::one(tone(probe.verdict), &why));
        }
    }
    rows
}

/// A mark a day, the newest on the right.
fn strip(days: &[Counted], today: u32) -> Vec<(Tone, String)> {
    (0..DAYS)
        .map(|index| {
            let date = (today + index + 1).saturating_sub(DAYS);
            let day = days.iter().find(|(known, ..)| *known == date);
            match day {
                Some((_, healthy, 0, 0)) if *healthy > 0 => (Tone::Good, "▮".to_owned()),
                Some((_, healthy, ill, unclear)) => {
                    let all = healthy + ill + unclear;
                    let is_odd = u64::from(*healthy) * 100 >= u64::from(all) * 99;
                    (if is_odd { Tone::Odd } else { Tone::Bad }, "▯".to_owned())
                }
                None => (Tone::Soft, "·".to_owned()),
            }
        })
        .collect()
}

fn uptime(days: &[Counted]) -> String {
    let sum = |get: fn(&Counted) -> u32| days.iter().map(|day| u64::from(get(day))).sum::<u64>();
    let healthy = sum(|day| day.1);
    let all = healthy + sum(|day| day.2) + sum(|day| day.3);
    if all == 0 {
        return String::new();
    }
    // Never rounded up: 100 is all of it.
    let hundredths = healthy * 10_000 / all;
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}

fn site(site: &Site) -> Vec<Row> {
    let report = &site.report;
    let time = |time: Option<f64>| match time {
        Some(time) => format!("{time} ms"),
        None if report.requests > 0 => "over 5 s".to_owned(),
        None => "–".to_owned(),
    };
    let [_, good, led, refused, failed] = report.statuses;
    let answers = format!("2xx {good:<7} 3xx {led:<6} 4xx {refused:<6} ");
    let tone = if failed > 0 { Tone::Bad } else { Tone::Plain };
    let row = Row::one(
        Tone::Plain,
        &format!("  {:<28} {:>7} requests  ", site.name, report.requests),
    )
    .with(Tone::Plain, &answers)
    .with(tone, &format!("5xx {failed:<6} "))
    .with(
        Tone::Soft,
        &format!(
            "half within {}, 99 % within {}",
            time(report.p50_ms),
            time(report.p99_ms)
        ),
    );
    let found = report.findings.iter();
    let found = found.map(|one| Row::one(Tone::Bad, &format!("    {}", describe(&site.name, one))));
    std::iter::once(row).chain(found).collect()
}

fn certificate(one: &Certificate, now: i64) -> Row {
    let life = match one.not_after.map(|ends| (ends - now).div_euclid(DAY)) {
        None => "cannot be read".to_owned(),
        Some(left) if left < 0 => "has ended".to_owned(),
        Some(1) => "1 day left".to_owned(),
        Some(left) => format!("{left} days left"),
    };
    let words = format!("{life}, {}", one.issuer);
    judged(&one.stack, &words, &one.judged, one.error.as_deref())
}

fn backup(one: &Backup, now: i64) -> Row {
    let old =
        |at: Option<i64>| at.map_or("never".to_owned(), |at| format!("{} ago", age(now - at)));
    let words = format!("newest {}, last good {}", old(one.newest), old(one.good));
    let fault = one.failure.as_deref().or(one.fault.as_deref());
    judged(&one.stack, &words, &one.judged, fault)
}

/// The probe's verdict and why; what its reason does not say already, after it.
fn judged(stack: &str, words: &str, judged: &Judged, more: Option<&str>) -> Row {
    let tone = tone(judged.verdict);
    let reason = judged.reason.as_deref().unwrap_or_default();
    let row = Row::one(tone, "  ● ")
        .with(Tone::Plain, &format!("{stack:<28} {words}  "))
        .with(tone, reason);
    match more.filter(|more| !reason.contains(more)) {
        Some(more) if reason.is_empty() => row.with(Tone::Soft, more),
        Some(more) => row.with(tone, &format!("; {more}")),
        None => row,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervise::Told;

    fn snapshot(text: &str) -> Snapshot {
        let probe = |name: &str, verdict| Probe {
            name: name.to_owned(),
            stack: None,
            subject: name.to_owned(),
            verdict,
            since: 1_795_000_000,
            reason: text.to_owned(),
            wavers: false,
        };
        let mut snapshot = Snapshot {
            time: 1_795_000_600,
            host: text.to_owned(),
            probes: vec![
                probe("disk /", Verdict::Healthy),
                probe(text, Verdict::Unhealthy),
            ],
            certificates: vec![Certificate {
                stack: "web".into(),
                issuer: "acme",
                not_after: Some(1_795_000_600 + 5 * DAY),
                error: Some(text.to_owned()),
                judged: Judged {
                    verdict: Verdict::Unhealthy,
                    reason: Some(text.to_owned()),
                },
            }],
            alerts: vec![Told {
                at: 1_795_000_000,
                text: text.to_owned(),
                good: false,
            }],
            ..Snapshot::default()
        };
        snapshot.days.today = 20_775;
        let days = vec![(20_774, 1440, 0, 0), (20_775, 900, 100, 0)];
        snapshot.days.probes.insert("disk /".into(), days);
        snapshot
    }

    #[test]
    fn the_ill_come_first_and_a_percentage_is_not_rounded_up() {
        let rows = rows(&snapshot("because"));
        let text: Vec<String> = rows.iter().map(Row::text).collect();
        let text = text.join("\n");
        assert!(text.contains("1 of 2 probes are unhealthy"), "{text}");
        assert!(
            text.find("unhealthy for 10 min: because") < text.find("disk /"),
            "{text}"
        );
        assert!(text.contains("····▮▯ 95.90 %"), "{text}");
        assert!(text.contains("5 days left, acme"), "{text}");
        assert_eq!(uptime(&[(1, 999_999, 1, 0)]), "99.99 %");
    }

    /// What would be well by its own age is ill if its probe says so, and the other way round.
    #[test]
    fn certificates_and_backups_are_judged_by_their_probes() {
        let mut snapshot = snapshot("x");
        let told = |verdict, reason: &str| Judged {
            verdict,
            reason: (!reason.is_empty()).then(|| reason.to_owned()),
        };
        let certificate = |ends, judged, error: Option<&str>| Certificate {
            stack: "web".into(),
            issuer: "acme",
            not_after: ends,
            error: error.map(str::to_owned),
            judged,
        };
        let backup = |newest, judged| Backup {
            stack: "shop".into(),
            newest: Some(newest),
            good: Some(newest),
            failure: None,
            fault: None,
            judged,
        };
        let now = snapshot.time;
        snapshot.certificates = vec![
            certificate(
                Some(now + 8 * DAY),
                told(Verdict::Unhealthy, "8 days left: renew"),
                None,
            ),
            certificate(Some(now + DAY), told(Verdict::Healthy, ""), Some("refused")),
            certificate(
                None,
                told(Verdict::Unhealthy, "chain.pem: no PEM"),
                Some("no PEM"),
            ),
        ];
        snapshot.backups = vec![
            backup(now - 90 * DAY, told(Verdict::Unhealthy, "too old")),
            backup(now - 90 * DAY, told(Verdict::Healthy, "")),
            backup(now, Judged::default()),
        ];
        let all = rows(&snapshot);
        let about = |stack: &str| -> Vec<(Tone, String)> {
            let rows = all.iter().filter(|row| row.text().contains(stack));
            rows.map(|row| (row.0[0].0, row.text()))
                .map(|(tone, text)| {
                    (
                        tone,
                        text.split_whitespace()
                            .skip(2)
                            .collect::<Vec<_>>()
                            .join(" "),
                    )
                })
                .collect()
        };
        assert_eq!(
            about("● web "),
            [
                (Tone::Bad, "8 days left, acme 8 days left: renew".to_owned()),
                (Tone::Good, "1 day left, acme refused".to_owned()),
                (
                    Tone::Bad,
                    "cannot be read, acme chain.pem: no PEM".to_owned()
                ),
            ]
        );
        assert_eq!(
            about("● shop "),
            [
                (
                    Tone::Bad,
                    "newest 90 days ago, last good 90 days ago too old".to_owned()
                ),
                (
                    Tone::Good,
                    "newest 90 days ago, last good 90 days ago".to_owned()
                ),
                (
                    Tone::Odd,
                    "newest 0 min ago, last good 0 min ago not asked yet".to_owned()
                ),
            ]
        );
    }

    /// Escapes, other controls, marks that turn the direction of text, and a megabyte of it.
    #[test]
    fn hostile_text_moves_no_terminal() {
        let hostile = format!(
            "\u{1b}]0;owned\u{7}\u{1b}[2J\r\n\u{9b}31m\u{202e}\u{200b}<b>{}",
            "x".repeat(1_000_000)
        );
        for row in rows(&snapshot(&hostile)) {
            let text = row.text();
            assert!(
                text.chars().count() < 1000,
                "{} characters",
                text.chars().count()
            );
            let moves =
                |c: char| c.is_control() || ('\u{200b}'..='\u{202e}').contains(&c) && c != '…';
            assert!(!text.chars().any(moves), "{text:?}");
        }
    }
}
