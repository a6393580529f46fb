//! The last hour of each site, from one snapshot to the next; kept in memory only.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

/// Seconds between two points.
const STEP: u64 = 30;
const POINTS: usize = 120;
const SITES: usize = 512;

/// Of the five minutes before `time`.
#[derive(Debug, Clone, PartialEq)]
struct Point {
    time: u64,
    requests: u64,
    failures: u64,
    p50: Option<f64>,
    p99: Option<f64>,
}

#[derive(Debug, Default)]
pub(super) struct Charts {
    last: u64,
    sites: BTreeMap<String, VecDeque<Point>>,
}

impl Charts {
    /// Takes in the sites of a snapshot; says whether a point was added.
    pub(super) fn take(&mut self, time: u64, sites: Option<&Value>) -> bool {
        // A clock that was set back begins anew.
        if time < self.last {
            *self = Self::default();
        }
        let Some(sites) = sites.and_then(Value::as_array) else {
            return false;
        };
        if time < self.last + STEP {
            return false;
        }
        self.last = time;
        let points: BTreeMap<String, Point> = sites
            .iter()
            .take(SITES)
            .filter_map(|site| point(time, site))
            .collect();
        self.sites.retain(|name, _| points.contains_key(name));
        for (name, point) in points {
            let line = self.sites.entry(name).or_default();
            line.push_back(point);
            if line.len() > POINTS {
                line.pop_front();
            }
        }
        true
    }

    pub(super) fn to_json(&self) -> Value {
        let sites = self.sites.iter().map(|(name, line)| {
            let column = |get: &dyn Fn(&Point) -> Value| line.iter().map(get).collect::<Vec<_>>();
            let columns = json!({
                "time": column(&|point| point.time.into()),
                "requests": column(&|point| point.requests.into()),
                "failures": column(&|point| point.failures.into()),
                "p50_ms": column(&|point| point.p50.into()),
                "p99_ms": column(&|point| point.p99.into()),
            });
            (name.clone(), columns)
        });
        Value::Object(sites.collect())
    }
}

fn point(time: u64, site: &Value) -> Option<(String, Point)> {
    let name = site.get("name")?.as_str()?.to_owned();
    let point = Point {
        time,
        requests: site.get("requests")?.as_u64()?,
        failures: site.get("statuses")?.get(4)?.as_u64()?,
        p50: site.get("p50_ms").and_then(Value::as_f64),
        p99: site.get("p99_ms").and_then(Value::as_f64),
    };
    Some((name, point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_kept_and_sites_that_went_are_forgotten() {
        let mut charts = Charts::default();
        let sites = |names: &[&str]| -> Value {
            let site = |name: &&str| json!({"name": name, "requests": 7, "statuses": [0, 5, 0, 0, 2], "p50_ms": 1.0, "p99_ms": null});
            names.iter().map(site).collect()
        };
        let start = 1_800_000_000;
        for second in 0..2 * STEP * POINTS as u64 {
            let is_point = charts.take(start + second, Some(&sites(&["a", "b"])));
            assert_eq!(is_point, second % STEP == 0);
        }
        let shown = charts.to_json();
        assert_eq!(shown["a"]["time"].as_array().unwrap().len(), POINTS);
        assert_eq!(shown["b"]["failures"][0], 2);
        assert_eq!(shown["b"]["p99_ms"][0], Value::Null);
        let later = start + 10 * STEP * POINTS as u64;
        assert!(charts.take(later, Some(&sites(&["b"]))));
        assert_eq!(charts.to_json()["a"], Value::Null);
        // What has not our form is no point; a clock that was set back is no end.
        assert!(charts.take(1000, Some(&json!([{"name": 5}, 7, {"name": "c"}]))));
        assert_eq!(charts.to_json(), json!({}));
    }
}
