//! Rate, errors and duration of requests, for each route.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use metrics::{Counter, Histogram, Key, Label, Recorder};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::METADATA;

/// A route that was never declared has no numbers of its own: a stranger decides its name.
const MAX_ROUTES: usize = 128;

/// The handles, so that a request looks them up and allocates nothing.
pub struct Requests {
    recorder: Arc<PrometheusRecorder>,
    routes: RwLock<HashMap<String, Route>>,
}

struct Route {
    duration: Histogram,
    /// A handful: by method and status.
    counts: Vec<(&'static str, u16, Counter)>,
}

impl Requests {
    pub(super) fn new(recorder: Arc<PrometheusRecorder>) -> Self {
        Self {
            recorder,
            routes: RwLock::default(),
        }
    }

    /// Notes one request. `route` is the pattern of the routes, not the path.
    pub fn note(&self, route: &str, method: &'static str, status: u16, took: Duration) {
        let is_known = {
            let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
            routes
                .get(route)
                .is_some_and(|known| known.note(method, status, took))
        };
        if !is_known {
            self.note_first(route, method, status, took);
        }
    }

    fn note_first(&self, route: &str, method: &'static str, status: u16, took: Duration) {
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        if routes.len() >= MAX_ROUTES && !routes.contains_key(route) {
            return;
        }
        let label = || Label::new("route", route.to_owned());
        let known = routes.entry(route.to_owned()).or_insert_with(|| Route {
            duration: {
                let key = Key::from_parts("tavern_request_duration_seconds", vec![label()]);
                self.recorder.register_histogram(&key, &METADATA)
            },
            counts: Vec::new(),
        });
        if !known.note(method, status, took) {
            let labels = vec![
                label(),
                Label::new("method", method),
                Label::new("status", status.to_string()),
            ];
            let key = Key::from_parts("tavern_requests_total", labels);
            let counter = self.recorder.register_counter(&key, &METADATA);
            known.counts.push((method, status, counter));
            known.note(method, status, took);
        }
    }
}

impl Route {
    fn note(&self, method: &'static str, status: u16, took: Duration) -> bool {
        let mut counts = self.counts.iter();
        let Some((.., count)) = counts.find(|(m, s, _)| *s == status && *m == method) else {
            return false;
        };
        count.increment(1);
        self.duration.record(took.as_secs_f64());
        true
    }
}
