//! All that there is to show of a host, read from the files that others wrote: nothing is asked of Docker, systemd or
//! the network, and there is no secret in it.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::chronicle::{Chronicle, Counted, Told};
use super::picture::{KeptContainer, Picture};
use super::record::standing;
use super::send::hostname;
use crate::check::Verdict;
use crate::engine::{Engine, Life, Outline};
use crate::model::{BackupRecord, Layout};
use crate::monitor::{JournalReport, REPORT_FILE, Report, SiteReport};
use crate::stack::Stack;

/// The version of the form that this build writes.
const VERSION: u32 = 1;
/// What changes with a run or by the hour is read this often.
const SLOW: Duration = Duration::from_secs(30);
/// The monitor writes every other second: an older report is of no use.
const STALE_SECONDS: u64 = 30;
/// Generations that are shown.
const GENERATIONS: usize = 10;

/// A host at a moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Snapshot {
    /// The version of this form.
    pub version: u32,
    /// When, in seconds since 1970.
    pub time: i64,
    /// Its name.
    pub host: String,
    /// Which tavernctl says so.
    pub tavernctl: &'static str,
    /// Its generation.
    pub generation: u64,
    /// Every probe, by the last round.
    pub probes: Vec<Probe>,
    /// The containers that are kept.
    pub containers: Vec<KeptContainer>,
    /// Since when `tavernd` watches; nothing if it does not.
    pub watched_since: Option<String>,
    /// What the log monitor has seen.
    pub sites: Vec<Site>,
    /// What it has seen in the journal, while it says anything.
    pub journal: Option<JournalReport>,
    /// The certificates.
    pub certificates: Vec<Certificate>,
    /// The backups.
    pub backups: Vec<Backup>,
    /// The newest generations, newest first.
    pub generations: Vec<Generation>,
    /// What people were told of late, newest first.
    pub alerts: Vec<Told>,
    /// 90 days of each probe.
    pub days: Days,
}

impl Snapshot {
    /// The day that it is, by the last round; by the clock if there was none.
    pub fn today(&self) -> u32 {
        match self.days.today {
            0 => u32::try_from(self.time / 86_400).unwrap_or_default(),
            today => today,
        }
    }
}

/// A probe.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Probe {
    /// Its name over time: the stack, if it is of one, and the subject.
    pub name: String,
    /// The stack.
    pub stack: Option<String>,
    /// What it is about.
    pub subject: String,
    /// The verdict that holds.
    pub verdict: Verdict,
    /// Since when.
    pub since: i64,
    /// Why.
    pub reason: String,
    /// It changes again and again.
    pub wavers: bool,
}

/// A site, over the last five minutes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Site {
    /// The name of its log.
    pub name: String,
    /// What the monitor says of it.
    #[serde(flatten)]
    pub report: SiteReport,
}

/// A stack's certificate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Certificate {
    /// The stack.
    pub stack: String,
    /// Who signs it, by the stack file's word.
    pub issuer: &'static str,
    /// Its end, in seconds since 1970.
    pub not_after: Option<i64>,
    /// What is wrong with it, or with its renewal.
    pub error: Option<String>,
    /// What its probe says.
    #[serde(flatten)]
    pub judged: Judged,
}

/// A stack's backups.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Backup {
    /// The stack.
    pub stack: String,
    /// When the newest was made.
    pub newest: Option<i64>,
    /// When the newest was made that was restored in a trial and found whole.
    pub good: Option<i64>,
    /// Why the last try to make one failed.
    pub failure: Option<String>,
    /// What the last trial found wrong.
    pub fault: Option<String>,
    /// What their probe says.
    #[serde(flatten)]
    pub judged: Judged,
}

/// A probe's word on a thing that has a place of its own: nobody who shows it judges anew.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// The verdict that holds; unknown until it was asked.
    pub verdict: Verdict,
    /// Why, where all is not well.
    pub reason: Option<String>,
}

impl Default for Judged {
    fn default() -> Self {
        Self {
            verdict: Verdict::Unknown,
            reason: Some("not asked yet".to_owned()),
        }
    }
}

impl Judged {
    fn by(probes: &[Probe], stack: &str, subject: &str) -> Self {
        let is_its =
            |probe: &&Probe| probe.stack.as_deref() == Some(stack) && probe.subject == subject;
        let Some(probe) = probes.iter().find(is_its) else {
            return Self::default();
        };
        let is_well = matches!(probe.verdict, Verdict::Healthy | Verdict::Note);
        Self {
            verdict: probe.verdict,
            reason: (!is_well).then(|| probe.reason.clone()),
        }
    }
}

/// A generation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Generation {
    /// Its number.
    pub number: u64,
    /// When it was made, in seconds since 1970.
    pub at: Option<i64>,
    /// By which kind of run.
    pub verb: String,
}

/// Days of probes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Days {
    /// The newest, since 1970.
    pub today: u32,
    /// By the probe's name, oldest first.
    pub probes: std::collections::BTreeMap<String, Vec<Counted>>,
}

/// Looks again and again, and at what rarely changes less often.
#[derive(Default)]
pub struct Survey {
    slow: Option<(Instant, Slow)>,
}

#[derive(Clone, Default)]
struct Slow {
    generation: u64,
    stacks: Vec<String>,
    certificates: Vec<Certificate>,
    backups: Vec<Backup>,
    generations: Vec<Generation>,
}

impl Survey {
    /// How the host is now. What cannot be read is not in it.
    pub fn look(&mut self, engine: &Engine<'_>) -> Snapshot {
        let slow = match &self.slow {
            Some((read, slow)) if read.elapsed() < SLOW => slow.clone(),
            _ => {
                let slow = Slow::read(engine);
                self.slow = Some((Instant::now(), slow.clone()));
                slow
            }
        };
        let picture = Picture::read(engine.host, &engine.layout);
        let chronicle = Chronicle::read(engine).unwrap_or_default();
        let (sites, journal) = seen(engine);
        let probes = probes(engine, &slow.stacks);
        let (mut certificates, mut backups) = (slow.certificates, slow.backups);
        for one in &mut certificates {
            one.judged = Judged::by(&probes, &one.stack, "certificate");
        }
        for one in &mut backups {
            one.judged = Judged::by(&probes, &one.stack, "backup");
        }
        Snapshot {
            version: VERSION,
            time: engine.host.clock.now().unix_timestamp(),
            host: hostname(),
            tavernctl: env!("CARGO_PKG_VERSION"),
            generation: slow.generation,
            probes,
            watched_since: picture.as_ref().map(|picture| picture.since.clone()),
            containers: picture.unwrap_or_default().containers,
            sites,
            journal,
            certificates,
            backups,
            generations: slow.generations,
            alerts: chronicle.news,
            days: Days {
                today: chronicle.today,
                probes: chronicle.probes,
            },
        }
    }
}

impl Slow {
    fn read(engine: &Engine<'_>) -> Self {
        let Ok(outline) = engine.outline(GENERATIONS) else {
            return Self::default();
        };
        let stacks = || outline.stacks.iter();
        let lives = stacks().map(|stack| certificate(engine.certificate_life(stack)));
        let saved = stacks().filter(|stack| stack.backup.is_some());
        Self {
            generation: outline.generation,
            stacks: stacks().map(|stack| stack.name.to_string()).collect(),
            certificates: lives.collect(),
            backups: saved.map(|stack| backup(engine, stack)).collect(),
            generations: generations(&outline),
        }
    }
}

fn certificate(life: Life) -> Certificate {
    Certificate {
        stack: life.stack.to_string(),
        issuer: life.issuer,
        not_after: life.ends,
        error: life.error,
        judged: Judged::default(),
    }
}

fn backup(engine: &Engine<'_>, stack: &Stack) -> Backup {
    let path = engine.layout.backup_record(&stack.name);
    let read = match engine.host.files.read(&path) {
        Ok(Some(bytes)) => BackupRecord::parse(&bytes),
        Ok(None) => Ok(BackupRecord::default()),
        Err(error) => Err(error.to_string()),
    };
    let (record, unread) = match read {
        Ok(record) => (record, None),
        Err(error) => (BackupRecord::default(), Some(error)),
    };
    Backup {
        stack: stack.name.to_string(),
        newest: record.newest.map(|saved| saved.at),
        good: record.good.map(|saved| saved.at),
        failure: unread.or(record.failure.and_then(|tried| tried.fault)),
        fault: record.drill.and_then(|tried| tried.fault),
        judged: Judged::default(),
    }
}

fn generations(outline: &Outline) -> Vec<Generation> {
    let rfc3339 = &time::format_description::well_known::Rfc3339;
    let moment = |text: &str| time::OffsetDateTime::parse(text, rfc3339).ok();
    let newest = outline.newest.iter();
    newest
        .map(|about| Generation {
            number: about.generation,
            at: moment(&about.at).map(time::OffsetDateTime::unix_timestamp),
            verb: about.verb.to_string(),
        })
        .collect()
}

fn probes(engine: &Engine<'_>, stacks: &[String]) -> Vec<Probe> {
    let tracks = standing(engine).unwrap_or_default().tracks;
    let mut probes: Vec<Probe> = tracks
        .into_iter()
        .map(|(name, track)| {
            let parted = name.split_once(": ");
            let own = parted.filter(|(stack, _)| stacks.iter().any(|known| known == stack));
            let (stack, subject) = match own {
                Some((stack, subject)) => (Some(stack.to_owned()), subject.to_owned()),
                None => (None, name.clone()),
            };
            Probe {
                name,
                stack,
                subject,
                verdict: track.verdict,
                since: track.since,
                reason: track.reason,
                wavers: track.wavers,
            }
        })
        .collect();
    // The stacks first, as in `check`; the host's own after them.
    probes.sort_by_key(|probe| (probe.stack.is_none(), probe.stack.clone()));
    probes
}

/// What the monitor says, while it says anything.
fn seen(engine: &Engine<'_>) -> (Vec<Site>, Option<JournalReport>) {
    let path = Layout::monitor(&engine.layout).join(REPORT_FILE);
    let bytes = engine.host.files.read(&path).ok().flatten();
    let now = engine.host.clock.now().unix_timestamp();
    let is_fresh = |report: &Report| now.abs_diff(report.time.cast_signed()) < STALE_SECONDS;
    let report = bytes.and_then(|bytes| Report::parse(&bytes));
    let Some(report) = report.filter(is_fresh) else {
        return (Vec::new(), None);
    };
    let sites = report.sites.into_iter();
    let sites = sites.map(|(name, report)| Site { name, report }).collect();
    (sites, Some(report.journal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Finding;
    use crate::engine::Silent;
    use crate::host::memory::MemoryHost;
    use crate::model::Mode;
    use crate::resource::Owner;
    use crate::supervise::health::Health;

    #[test]
    fn what_there_is_is_shown_and_what_is_damaged_is_left_out() {
        let memory = MemoryHost::bare();
        let host = memory.doors();
        let engine = Engine::new(&host, &Silent);
        let write = |path: &str, bytes: &[u8]| {
            let path = std::path::Path::new(path);
            let parent = path.parent().unwrap();
            let (files, root) = (&host.files, Owner::root());
            files.make_directory(parent, Mode(0o700), &root).unwrap();
            files.write(path, bytes, Mode(0o600), &root).unwrap();
        };
        let empty = Survey::default().look(&engine);
        assert_eq!((empty.version, empty.probes.len()), (VERSION, 0));
        assert_eq!(empty.watched_since, None);

        let finding = |stack: Option<&str>, subject: &str| Finding {
            stack: stack.map(|stack| stack.parse().unwrap()),
            subject: subject.into(),
            verdict: Verdict::Healthy,
            reason: "well".into(),
            took_ms: 1,
        };
        let mut health = Health::default();
        health.take(
            &[finding(None, "nginx"), finding(Some("web"), "site /: x")],
            5,
        );
        let bytes = serde_json::to_vec(&health).unwrap();
        write("/var/lib/tavern/health/now.json", &bytes);
        write("/run/tavern-monitor/report.json", b"\x1b[2J no report");
        write(
            "/run/tavernd/state.json",
            b"{\"version\":1,\"since\":\"now\",\"containers\":[]}",
        );
        let shown = Survey::default().look(&engine);
        let names: Vec<&str> = shown
            .probes
            .iter()
            .map(|probe| probe.name.as_str())
            .collect();
        assert_eq!(names, ["nginx", "web: site /: x"]);
        assert_eq!(shown.probes[1].stack, None, "no such stack was applied");
        assert_eq!(shown.watched_since.as_deref(), Some("now"));
        assert_eq!(shown.sites, []);

        let split = probes(&engine, &["web".to_owned()]);
        assert_eq!(split[0].stack.as_deref(), Some("web"));
        assert_eq!(split[0].subject, "site /: x");
        assert_eq!(split[1].subject, "nginx");
    }

    #[test]
    fn a_certificate_and_a_backup_have_their_probes_verdict() {
        let probe = |subject: &str, verdict, reason: &str| Probe {
            name: format!("web: {subject}"),
            stack: Some("web".to_owned()),
            subject: subject.to_owned(),
            verdict,
            since: 5,
            reason: reason.to_owned(),
            wavers: false,
        };
        let probes = [
            probe("certificate", Verdict::Unhealthy, "8 days left"),
            probe("backup", Verdict::Note, "none yet"),
        ];
        let ill = Judged::by(&probes, "web", "certificate");
        assert_eq!(
            (ill.verdict, ill.reason.as_deref()),
            (Verdict::Unhealthy, Some("8 days left"))
        );
        let note = Judged::by(&probes, "web", "backup");
        assert_eq!((note.verdict, note.reason), (Verdict::Note, None));
        for (stack, subject) in [("web", "disk"), ("shop", "backup")] {
            assert_eq!(Judged::by(&probes, stack, subject), Judged::default());
        }
        let certificate = Certificate {
            stack: "web".to_owned(),
            issuer: "acme",
            not_after: None,
            error: None,
            judged: ill,
        };
        let json = serde_json::to_value(&certificate).unwrap();
        assert_eq!(json["verdict"], "unhealthy");
        assert_eq!(json["reason"], "8 days left");
    }
}
