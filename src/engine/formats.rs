//! Every form that Tavern ever wrote on a disk is read by every later version. `tests/formats` keeps one of each for
//! ever, taken from a real host, with made-up random parts; none of them is ever changed, new ones are added.

use std::collections::BTreeSet;
use std::path::Path;

use super::journal::Unfinished;
use super::prior::{PathPrior, Prior};
use super::receipt::{Entry, Receipt};
use super::{Engine, Silent};
use crate::host::Host;
use crate::resource::{Action, Resource, ResourceId};

/// Of a host that was set up by hand and taken over, with ufw on.
const RECEIPT_1: &str = include_str!("../../tests/formats/receipt-v1.json");

/// The same, killed at its last step.
const JOURNAL_1: &str = include_str!("../../tests/formats/journal-v1.jsonl");

/// Of a host without nginx and Docker, killed while it pulled an image.
const JOURNAL_1_BARE: &str = include_str!("../../tests/formats/journal-v1-bare.jsonl");

fn receipt(text: &str) -> Receipt {
    let host = Host::real();
    Engine::new(&host, &Silent)
        .read_receipt(Path::new("receipt.json"), text.as_bytes())
        .unwrap()
}

fn entry<'a>(receipt: &'a Receipt, id: &str) -> &'a Entry {
    let entry = receipt.entries.iter().find(|entry| entry.id.0 == id);
    entry.unwrap_or_else(|| panic!("no {id}"))
}

#[test]
fn every_fixture_is_read_by_a_test() {
    let known = [
        "journal-v1-bare.jsonl",
        "journal-v1.jsonl",
        "receipt-v1.json",
    ];
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats");
    let mut found: Vec<_> = crate::host::Files::list(&crate::host::RealFiles, &directory)
        .unwrap()
        .into_iter()
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    found.sort();
    assert_eq!(found, known);
}

#[test]
fn the_first_receipt_is_read() {
    let receipt = receipt(RECEIPT_1);
    assert_eq!((receipt.generation, receipt.entries.len()), (1, 48));
    for entry in &receipt.entries {
        assert_eq!(entry.id, entry.resource.id());
    }
    // What was there before is what an uninstall gives back: none of it may be lost on the way.
    let adopted = &entry(&receipt, "unit:tavern-counter.service").prior;
    let Prior::Unit {
        enabled: false,
        active: false,
        alias: Some(alias),
    } = adopted
    else {
        panic!("{adopted:?}");
    };
    assert!(alias.enabled && alias.active && alias.drop_ins.len() == 1);
    assert_eq!(alias.name, "flask-app.service");
    assert!(matches!(alias.file, PathPrior::File { .. }));
    let kept = &entry(&receipt, "container:redis-flask").prior;
    let Prior::Container(kept) = kept else {
        panic!("{kept:?}");
    };
    assert_eq!(kept.kept_as, "redis-flask.before-tavern");
    assert_eq!(kept.restart_policy, "unless-stopped");
    assert!(kept.running && !kept.append_only);
    let shortcut = &entry(&receipt, "link:/usr/local/bin/check-flask").prior;
    let Prior::Path(PathPrior::File { blob, mode, .. }) = shortcut else {
        panic!("{shortcut:?}");
    };
    assert_eq!((blob.len(), mode.0), (64, 0o755));
    let nginx = &entry(&receipt, "nginx:sites").prior;
    let Prior::Nginx {
        paths,
        active: true,
        ..
    } = nginx
    else {
        panic!("{nginx:?}");
    };
    let site = Path::new("/etc/nginx/sites-enabled/homework");
    assert!(matches!(paths.get(site), Some(PathPrior::Link { .. })));
    assert_eq!(
        entry(&receipt, "image:redis:7-alpine").prior,
        Prior::Present
    );
    assert_eq!(entry(&receipt, "firewall:443/tcp").prior, Prior::Absent);
}

/// Written anew in today's form, it says the same.
#[test]
fn the_first_receipt_loses_nothing_when_it_is_written_anew() {
    let first = receipt(RECEIPT_1);
    let anew = serde_json::to_string(&first).unwrap();
    assert_eq!(receipt(&anew), first);
    let strings = |value: &serde_json::Value| {
        let mut found = BTreeSet::new();
        gather(value, &mut found);
        found
    };
    let before = strings(&serde_json::from_str(RECEIPT_1).unwrap());
    let after = strings(&serde_json::from_str(&anew).unwrap());
    let lost: Vec<_> = before.difference(&after).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

/// Every text in a document, keys too.
fn gather(value: &serde_json::Value, found: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::String(text) => {
            found.insert(text.clone());
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| gather(item, found)),
        serde_json::Value::Object(fields) => {
            for (name, item) in fields {
                found.insert(name.clone());
                gather(item, found);
            }
        }
        _ => {}
    }
}

#[test]
fn the_first_journals_are_read() {
    for (text, steps, last) in [
        (JOURNAL_1, 44, "nginx:sites"),
        (JOURNAL_1_BARE, 41, "image:redis:7-alpine"),
    ] {
        let run = Unfinished::read(text.as_bytes()).unwrap();
        // It knew no commit: what it did is gone on with.
        assert!(run.begin.is_none() && run.is_committed);
        assert_eq!(run.records.len(), steps);
        let id = |at: usize| run.records[at].resource.id();
        assert_eq!(id(steps - 1), ResourceId(last.into()));
        // A last line that did not reach the disk whole was never acted on.
        let torn = &text.as_bytes()[..text.len() - 20];
        let torn = Unfinished::read(torn).unwrap();
        assert_eq!(torn.records, run.records[..steps - 1]);
    }
    let run = Unfinished::read(JOURNAL_1.as_bytes()).unwrap();
    let taken_over = run.records.iter();
    let taken_over = taken_over.filter(|record| record.action == Action::TakeOver);
    assert_eq!(taken_over.count(), 6);
    let bare = Unfinished::read(JOURNAL_1_BARE.as_bytes()).unwrap();
    let package = |record: &&super::journal::Record| {
        matches!(&record.resource, Resource::Package(_)) && record.prior == Prior::Absent
    };
    assert_eq!(bare.records.iter().filter(package).count(), 2);
}
