//! Times, for people to read: nothing here passes or fails by a clock. `tests/bench` runs it.
#![allow(clippy::print_stdout, reason = "its figures are for eyes")]

use std::fmt::Write as _;

use crate::site::{exits, host_with_binary, installed};
use crate::support::lab::{Host, Image};

const RUNS: usize = 15;
const PEER_RUNS: usize = 3;

#[test]
#[ignore = "figures: tests/bench"]
fn figures() {
    for (image, name) in [
        (Image::BookwormPrepared, "bench12"),
        (Image::TrixiePrepared, "bench13"),
    ] {
        let host = installed(image, name);
        println!("{}", host.ok(". /etc/os-release; echo $PRETTY_NAME").trim());
        let before = crate::site::manifest(&host);
        for command in [
            "tavernctl install --yes",
            "tavernctl plan",
            "tavernctl check",
            "nginx -t",
            "docker ps",
        ] {
            println!("  {command:<36} {}", shown(&times(&host, command, RUNS)));
        }
        assert_eq!(before, crate::site::manifest(&host), "nothing was written");
    }
}

/// What a no-op costs with Ansible, on the same host in the same run.
#[test]
#[ignore = "figures: tests/bench"]
fn figures_beside_ansible() {
    let host = installed(Image::TrixiePrepared, "peer13");
    host.ok("apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends ansible-core python3-apt >/dev/null");
    host.ok(
        "mkdir /root/peer && cp /etc/tmpfiles.d/tavern.conf /root/peer/tmpfiles.conf && \
         cp /etc/tavern/containers/redis-flask/redis.conf /etc/systemd/system/tavern-counter.* \
            /etc/nginx/sites-available/tavern-counter.conf /root/peer/",
    );
    host.write("/root/peer/peer.yml", include_str!("peer.yml"), 0o644);
    let play = "ansible-playbook -i localhost, /root/peer/peer.yml";
    let said = host.sh(play);
    exits(&said, 0);
    assert!(said.stdout.contains("ok=16   changed=0"), "{said}");
    let ours = times(&host, "tavernctl install --yes", RUNS);
    let theirs = times(&host, play, PEER_RUNS);
    println!("no-op on Debian 13");
    println!("  tavernctl install --yes              {}", shown(&ours));
    println!("  ansible-playbook, 16 tasks           {}", shown(&theirs));
    println!(
        "  ratio of the medians                 {:.0}",
        median(&theirs) / median(&ours)
    );
}

/// How a plan grows: half sites, half apps, none of it there; and sites that are there.
#[test]
#[ignore = "figures: tests/bench"]
fn figures_of_growth() {
    let host = host_with_binary(Image::TrixiePrepared, "growth13");
    host.ok("mkdir -p /etc/tavern/stacks");
    // nginx keeps every log open, and systemd gives it 1,024 files.
    host.ok(
        "mkdir -p /etc/systemd/system/nginx.service.d && \
         printf '[Service]\\nLimitNOFILE=65536\\n' >/etc/systemd/system/nginx.service.d/files.conf && \
         systemctl daemon-reload && systemctl restart nginx.service",
    );
    println!("plan of a host without any of it, half sites, half apps");
    for size in [250, 500, 1000] {
        host.write(
            "/etc/tavern/stacks/many.toml",
            &many(size / 2, size / 2),
            0o644,
        );
        println!(
            "  {size:>5} {:<30} {}",
            "",
            shown(&times(&host, "/root/tavernctl plan", 5))
        );
    }
    println!("no-op plan of sites that are installed");
    for size in [250, 500, 1000] {
        host.write("/etc/tavern/stacks/many.toml", &many(size, 0), 0o644);
        host.ok("/root/tavernctl install --yes >/root/said 2>&1 || { tail /root/said; exit 1; }");
        exits(&host.sh("tavernctl plan"), 0);
        println!(
            "  {size:>5} {:<30} {}",
            "",
            shown(&times(&host, "tavernctl plan", 5))
        );
    }
}

fn many(sites: usize, apps: usize) -> String {
    let mut text =
        "name = \"many\"\nhosts = [\"many.example\"]\n\n[tls]\nissuer = \"self-signed\"\n"
            .to_owned();
    for number in 0..sites {
        let _ = write!(
            text,
            "\n[[site]]\npath = \"/s{number}\"\nstatic = \"s{number}\"\n"
        );
    }
    for number in 0..apps {
        let _ = write!(
            text,
            "\n[[site]]\npath = \"/a{number}/\"\nname = \"app-a{number}\"\napp = \"a{number}\"\n\n\
             [app.a{number}]\nserve = \"counter\"\nneeds = [\"redis\"]\naccounts = [\"admin\"]\n"
        );
    }
    if apps > 0 {
        text.push_str("\n[container.redis]\nkind = \"redis\"\nimage = \"redis:7-alpine\"\n");
    }
    text
}

/// Wall times of the whole command on the host, sorted, in milliseconds.
fn times(host: &Host, command: &str, runs: usize) -> Vec<f64> {
    let text = host.ok(&format!(
        "for i in $(seq {runs}); do begun=$(date +%s%N); {command} >/dev/null 2>&1; echo $(($(date +%s%N) - begun)); done"
    ));
    let mut times: Vec<f64> = text
        .lines()
        .map(|line| line.parse::<f64>().expect("nanoseconds") / 1e6)
        .collect();
    times.sort_by(f64::total_cmp);
    times
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

fn shown(sorted: &[f64]) -> String {
    format!(
        "min {:.0}  median {:.0}  max {:.0} ms of {}",
        sorted[0],
        median(sorted),
        sorted[sorted.len() - 1],
        sorted.len()
    )
}
