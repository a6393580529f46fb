//! Records for the operator: to the journal with fields when systemd runs us, else to stderr. A
//! thread of its own writes them, so that a stuck journald never holds up a request.
#![allow(
    clippy::disallowed_methods,
    reason = "reads JOURNAL_STREAM, which tells whether systemd runs us"
)]

use std::fmt;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Records that may wait; more are dropped and counted.
const QUEUE: usize = 1024;
const FLUSH: Duration = Duration::from_millis(500);

enum Item {
    Record(Box<Record>),
    Flush(SyncSender<()>),
}

/// A record on its way to the writer. These fields are all there are: another one is added to the
/// message as text.
#[derive(Default)]
struct Record {
    level: Option<Level>,
    message: String,
    user: Option<String>,
    outcome: Option<String>,
    request_id: Option<String>,
    address: Option<String>,
    route: Option<String>,
    status: Option<u64>,
    duration_ms: Option<u64>,
    state: Option<String>,
    error: Option<String>,
    container: Option<String>,
    probe: Option<String>,
}

/// Flushes when dropped.
#[must_use = "records are lost when it is dropped early"]
pub struct Telemetry(SyncSender<Item>);

/// Starts the writer and becomes the process's subscriber, unless there already is one.
pub fn start(identifier: &str) -> Telemetry {
    let (sender, receiver) = sync_channel(QUEUE);
    let dropped = Arc::new(AtomicU64::new(0));
    let forward = Forward {
        sender: sender.clone(),
        dropped: Arc::clone(&dropped),
    };
    let identifier = identifier.to_owned();
    let writer = std::thread::Builder::new().name("telemetry".to_owned());
    let spawned = writer.spawn(move || write_all(&receiver, &dropped, identifier));
    let subscriber = Registry::default().with(forward.with_filter(LevelFilter::INFO));
    if spawned.is_ok() && tracing::subscriber::set_global_default(subscriber).is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            tracing::error!(error = %panic, "panic");
        }));
    }
    Telemetry(sender)
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        let (done, wait) = sync_channel(1);
        if self.0.try_send(Item::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(FLUSH);
        }
    }
}

struct Forward {
    sender: SyncSender<Item>,
    dropped: Arc<AtomicU64>,
}

impl<S: Subscriber> Layer<S> for Forward {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut record = Record {
            level: Some(*event.metadata().level()),
            ..Record::default()
        };
        event.record(&mut record);
        if self
            .sender
            .try_send(Item::Record(Box::new(record)))
            .is_err()
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Visit for Record {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "status" => self.status = Some(value),
            "duration_ms" => self.duration_ms = Some(value),
            _ => self.record_str(field, &value.to_string()),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let slot = match field.name() {
            "message" => {
                self.message.insert_str(0, value);
                return;
            }
            "user" => &mut self.user,
            "outcome" => &mut self.outcome,
            "request_id" => &mut self.request_id,
            "address" => &mut self.address,
            "route" => &mut self.route,
            "state" => &mut self.state,
            "error" => &mut self.error,
            "container" => &mut self.container,
            "probe" => &mut self.probe,
            other => {
                self.message.push_str(&format!(" {other}={value}"));
                return;
            }
        };
        *slot = Some(value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

fn write_all(receiver: &Receiver<Item>, dropped: &AtomicU64, identifier: String) {
    let journal = stderr_is_the_journal().then(tracing_journald::layer);
    match journal {
        Some(Ok(layer)) => {
            let layer = layer
                .with_syslog_identifier(identifier)
                .with_field_prefix(Some("TAVERN".to_owned()));
            write_to(Registry::default().with(layer), receiver, dropped);
        }
        _ => {
            let layer = tracing_subscriber::fmt::layer()
                .with_target(false)
                .with_ansi(std::io::stderr().is_terminal())
                .with_writer(std::io::stderr);
            write_to(Registry::default().with(layer), receiver, dropped);
        }
    }
}

/// Whether our stderr is the stream that `JOURNAL_STREAM` names. The variable alone proves nothing:
/// a terminal started by a service hands it on.
fn stderr_is_the_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    nix::sys::stat::fstat(std::io::stderr())
        .is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

fn write_to<S>(subscriber: S, receiver: &Receiver<Item>, dropped: &AtomicU64)
where
    S: Subscriber + Send + Sync + 'static,
{
    tracing::subscriber::with_default(subscriber, || {
        for item in receiver {
            match item {
                Item::Record(record) => record.write(),
                Item::Flush(done) => drop(done.try_send(())),
            }
            let lost = dropped.swap(0, Ordering::Relaxed);
            if lost > 0 {
                tracing::warn!("{lost} records were dropped: the journal was too slow");
            }
        }
    });
}

impl Record {
    fn write(self) {
        macro_rules! at {
            ($level:expr) => {
                tracing::event!(
                    target: "tavern",
                    $level,
                    user = self.user,
                    outcome = self.outcome,
                    request_id = self.request_id,
                    address = self.address,
                    route = self.route,
                    status = self.status,
                    duration_ms = self.duration_ms,
                    state = self.state,
                    error = self.error,
                    container = self.container,
                    probe = self.probe,
                    "{}",
                    self.message
                )
            };
        }
        match self.level {
            Some(Level::ERROR) => at!(Level::ERROR),
            Some(Level::WARN) => at!(Level::WARN),
            _ => at!(Level::INFO),
        }
    }
}
