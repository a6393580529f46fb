//! New signing keys: nothing else changes, and an older key stays as long as it may be needed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::rig::{Files, Rig, printed};
use crate::engine::{EngineError, Request, Source, Verb};
use crate::host::memory::{MemoryHost, Node};
use crate::resource::Rotation;

const RING: &str = "/etc/tavern/credentials/web/jwt-key";
const STACK: &str = "name = \"web\"\nhosts = [\"*\"]\n[tls]\nissuer = \"self-signed\"\n\
                     [[site]]\npath = \"/api/\"\napp = \"counter\"\n\
                     [app.counter]\nserve = \"counter\"\nneeds = [\"redis\"]\naccounts = [\"ann\"]\nalias = \"old\"\n\
                     [container.redis]\nkind = \"redis\"\nimage = \"redis:7-alpine\"\n";

pub(super) fn rotation(rotation: Rotation, apps: &[&str]) -> Request {
    Request {
        source: Source::Rotated {
            apps: apps.iter().map(|app| (*app).to_owned()).collect(),
            rotation,
        },
        ..Request::default()
    }
}

fn installed() -> Rig {
    let rig = Rig::new(MemoryHost::prepared());
    rig.declare(&Files::from([("web".to_owned(), STACK.to_owned())]));
    rig.install(None).unwrap();
    rig
}

pub(super) fn ring(rig: &Rig) -> Vec<String> {
    let machine = rig.memory.machine();
    let Some(Node::File { bytes, .. }) = machine.tree.get(Path::new(RING)) else {
        panic!("no {RING}");
    };
    let text = String::from_utf8(bytes.clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_rotation_changes_the_key_and_restarts_the_app_and_nothing_else() {
    let rig = installed();
    let old = ring(&rig);
    // What somebody edited, and what the stack file says by now, is for an install.
    let page = "/etc/nginx/sites-available/tavern-web.conf";
    rig.memory.machine().tree.plant(page, Node::file("edited"));
    let request = rotation(Rotation::WithOverlap, &[]);
    let plan = rig.engine().propose(&request).unwrap().plan;
    assert_eq!(
        printed(&plan),
        [
            format!("~ credential:{RING}"),
            "↻ unit:tavern-web-counter.service".to_owned()
        ]
    );
    let from = rig.memory.machine().log.len();
    rig.engine().install(Some(&plan), &request).unwrap();
    let log = rig.memory.machine().log[from..].join("\n");
    assert!(log.contains("tavern-web-counter.service"), "{log}");
    assert!(!log.contains("tavern-web-counter.socket"), "{log}");
    let new = ring(&rig);
    assert_eq!(new.len(), 2);
    assert!(!old.contains(&new[0]));
    assert!(
        new[1].starts_with(&format!("{} retired=", old[0])),
        "{new:?}"
    );
    assert!(matches!(
        rig.memory.machine().tree.get(Path::new(page)),
        Some(Node::File { bytes, .. }) if bytes == b"edited"
    ));
    let receipt = rig.engine().receipt().unwrap();
    let about = rig.engine().about(receipt.generation).unwrap();
    assert_eq!(about.verb, Verb::RotateKeys { apps: Vec::new() });
}

#[test]
fn an_install_after_a_rotation_has_nothing_to_do() {
    let rig = installed();
    let request = rotation(Rotation::WithOverlap, &["old"]);
    for keys in 2..=4 {
        rig.engine().install(None, &request).unwrap();
        rig.is_right().unwrap();
        assert_eq!(ring(&rig).len(), keys);
    }
    let request = rotation(Rotation::AtOnce, &["counter"]);
    rig.engine().install(None, &request).unwrap();
    rig.is_right().unwrap();
    assert_eq!(ring(&rig).len(), 1, "the keys before are gone");
}

#[test]
fn what_cannot_be_rotated_is_refused_and_stays() {
    let rig = installed();
    let old = ring(&rig);
    let refused = |rig: &Rig, apps: &[&str]| {
        let request = rotation(Rotation::WithOverlap, apps);
        match rig.engine().install(None, &request) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("rotated"),
        }
    };
    let error = refused(&rig, &["shop"]);
    assert!(
        error.contains("no app or container called `shop`"),
        "{error}"
    );
    assert_eq!(ring(&rig), old);
    rig.memory
        .machine()
        .tree
        .plant(RING, Node::file("not a key\n"));
    let error = refused(&rig, &[]);
    assert!(
        error.contains("in the way") || error.contains("cannot be read"),
        "{error}"
    );
    assert_eq!(ring(&rig), ["not a key"]);
    rig.memory.machine().tree.remove(Path::new(RING));
    let error = refused(&rig, &[]);
    assert!(error.contains("not there to be rotated"), "{error}");
    let nothing = Rig::new(MemoryHost::prepared());
    assert!(matches!(
        nothing
            .engine()
            .install(None, &rotation(Rotation::AtOnce, &[])),
        Err(EngineError::NotReady { .. })
    ));
}

const PASSWORD: &str = "/etc/tavern/credentials/web/redis-password";
const RULES: &str = "/etc/tavern/containers/web-redis/users.acl";

fn text(rig: &Rig, path: &str) -> String {
    let machine = rig.memory.machine();
    String::from_utf8(machine.tree.bytes(Path::new(path)).unwrap().to_vec()).unwrap()
}

/// The user's line has a hash for each password.
fn hashes(rig: &Rig) -> usize {
    let rules = text(rig, RULES);
    let line = rules.lines().find(|line| line.starts_with("user counter "));
    line.unwrap().matches('#').count()
}

/// Redis knows the new password before the app comes with it, and the old one until the app has gone.
#[test]
fn a_containers_password_is_rotated_without_a_restart_of_it() {
    let rig = installed();
    let old = text(&rig, PASSWORD);
    let request = rotation(Rotation::WithOverlap, &["redis"]);
    let plan = rig.engine().propose(&request).unwrap().plan;
    assert_eq!(
        printed(&plan),
        [
            format!("~ credential:{PASSWORD}"),
            format!("~ file:{RULES}"),
            "↻ container:web-redis".to_owned(),
            "↻ unit:tavern-web-counter.service".to_owned()
        ]
    );
    let from = rig.memory.machine().log.len();
    rig.engine().install(Some(&plan), &request).unwrap();
    let log = rig.memory.machine().log[from..].to_vec();
    let place = |what: &str| log.iter().position(|line| line.contains(what));
    assert!(
        place("docker restart").is_none() && place("docker rm").is_none(),
        "{log:?}"
    );
    let (read, restarted) = (
        place("redis-cli -e ACL LOAD").unwrap(),
        place("restart tavern-web-counter.service").unwrap(),
    );
    assert!(read < restarted, "{log:?}");
    let now = text(&rig, PASSWORD);
    assert_eq!(now.lines().count(), 2);
    assert!(!old.contains(now.lines().next().unwrap()));
    assert!(now.contains(old.trim()));
    assert_eq!(hashes(&rig), 2);
    rig.is_right().unwrap();
    // Who rotates again has the oldest refused.
    rig.engine().install(None, &request).unwrap();
    assert!(!text(&rig, PASSWORD).contains(old.trim()));
    assert_eq!(hashes(&rig), 2);
    let request = rotation(Rotation::AtOnce, &["web-redis"]);
    rig.engine().install(None, &request).unwrap();
    assert_eq!(hashes(&rig), 1);
    rig.is_right().unwrap();
    assert_eq!(ring(&rig).len(), 1, "the app's key is another thing");
}

fn rewrite(rig: &Rig, path: &str, text: &str) {
    let mut machine = rig.memory.machine();
    let Some(Node::File { mode, owner, .. }) = machine.tree.get(Path::new(path)).cloned() else {
        panic!("no {path}");
    };
    let bytes = text.as_bytes().to_vec();
    let node = Node::File { bytes, mode, owner };
    machine.tree.put(Path::new(path), node);
}

/// As on a host whose binary was replaced by a package: the rules are those of an older Tavern.
fn with_old_rules() -> Rig {
    let rig = installed();
    let mut rules = text(&rig, RULES);
    for newer in [
        " +acl|load",
        " ~visits:*",
        " +zadd +zrange +zremrangebyscore",
    ] {
        assert!(rules.contains(newer), "{rules}");
        rules = rules.replace(newer, "");
    }
    rewrite(&rig, RULES, &rules);
    let receipt = "/var/lib/tavern/receipt.json";
    let older = text(&rig, receipt).replace("\"rules\": 2", "\"rules\": 1");
    assert_ne!(older, text(&rig, receipt));
    rewrite(&rig, receipt, &older);
    rig
}

/// bug: the app was restarted with rules that permit it too little, and answered 503 until the next install.
#[test]
fn nothing_restarts_an_app_that_redis_would_refuse() {
    let rig = with_old_rules();
    let old = ring(&rig);
    let refused = [
        rig.engine().refuse_outdated_rules().unwrap_err(),
        rig.engine()
            .install(None, &rotation(Rotation::WithOverlap, &[]))
            .err()
            .unwrap(),
    ];
    for error in refused {
        let EngineError::NotReady { what, help } = error else {
            panic!("{error}");
        };
        assert!(what.contains("users.acl"), "{what}");
        assert!(help.contains("`sudo tavernctl install` first"), "{help}");
    }
    assert_eq!(ring(&rig), old);
    rig.install(None).unwrap();
    rig.engine().refuse_outdated_rules().unwrap();
    rig.engine()
        .install(None, &rotation(Rotation::WithOverlap, &[]))
        .unwrap();
    assert_eq!(ring(&rig).len(), 2);
}

/// bug: an upgrade called the list edited by hand, and kept a copy of it.
#[test]
fn the_rules_of_an_older_tavern_are_nobodys_edit() {
    let rig = with_old_rules();
    let edited = |rig: &Rig| {
        let plan = rig.plan().unwrap();
        let step = plan
            .steps
            .into_iter()
            .find(|step| step.id.0.ends_with("users.acl"));
        step.unwrap().change.edited
    };
    assert!(edited(&rig).is_empty());
    let by_hand = text(&rig, RULES).replace("+info", "+info +keys");
    rewrite(&rig, RULES, &by_hand);
    assert_eq!(edited(&rig), [Path::new(RULES)]);
}

/// bug: a run that failed or was killed after it had replaced the key put back the one that was in wrong hands.
#[test]
fn a_key_that_was_ended_never_comes_back() {
    let start = installed();
    let old = ring(&start);
    let rotate = |rig: &Rig| {
        let request = rotation(Rotation::AtOnce, &[]);
        rig.engine().install(None, &request).map(|_| ())
    };
    let effects = {
        let rig = start.twin();
        let before = rig.memory.machine().effects();
        rotate(&rig).unwrap();
        rig.memory.machine().effects() - before
    };
    let (mut went_on, mut never_was) = (0, 0);
    for point in 1..=effects {
        for kill in [true, false] {
            let rig = start.twin();
            let from = rig.memory.machine().log.len();
            if kill {
                rig.memory.machine().die_at(point);
                assert!(catch_unwind(AssertUnwindSafe(|| rotate(&rig))).is_err());
                rig.memory.machine().revive();
                rig.engine().recover(false).unwrap();
            } else {
                rig.memory.machine().fail_at(point);
                if let Err(EngineError::Step { left, .. }) = rotate(&rig) {
                    assert!(left.is_empty(), "{left:?}");
                }
                rig.memory.machine().revive();
            }
            let how = format!("point {point}, killed: {kill}");
            let written = format!("write {RING}");
            let was_written = rig.memory.machine().log[from..].contains(&written);
            if was_written {
                went_on += 1;
                assert_eq!(ring(&rig).len(), 1, "{how}");
                assert_ne!(ring(&rig), old, "{how}");
            } else {
                never_was += 1;
                assert_eq!(ring(&rig), old, "{how}");
            }
            // What was done but could not be recorded; then the app runs with what is on the disk.
            rig.engine().recover(false).unwrap();
            rig.is_right().unwrap_or_else(|why| panic!("{how}: {why}"));
            rotate(&rig).unwrap();
            rig.is_right().unwrap();
            assert_eq!(ring(&rig).len(), 1);
            assert_ne!(ring(&rig), old, "{how}");
        }
    }
    assert!(went_on > 8 && never_was > 8, "{went_on} {never_was}");
}
