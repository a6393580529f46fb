//! New signing keys: nothing else changes, and an older key stays as long as it may be needed.

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

fn ring(rig: &Rig) -> Vec<String> {
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
    assert!(error.contains("no app called `shop`"), "{error}");
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
