//! Every form that Tavern ever wrote on a disk is read by every later version. `tests/formats` keeps one of each for
//! ever, taken from a real host, with made-up random parts; none of them is ever changed, new ones are added.

use std::collections::BTreeSet;
use std::path::Path;

use super::journal::{Unfinished, Verb};
use super::prior::{PathPrior, Prior};
use super::receipt::{Entry, Receipt};
use super::{Engine, Silent};
use crate::host::{Files, Host, RealFiles};
use crate::model::{Layout, Mode};
use crate::resource::{Action, PathState, Resource, ResourceId};
use crate::stack::Overlay;

/// Of a host that was set up by hand and taken over, with ufw on.
const RECEIPT_1: &str = include_str!("../../tests/formats/receipt-v1.json");

/// The same, killed at its last step.
const JOURNAL_1: &str = include_str!("../../tests/formats/journal-v1.jsonl");

/// Of a host without nginx and Docker, killed while it pulled an image.
const JOURNAL_1_BARE: &str = include_str!("../../tests/formats/journal-v1-bare.jsonl");

/// Of a host that was set up by hand and taken over, with ufw on, an edit kept, a second stack and one rollback.
const RECEIPT_2: &str = include_str!("../../tests/formats/receipt-v2.json");

/// Of that rollback: the second stack went. Kept with its generation, and so whole.
const JOURNAL_2: &str = include_str!("../../tests/formats/journal-v2.jsonl");

/// Of a first install, killed before its commit.
const JOURNAL_2_KILLED: &str = include_str!("../../tests/formats/journal-v2-killed.jsonl");

/// Of an edit of text and mode that was kept.
const OVERLAY: &str = include_str!("../../tests/formats/overlay.toml");

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
        "about-v1.json",
        "backup-manifest-v1.json",
        "backup-manifest-v2.json",
        "backup-manifest-v3.json",
        "backup-record-v1.json",
        "chronicle-v1.json",
        "journal-v1-bare.jsonl",
        "journal-v1.jsonl",
        "journal-v2-killed.jsonl",
        "journal-v2.jsonl",
        "overlay.toml",
        "receipt-v1.json",
        "receipt-v2.json",
    ];
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats");
    let mut found: Vec<_> = RealFiles
        .list(&directory)
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

#[test]
fn the_second_receipt_is_read() {
    let receipt = receipt(RECEIPT_2);
    assert_eq!((receipt.generation, receipt.entries.len()), (7, 62));
    assert!(receipt.owed.is_empty() && !receipt.spares_blobs);
    for entry in &receipt.entries {
        assert_eq!(entry.id, entry.resource.id());
    }
    let Prior::Unit {
        alias: Some(alias), ..
    } = &entry(&receipt, "unit:tavern-counter.service").prior
    else {
        panic!("the unit that was taken over");
    };
    assert!(alias.enabled && alias.active && alias.drop_ins.len() == 1);
    let Prior::Container(kept) = &entry(&receipt, "container:redis-flask").prior else {
        panic!("the container that was taken over");
    };
    assert!(kept.running && kept.kept_as == "redis-flask.before-tavern");
    let Prior::Path(PathPrior::File { blob, mode, .. }) =
        &entry(&receipt, "link:/usr/local/bin/restart-flask").prior
    else {
        panic!("the shortcut that was taken over");
    };
    assert_eq!((blob.len(), mode.0), (64, 0o755));
    let Prior::Nginx { paths, stale, .. } = &entry(&receipt, "nginx:sites").prior else {
        panic!("the sites that were there");
    };
    let site = Path::new("/etc/nginx/sites-enabled/homework");
    assert!(matches!(paths.get(site), Some(PathPrior::Link { .. })) && stale.is_empty());
    let opening = entry(&receipt, "firewall:8080/tcp");
    assert_eq!(opening.prior, Prior::Absent);
}

/// Written anew in today's form, it says the same.
#[test]
fn an_old_receipt_loses_nothing_when_it_is_written_anew() {
    for text in [RECEIPT_1, RECEIPT_2] {
        loses_nothing(text);
    }
}

fn loses_nothing(text: &str) {
    let first = receipt(text);
    let anew = serde_json::to_string(&first).unwrap();
    assert_eq!(receipt(&anew), first);
    let strings = |value: &serde_json::Value| {
        let mut found = BTreeSet::new();
        gather(value, &mut found);
        found
    };
    let before = strings(&serde_json::from_str(text).unwrap());
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

#[test]
fn the_second_journal_is_read() {
    let run = Unfinished::read(JOURNAL_2.as_bytes()).unwrap();
    let begin = run.begin.as_ref().unwrap();
    assert_eq!(
        (begin.version, begin.generation, begin.first),
        (2, 6, false)
    );
    assert_eq!(begin.verb, Verb::Rollback { to: 4 });
    let steps: Vec<_> = run
        .records
        .iter()
        .map(|record| (record.action, record.resource.id().0))
        .collect();
    let step = |action, id: &str| (action, id.to_owned());
    assert_eq!(
        steps,
        [
            step(Action::Update, "file:/etc/tavern/stacks/counter.toml"),
            step(
                Action::Update,
                "htpasswd:/etc/tavern/htpasswd/counter-close"
            ),
            step(Action::Remove, "file:/etc/tavern/stacks/second.toml"),
            step(Action::Update, "nginx:sites"),
            step(Action::Remove, "firewall:8080/tcp"),
            step(Action::Remove, "directory:/etc/tavern/credentials/second"),
        ]
    );
    // What a kill after the commit would have left to remove.
    let pending: Vec<_> = run.pending.iter().map(|entry| &*entry.id.0).collect();
    assert!(run.is_committed);
    assert_eq!(
        pending,
        [
            "directory:/etc/tavern/credentials/second",
            "firewall:8080/tcp"
        ]
    );
    // What an undo would have put back.
    let Prior::Credential { file, passwords } = &run.records[1].prior else {
        panic!("{:?}", run.records[1].prior);
    };
    let is_file = |prior: &PathPrior, bits: u32| matches!(prior, PathPrior::File { mode, .. } if *mode == Mode(bits));
    assert!(is_file(file, 0o640) && is_file(passwords, 0o600));
    let Prior::Nginx { paths, stale, .. } = &run.records[3].prior else {
        panic!("{:?}", run.records[3].prior);
    };
    let second = Path::new("/etc/nginx/sites-available/tavern-second.conf");
    assert!(paths.len() == 3 && is_file(&stale[second], 0o644));
}

#[test]
fn the_second_journal_of_a_killed_run_is_read() {
    let run = Unfinished::read(JOURNAL_2_KILLED.as_bytes()).unwrap();
    let begin = run.begin.as_ref().unwrap();
    assert_eq!((&begin.verb, begin.first), (&Verb::Install, true));
    // It is undone.
    assert!(!run.is_committed && run.pending.is_empty());
    assert_eq!(run.records.len(), 53);
    let last = "file:/var/log/nginx/counter-main.error.log";
    assert_eq!(run.records[52].resource.id(), ResourceId(last.into()));
    let torn = &JOURNAL_2_KILLED.as_bytes()[..JOURNAL_2_KILLED.len() - 20];
    let torn = Unfinished::read(torn).unwrap();
    assert_eq!(torn.records, run.records[..52]);
}

#[test]
fn the_first_word_of_a_generation_is_read() {
    let state = tempfile::tempdir().unwrap();
    let Ok(PathState::Directory { owner, .. }) = RealFiles.state(state.path()) else {
        panic!("no directory of our own");
    };
    let place = state.path().join("generations/6");
    for directory in [state.path().join("generations"), place.clone()] {
        RealFiles
            .make_directory(&directory, Mode(0o700), &owner)
            .unwrap();
    }
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats/about-v1.json");
    RealFiles.link(&place.join("about.json"), &fixture).unwrap();
    let host = Host::real();
    let mut engine = Engine::new(&host, &Silent);
    engine.layout = Layout {
        state: state.path().to_owned(),
        ..engine.layout
    };
    let about = engine.about(6).unwrap();
    assert_eq!((about.version, about.generation), (1, 6));
    assert_eq!(about.verb, Verb::Rollback { to: 4 });
    assert_eq!(
        (about.at.as_str(), about.tavernctl.as_str()),
        ("2026-10-01T12:00:00Z", "0.1.0")
    );
}

#[test]
fn the_first_overlay_is_read() {
    let overlay = Overlay::parse(Path::new("overlay.toml"), OVERLAY.as_bytes()).unwrap();
    assert_eq!(
        overlay.path,
        Path::new("/etc/tavern/containers/redis-flask/redis.conf")
    );
    assert_eq!(overlay.mode_bits(), Some(0o664));
    assert_eq!(overlay.owner, None);
    let base = overlay.edit.as_ref().unwrap().base.clone();
    let kept = overlay.apply(&base).unwrap();
    assert!(!base.contains("kept by hand"));
    assert_eq!(kept.replacen("# kept by hand\n", "", 1), base);
    // Written anew, it says the same.
    let anew = Overlay::parse(Path::new("overlay.toml"), overlay.to_toml().as_bytes()).unwrap();
    assert_eq!(anew, overlay);
}
