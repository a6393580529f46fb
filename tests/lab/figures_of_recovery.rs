//! How long a count is not answered after each loss. For people to read; `tests/bench` runs it.
#![allow(clippy::print_stdout, reason = "its figures are for eyes")]

use std::time::Duration;

use crate::site::{installed, token};
use crate::support::lab::{Host, Image};

/// The bound that the project holds itself to, from when a recovery is possible.
const BOUND: f64 = 15.0;
const RUNS: usize = 2;

#[test]
#[ignore = "figures: tests/bench"]
fn figures_of_recovery() {
    let host = installed(Image::BookwormPrepared, "recovery12");
    let token = token(&host);
    // No registry has the image of the lab.
    host.ok("mkdir -p /var/lib/tavern/images && docker save redis:7-alpine >/var/lib/tavern/images/redis_7-alpine.tar");
    println!("until a count is answered again, of a bound of {BOUND} s");
    for (what, loss) in [
        ("docker kill", "docker kill redis-flask"),
        ("docker rm -f", "docker rm -f redis-flask"),
        ("systemctl restart docker", "systemctl restart docker"),
        (
            "Docker was away",
            "systemctl stop docker.socket docker && sleep 5 && systemctl start docker",
        ),
        (
            "container and image pruned",
            "docker rm -f redis-flask && docker image prune -af",
        ),
    ] {
        let mut times: Vec<f64> = (0..RUNS).map(|_| recovery(&host, &token, loss)).collect();
        times.sort_by(f64::total_cmp);
        let all: Vec<String> = times.iter().map(|time| format!("{time:.1}")).collect();
        let worst = times[RUNS - 1];
        println!(
            "  {what:<28} {} s, the worst {:.2} of the bound",
            all.join(", "),
            worst / BOUND
        );
    }
}

/// Seconds from the end of `loss` to the first count.
fn recovery(host: &Host, token: &str, loss: &str) -> f64 {
    // What dies again sooner is slowed down, as a crash loop is.
    std::thread::sleep(Duration::from_secs(61));
    let ask = format!(
        "curl -sk -m 5 -o /dev/null -w '%{{http_code}}' -H 'Authorization: Bearer {token}' https://localhost/flask/api/count"
    );
    let text = host.ok(&format!(
        "({loss}) >/dev/null 2>&1; begun=$(date +%s%N); \
         for try in $(seq 1200); do [ \"$({ask})\" != 200 ] || break; sleep 0.05; done; \
         [ $try -lt 1200 ] && echo $(($(date +%s%N) - begun))"
    ));
    text.trim().parse::<f64>().expect("nanoseconds") / 1e9
}
