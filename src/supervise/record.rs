//! One round: what the probes say is written down, and what changed is told. A process of its own, for the probes
//! need what `tavernd` gave up: the network, the logs, root's powers.

use std::path::PathBuf;

use tracing::{error, info, warn};

use super::chronicle::Chronicle;
use super::health::{Health, News, Second, key, plain};
use super::picture::Picture;
use super::send::alert;
use super::store::{Day, Store, StoreError};
use crate::check::{Finding, Report, Verdict};
use crate::engine::{Engine, EngineError};
use crate::host::HostError;
use crate::model::Mode;
use crate::resource::Owner;
use crate::stack::Stack;

/// Why a round was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The machine.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
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

fn path(engine: &Engine<'_>) -> PathBuf {
    engine.layout.state.join("health/history.redb")
}

/// How each probe is, by the last round; nothing if there was none.
pub fn last(engine: &Engine<'_>) -> Option<Health> {
    let bytes = engine.host.files.read(&picture(engine)).ok()??;
    serde_json::from_slice(&bytes).ok()
}

/// Opens the history. A damaged one is kept beside a new one.
fn open(engine: &Engine<'_>) -> Result<Store, RecordError> {
    let path = path(engine);
    let error = match Store::open(&path) {
        Ok(store) => return Ok(store),
        Err(error) if !error.is_damage() => return Err(error.into()),
        Err(error) => error,
    };
    let kept = path.with_extension("redb.damaged");
    warn!(%error, "the history of health cannot be read: it is kept as {}, and begun anew", kept.display());
    engine.host.files.rename(&path, &kept)?;
    Ok(Store::open(&path)?)
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
    let store = open(engine)?;
    let (mut health, booted) = store.load()?;
    let now = engine.host.clock.now().unix_timestamp();
    let mut news = health.take(&findings, now);
    let mut boot = engine.host.clock.uptime()?.boot;
    if let Some(booted) = booted
        && booted != boot
    {
        match self_test(engine, &findings)? {
            Tested::NotNow => boot = booted,
            Tested::Passed => {}
            Tested::Failed(text) => news.push(News::SelfTest { text }),
        }
    }
    store.save(&health, &answers(&findings), &boot, day(now))?;
    let bytes = serde_json::to_vec(&health).unwrap_or_default();
    let (files, mode) = (&engine.host.files, Mode(0o600));
    files.write(&picture(engine), &bytes, mode, &Owner::root())?;
    for one in &news {
        tell(one);
    }
    let mut days = store.days()?;
    // Those that are asked no more are forgotten by the store in time; nobody is shown them.
    days.retain(|probe, _| health.tracks.contains_key(probe));
    let mut chronicle = Chronicle::read(engine).unwrap_or_default();
    chronicle.advance(day(now), days, &news, now);
    chronicle.write(engine)?;
    // Last: whoever is slow to take it holds up nothing else.
    let mut outboxes = store.outboxes()?;
    let before = outboxes.clone();
    alert(engine, stacks, &news, &mut outboxes, now);
    if outboxes != before {
        store.save_outboxes(&outboxes)?;
    }
    Ok(Round { news, health })
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
        let (verdict, reason) = match (&kept.error, kept.crash_loop) {
            (_, true) => (
                Verdict::Unhealthy,
                format!(
                    "it crashes again and again: `docker logs {}` says why",
                    kept.name
                ),
            ),
            (Some(error), false) => (Verdict::Unhealthy, error.clone()),
            (None, false) => (Verdict::Healthy, kept.describe()),
        };
        findings.push(finding(format!("keeping {}", kept.name), verdict, reason));
    }
    findings
}

/// What came of the comparison after a boot.
enum Tested {
    /// It waits for the next round.
    NotNow,
    Passed,
    /// What is not as it was applied, in words.
    Failed(String),
}

/// Compares the host with its generation, once after each boot.
fn self_test(engine: &Engine<'_>, findings: &[Finding]) -> Result<Tested, RecordError> {
    let drift = match engine.drift() {
        Ok(drift) => drift,
        // Another run is at work, or one was cut off by the reboot: that comes first.
        Err(error @ (EngineError::Locked { .. } | EngineError::NotReady { .. })) => {
            warn!(%error, state = "self-test", "the self-test after the reboot waits");
            return Ok(Tested::NotNow);
        }
        Err(error) => return Err(error.into()),
    };
    let generation = engine.receipt()?.generation;
    let ill = findings.iter();
    let ill = ill.filter(|finding| plain(finding.verdict) != Verdict::Healthy);
    let ill: Vec<String> = ill.map(key).collect();
    if drift.is_empty() && ill.is_empty() {
        info!(
            state = "self-test",
            outcome = "passed",
            "after the reboot all is as generation {generation} made it, and healthy"
        );
        return Ok(Tested::Passed);
    }
    let drift: Vec<String> = drift
        .iter()
        .map(|drift| format!("{} ({})", drift.id, drift.change.reason))
        .collect();
    let list = |what: &str, names: &[String]| match names {
        [] => String::new(),
        names => format!("; {what}: {}", names.join(", ")),
    };
    let text = format!(
        "after the reboot not all is as generation {generation} made it{}{}",
        list("differs", &drift),
        list("not healthy", &ill)
    );
    error!(state = "self-test", outcome = "failed", "{text}");
    Ok(Tested::Failed(text))
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
