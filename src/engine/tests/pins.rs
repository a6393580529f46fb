//! Which image a tag is: one for all runs, until somebody asks for another.

use super::rig::{Files, Rig, printed};
use crate::engine::{EngineError, Purge, Request};
use crate::host::memory::{MemoryHost, Node};
use crate::resource::{Container, Mend, Sight};

const STACK: &str = "name = \"web\"\nhosts = [\"*\"]\n[tls]\nissuer = \"self-signed\"\n\
                     [[site]]\npath = \"/api/\"\napp = \"counter\"\n\
                     [app.counter]\nserve = \"counter\"\nneeds = [\"redis\"]\naccounts = [\"ann\"]\n\
                     [container.redis]\nkind = \"redis\"\nimage = \"redis:7-alpine\"\n";
const IMAGE: &str = "redis:7-alpine";
const FIRST: &str = "redis@sha256:0-7-alpine";
const SECOND: &str = "redis@sha256:1-7-alpine";

fn declare(rig: &Rig, text: &str) {
    rig.declare(&Files::from([("web".to_owned(), text.to_owned())]));
}

fn installed() -> (Rig, Container) {
    let rig = Rig::new(MemoryHost::prepared());
    declare(&rig, STACK);
    rig.install(None).unwrap();
    let container = rig.engine().containers().unwrap().remove(0);
    (rig, container)
}

fn pull() -> Request {
    Request {
        pull: true,
        ..Request::default()
    }
}

fn pull_newest(rig: &Rig) {
    rig.engine().install(None, &pull()).unwrap();
}

/// The tag is another image from now on, in the registry and here.
fn move_tag(rig: &Rig) {
    let mut machine = rig.memory.machine();
    machine.registry.moved.insert(IMAGE.to_owned(), 1);
    machine
        .images
        .insert(IMAGE.to_owned(), "sha256:redis:7-alpine#1".to_owned());
}

fn image_of(rig: &Rig, container: &Container) -> String {
    let machine = rig.memory.machine();
    machine.containers[&container.name].found.image_id.clone()
}

fn lose(rig: &Rig, container: &Container) {
    let mut machine = rig.memory.machine();
    machine.containers.remove(&container.name);
    machine.images.clear();
}

#[test]
fn a_tag_that_moved_changes_nothing_until_somebody_asks() {
    let (rig, container) = installed();
    let first = image_of(&rig, &container);
    move_tag(&rig);
    assert!(rig.plan().unwrap().is_empty());
    rig.is_right().unwrap();
    assert_eq!(rig.engine().glance(&container), Sight::Right);
    // Nor does a mend, whatever is gone.
    rig.memory.machine().containers.remove(&container.name);
    rig.engine().mend(&container.name, Mend::Create).unwrap();
    assert_eq!(image_of(&rig, &container), first);
    lose(&rig, &container);
    rig.engine().mend(&container.name, Mend::Image).unwrap();
    assert_eq!(image_of(&rig, &container), first);
    // Nor an install that has other things to do.
    declare(&rig, &STACK.replace("/api/", "/other/"));
    rig.install(None).unwrap();
    assert_eq!(image_of(&rig, &container), first);
}

#[test]
fn the_plan_shows_the_digest_and_a_newer_one_is_asked_for() {
    let rig = Rig::new(MemoryHost::prepared());
    declare(&rig, STACK);
    let reason = |rig: &Rig, request: &Request| {
        let plan = rig.engine().propose(request).unwrap().plan;
        let step = plan
            .steps
            .iter()
            .find(|step| step.id.0 == "image:redis:7-alpine");
        step.map(|step| step.change.reason.clone())
    };
    assert!(reason(&rig, &Request::default()).unwrap().contains(FIRST));
    rig.install(None).unwrap();
    assert_eq!(reason(&rig, &pull()), None);
    let container = rig.engine().containers().unwrap().remove(0);
    move_tag(&rig);
    let plan = rig.engine().propose(&pull()).unwrap().plan;
    assert_eq!(
        printed(&plan),
        ["+ image:redis:7-alpine", "~ container:web-redis"]
    );
    assert!(reason(&rig, &pull()).unwrap().contains(SECOND));
    rig.engine().install(Some(&plan), &pull()).unwrap();
    assert_eq!(image_of(&rig, &container), "sha256:redis:7-alpine#1");
    rig.is_right().unwrap();
    assert!(rig.engine().propose(&pull()).unwrap().plan.is_empty());
}

#[test]
fn a_rollback_has_the_image_of_its_generation() {
    let (rig, container) = installed();
    let first = image_of(&rig, &container);
    move_tag(&rig);
    pull_newest(&rig);
    assert_ne!(image_of(&rig, &container), first);
    // Also where it has to be got again.
    rig.memory.machine().images.retain(|_, id| *id != first);
    rig.engine()
        .install(None, &Request::to_generation(1))
        .unwrap();
    assert_eq!(image_of(&rig, &container), first);
    rig.is_right().unwrap();
}

#[test]
fn a_pull_that_is_refused_anywhere_leaves_the_image_that_ran() {
    let (whole, container) = installed();
    let first = image_of(&whole, &container);
    whole
        .memory
        .machine()
        .registry
        .moved
        .insert(IMAGE.to_owned(), 1);
    let before = whole.whole_picture();
    let mut refused = 0;
    for point in 1..200 {
        let rig = whole.twin();
        rig.memory.machine().fail_at(point);
        let failed = rig.engine().install(None, &pull());
        rig.memory.machine().revive();
        match failed {
            Ok(_) => assert_eq!(image_of(&rig, &container), "sha256:redis:7-alpine#1"),
            Err(_) if image_of(&rig, &container) == first => {
                refused += 1;
                let after = rig.whole_picture();
                assert_eq!(crate::host::memory::differences(&before, &after), [""; 0]);
            }
            // Past its commit.
            Err(_) => {}
        }
        rig.engine().recover(false).unwrap();
        pull_newest(&rig);
        rig.is_right().unwrap();
    }
    assert!(refused > 3, "{refused}");
}

#[test]
fn an_image_from_a_file_is_pinned_too() {
    let rig = Rig::new(MemoryHost::prepared());
    rig.memory.machine().registry.is_away = true;
    let file = "/var/lib/tavern/images/redis_7-alpine.tar";
    rig.memory.machine().tree.plant(file, Node::file(IMAGE));
    declare(&rig, STACK);
    rig.install(None).unwrap();
    rig.is_right().unwrap();
    let container = rig.engine().containers().unwrap().remove(0);
    let first = image_of(&rig, &container);
    // Gone, with its file, and the registry has another one by now.
    lose(&rig, &container);
    {
        let mut machine = rig.memory.machine();
        machine.tree.remove(std::path::Path::new(file));
        machine.registry.is_away = false;
        machine.registry.moved.insert(IMAGE.to_owned(), 1);
    }
    let unmended = rig.engine().mend(&container.name, Mend::Image).unwrap_err();
    let said = unmended.error.to_string();
    assert!(
        said.contains("is another image by now than sha256:redis"),
        "{said}"
    );
    // Whoever wants the new one says so.
    pull_newest(&rig);
    assert_ne!(image_of(&rig, &container), first);
    rig.is_right().unwrap();
}

#[test]
fn without_a_registry_a_newer_image_comes_from_a_file() {
    let (rig, container) = installed();
    let first = image_of(&rig, &container);
    rig.memory.machine().registry.is_away = true;
    let refused = rig
        .engine()
        .install(None, &pull())
        .err()
        .map(|error| error.to_string());
    assert!(refused.unwrap().contains("no such host"));
    move_tag(&rig);
    pull_newest(&rig);
    assert_ne!(image_of(&rig, &container), first);
    rig.is_right().unwrap();
}

#[test]
fn old_images_go_when_no_kept_generation_has_them() {
    let (rig, container) = installed();
    let has = |rig: &Rig, name: &str| rig.memory.machine().images.contains_key(name);
    let theirs = "theirs:1";
    rig.memory
        .machine()
        .operate_container("theirs", theirs, "their-data");
    rig.memory
        .machine()
        .registry
        .moved
        .insert(IMAGE.to_owned(), 1);
    pull_newest(&rig);
    assert!(has(&rig, FIRST) && has(&rig, SECOND));
    for turn in 0..40 {
        declare(&rig, &STACK.replace("/api/", &format!("/api{turn}/")));
        rig.install(None).unwrap();
        // As long as there is a way back to it.
        let kept = rig.engine().generations().unwrap();
        assert_eq!(has(&rig, FIRST), kept.contains(&1), "{turn}: {kept:?}");
    }
    assert!(!has(&rig, FIRST) && has(&rig, SECOND) && has(&rig, theirs) && has(&rig, IMAGE));
    assert_eq!(rig.engine().receipt().unwrap().images.len(), 1);
    rig.is_right().unwrap();
    assert_eq!(rig.engine().glance(&container), Sight::Right);
}

#[test]
fn an_image_that_somebody_uses_or_brought_stays() {
    let rig = Rig::new(MemoryHost::prepared());
    // It is here already: whoever brought it is not asked.
    rig.memory
        .machine()
        .images
        .insert(IMAGE.to_owned(), "sha256:redis:7-alpine".to_owned());
    let before = rig.memory.machine().images.clone();
    declare(&rig, STACK);
    rig.install(None).unwrap();
    rig.memory
        .machine()
        .registry
        .moved
        .insert(IMAGE.to_owned(), 1);
    pull_newest(&rig);
    let purge = Purge {
        data: true,
        packages: false,
    };
    let left = rig.engine().uninstall(purge).unwrap();
    assert_eq!(left.failed, [""; 0]);
    assert_eq!(rig.memory.machine().images, before);
}

#[test]
fn a_registry_that_wants_a_login_gets_the_one_of_the_file() {
    let rig = Rig::new(MemoryHost::prepared());
    rig.memory
        .machine()
        .registry
        .closed
        .insert("registry.example/redis".to_owned());
    let closed = STACK.replace("redis:7-alpine", "registry.example/redis:7");
    declare(&rig, &closed);
    let refused = |rig: &Rig| {
        let refused = rig.install(None).unwrap_err();
        match &refused {
            EngineError::Step { source, .. } => source.to_string(),
            other => other.to_string(),
        }
    };
    assert!(refused(&rig).contains("no basic auth credentials"));
    let login = r#"{"auths": {"registry.example": {"auth": "YW5uOmh1c2gtaHVzaA=="}}}"#;
    let twin = rig.twin();
    twin.memory
        .machine()
        .tree
        .plant("/root/.docker/config.json", Node::file(login));
    twin.install(None).unwrap();
    twin.is_right().unwrap();
    let file = Node::file(login);
    rig.memory.machine().tree.plant("/srv/login.json", file);
    let named = closed.replace(
        "kind = \"redis\"",
        "kind = \"redis\"\nauth-file = \"/srv/login.json\"",
    );
    declare(&rig, &named);
    assert!(refused(&rig).contains("others may read this login"));
    let private = Node::File {
        bytes: login.into(),
        mode: crate::model::Mode(0o600),
        owner: crate::resource::Owner::root(),
    };
    rig.memory.machine().tree.plant("/srv/login.json", private);
    rig.install(None).unwrap();
    rig.is_right().unwrap();
    // It is nowhere else.
    for (name, how) in rig.whole_picture() {
        let is_it = name == "/srv/login.json";
        assert!(
            is_it || !how.contains("hush") && !how.contains("YW5u"),
            "{name}"
        );
    }
}
