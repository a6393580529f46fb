//! A store of a backup in a throw-away container: without a network, without the app's name, gone afterwards.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::layout::LaidOut;
use super::manifest::Store;
use super::redis::lasting_keys;
use super::{BackupError, Backups};
use crate::host::ContainerSpec;
use crate::model::Mode;
use crate::resource::{Mount, Network, Owner, Probe};
use crate::stack::Stack;

/// How long it may take to load.
const LOADING: Duration = Duration::from_secs(600);

/// The uid of the image's `redis` user.
const REDIS_UID: u32 = 999;

/// What the stores of a backup have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    /// Keys in all Redis.
    pub(super) keys: u64,
    /// Rows in all Postgres.
    pub(super) rows: u64,
}

impl Backups<'_> {
    /// Loads every store of a backup and compares its keys with the manifest's.
    pub(super) fn count(&self, stack: &Stack, laid: &LaidOut) -> Result<Counted, BackupError> {
        for database in &laid.manifest.databases {
            self.is_whole(&laid.file(&database.file), &database.path)?;
        }
        let mut sum = 0;
        for store in &laid.manifest.stores {
            let found = self.count_one(stack, laid, store)?;
            if !(store.least..=store.most).contains(&found) {
                let wanted = if store.least == store.most {
                    store.least.to_string()
                } else {
                    format!("{} to {}", store.least, store.most)
                };
                return Err(BackupError::refused(
                    format!("{} has {found} keys, not {wanted}", store.container),
                    "this backup is not whole: `sudo tavernctl backup now` makes another",
                ));
            }
            sum += found;
        }
        let mut rows = 0;
        for cluster in &laid.manifest.clusters {
            let at = self.fresh("drill-cluster")?;
            let loaded = self.load_postgres(stack, laid, cluster, &at);
            let cleared = self.engine.host.files.remove_tree(&at);
            rows += loaded?;
            cleared?;
        }
        Ok(Counted { keys: sum, rows })
    }

    /// The name of a throw-away container, which nothing has.
    pub(super) fn free_drill(&self, stack: &Stack) -> Result<String, BackupError> {
        let docker = &self.engine.host.docker;
        let name = format!("tavern-drill-{}", stack.name);
        let label = format!("{}.drill", stack.name);
        let ours = |found: &crate::host::FoundContainer| found.stack.as_deref() == Some(&*label);
        match docker.container(&name)? {
            None => {}
            Some(found) if ours(&found) => docker.remove(&name)?,
            Some(_) => {
                return Err(BackupError::refused(
                    format!("somebody else's container is called {name}"),
                    format!("`docker rename {name} …` gives it another name"),
                ));
            }
        }
        Ok(name)
    }

    fn count_one(&self, stack: &Stack, laid: &LaidOut, store: &Store) -> Result<u64, BackupError> {
        let (files, docker) = (&self.engine.host.files, &self.engine.host.docker);
        let containers = || stack.containers.iter().chain(&laid.stack.containers);
        let Some(like) = containers().find(|one| one.name.as_str() == store.container) else {
            return Err(BackupError::refused(
                format!("no stack file names container {}", store.container),
                "this backup is not whole: `sudo tavernctl backup list` shows the others",
            ));
        };
        // The parent is root's alone; only the container is led here.
        let data = self.fresh("drill-data")?;
        self.has_room(&data, self.size(&laid.file(&store.file))?)?;
        files.make_directory(&data, Mode(0o755), &Owner::root())?;
        files.copy(
            &laid.file(&store.file),
            &data.join("dump.rdb"),
            Mode(0o644),
            &Owner::root(),
        )?;
        let name = self.free_drill(stack)?;
        let image = self.engine.image_at_hand(&like.image)?;
        self.engine.progress.begin(&format!(
            "counting {} in a throw-away container",
            store.file
        ));
        let spec = ContainerSpec {
            name: name.clone(),
            stack: format!("{}.drill", stack.name),
            settings: "drill".to_owned(),
            image,
            command: [
                "redis-server",
                "--bind",
                "127.0.0.1",
                "--port",
                "6379",
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
                "/data",
                "--dbfilename",
                "dump.rdb",
            ]
            .map(str::to_owned)
            .to_vec(),
            user: format!("{REDIS_UID}:{REDIS_UID}"),
            mounts: vec![Mount::Bind {
                source: data.clone(),
                target: "/data".to_owned(),
                writable: false,
            }],
            memory: 1024 * 1024 * 1024,
            pids: 64,
            health: Probe::of_redis().argv,
            network: Network::None,
            environment: BTreeMap::new(),
        };
        let counted = docker
            .run(&spec)
            .map_err(BackupError::from)
            // Were we killed here, no reboot is to bring it back.
            .and_then(|()| Ok(docker.set_restart_policy(&name, "no")?))
            .and_then(|()| self.keys_in(&name));
        let removed = docker.remove(&name);
        let cleared = files.remove_tree(&data);
        let counted = counted?;
        removed?;
        cleared?;
        Ok(counted)
    }

    fn keys_in(&self, name: &str) -> Result<u64, BackupError> {
        let docker = &self.engine.host.docker;
        let begun = Instant::now();
        loop {
            let is_up = docker
                .exec(name, &["redis-cli", "-e", "ping"])
                .is_ok_and(|outcome| outcome.stdout.trim() == "PONG");
            if is_up {
                break;
            }
            let is_running = docker.container(name)?.is_some_and(|found| found.running);
            if !is_running || begun.elapsed() > LOADING {
                let logs = docker.logs(name, 8).unwrap_or_default();
                return Err(BackupError::refused(
                    format!("Redis cannot load it: {}", last_line(&logs)),
                    "this backup is damaged: `sudo tavernctl backup now` makes another",
                ));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let outcome = docker.exec(name, &["redis-cli", "-e", "info", "keyspace"])?;
        if outcome.success() {
            Ok(lasting_keys(&outcome.stdout))
        } else {
            Err(BackupError::refused(
                format!(
                    "it does not say how many keys it has: {}",
                    outcome.stderr.trim()
                ),
                "run it again",
            ))
        }
    }
}

fn last_line(logs: &str) -> String {
    let line = logs.lines().rfind(|line| !line.trim().is_empty());
    let text = line.unwrap_or("it said nothing");
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}
