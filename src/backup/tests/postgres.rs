use std::cell::RefCell;
use std::collections::BTreeMap;

use super::*;
use crate::backup::Kind;
use crate::engine::Lock;
use crate::host::ContainerSpec;
use crate::resource::{Mount, Network};

/// A host whose stack has a Postgres that runs.
fn bench(answers: &[(&'static str, i32, &str, &'static str)]) -> Bench {
    let stack = format!(
        "{STACK}[container.db]\nkind = \"postgres\"\nname = \"db\"\nimage = \"postgres:15-alpine\"\n"
    );
    let memory = MemoryHost::prepared();
    let image = "postgres:15-alpine".to_owned();
    memory
        .machine()
        .images
        .insert(image.clone(), "sha256:1".to_owned());
    let bench = Bench::of(memory, &stack, answers);
    let wanted = &bench.stack.containers[0];
    let spec = ContainerSpec {
        name: wanted.name.to_string(),
        stack: "web".to_owned(),
        settings: String::new(),
        image,
        command: Vec::new(),
        user: "70:70".to_owned(),
        mounts: vec![Mount::Volume {
            name: wanted.volume.clone(),
            target: "/var/lib/postgresql/data".to_owned(),
        }],
        memory: 0,
        pids: 0,
        health: Vec::new(),
        network: Network::None,
        environment: BTreeMap::new(),
    };
    bench.host.docker.run(&spec).unwrap();
    bench.memory.machine().log.clear();
    bench
}

/// Where in the log the first line with these words is.
fn at(bench: &Bench, words: &str) -> Option<usize> {
    let machine = bench.memory.machine();
    machine.log.iter().position(|line| line.contains(words))
}

/// bug: while it was dumped, nothing that stopped was started again, and no certificate renewed.
#[test]
fn the_host_is_kept_while_a_postgres_is_dumped() {
    let bench = bench(&[("restic backup", 0, SUMMARY, "")]);
    let seen = RefCell::new(Vec::new());
    // Asked after each program in the container.
    let look = || {
        seen.borrow_mut()
            .push(Lock::is_free(&bench.layout.lock).is_ok());
        false
    };
    bench
        .with_stop(&look, |backups| backups.save(&bench.stack))
        .unwrap();
    let seen = seen.into_inner();
    assert!(seen.len() > 4 && seen.iter().all(|free| *free), "{seen:?}");
    assert!(at(&bench, "pg_dump -h").unwrap() < at(&bench, "restic backup").unwrap());
    assert_eq!(at(&bench, "docker stop"), None);
}

/// bug: whatever failed, the files of a running server were saved as they lay: no server starts on those.
#[test]
fn a_server_that_cannot_be_dumped_stands_still_while_its_files_are_saved() {
    let broken = [
        ("sha256sum", 1, "", "no"),
        ("restic backup", 0, SUMMARY, ""),
    ];
    let safety = |bench: &Bench, is_stopped: bool| {
        bench.with_stop(&|| is_stopped, |backups| {
            let restic = backups.repository(&bench.stack, None)?;
            backups.save_as(&bench.stack, &restic, Kind::Safety)
        })
    };
    let one = bench(&broken);
    safety(&one, false).unwrap();
    let [stopped, saved, started] =
        ["docker stop db", "restic backup", "docker start db"].map(|words| at(&one, words));
    assert!(stopped.is_some() && stopped < saved && saved < started);
    let volume = format!("/var/lib/docker/volumes/{}", one.stack.containers[0].volume);
    assert!(one.was_asked(&volume));

    // Whatever becomes of it, it is started again.
    let refused = bench(&[("sha256sum", 1, "", "no"), ("restic backup", 1, "", "full")]);
    safety(&refused, false).unwrap_err();
    assert!(at(&refused, "docker stop db") < at(&refused, "docker start db"));

    // Who only wants it to stop has no server stopped; and a backup by the clock is never such a copy.
    let left = bench(&broken);
    let error = safety(&left, true).unwrap_err().to_string();
    assert_eq!(error, "stopped");
    let regular = bench(&broken);
    regular.save().unwrap_err();
    for bench in [left, regular] {
        assert_eq!(at(&bench, "docker stop"), None);
        assert_eq!(at(&bench, "restic backup"), None);
    }
}
