//! An uninstall when all that Tavern noted is lost.

use super::rig::{Files, Rig};
use super::sweep::{bare_of_ours, first, host, install, uninstall};
use crate::host::memory::differences;

/// Every kind of what a host can have, for itself and for its containers.
fn everything() -> Files {
    let mut files = first();
    let observed = "name = \"seen\"\nhosts = [\"seen.example\"]\n[tls]\nissuer = \"self-signed\"\n\
        [[site]]\npath = \"/tavern/\"\npage = \"status\"\n\
        [[site]]\npath = \"/grafana/\"\ncontainer = \"grafana\"\n\
        [container.grafana]\nkind = \"grafana\"\nimage = \"grafana/grafana:11.4.0\"\n\
        [container.prometheus]\nkind = \"prometheus\"\nimage = \"prom/prometheus:v3.1.0\"\n";
    files.insert("seen".to_owned(), observed.to_owned());
    files
}

fn lose(rig: &Rig, place: &str) {
    let mut machine = rig.memory.machine();
    let below = machine.tree.below(place.as_ref());
    let paths: Vec<_> = below.map(|(path, _)| path.clone()).collect();
    for path in paths {
        machine.tree.remove(&path);
    }
}

#[test]
fn without_a_receipt_all_is_found_that_is_ours() {
    let pristine = bare_of_ours().whole_picture();
    let rig = host(&everything());
    install(&rig).unwrap();
    lose(&rig, "/var/lib/tavern");
    uninstall(&rig).unwrap();
    // Who wanted an image, made a directory of all, or had a page there before, is known to nobody any more.
    let unknown = [
        "image ",
        "/etc/logrotate.d: ",
        "/etc/nginx/sites-enabled/default: ",
    ];
    let left: Vec<String> = differences(&pristine, &rig.whole_picture())
        .into_iter()
        .filter(|line| !unknown.iter().any(|begin| line.starts_with(begin)))
        .collect();
    assert!(left.is_empty(), "{}", left.join("\n"));
}
