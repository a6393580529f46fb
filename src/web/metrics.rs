//! Numbers for Prometheus, on a socket of their own that the front door does not lead to.

mod process;
mod routes;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics::{Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

pub use metrics::{Counter, Gauge, Histogram};
pub(super) use routes::Requests;

/// Where a service's own numbers are written: text form 0.0.4.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const PATH: &str = "/metrics";
/// From what a ping takes to what a hanging store takes.
const SECONDS: [f64; 12] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 10.0,
];
const METADATA: Metadata<'static> = Metadata::new("tavern", Level::INFO, None);

/// All numbers of a service. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    requests: Arc<Requests>,
    process: Arc<process::Process>,
}

impl Metrics {
    pub fn new() -> Self {
        let builder = PrometheusBuilder::new();
        // refused only without a bucket
        let builder = builder.set_buckets(&SECONDS).unwrap_or_default();
        let recorder = Arc::new(builder.build_recorder());
        Self {
            requests: Arc::new(Requests::new(Arc::clone(&recorder))),
            process: Arc::new(process::Process::new(&recorder)),
            recorder,
        }
    }

    pub fn counter(&self, name: &'static str, labels: &[(&'static str, &'static str)]) -> Counter {
        self.recorder
            .register_counter(&key(name, labels), &METADATA)
    }

    pub fn gauge(&self, name: &'static str, labels: &[(&'static str, &'static str)]) -> Gauge {
        self.recorder.register_gauge(&key(name, labels), &METADATA)
    }

    pub fn histogram(
        &self,
        name: &'static str,
        labels: &[(&'static str, &'static str)],
    ) -> Histogram {
        self.recorder
            .register_histogram(&key(name, labels), &METADATA)
    }

    pub(super) fn requests(&self) -> Arc<Requests> {
        Arc::clone(&self.requests)
    }

    /// Sorts what was measured into its buckets. Call it often: until then each measurement takes
    /// memory.
    pub fn upkeep(&self) {
        self.recorder.handle().run_upkeep();
    }

    /// Keeps it up for ever.
    pub async fn keep_up(self) {
        loop {
            tokio::time::sleep(Duration::from_millis(250)).await;
            self.upkeep();
        }
    }

    fn render(&self) -> String {
        self.process.look();
        self.recorder.handle().render()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The routes of the private socket.
pub fn router(metrics: Metrics) -> Router {
    let render =
        move || async move { ([(header::CONTENT_TYPE, TEXT)], metrics.render()).into_response() };
    Router::new().route(PATH, get(render))
}

fn key(name: &'static str, labels: &[(&'static str, &'static str)]) -> Key {
    let labels: Vec<Label> = labels
        .iter()
        .map(|(name, value)| Label::from_static_parts(name, value))
        .collect();
    Key::from_parts(name, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_shown() {
        let metrics = Metrics::new();
        metrics
            .counter("tavern_test_total", &[("outcome", "good")])
            .increment(3);
        metrics.gauge("tavern_test_up", &[]).set(1.0);
        metrics.histogram("tavern_test_seconds", &[]).record(0.003);
        let requests = metrics.requests();
        requests.note("/a/{x}", "GET", 200, Duration::from_millis(3));
        requests.note("/a/{x}", "GET", 200, Duration::from_millis(30));
        requests.note("/a/{x}", "GET", 503, Duration::from_millis(3));
        metrics.upkeep();
        let text = metrics.render();
        for line in [
            r#"tavern_test_total{outcome="good"} 3"#,
            "tavern_test_up 1",
            r#"tavern_test_seconds_bucket{le="0.005"} 1"#,
            r#"tavern_test_seconds_bucket{le="0.0025"} 0"#,
            r#"tavern_requests_total{route="/a/{x}",method="GET",status="200"} 2"#,
            r#"tavern_requests_total{route="/a/{x}",method="GET",status="503"} 1"#,
            r#"tavern_request_duration_seconds_count{route="/a/{x}"} 3"#,
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        }
        let value = |name: &str| -> f64 {
            let line = text
                .lines()
                .find(|line| line.starts_with(&format!("{name} ")));
            line.and_then(|line| line.split(' ').nth(1)?.parse().ok())
                .unwrap_or_else(|| panic!("no {name} in\n{text}"))
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_open_fds") > 2.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        assert!(value("process_cpu_seconds_total") >= 0.0);
        assert!(value("process_start_time_seconds") > 1.6e9);
    }
}
