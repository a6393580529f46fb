//! The databases of a Postgres: dumped from the running container, and loaded into a throw-away one.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::layout::LaidOut;
use super::manifest::{Cluster, Dump, Manifest};
use super::{BackupError, Backups};
use crate::expand::postgres::{PLACE, RUN, container, data, login, psql};
use crate::host::{ContainerSpec, Invocation};
use crate::mint;
use crate::model::Mode;
use crate::resource::{Mount, Owner};
use crate::stack::{Container, Postgres, Stack};

/// How long the data of a new server may take to be made.
const COMING_UP: Duration = Duration::from_secs(300);

/// Where the dumps are seen in a throw-away container.
const DUMPS: &str = "/dumps";

/// What `ALTER SYSTEM` wrote.
const SETTINGS: &str = "SELECT pg_catalog.pg_read_file('postgresql.auto.conf')";

/// Ends whatever else of ours is at work.
const END: &str = "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
                   WHERE application_name = 'tavernctl' AND usename = 'postgres' AND pid <> pg_catalog.pg_backend_pid()";

/// So many rows are not gone and back within one dump.
const MANY: u64 = 100;

const DATABASES: &str = "SELECT datname, pg_catalog.pg_database_size(oid) FROM pg_catalog.pg_database \
                         WHERE datallowconn AND NOT datistemplate ORDER BY datname";

/// Rows of all tables, each counted. All by its full name: the superuser asks, in a database that another owns.
const ROWS: &str = "SELECT coalesce(pg_catalog.sum((pg_catalog.xpath('/row/n/text()', pg_catalog.query_to_xml(\
                    pg_catalog.format('SELECT pg_catalog.count(*) AS n FROM %I.%I', schemaname, tablename), \
                    false, true, '')))[1]::pg_catalog.text::pg_catalog.int8), 0) FROM pg_catalog.pg_tables \
                    WHERE schemaname <> 'information_schema' AND schemaname NOT LIKE 'pg\\_%'";

/// Whether it can be named to any program without being taken for something else.
pub(super) fn is_plain(database: &str) -> bool {
    database.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && database
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

impl Backups<'_> {
    /// Dumps every database of a running Postgres, each of one moment, and its roles.
    pub(super) fn save_postgres(
        &self,
        wanted: &Container,
        postgres: &Postgres,
        stage: &Path,
        manifest: &mut Manifest,
    ) -> Result<(), BackupError> {
        let name = wanted.name.as_str();
        let folder = format!("postgres/{name}");
        self.make_private(&stage.join("postgres"))?;
        self.make_private(&stage.join(&folder))?;
        let place = stage.join(&folder);
        let found = self.ask(name, &psql("postgres", &["--command", DATABASES]), &place)?;
        let mut cluster = Cluster {
            container: name.to_owned(),
            major: postgres.major,
            roles: format!("{folder}/roles.sql"),
            settings: Some(format!("{folder}/settings.conf")),
            databases: Vec::new(),
            bytes: 0,
        };
        for (number, line) in found.lines().enumerate() {
            let (database, size) = line.rsplit_once('|').unwrap_or((line, "0"));
            if !is_plain(database) {
                return Err(BackupError::refused(
                    format!(
                        "{name} has a database `{}`, of a name that is not saved",
                        database.escape_default()
                    ),
                    "letters, digits, `_` and `-` only: `ALTER DATABASE … RENAME TO …`",
                ));
            }
            cluster.bytes += size.trim().parse::<u64>().unwrap_or_default();
            self.has_room(stage, cluster.bytes)?;
            self.engine
                .progress
                .begin(&format!("dumping {database} of {name}"));
            let file = format!("{folder}/{number}.dump");
            let before = self.rows(name, database, &place)?;
            let dump = words(&[
                "pg_dump",
                "-h",
                RUN,
                "-U",
                "postgres",
                "-Fc",
                "--lock-wait-timeout=60000",
                // What is the same as last time is found by restic in plain bytes only, which it packs itself.
                "--compress=0",
                "-d",
                &login(database),
            ]);
            self.carry_out(name, &dump, &stage.join(&file))?;
            let after = self.rows(name, database, &place)?;
            manifest
                .files
                .insert(file.clone(), self.sha256(&stage.join(&file))?);
            cluster.databases.push(Dump {
                name: database.to_owned(),
                file,
                least: before.min(after),
                most: before.max(after),
            });
        }
        let roles = words(&[
            "pg_dumpall",
            "-h",
            RUN,
            "-U",
            "postgres",
            "-d",
            &login("postgres"),
            "--roles-only",
        ]);
        let roles = self.ask(name, &roles, &place)?;
        // The superuser is there wherever this is loaded.
        let lines = roles
            .lines()
            .filter(|line| *line != "CREATE ROLE postgres;");
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        let settings = psql("postgres", &["--command", SETTINGS]);
        let settings = self.ask(name, &settings, &place)?;
        let all = [
            (Some(&cluster.roles), text),
            (cluster.settings.as_ref(), settings),
        ];
        for (file, text) in all {
            let Some(file) = file else { continue };
            self.lay(stage, file, text.as_bytes())?;
            let sum = mint::sha256(text.as_bytes());
            manifest.files.insert(file.clone(), sum);
        }
        manifest.add_cluster(cluster);
        Ok(())
    }

    /// Rows of all tables of a database.
    fn rows(&self, name: &str, database: &str, place: &Path) -> Result<u64, BackupError> {
        let said = self.ask(name, &psql(database, &["--command", ROWS]), place)?;
        said.trim().parse().map_err(|_| {
            BackupError::refused(
                format!("{name} does not say how many rows {database} has"),
                "run it again",
            )
        })
    }

    /// Whether a database lets its superuser in.
    pub(super) fn answers(
        &self,
        name: &str,
        database: &str,
        place: &Path,
    ) -> Result<(), BackupError> {
        self.ask(name, &psql(database, &["--command", "SELECT 1"]), place)?;
        Ok(())
    }

    /// Loads a Postgres of a backup in a throw-away container and counts its rows. They are in `at`
    /// afterwards, as a server that was stopped leaves them.
    pub(super) fn load_postgres(
        &self,
        stack: &Stack,
        laid: &LaidOut,
        cluster: &Cluster,
        at: &Path,
    ) -> Result<u64, BackupError> {
        let files = &self.engine.host.files;
        let Some((like, postgres)) = laid
            .container(&cluster.container)
            .and_then(|one| Some((one, one.postgres.as_ref()?)))
        else {
            return Err(BackupError::refused(
                format!("no stack file names a Postgres {}", cluster.container),
                "this backup is not whole: `sudo tavernctl backup list` shows the others",
            ));
        };
        // The parent is root's alone; only the container is led here.
        let place = self.fresh("drill-data")?;
        let (dumps, conf) = (place.join("dumps"), place.join("conf"));
        let sizes = cluster.files().map(|file| self.size(&laid.file(file)));
        let sum = sizes.sum::<Result<u64, BackupError>>()?;
        self.has_room(&place, sum.saturating_add(cluster.bytes))?;
        for directory in [&dumps, &conf] {
            files.make_directory(directory, Mode(0o755), &Owner::root())?;
        }
        for (number, file) in cluster.files().enumerate() {
            let to = dumps.join(number.to_string());
            files.copy(&laid.file(file), &to, Mode(0o644), &Owner::root())?;
        }
        for (name, text) in [
            (
                "postgresql.conf",
                format!("listen_addresses = ''\nhba_file = '{PLACE}/pg_hba.conf'\n"),
            ),
            ("pg_hba.conf", "local all postgres peer\n".to_owned()),
            ("password", format!("{}\n", mint::key().map_err(unmade)?)),
        ] {
            let path = conf.join(name);
            files.write(&path, text.as_bytes(), Mode(0o644), &Owner::root())?;
        }
        files.make_directory(at, Mode(0o700), &Owner::root())?;
        let uid = postgres.uid;
        let at_text = at.to_string_lossy();
        let owner = format!("{uid}:{uid}");
        let chown = Invocation::new("chown", &["-h", &owner, "--", &at_text]);
        self.engine.host.processes.run_ok(&chown)?;
        let name = self.free_drill(stack)?;
        self.engine.progress.begin(&format!(
            "loading {} in a throw-away container",
            cluster.container
        ));
        let spec = self.throw_away(stack, (like, postgres), &name, at, &place)?;
        let docker = &self.engine.host.docker;
        let loaded = docker
            .run(&spec)
            .map_err(BackupError::from)
            // Were we killed here, no reboot is to bring it back.
            .and_then(|()| Ok(docker.set_restart_policy(&name, "no")?))
            .and_then(|()| self.load((&name, &data(postgres).1), cluster, &place, &spec.health));
        let removed = docker.stop(&name).and_then(|()| docker.remove(&name));
        let cleared = files.remove_tree(&place);
        let rows = loaded?;
        removed?;
        cleared?;
        Ok(rows)
    }

    /// What the live one is made from, but for its configuration, its data and its socket.
    fn throw_away(
        &self,
        stack: &Stack,
        (like, postgres): (&Container, &Postgres),
        name: &str,
        at: &Path,
        place: &Path,
    ) -> Result<ContainerSpec, BackupError> {
        let live = container(stack, like, postgres, &self.engine.layout);
        let seen = |source: PathBuf, target: &str, writable| Mount::Bind {
            source,
            target: target.to_owned(),
            writable,
        };
        let memory = ["/dev/shm", "/tmp", RUN].map(|target| Mount::Memory {
            target: target.to_owned(),
        });
        let mut mounts = memory.to_vec();
        mounts.extend([
            seen(place.join("conf"), PLACE, false),
            seen(place.join("dumps"), DUMPS, false),
            seen(at.to_owned(), data(postgres).0, true),
        ]);
        Ok(ContainerSpec {
            name: name.to_owned(),
            stack: format!("{}.drill", stack.name),
            settings: "drill".to_owned(),
            image: self.engine.image_at_hand(&like.image)?,
            command: live.command,
            user: format!("{0}:{0}", postgres.uid),
            mounts,
            memory: live.memory,
            pids: live.pids,
            health: live.probe.argv,
            network: live.network,
            environment: live.environment,
        })
    }

    fn load(
        &self,
        (name, data): (&str, &str),
        cluster: &Cluster,
        place: &Path,
        probe: &[String],
    ) -> Result<u64, BackupError> {
        self.is_up(name, probe)?;
        let roles = psql("postgres", &["-f", &format!("{DUMPS}/0")]);
        self.ask(name, &roles, place)?;
        let mut sum = 0;
        for (number, dump) in cluster.databases.iter().enumerate() {
            let file = format!("{DUMPS}/{}", number + 1);
            let mut restore =
                words(&["pg_restore", "-h", RUN, "-U", "postgres", "--exit-on-error"]);
            // That one is there; the others are made as they were.
            if dump.name != "postgres" {
                restore.push("--create".to_owned());
            }
            restore.extend(words(&["-d", &login("postgres"), &file]));
            self.ask(name, &restore, place)?;
            let rows = self.rows(name, &dump.name, place)?;
            if is_lost(dump, rows) {
                return Err(BackupError::refused(
                    format!(
                        "{} of {} has no rows, and had {} to {}",
                        dump.name, cluster.container, dump.least, dump.most
                    ),
                    "this backup is not whole: `sudo tavernctl backup now` makes another",
                ));
            }
            sum += rows;
        }
        // As the server's user: who it is that writes there is no question then. It reads them when it starts next.
        if cluster.settings.is_some() {
            let from = format!("{DUMPS}/{}", cluster.databases.len() + 1);
            let to = format!("{data}/postgresql.auto.conf");
            self.ask(name, &words(&["cp", &from, &to]), place)?;
        }
        Ok(sum)
    }

    fn is_up(&self, name: &str, probe: &[String]) -> Result<(), BackupError> {
        let docker = &self.engine.host.docker;
        let argv: Vec<&str> = probe.iter().map(String::as_str).collect();
        let begun = Instant::now();
        loop {
            if docker.exec(name, &argv).is_ok_and(|said| said.success()) {
                return Ok(());
            }
            let is_running = docker.container(name)?.is_some_and(|found| found.running);
            if !is_running || begun.elapsed() > COMING_UP {
                let logs = docker.logs(name, 8).unwrap_or_default();
                return Err(BackupError::refused(
                    format!("Postgres does not start: {}", plain(&logs)),
                    "run it again",
                ));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What a program in a container says, however long that takes.
    fn ask(&self, name: &str, argv: &[String], place: &Path) -> Result<String, BackupError> {
        let file = place.join("answer");
        let files = &self.engine.host.files;
        files.remove(&file)?;
        self.carry_out(name, argv, &file)?;
        let said = files.read(&file)?.unwrap_or_default();
        files.remove(&file)?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    fn carry_out(&self, name: &str, argv: &[String], to: &Path) -> Result<(), BackupError> {
        let words: Vec<&str> = argv.iter().map(String::as_str).collect();
        let (docker, is_stop_wanted) = (&self.engine.host.docker, self.engine.is_stop_wanted);
        let done = docker.exec_to_file(name, &words, to, is_stop_wanted);
        if done.is_err() {
            // The program is still at work. The first error is the one to be told.
            let end = psql("postgres", &["--command", END]);
            let end: Vec<&str> = end.iter().map(String::as_str).collect();
            let _ = docker.exec(name, &end);
        }
        if is_stop_wanted() {
            return Err(BackupError::refused("stopped", "run it again"));
        }
        let outcome = done?;
        if outcome.success() {
            return Ok(());
        }
        let program = words.first().copied().unwrap_or_default();
        Err(BackupError::refused(
            format!(
                "{name}: {program} ended with {}: {}",
                outcome.code,
                plain(&outcome.stderr)
            ),
            "`sudo tavernctl check` says whether it is well; of a backup: `sudo tavernctl backup list` shows the others",
        ))
    }
}

/// Rows come and go between the counts and the dump, whose own moment lies between them: what was loaded without an
/// error is as it was then. Only that all of many are gone is no coincidence.
fn is_lost(dump: &Dump, rows: u64) -> bool {
    rows == 0 && dump.least >= MANY
}

fn words(all: &[&str]) -> Vec<String> {
    all.iter().map(|word| (*word).to_owned()).collect()
}

fn unmade(error: mint::MintError) -> BackupError {
    BackupError::refused(error.to_string(), "run it again")
}

/// The last of what was said, fit for a terminal.
fn plain(said: &str) -> String {
    let line = said.lines().rfind(|line| !line.trim().is_empty());
    let text = line.unwrap_or("it said nothing");
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
#[path = "postgres_tests.rs"]
mod tests;
