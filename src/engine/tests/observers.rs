//! A Prometheus and a Grafana come and go as everything does.

use super::rig::{Files, Rig};
use super::sweep::{Sweep, host, install};
use crate::host::memory::differences;

const PAGES: &str = "name = \"web\"\nhosts = [\"web.example\"]\n[tls]\nissuer = \"self-signed\"\n\
     [[site]]\npath = \"/\"\nstatic = \"pages\"\n";
const OBSERVERS: &str = "[[site]]\npath = \"/grafana/\"\ncontainer = \"grafana\"\n\
     [container.grafana]\nkind = \"grafana\"\nimage = \"grafana/grafana:11.4.0\"\n\
     [container.prometheus]\nkind = \"prometheus\"\nimage = \"prom/prometheus:v3.1.0\"\n";

fn without() -> Files {
    [("web".to_owned(), PAGES.to_owned())].into()
}

fn with() -> Files {
    [("web".to_owned(), format!("{PAGES}{OBSERVERS}"))].into()
}

fn start() -> Rig {
    let rig = host(&without());
    install(&rig).unwrap();
    rig
}

#[test]
fn observers_come_or_never_were() {
    let start = start();
    start.declare(&with());
    Sweep {
        name: "install with observers",
        start,
        run: install,
    }
    .sweep();
}

#[test]
fn observers_go_as_they_came() {
    let rig = start();
    let before = rig.picture();
    rig.declare(&with());
    install(&rig).unwrap();
    assert!(rig.plan().unwrap().is_empty());
    rig.declare(&without());
    install(&rig).unwrap();
    assert!(rig.plan().unwrap().is_empty());
    // Credentials, logs and volumes are data: they stay until a purge.
    let left: Vec<String> = differences(&before, &rig.picture())
        .into_iter()
        .filter(|line| {
            !["/credentials/", "volume ", "image ", "/var/log/"]
                .iter()
                .any(|word| line.contains(word))
        })
        .collect();
    assert!(left.is_empty(), "{}", left.join("\n"));
}

#[test]
fn two_of_one_host_do_not_take_one_port() {
    let rig = start();
    let mut files = with();
    let other = format!("{PAGES}{OBSERVERS}")
        .replace("\"web", "\"other")
        .replace("/grafana/", "/numbers/");
    files.insert("other".to_owned(), other.clone());
    rig.declare(&files);
    let clash = rig.plan().err().unwrap().to_string();
    assert!(
        clash.contains("port") && clash.contains("of a container"),
        "{clash}"
    );
    // With ports of their own, both run.
    let own = other
        .replace("grafana:11.4.0\"\n", "grafana:11.4.0\"\nport = 3001\n")
        .replace("v3.1.0\"\n", "v3.1.0\"\nport = 9091\n");
    files.insert("other".to_owned(), own);
    rig.declare(&files);
    install(&rig).unwrap();
    assert!(rig.plan().unwrap().is_empty());
}
