//! Who trusts the CA of this host: the system's store, and the browsers' of one user. Noted before it is done, so that
//! an uninstall takes all of it back.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::generations::json;
use super::{Engine, EngineError, Lock};
use crate::host::Invocation;
use crate::mint;
use crate::model::{CHAIN, Mode};
use crate::resource::{Owner, PathState};

/// Where Debian's ca-certificates looks for what the administrator adds.
const SYSTEM: &str = "/usr/local/share/ca-certificates/tavern-local-ca.crt";

/// The link to it that update-ca-certificates makes.
const LINK: &str = "/etc/ssl/certs/tavern-local-ca.pem";

/// Its name in browsers.
const NICKNAME: &str = "Tavern local CA";

/// More of that name than this in one database are not ours.
const COPIES: usize = 16;

/// The version of the form of `trusted.json` that this build writes.
const VERSION: u32 = 1;

/// Where it was put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Trusted {
    version: u32,
    /// Databases of browsers, and whose they are.
    databases: Vec<Database>,
}

impl Default for Trusted {
    fn default() -> Self {
        Self {
            version: VERSION,
            databases: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Database {
    user: String,
    directory: PathBuf,
    /// The fingerprint of what it was given last; nothing while it was not, or not for sure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    holds: Option<String>,
}

/// What became of it, a line each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustReport {
    /// What is as it was asked for.
    pub done: Vec<String>,
    /// What could not be reached. It stays noted, and the next try is about it too.
    pub failed: Vec<String>,
}

impl Engine<'_> {
    /// The CA's certificate, to be carried to other machines: PEM.
    ///
    /// # Errors
    /// When no stack has asked for one.
    pub fn local_ca(&self) -> Result<String, EngineError> {
        let chain = self
            .host
            .files
            .read(&self.layout.local_ca().join(CHAIN))?
            .ok_or_else(|| EngineError::NotReady {
                what: "this host has no CA of its own".into(),
                help: "a stack with `issuer = \"local-ca\"` in [tls] makes one, by `sudo tavernctl install`".into(),
            })?;
        Ok(String::from_utf8_lossy(&chain).into_owned())
    }

    /// Has the system, and the browsers of `user`, whose home is `home`, trust the CA of this host.
    ///
    /// # Errors
    /// When there is none, or the system's store cannot be written.
    pub fn trust(&self, user: Option<(&str, &Path)>) -> Result<TrustReport, EngineError> {
        let _lock = Lock::take(&self.layout.lock)?;
        let pem = self.local_ca()?;
        let mut trusted = self.trusted()?;
        if let Some((user, home)) = user {
            for database in self.databases(user, home)? {
                let is_it = |known: &Database| {
                    (&known.user, &known.directory) == (&database.user, &database.directory)
                };
                if !trusted.databases.iter().any(is_it) {
                    trusted.databases.push(database);
                }
            }
        }
        self.spread(&pem, trusted)
    }

    /// Gives whoever trusts the CA the newest one, where it was made anew; nothing where nobody was to trust it.
    ///
    /// # Errors
    /// When the system's store cannot be written.
    pub fn refresh_trust(&self) -> Result<TrustReport, EngineError> {
        let _lock = Lock::take(&self.layout.lock)?;
        let (Some(pem), PathState::File { content, .. }) = (
            self.host.files.read(&self.layout.local_ca().join(CHAIN))?,
            self.host.files.state(Path::new(SYSTEM))?,
        ) else {
            return Ok(TrustReport::default());
        };
        if self.host.files.state(&self.trusted_path())? == PathState::Absent {
            return Ok(TrustReport::default());
        }
        let trusted = self.trusted()?;
        let fingerprint = Some(mint::read_certificate(&pem)?.fingerprint());
        let mut databases = trusted.databases.iter();
        if content == pem && databases.all(|database| database.holds == fingerprint) {
            return Ok(TrustReport::default());
        }
        self.spread(&String::from_utf8_lossy(&pem), trusted)
    }

    /// Puts the CA everywhere it is not yet. Noted before, and again after, with what is where.
    fn spread(&self, pem: &str, mut trusted: Trusted) -> Result<TrustReport, EngineError> {
        let fingerprint = Some(mint::read_certificate(pem.as_bytes())?.fingerprint());
        let (mut report, path) = (TrustReport::default(), Path::new(SYSTEM));
        let directory = path.parent().unwrap_or(path);
        if self.host.files.state(directory)? == PathState::Absent {
            return Err(EngineError::NotReady {
                what: format!("{} is not there", directory.display()),
                help: "`sudo apt-get install ca-certificates`, then run it again".into(),
            });
        }
        for database in &mut trusted.databases {
            database
                .holds
                .take_if(|holds| Some(&*holds) != fingerprint.as_ref());
        }
        self.save_trusted(&trusted)?;
        self.host
            .files
            .write(path, pem.as_bytes(), Mode(0o644), &Owner::root())?;
        self.update_system()?;
        report.done.push(format!("system: {SYSTEM}"));
        for database in trusted.databases.iter_mut() {
            let place = database.directory.display();
            match self.in_browser(database, true) {
                Ok(()) => {
                    report.done.push(format!("browser: {place} trusts it"));
                    database.holds.clone_from(&fingerprint);
                }
                Err(reason) => report.failed.push(format!("browser: {place}: {reason}")),
            }
        }
        self.save_trusted(&trusted)?;
        Ok(report)
    }

    /// Takes that back.
    ///
    /// # Errors
    /// When the system's store cannot be written.
    pub fn distrust(&self) -> Result<TrustReport, EngineError> {
        let _lock = Lock::take(&self.layout.lock)?;
        self.distrust_locked()
    }

    pub(super) fn distrust_locked(&self) -> Result<TrustReport, EngineError> {
        let files = &self.host.files;
        let mut report = TrustReport::default();
        let mut trusted = self.trusted()?;
        let mut left = Vec::new();
        for database in std::mem::take(&mut trusted.databases) {
            // Whose user is gone, or which is gone itself, is nobody's browser's any more.
            if files.state(&database.directory)? == PathState::Absent
                || self.host.accounts.home(&database.user).is_none()
            {
                continue;
            }
            let place = database.directory.display();
            match self.in_browser(&database, false) {
                Ok(()) => report.done.push(format!("browser: {place} forgot it")),
                Err(reason) => {
                    report
                        .failed
                        .push(format!("browser: {place} still trusts it: {reason}"));
                    left.push(database);
                }
            }
        }
        trusted.databases = left;
        // Also without the file: a run before may have got no further than its removal.
        let is_noted = files.state(&self.trusted_path())? != PathState::Absent;
        if is_noted || files.state(Path::new(SYSTEM))? != PathState::Absent {
            files.sweep(Path::new(SYSTEM))?;
            files.remove(Path::new(SYSTEM))?;
            // update-ca-certificates leaves its link to what is gone.
            let is_its_link = matches!(
                files.state(Path::new(LINK))?,
                PathState::Link { target } if target == Path::new(SYSTEM)
            );
            if is_its_link {
                files.remove(Path::new(LINK))?;
            }
            self.update_system()?;
            report.done.push(format!("system: {SYSTEM} is gone"));
        }
        if trusted.databases.is_empty() {
            files.remove(&self.trusted_path())?;
        } else {
            self.save_trusted(&trusted)?;
        }
        Ok(report)
    }

    fn trusted_path(&self) -> PathBuf {
        self.layout.state.join("trusted.json")
    }

    fn trusted(&self) -> Result<Trusted, EngineError> {
        let bytes = self.host.files.read(&self.trusted_path())?;
        let read = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(read.unwrap_or_default())
    }

    fn save_trusted(&self, trusted: &Trusted) -> Result<(), EngineError> {
        Ok(self.host.files.write(
            &self.trusted_path(),
            &json(trusted)?,
            Mode(0o600),
            &Owner::root(),
        )?)
    }

    fn update_system(&self) -> Result<(), EngineError> {
        let outcome = self
            .host
            .processes
            .run(&Invocation::new::<&str>("update-ca-certificates", &[]))?;
        if outcome.code == 0 {
            return Ok(());
        }
        Err(EngineError::NotReady {
            what: format!("update-ca-certificates failed: {}", outcome.stderr.trim()),
            help: "mend what it names, then run it again".into(),
        })
    }

    /// Chromium's database, and one for each profile of Firefox.
    fn databases(&self, user: &str, home: &Path) -> Result<Vec<Database>, EngineError> {
        let mut places = vec![home.join(".pki/nssdb")];
        for firefox in [".mozilla/firefox", "snap/firefox/common/.mozilla/firefox"] {
            places.extend(self.host.files.list(&home.join(firefox))?);
        }
        let mut databases = Vec::new();
        for directory in places {
            if self.host.files.state(&directory.join("cert9.db"))? != PathState::Absent {
                databases.push(Database {
                    user: user.to_owned(),
                    directory,
                    holds: None,
                });
            }
        }
        Ok(databases)
    }

    /// As its owner: root must leave nothing in somebody's home that its owner cannot write. What is there of that
    /// name goes first: a CA that was made anew would stand beside the old one, and one of them be found.
    fn in_browser(&self, database: &Database, add: bool) -> Result<(), String> {
        for _ in 0..self.copies(database)?.min(COPIES) {
            self.certutil(database, &["-D", "-n", NICKNAME])?;
        }
        if add {
            self.certutil(database, &["-A", "-n", NICKNAME, "-t", "C,,", "-i", SYSTEM])?;
        }
        if self.copies(database)? == usize::from(add) {
            Ok(())
        } else {
            Err("certutil said it was done, and it was not".to_owned())
        }
    }

    /// How often the CA is in a database.
    fn copies(&self, database: &Database) -> Result<usize, String> {
        let listed = self.certutil(database, &["-L"])?;
        // `NAME   C,,`, in columns.
        let is_ours = |line: &&str| {
            let rest = line.strip_prefix(NICKNAME);
            rest.is_some_and(|rest| rest.starts_with(' '))
        };
        Ok(listed.lines().filter(is_ours).count())
    }

    fn certutil(&self, database: &Database, words: &[&str]) -> Result<String, String> {
        let place = format!("sql:{}", database.directory.display());
        let before = ["-u", &database.user, "--", "certutil", "-d", &place];
        let words = [&before[..], words].concat();
        match self.host.processes.run(&Invocation::new("runuser", &words)) {
            Ok(outcome) if outcome.success() => Ok(outcome.stdout),
            Ok(outcome) => Err(format!(
                "{} (`certutil` is in Debian's libnss3-tools)",
                outcome.stderr.trim()
            )),
            Err(error) => Err(error.to_string()),
        }
    }
}
