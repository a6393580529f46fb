//! A Postgres's data is of one major version, and whatever else lies in its volume is left alone.

use super::rig::{Files, Rig};
use super::sweep::{host, install};
use crate::engine::{EngineError, Request};
use crate::host::memory::Node;

const VOLUME: &str = "/var/lib/docker/volumes/shop-db-data";

fn shop(image: &str) -> Files {
    let text = format!(
        "name = \"shop\"\nhosts = [\"shop.example\"]\n[tls]\nissuer = \"self-signed\"\n\
         [[site]]\npath = \"/\"\nstatic = \"pages\"\n\
         [container.db]\nkind = \"postgres\"\nimage = \"postgres:{image}\"\n"
    );
    [("shop".to_owned(), text)].into()
}

fn plant(rig: &Rig, place: &str, text: &str) {
    let path = format!("{VOLUME}/{place}");
    rig.memory.machine().tree.plant(&path, Node::file(text));
}

/// The refusal of an install, before which nothing was touched.
fn refusal(rig: &Rig, adopt: bool) -> String {
    let plan = rig.plan();
    assert!(matches!(plan, Err(EngineError::InTheWay(_))), "{plan:?}");
    let (before, lines) = (rig.picture(), rig.journaled(0).len());
    let request = Request {
        adopt,
        ..Request::default()
    };
    let error = rig.engine().install(None, &request).err().unwrap();
    assert!(before == rig.picture(), "something changed");
    assert_eq!(rig.journaled(0).len(), lines);
    match error {
        EngineError::InTheWay(list) => list.join("\n"),
        other => panic!("{other}"),
    }
}

#[test]
fn a_major_upgrade_of_a_postgres_is_refused_before_anything_is_touched() {
    let rig = host(&shop("15-alpine"));
    install(&rig).unwrap();
    plant(&rig, "PG_VERSION", "15\n");
    // Another minor version reads the same data.
    rig.declare(&shop("15.9-alpine"));
    install(&rig).unwrap();
    assert!(rig.plan().unwrap().is_empty());
    for image in ["16-alpine", "18-alpine", "14"] {
        rig.declare(&shop(image));
        let said = refusal(&rig, false);
        assert!(said.contains("data of PostgreSQL 15"), "{said}");
        assert!(said.contains("name another `volume`"), "{said}");
    }
    rig.declare(&shop("15-alpine"));
    install(&rig).unwrap();
}

#[test]
fn a_volume_with_other_data_is_not_given_to_a_postgres() {
    for (image, place, text, wanted) in [
        ("15-alpine", "PG_VERSION", "9.6\n", "data of PostgreSQL 9.6"),
        (
            "15-alpine",
            "18/docker/PG_VERSION",
            "18\n",
            "data of PostgreSQL 18",
        ),
        ("18-alpine", "PG_VERSION", "17\n", "data of PostgreSQL 17"),
        (
            "18-alpine",
            "18/docker/PG_VERSION",
            "19\n",
            "data of PostgreSQL 19",
        ),
        (
            "15-alpine",
            "PG_VERSION",
            "\u{1b}[2Jroot:x",
            "of an unknown version",
        ),
        ("15-alpine", "ibdata1", "", "no data of PostgreSQL's"),
    ] {
        let rig = host(&shop(image));
        let mut machine = rig.memory.machine();
        machine.volumes.insert("shop-db-data".to_owned(), None);
        drop(machine);
        plant(&rig, place, text);
        let said = refusal(&rig, true);
        assert!(said.contains(wanted) && !said.contains('\u{1b}'), "{said}");
    }
    // What is right is taken with leave, as any volume.
    let rig = host(&shop("18-alpine"));
    rig.memory
        .machine()
        .volumes
        .insert("shop-db-data".to_owned(), None);
    plant(&rig, "18/docker/PG_VERSION", "18\n");
    let request = Request {
        adopt: true,
        ..Request::default()
    };
    rig.engine().install(None, &request).unwrap();
}

/// bug: the server that an undone run started again had been told the new password, and kept it.
#[test]
fn what_an_undone_run_starts_again_is_told_its_password_again() {
    let whole = host(&shop("15-alpine"));
    install(&whole).unwrap();
    let name = whole.engine().containers().unwrap().remove(0).name;
    whole.declare(&shop("15.9-alpine"));
    let mut undone = 0;
    for point in 1..200 {
        let rig = whole.twin();
        let from = rig.memory.machine().log.len();
        rig.memory.machine().fail_at(point);
        let failed = install(&rig);
        let machine = rig.memory.machine();
        let log = &machine.log[from..];
        let last = |words: &str| log.iter().rposition(|line| line.contains(words));
        if failed.is_ok() {
            continue;
        }
        if let Some(started) = last(&format!("docker start {name}")) {
            undone += 1;
            assert!(
                last("-f /etc/postgresql/role.sql") > Some(started),
                "{log:#?}"
            );
        }
    }
    assert!(undone > 3, "{undone}");
}
