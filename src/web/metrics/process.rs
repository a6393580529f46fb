//! What the process itself uses, under the names that Prometheus gives it everywhere.
#![allow(
    clippy::disallowed_methods,
    reason = "a process looks at itself in /proc; it has no host adapter"
)]

use std::time::{SystemTime, UNIX_EPOCH};

use metrics::{Gauge, Key, Recorder};
use metrics_exporter_prometheus::PrometheusRecorder;
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};

use super::METADATA;

pub(super) struct Process {
    memory: Gauge,
    cpu: Gauge,
    descriptors: Gauge,
    most_descriptors: Gauge,
}

impl Process {
    pub(super) fn new(recorder: &PrometheusRecorder) -> Self {
        let gauge = |name: &'static str| recorder.register_gauge(&Key::from_name(name), &METADATA);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        gauge("process_start_time_seconds").set(now.map_or(0.0, |now| now.as_secs_f64()));
        Self {
            memory: gauge("process_resident_memory_bytes"),
            cpu: gauge("process_cpu_seconds_total"),
            descriptors: gauge("process_open_fds"),
            most_descriptors: gauge("process_max_fds"),
        }
    }

    /// What cannot be read keeps its last value.
    pub(super) fn look(&self) {
        if let Some(bytes) = resident() {
            self.memory.set(bytes);
        }
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
            let seconds =
                |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
            self.cpu
                .set(seconds(usage.user_time()) + seconds(usage.system_time()));
        }
        if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
            self.descriptors.set(open.count() as f64);
        }
        if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
            self.most_descriptors.set(soft as f64);
        }
    }
}

fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: f64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024.0)
}
