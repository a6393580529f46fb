//! Who trusts the CA of the host, and who stops.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::rig::{Files, Rig};
use crate::engine::Purge;
use crate::host::memory::{DAMAGED, MemoryHost, Node, differences};

const SYSTEM: &str = "/usr/local/share/ca-certificates/tavern-local-ca.crt";
const NOTED: &str = "/var/lib/tavern/trusted.json";
const CHROMIUM: &str = "/home/ann/.pki/nssdb/cert9.db";
const FIREFOX: &str = "/home/ann/.mozilla/firefox/one.default/cert9.db";

const EVERYTHING: Purge = Purge {
    data: true,
    packages: false,
};

fn stack(name: &str) -> (String, String) {
    let text = format!(
        "name = \"{name}\"\nhosts = [\"{name}.lan\"]\n[tls]\nissuer = \"local-ca\"\n\
         [[site]]\npath = \"/\"\nstatic = \"main\"\n"
    );
    (name.to_owned(), text)
}

fn with_browsers() -> Rig {
    let rig = Rig::new(MemoryHost::prepared());
    for path in [CHROMIUM, FIREFOX] {
        put(&rig, path, "Another CA   C,,\n");
    }
    rig
}

fn installed(rig: &Rig) {
    rig.declare(&Files::from_iter([stack("shop")]));
    rig.install(None).unwrap();
}

fn put(rig: &Rig, path: &str, text: &str) {
    rig.memory.machine().tree.plant(path, Node::file(text));
}

fn text(rig: &Rig, path: &str) -> Option<String> {
    let machine = rig.memory.machine();
    let bytes = machine.tree.bytes(Path::new(path));
    bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn copies(rig: &Rig, path: &str) -> usize {
    let text = text(rig, path).unwrap_or_default();
    text.matches("Tavern local CA").count()
}

fn ann() -> Option<(&'static str, PathBuf)> {
    Some(("ann", PathBuf::from("/home/ann")))
}

fn trust(rig: &Rig) -> Vec<String> {
    let ann = ann();
    let user = ann.as_ref().map(|(user, home)| (*user, home.as_path()));
    rig.engine().trust(user).unwrap().failed
}

/// bug: a browser that could not be reached was forgotten, and trusted the CA for ever.
#[test]
fn a_database_that_could_not_be_written_is_tried_again() {
    let rig = with_browsers();
    let before = rig.whole_picture();
    installed(&rig);
    put(&rig, FIREFOX, DAMAGED);
    let failed = trust(&rig);
    assert!(matches!(&failed[..], [one] if one.contains("one.default") && one.contains("damaged")));
    assert_eq!((copies(&rig, CHROMIUM), copies(&rig, FIREFOX)), (1, 0));
    // The next look at all of it does what is left.
    put(&rig, FIREFOX, "Another CA   C,,\n");
    let report = rig.engine().refresh_trust().unwrap();
    assert!(report.failed.is_empty(), "{report:?}");
    assert_eq!((copies(&rig, CHROMIUM), copies(&rig, FIREFOX)), (1, 1));
    let still = rig.whole_picture();
    assert_eq!(rig.engine().refresh_trust().unwrap().done.len(), 0);
    assert_eq!(rig.whole_picture(), still);
    // So it is with taking it back.
    let whole = text(&rig, CHROMIUM).unwrap();
    put(&rig, CHROMIUM, DAMAGED);
    let report = rig.engine().distrust().unwrap();
    assert!(matches!(&report.failed[..], [one] if one.contains("still trusts it")));
    assert_eq!((text(&rig, SYSTEM), copies(&rig, FIREFOX)), (None, 0));
    assert!(text(&rig, NOTED).unwrap().contains("/home/ann/.pki/nssdb"));
    assert!(rig.engine().refresh_trust().unwrap().done.is_empty());
    let left = rig.engine().uninstall(EVERYTHING).unwrap();
    assert!(
        left.failed
            .iter()
            .any(|line| line.contains("nssdb still trusts it")),
        "{left:?}"
    );
    put(&rig, CHROMIUM, &whole);
    let left = rig.engine().uninstall(EVERYTHING).unwrap();
    assert!(left.failed.is_empty(), "{left:?}");
    assert_eq!(copies(&rig, CHROMIUM), 0);
    assert_eq!(
        differences(&before, &rig.whole_picture()),
        Vec::<String>::new()
    );
}

/// bug: who trusted the CA knew nothing of the one that was made for a further name.
#[test]
fn a_ca_that_was_made_anew_is_passed_on() {
    let rig = with_browsers();
    installed(&rig);
    assert!(
        rig.engine().refresh_trust().unwrap().done.is_empty(),
        "nobody asked for it"
    );
    assert!(trust(&rig).is_empty());
    let first = text(&rig, SYSTEM).unwrap();
    rig.declare(&Files::from_iter([stack("shop"), stack("blog")]));
    rig.install(None).unwrap();
    assert_eq!(text(&rig, SYSTEM).unwrap(), first);
    let report = rig.engine().refresh_trust().unwrap();
    assert_eq!(
        (report.done.len(), report.failed.len()),
        (3, 0),
        "{report:?}"
    );
    let second = text(&rig, SYSTEM).unwrap();
    assert!(second != first && second == rig.engine().local_ca().unwrap());
    // The old one does not stay beside it.
    assert_eq!((copies(&rig, CHROMIUM), copies(&rig, FIREFOX)), (1, 1));
    // Somebody's browsers who left are nobody's.
    rig.memory.machine().tree.remove(Path::new("/home/ann"));
    assert!(
        rig.engine()
            .uninstall(EVERYTHING)
            .unwrap()
            .failed
            .is_empty()
    );
}

/// Killed at every change: an uninstall takes back what was done until then.
#[test]
fn trust_that_was_cut_off_is_taken_back() {
    let start = with_browsers();
    let before = start.whole_picture();
    installed(&start);
    let whole = start.twin();
    let from = whole.memory.machine().effects();
    assert!(trust(&whole).is_empty());
    let points = whole.memory.machine().effects() - from;
    assert!(points >= 6, "{points}");
    for point in 1..=points {
        let rig = start.twin();
        rig.memory.machine().die_at(point);
        assert!(
            catch_unwind(AssertUnwindSafe(|| trust(&rig))).is_err(),
            "{point}"
        );
        rig.memory.machine().revive();
        let left = rig.engine().uninstall(EVERYTHING).unwrap();
        assert!(left.failed.is_empty(), "{point}: {left:?}");
        assert_eq!(
            differences(&before, &rig.whole_picture()),
            Vec::<String>::new(),
            "{point}"
        );
    }
}
