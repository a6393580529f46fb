//! A Redis container of somebody else's makes way for ours on the same volume, and comes back with our count.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Engine, EngineError};
use crate::host::HostError;

/// How long a foreign Redis may take to write its append-only file.
const HANDOVER_LIMIT: Duration = Duration::from_secs(300);

/// Where our Redis keeps its append-only file, below the volume.
const APPEND_ONLY: &str = "/data/appendonlydir";

/// A container of somebody else's, kept under another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptContainer {
    /// Its name now.
    pub kept_as: String,
    /// Its restart policy, in Docker's words.
    pub restart_policy: String,
    /// Whether it ran.
    pub running: bool,
    /// Whether it wrote an append-only file; assumed of one that could not be asked.
    pub append_only: bool,
}

impl Engine<'_> {
    pub(super) fn capture_container(&self, name: &str) -> Result<KeptContainer, EngineError> {
        let kept = kept_as(name);
        if self.host.docker.container(&kept)?.is_some() {
            return Err(EngineError::NotReady {
                what: format!(
                    "there is a container `{kept}` already: an earlier one, kept for its owner"
                ),
                help: format!("`docker rename {kept} …` or `docker rm {kept}`, then run it again"),
            });
        }
        let found = self.host.docker.container(name)?.unwrap_or_default();
        let append_only = !found.running || {
            let answer = self.redis_cli(name, &["CONFIG", "GET", "appendonly"])?;
            !is_usual(&answer, "appendonly", "no")
        };
        Ok(KeptContainer {
            kept_as: kept,
            restart_policy: found.restart_policy,
            running: found.running,
            append_only,
        })
    }

    fn redis_cli(&self, name: &str, argv: &[&str]) -> Result<String, HostError> {
        let argv = [&["redis-cli"], argv].concat();
        Ok(self.host.docker.exec(name, &argv)?.stdout.trim().to_owned())
    }

    /// Stops a container of somebody else's and keeps it under another name.
    ///
    /// A Redis that only writes snapshots is first made to write an append-only file: one that starts with
    /// `appendonly yes` beside a snapshot alone begins empty.
    pub(super) fn keep_aside(&self, name: &str) -> Result<(), EngineError> {
        let docker = &self.host.docker;
        let found = docker.container(name)?.unwrap_or_default();
        if !found.running {
            docker.start(name)?;
            self.wait_for_pong(name)?;
        }
        self.shares_our_places(name)?;
        self.progress
            .detail("the old Redis writes its append-only file");
        let answer = self.redis_cli(name, &["CONFIG", "SET", "appendonly", "yes"])?;
        if answer != "OK" {
            return Err(EngineError::NotReady {
                what: format!("the Redis in `{name}` refuses CONFIG SET appendonly: {answer}"),
                help: "its data cannot be taken over safely: save it by hand, remove the container, then run it again".into(),
            });
        }
        self.wait_for_append_only(name)?;
        // For its own return, should this run be undone: some are set to save nothing when they stop.
        let answer = self.redis_cli(name, &["SAVE"])?;
        if answer != "OK" {
            return Err(EngineError::NotReady {
                what: format!("the Redis in `{name}` cannot save: {answer}"),
                help: format!("`docker logs {name}` says why; nothing was changed in its data"),
            });
        }
        docker.stop(name)?;
        Ok(docker.rename(name, &kept_as(name), "no")?)
    }

    /// Our Redis reads and writes the usual files in `/data`; one that does not would neither give nor get the count.
    fn shares_our_places(&self, name: &str) -> Result<(), EngineError> {
        for (setting, usual) in [
            ("dir", "/data"),
            ("dbfilename", "dump.rdb"),
            ("appenddirname", "appendonlydir"),
        ] {
            let answer = self.redis_cli(name, &["CONFIG", "GET", setting])?;
            if !is_usual(&answer, setting, usual) {
                return Err(EngineError::NotReady {
                    what: format!("the Redis in `{name}` does not keep its data in the usual place: `CONFIG GET {setting}` says `{}`, not `{usual}`", answer.replace('\n', " ")),
                    help: "its data cannot be taken over safely: save it by hand, remove the container, then run it again".into(),
                });
            }
        }
        Ok(())
    }

    fn wait_for_append_only(&self, name: &str) -> Result<(), EngineError> {
        let begun = Instant::now();
        loop {
            let info = self.redis_cli(name, &["INFO", "persistence"])?;
            if is_written(&info) {
                return Ok(());
            }
            if begun.elapsed() > HANDOVER_LIMIT {
                return Err(EngineError::NotReady {
                    what: format!("the Redis in `{name}` did not finish its append-only file"),
                    help: format!("`docker logs {name}` says why; nothing was changed in its data"),
                });
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Ends our Redis so that the snapshot beside its append-only file holds all of it: the old one may read no other.
    pub(super) fn leave_snapshot(&self, name: &str) -> Result<(), EngineError> {
        let docker = &self.host.docker;
        let ours = |found: &crate::host::FoundContainer| found.stack.is_some();
        let Some(found) = docker.container(name)?.filter(ours) else {
            return Ok(());
        };
        if !found.running {
            // It may have died without saving.
            docker.start(name)?;
            self.wait_for_pong(name)?;
        }
        docker.stop(name)?;
        // It saves as it stops, and when that fails it goes on until Docker kills it.
        let ended = docker.container(name)?.unwrap_or_default();
        if ended.exit_code == 0 {
            return Ok(());
        }
        docker.start(name)?;
        Err(EngineError::NotReady {
            what: format!(
                "{name} could not save its data for the container that was there before (exit code {})",
                ended.exit_code
            ),
            help: format!("`docker logs {name}` says why; then run it again"),
        })
    }

    /// Puts a kept container back in the place of ours, on the files that are in the volume.
    pub(super) fn give_back_container(
        &self,
        name: &str,
        kept: &KeptContainer,
    ) -> Result<(), EngineError> {
        let docker = &self.host.docker;
        // Killed before the rename, or given back by an earlier try: the name is theirs.
        let theirs = docker
            .container(name)?
            .is_some_and(|found| found.stack.is_none());
        if !theirs && docker.container(&kept.kept_as)?.is_some() {
            docker.remove(name)?;
            docker.rename(&kept.kept_as, name, &kept.restart_policy)?;
        } else if theirs {
            docker.set_restart_policy(name, &kept.restart_policy)?;
        }
        if !kept.running {
            return Ok(docker.stop(name)?);
        }
        docker.start(name)?;
        self.wait_for_pong(name)?;
        if !kept.append_only {
            // It runs on the snapshot: our file would be an older count to whoever turns that on later.
            self.redis_cli(name, &["CONFIG", "SET", "appendonly", "no"])?;
            docker.exec(name, &["rm", "-r", "-f", APPEND_ONLY])?;
        }
        Ok(())
    }
}

fn kept_as(name: &str) -> String {
    format!("{name}.before-tavern")
}

/// Whether the answer to `CONFIG GET setting` is the usual value; a Redis that has no such setting has no other value.
fn is_usual(answer: &str, setting: &str, usual: &str) -> bool {
    let mut lines = answer.lines().map(str::trim);
    match (lines.next(), lines.next()) {
        (None | Some(""), _) => true,
        (Some(key), Some(value)) => key == setting && value == usual,
        _ => false,
    }
}

/// Whether `INFO persistence` tells of an append-only file that is whole and written to.
fn is_written(info: &str) -> bool {
    let has = |line: &str| info.lines().any(|l| l.trim() == line);
    has("aof_enabled:1")
        && has("aof_rewrite_in_progress:0")
        && has("aof_rewrite_scheduled:0")
        && has("aof_last_bgrewrite_status:ok")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redis_with_its_data_elsewhere_is_seen() {
        assert!(is_usual("dir\n/data", "dir", "/data"));
        assert!(!is_usual("dir\n/var/lib/redis", "dir", "/data"));
        // Redis 6 has no directory of append-only files.
        assert!(is_usual("", "appenddirname", "appendonlydir"));
        assert!(!is_usual("NOAUTH Authentication required.", "dir", "/data"));
    }

    #[test]
    fn an_append_only_file_counts_once_it_is_whole() {
        let done = "# Persistence\r\naof_enabled:1\r\naof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0\r\naof_last_bgrewrite_status:ok\r\n";
        assert!(is_written(done));
        for (from, to) in [
            ("enabled:1", "enabled:0"),
            ("in_progress:0", "in_progress:1"),
            ("scheduled:0", "scheduled:1"),
            (":ok", ":err"),
        ] {
            assert!(!is_written(&done.replace(from, to)), "{to}");
        }
    }
}
