//! Bugs that generated pairs and sweeps have found, each by its smallest case.

use std::path::Path;

use super::rig::{Files, Rig, printed};
use crate::engine::Purge;
use crate::host::memory::{MemoryHost, Node, differences};

const HEAD: &str = "name = \"a\"\nhosts = [\"a.example\"]\n[tls]\nissuer = \"self-signed\"\n";
const SITE: &str = "[[site]]\npath = \"/\"\nstatic = \"main\"\n";

fn stack(rest: &str) -> Files {
    Files::from([("a".to_owned(), format!("{HEAD}{SITE}{rest}"))])
}

fn app(alias: &str) -> String {
    format!(
        "[[site]]\npath = \"/x/\"\nname = \"x\"\napp = \"counter\"\n\
         [[site]]\npath = \"/y/\"\nname = \"y\"\napp = \"counter\"\n\
         [app.counter]\nserve = \"counter\"\nneeds = [\"redis\"]\naccounts = [\"ann\"]\n{alias}\
         [container.redis]\nkind = \"redis\"\nimage = \"redis:7-alpine\"\n"
    )
}

const TWO: &str = "[container.redis]\nkind = \"redis\"\nimage = \"redis:7-alpine\"\n\
                   [container.cache]\nkind = \"redis\"\nimage = \"redis:7-alpine\"\n";

fn installed(files: &Files) -> Rig {
    let rig = Rig::new(MemoryHost::prepared());
    rig.declare(files);
    rig.install(None).unwrap();
    rig
}

/// bug: systemd-sysusers made both groups in the first one's step, and the second passed for the operator's.
#[test]
fn a_second_group_is_ours_too() {
    let rig = installed(&stack(TWO));
    assert!(rig.memory.machine().groups.contains_key("tavern-a-redis"));
    let everything = Purge {
        data: true,
        packages: false,
    };
    assert!(
        rig.engine()
            .uninstall(everything)
            .unwrap()
            .failed
            .is_empty()
    );
    let machine = rig.memory.machine();
    assert!(
        machine
            .groups
            .keys()
            .all(|name| !name.starts_with("tavern-"))
    );
}

/// bug: an image and a password that two containers share were planned twice.
#[test]
fn what_two_containers_share_is_planned_once() {
    let rig = Rig::new(MemoryHost::prepared());
    rig.declare(&stack(TWO));
    let mut steps = printed(&rig.plan().unwrap());
    let all = steps.len();
    steps.sort();
    steps.dedup();
    assert_eq!(steps.len(), all);
}

/// bug: the login's location was there once for each site of the app, and nginx refused it.
#[test]
fn two_sites_of_one_app_have_one_login() {
    installed(&stack(&app(""))).is_right().unwrap();
}

/// bug: `systemctl enable` adds links, and the one of an alias that left the stack stayed.
#[test]
fn an_alias_that_left_the_stack_leads_nowhere() {
    let rig = installed(&stack(&app("alias = \"old\"\n")));
    let link = Path::new("/etc/systemd/system/old.service");
    assert!(rig.memory.machine().tree.get(link).is_some());
    rig.declare(&stack(&app("")));
    rig.install(None).unwrap();
    assert_eq!(rig.memory.machine().tree.get(link), None);
    rig.is_right().unwrap();
}

/// bug: what was added to a journal whose last line was cut in two ran on from it, and neither could be read.
#[test]
fn a_journal_that_ends_in_half_a_line_is_recovered_from() {
    let rig = installed(&stack(""));
    let before = rig.whole_picture();
    let journal = "/var/lib/tavern/journal.jsonl";
    let begin = "{\"begin\":{\"version\":2,\"verb\":\"install\",\"generation\":2,\"first\":false,\"pid\":1,\"at\":\"\"}}";
    let text = format!("{begin}\n{{\"step\":{{\"act");
    rig.memory.machine().tree.plant(journal, Node::file(text));
    assert!(rig.engine().recover(false).unwrap().is_some());
    assert_eq!(before, rig.whole_picture());
}

/// bug: a file of somebody else's in our directories made each later command speak of an uninstall that was cut off.
#[test]
fn an_uninstall_that_leaves_somebodys_file_has_ended() {
    let rig = installed(&stack(""));
    let theirs = "/etc/tavern/stacks/notes.txt";
    rig.memory.machine().tree.plant(theirs, Node::file("mine"));
    let everything = Purge {
        data: true,
        packages: true,
    };
    let left = rig.engine().uninstall(everything).unwrap();
    assert!(
        left.failed
            .iter()
            .any(|line| line.contains("/etc/tavern/stacks"))
    );
    assert!(rig.memory.machine().tree.get(Path::new(theirs)).is_some());
    assert!(rig.engine().unfinished().unwrap().is_none());
}

/// bug: a log of some megabytes made every command fail, and one of a site that left was copied.
#[test]
fn a_log_may_be_larger_than_memory() {
    let rig = installed(&stack("[[site]]\npath = \"/x/\"\nstatic = \"x\"\n"));
    let grown = Node::file(vec![b'x'; 17 << 20]);
    for log in ["a-main.access.log", "a-x.access.json"] {
        let path = format!("/var/log/nginx/{log}");
        rig.memory.machine().tree.plant(&path, grown.clone());
    }
    let page = "/var/www/a/main/index.html";
    rig.memory.machine().tree.plant(page, grown.clone());
    assert!(rig.plan().unwrap().steps.is_empty());
    assert!(rig.engine().drift().unwrap().is_empty());
    rig.declare(&stack(""));
    rig.install(None).unwrap();
    assert!(rig.plan().unwrap().steps.is_empty());
    let everything = Purge {
        data: true,
        packages: false,
    };
    let left = rig.engine().uninstall(everything).unwrap();
    assert!(left.failed.is_empty(), "{left:?}");
}

/// bug: what could never be swapped for a backup was planned and installed, and refused by each backup only.
#[test]
fn a_mount_point_is_no_directory_to_be_saved() {
    let files = stack("[backup]\nto = \"/srv/backup\"\ndirectories = [\"/srv/uploads\"]\n");
    let rig = Rig::new(MemoryHost::prepared());
    rig.declare(&files);
    // Not there yet: it may come with a restore.
    rig.plan().unwrap();
    let mut machine = rig.memory.machine();
    machine.tree.plant("/srv/uploads/file", Node::file("mine"));
    machine.mounts.insert("/srv/uploads".into());
    drop(machine);
    let before = rig.picture();
    for error in [rig.plan().map(|_| ()), rig.install(None)] {
        let error = error.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("/srv/uploads is a file system of its own"),
            "{text}"
        );
        assert!(error.help().unwrap().contains("`directories`"));
    }
    assert_eq!(differences(&before, &rig.picture()), [""; 0]);
    rig.memory.machine().mounts.clear();
    rig.install(None).unwrap();
}
