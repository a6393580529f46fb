//! One round: what the probes say is written down, and what changed is told. A process of its own, for the probes
//! need what `tavernd` gave up: the network, the logs, root's powers.

use std::path::PathBuf;
use std::time::Duration;

use tracing::{error, info, warn};

use super::chronicle::Chronicle;
use super::health::{Health, News, Second, key, plain};
use super::history::{Book, History};
use super::picture::Picture;
use super::send::{self, deliver, post_out};
use super::store::{Day, StoreError};
use super::traffic::{self, traffic};
use crate::check::{Finding, Report, Verdict};
use crate::engine::{Engine, EngineError};
use crate::model::Mode;
use crate::resource::Owner;
use crate::stack::Stack;

/// Why a round was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What came of a round.
#[derive(Debug)]
pub struct Round {
    /// What is news.
    pub news: Vec<News>,
    /// How each probe is.
    pub health: Health,
}

/// How each probe is, for whoever asks: only a round opens the history.
fn picture(engine: &Engine<'_>) -> PathBuf {
    engine.layout.state.join("health/now.json")
}

/// How each probe is, by the last round; nothing if there was none.
pub fn last(engine: &Engine<'_>) -> Option<Health> {
    let bytes = engine.host.files.read(&picture(engine)).ok()??;
    serde_json::from_slice(&bytes).ok()
}

/// The same as it is to be shown now: what nobody asks any more is not passed off as well.
pub fn standing(engine: &Engine<'_>) -> Option<Health> {
    let clock = &engine.host.clock;
    let up = clock.uptime().map(|uptime| uptime.length);
    Some(last(engine)?.standing(clock.now().unix_timestamp(), up.unwrap_or(Duration::MAX)))
}

/// Writes a round down, tells the journal what is news, and after a reboot whether the host is as it was applied.
///
/// # Errors
/// When it cannot be written down.
pub fn record(
    engine: &Engine<'_>,
    stacks: &[Stack],
    report: &Report,
) -> Result<Round, RecordError> {
    let mut findings = report.findings.clone();
    findings.extend(of_the_supervisor(engine));
    // What happens on the sites; the host's own state is in the others.
    let mut all = findings.clone();
    let own = engine.host.net.addresses();
    all.extend(traffic::findings(traffic(engine).as_ref(), stacks, &own));
    let mut history = History::of(engine);
    let mut book = history.read();
    all.extend(send::findings(stacks, &book.outboxes));
    let now = engine.host.clock.now().unix_timestamp();
    let mut news = book.health.take(&all, now);
    news.extend(self_test_of_this_boot(engine, &mut book, &findings));
    post_out(stacks, &news, &mut book.outboxes);
    // What is news is safe, or in memory, before anybody is told.
    let today = day(now);
    history.save(&book, &answers(&all), today);
    let bytes = serde_json::to_vec(&book.health).unwrap_or_default();
    let (files, mode) = (&engine.host.files, Mode(0o600));
    if let Err(error) = files.write(&picture(engine), &bytes, mode, &Owner::root()) {
        warn!(%error, "`tavernctl status` shows an older round");
    }
    for one in &news {
        tell(one);
    }
    let mut chronicle = Chronicle::read(engine).unwrap_or_default();
    // Those that are asked no more are forgotten by the store in time; nobody is shown them.
    let days = history.days().map(|mut days| {
        days.retain(|probe, _| book.health.tracks.contains_key(probe));
        days
    });
    chronicle.advance(today, days, &news, now);
    if let Err(error) = chronicle.write(engine) {
        warn!(%error, "the status page shows an older round");
    }
    // Last: whoever is slow to take it holds up nothing else.
    deliver(engine.host, stacks, &mut book, now, |book| {
        history.save(book, &[], today);
    });
    history.outcome()?;
    Ok(Round {
        news,
        health: book.health,
    })
}

/// Days since 1970.
fn day(now: Second) -> u32 {
    u32::try_from(now / 86_400).unwrap_or_default()
}

fn answers(findings: &[Finding]) -> Vec<(String, Day)> {
    let count = |verdict, wanted| u32::from(verdict == wanted);
    let answer = |finding: &Finding| {
        let verdict = plain(finding.verdict);
        let day = Day {
            healthy: count(verdict, Verdict::Healthy),
            unhealthy: count(verdict, Verdict::Unhealthy),
            unknown: count(verdict, Verdict::Unknown),
        };
        (key(finding), day)
    };
    findings.iter().map(answer).collect()
}

/// What `tavernd` knows, as answers like the others.
fn of_the_supervisor(engine: &Engine<'_>) -> Vec<Finding> {
    let finding = |subject: String, verdict, reason: String| Finding {
        stack: None,
        subject,
        verdict,
        reason,
        took_ms: 0,
    };
    let Some(picture) = Picture::read(engine.host, &engine.layout) else {
        return vec![finding(
            "tavernd".into(),
            Verdict::Unhealthy,
            "it does not run: `systemctl status tavernd` says why".into(),
        )];
    };
    let mut findings = vec![finding(
        "tavernd".into(),
        Verdict::Healthy,
        format!("watches since {}", picture.since),
    )];
    for kept in picture.containers {
        let (verdict, reason) = match (&kept.error, &kept.cause, kept.crash_loop) {
            (_, Some(cause), true) => (
                Verdict::Unhealthy,
                format!("it crashes again and again: {cause}"),
            ),
            (_, None, true) => (
                Verdict::Unhealthy,
                format!(
                    "it crashes again and again: `docker logs {}` says why",
                    kept.name
                ),
            ),
            // Why it ended leads further than what its mend met.
            (Some(error), Some(cause), false) if kept.phase != "up" => (
                Verdict::Unhealthy,
                format!("{cause}; the last mend: {error}"),
            ),
            (Some(error), _, false) => (Verdict::Unhealthy, error.clone()),
            // It may be up again by now.
            (None, Some(cause), false) if kept.phase != "up" => (Verdict::Unhealthy, cause.clone()),
            (None, _, false) => (of_a_phase(&kept.phase), kept.describe()),
        };
        findings.push(finding(format!("keeping {}", kept.name), verdict, reason));
    }
    findings
}

/// A container that nothing is said against may still not be there.
fn of_a_phase(phase: &str) -> Verdict {
    match phase {
        "up" | "settling" | "held" => Verdict::Healthy,
        "unseen" | "no_docker" => Verdict::Unknown,
        _ => Verdict::Unhealthy,
    }
}

/// Compares the host once after each boot, and notes that it did.
fn self_test_of_this_boot(
    engine: &Engine<'_>,
    book: &mut Book,
    findings: &[Finding],
) -> Option<News> {
    let (boot, up) = match engine.host.clock.uptime() {
        Ok(uptime) => (uptime.boot, uptime.length),
        Err(error) => {
            warn!(%error, "whether the host has booted is not known");
            return None;
        }
    };
    let tested = match &book.boot {
        Some(booted) if *booted != boot => self_test(engine, findings),
        _ => Tested::Passed,
    };
    let text = match tested {
        Tested::NotNow => return None,
        Tested::Passed => None,
        // A store may still be reading its data.
        Tested::Failed(_) if up < SETTLES => return None,
        Tested::Failed(text) => Some(text),
    };
    book.boot = Some(boot);
    text.map(|text| {
        error!(state = "self-test", outcome = "failed", "{text}");
        News::SelfTest { text }
    })
}

/// What is not well this long after a boot does not become so by itself.
const SETTLES: Duration = Duration::from_secs(180);

/// What came of the comparison after a boot.
enum Tested {
    /// It waits for the next round.
    NotNow,
    Passed,
    /// What is not as it was applied, in words.
    Failed(String),
}

/// Compares the host with its generation, once after each boot.
fn self_test(engine: &Engine<'_>, findings: &[Finding]) -> Tested {
    let drift = match engine.drift() {
        Ok(drift) => drift,
        // Another run is at work, or one was cut off by the reboot: that comes first.
        Err(error @ (EngineError::Locked { .. } | EngineError::NotReady { .. })) => {
            warn!(%error, state = "self-test", "the self-test after the reboot waits");
            return Tested::NotNow;
        }
        // Docker may be down: that is what people are to know.
        Err(error) => {
            return Tested::Failed(format!(
                "after the reboot the host could not be compared: {error}"
            ));
        }
    };
    let generation = engine.receipt().unwrap_or_default().generation;
    let ill = findings.iter();
    let ill = ill.filter(|finding| plain(finding.verdict) != Verdict::Healthy);
    let ill: Vec<String> = ill.map(key).collect();
    if drift.is_empty() && ill.is_empty() {
        info!(
            state = "self-test",
            outcome = "passed",
            "after the reboot all is as generation {generation} made it, and healthy"
        );
        return Tested::Passed;
    }
    let drift: Vec<String> = drift
        .iter()
        .map(|drift| format!("{} ({})", drift.id, drift.change.reason))
        .collect();
    let list = |what: &str, names: &[String]| match names {
        [] => String::new(),
        names => format!("; {what}: {}", names.join(", ")),
    };
    Tested::Failed(format!(
        "after the reboot not all is as generation {generation} made it{}{}",
        list("differs", &drift),
        list("not healthy", &ill)
    ))
}

fn tell(news: &News) {
    match news {
        News::Changed {
            subject,
            from,
            to,
            reason,
        } => {
            let (probe, state) = (subject, to.as_str());
            let text = format!("{subject}: {}, was {}", to.as_str(), from.as_str());
            match to {
                Verdict::Healthy | Verdict::Note => info!(probe, state, "{text}"),
                Verdict::Unhealthy => error!(probe, state, error = reason.as_str(), "{text}"),
                Verdict::Unknown => warn!(probe, state, error = reason.as_str(), "{text}"),
            }
        }
        // Told when it was found.
        News::SelfTest { .. } => {}
        News::Wavers { subject } => warn!(
            probe = subject,
            state = "wavers",
            "{subject}: changes again and again; nothing more is said until it is still"
        ),
        News::Still {
            subject, verdict, ..
        } => info!(
            probe = subject,
            state = verdict.as_str(),
            "{subject}: still again, and {}",
            verdict.as_str()
        ),
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
