//! Times, for people to read: nothing here passes or fails by a clock. `tests/bench` runs it.
#![allow(clippy::print_stdout, reason = "its figures are for eyes")]

use crate::site::installed;
use crate::support::lab::{Host, Image};

const RUNS: usize = 7;

#[test]
#[ignore = "figures: tests/bench"]
fn figures() {
    for (image, name) in [
        (Image::BookwormPrepared, "bench12"),
        (Image::TrixiePrepared, "bench13"),
    ] {
        let host = installed(image, name);
        println!("{}", host.ok(". /etc/os-release; echo $PRETTY_NAME").trim());
        for command in [
            "tavernctl install --yes",
            "tavernctl plan",
            "tavernctl check",
            "nginx -t",
            "docker ps",
        ] {
            println!("  {command:<26} {}", milliseconds(&host, command));
        }
    }
}

/// Wall time of the whole command on the host: minimum, median and maximum.
fn milliseconds(host: &Host, command: &str) -> String {
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let text = host.ok(&format!(
                "begun=$(date +%s%N); {command} >/dev/null 2>&1; echo $(($(date +%s%N) - begun))"
            ));
            text.trim().parse::<f64>().expect("nanoseconds") / 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    format!(
        "min {:.0}  median {:.0}  max {:.0} ms of {RUNS}",
        times[0],
        times[RUNS / 2],
        times[RUNS - 1]
    )
}
