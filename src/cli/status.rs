use std::process::ExitCode;

use clap::Args;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Answer, Printer, installed_stacks, require_host};
use crate::check::Verdict;
use crate::check::age;
use crate::engine::{Engine, Silent};
use crate::host::{Host, HostError};
use crate::mint;
use crate::model::{BackupRecord, CHAIN, Layout, Saved};
use crate::monitor;
use crate::stack::{SiteContent, Stack};
use crate::supervise::{self, Health, Picture};

#[derive(Args)]
#[command(after_help = "Example:\n  sudo tavernctl status")]
pub(super) struct Arguments {}

pub(super) fn run(_arguments: &Arguments, printer: &Printer) -> Answer {
    let host = Host::real();
    require_host(&host, "status")?;
    let stacks = installed_stacks(&host, &[])?;
    let engine = Engine::new(&host, &Silent);
    let receipt = engine.receipt()?;
    let mut text = format!(
        "Host       generation {}, {} resources\n",
        receipt.generation,
        receipt.entries.len()
    );
    let now = host.clock.now();
    for hold in engine.holds()?.current(now) {
        text.push_str(&format!(
            "Held       {}: {}\n",
            hold.thing,
            hold.describe(now)
        ));
    }
    if let Some(pending) = engine.pending()? {
        let left = pending.left(&host.clock.uptime()?).as_secs();
        text.push_str(&format!(
            "Pending    {left} s to confirm, then generation {} comes back\n",
            pending.back_to
        ));
    }
    text.push_str(&found(&engine));
    if let Some(health) = supervise::standing(&engine) {
        text.push_str(&described(&health));
    }
    let picture = Picture::read(&host, &engine.layout);
    if picture.is_none() {
        text.push_str("Watched    no: `systemctl status tavernd` says why\n");
    }
    let picture = picture.unwrap_or_default();
    for stack in &stacks {
        text.push_str(&describe(&host, stack, &picture)?);
    }
    printer.out(&text);
    Ok(ExitCode::SUCCESS)
}

/// What stands out in the logs.
fn found(engine: &Engine<'_>) -> String {
    let Some(report) = supervise::traffic(engine) else {
        return "Logs       nobody watches them: `journalctl -u tavern-monitor` says why\n"
            .to_owned();
    };
    let mut text: String = report
        .found()
        .map(|(of, one)| format!("Found      {}\n", monitor::describe(of, one)))
        .collect();
    if !report.journal.is_followed {
        text.push_str("Journal    nobody reads it: `journalctl -u tavern-monitor` says why\n");
    }
    text
}

/// How all probes are, by the last round; the ill ones one by one.
fn described(health: &Health) -> String {
    let moment = |second| {
        OffsetDateTime::from_unix_timestamp(second)
            .ok()
            .and_then(|time| time.format(&Rfc3339).ok())
            .unwrap_or_default()
    };
    let tracks = health.tracks.values();
    let ill: Vec<_> = tracks
        .filter(|track| track.verdict != Verdict::Healthy || track.wavers)
        .collect();
    let all = health.tracks.len();
    let mut text = format!("Health     {} of {all} probes healthy\n", all - ill.len());
    for track in ill {
        text.push_str(&format!(
            "  probe      {}: {}{} since {}\n",
            track.subject,
            track.verdict.as_str(),
            if track.wavers { ", wavers," } else { "" },
            moment(track.since)
        ));
    }
    text
}

fn describe(host: &Host, stack: &Stack, picture: &Picture) -> Result<String, HostError> {
    let layout = Layout::system();
    let mut text = format!("\nStack      {}\n", stack.name);
    let units: Vec<String> = stack
        .apps
        .iter()
        .map(|app| Layout::unit_stem(&stack.name, &app.name))
        .flat_map(|unit| [format!("{unit}.service"), format!("{unit}.socket")])
        .chain(["nginx.service".to_owned()])
        .collect();
    let names: Vec<&str> = units.iter().map(String::as_str).collect();
    for (unit, report) in units.iter().zip(host.systemd.reports(&names)?) {
        let said = if report.status_text.is_empty() {
            String::new()
        } else {
            format!("  {}", report.status_text)
        };
        text.push_str(&format!(
            "  unit       {unit:<28} {} ({}){said}\n",
            report.active, report.sub
        ));
    }
    for container in &stack.containers {
        let state = match host.docker.container(container.name.as_str()) {
            Ok(Some(found)) if found.running => format!("running ({})", found.health),
            Ok(Some(_)) => "stopped".to_owned(),
            Ok(None) => "missing".to_owned(),
            Err(error) => error.to_string(),
        };
        text.push_str(&format!(
            "  container  {:<28} {state}\n",
            container.name.as_str()
        ));
        let kept = picture.containers.iter();
        for kept in kept.filter(|kept| kept.name == container.name.as_str()) {
            text.push_str(&format!("             watched: {}\n", kept.describe()));
        }
    }
    let chain = host
        .files
        .read(&layout.certificate(&stack.name).join(CHAIN))?
        .unwrap_or_default();
    let days = match mint::read_certificate(&chain) {
        Ok(info) => format!(
            "{} days left",
            (info.not_after - host.clock.now()).whole_days()
        ),
        Err(error) => error.to_string(),
    };
    text.push_str(&format!("  certificate {days}\n"));
    if stack.backup.is_some() {
        text.push_str(&format!("  backup     {}\n", backup(host, stack)));
    }
    for site in &stack.sites {
        let guard = match &site.access {
            None if matches!(site.content, SiteContent::App(_)) => "its own accounts".to_owned(),
            None => match &site.content {
                SiteContent::Redirect(redirect) => format!("to {}", redirect.to),
                _ => "open".to_owned(),
            },
            Some(access) => {
                let doors = [
                    (access.accounts.len(), "account"),
                    (access.allow.len(), "range"),
                ];
                let plural = |count: usize| if count == 1 { "" } else { "s" };
                let texts = doors.iter().filter(|(count, _)| *count > 0);
                let texts: Vec<_> = texts
                    .map(|(n, what)| format!("{n} {what}{}", plural(*n)))
                    .collect();
                texts.join(", ")
            }
        };
        let host = site.host.as_ref().map(ToString::to_string);
        let place = format!("{}{}", host.unwrap_or_default(), site.path);
        text.push_str(&format!("  site       {place:<28} {guard}\n"));
    }
    Ok(text)
}

/// How old the newest backup is, and the last that is known to be good.
fn backup(host: &Host, stack: &Stack) -> String {
    let path = Layout::system().backup_record(&stack.name);
    let now = host.clock.now().unix_timestamp();
    let bytes = match host.files.read(&path) {
        Ok(bytes) => bytes.unwrap_or_else(|| BackupRecord::default().to_bytes()),
        Err(error) => return error.to_string(),
    };
    match BackupRecord::parse(&bytes) {
        Err(reason) => reason,
        Ok(record) => {
            let old = |saved: &Option<Saved>| match saved {
                Some(saved) => format!("{} ({} old)", saved.id, age(now - saved.at)),
                None => "none yet".to_owned(),
            };
            let fault = record.drill.as_ref().and_then(|drill| drill.fault.as_ref());
            let fault = fault.map_or("", |_| "; the last drill failed: `sudo tavernctl check`");
            format!(
                "newest {}, last good {}{fault}",
                old(&record.newest),
                old(&record.good)
            )
        }
    }
}
