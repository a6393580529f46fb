//! Who trusts the CA of this host: the system's store, and the browsers' of one user. Noted before it is done, so that
//! an uninstall takes all of it back.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::generations::json;
use super::{Engine, EngineError, Lock};
use crate::host::Invocation;
use crate::model::{CHAIN, Mode};
use crate::resource::{Owner, PathState};

/// Where Debian's ca-certificates looks for what the administrator adds.
const SYSTEM: &str = "/usr/local/share/ca-certificates/tavern-local-ca.crt";

/// The link to it that update-ca-certificates makes.
const LINK: &str = "/etc/ssl/certs/tavern-local-ca.pem";

/// Its name in browsers.
const NICKNAME: &str = "Tavern local CA";

/// Where it was put.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Trusted {
    /// Databases of browsers, and whose they are.
    databases: Vec<Database>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Database {
    user: String,
    directory: PathBuf,
}

/// What became of it, a line each.
pub type TrustReport = Vec<String>;

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
    /// When there is none, or a store cannot be written.
    pub fn trust(&self, user: Option<(&str, &Path)>) -> Result<TrustReport, EngineError> {
        let _lock = Lock::take(&self.layout.lock)?;
        let pem = self.local_ca()?;
        let mut trusted = self.trusted()?;
        let mut report = Vec::new();
        for database in user
            .map(|(user, home)| self.databases(user, home))
            .transpose()?
            .unwrap_or_default()
        {
            if !trusted.databases.contains(&database) {
                trusted.databases.push(database);
            }
        }
        self.save_trusted(&trusted)?;
        let path = Path::new(SYSTEM);
        let directory = path.parent().unwrap_or(path);
        if self.host.files.state(directory)? == PathState::Absent {
            return Err(EngineError::NotReady {
                what: format!("{} is not there", directory.display()),
                help: "`sudo apt-get install ca-certificates`, then run it again".into(),
            });
        }
        self.host
            .files
            .write(path, pem.as_bytes(), Mode(0o644), &Owner::root())?;
        self.update_system()?;
        report.push(format!("system: {SYSTEM}"));
        for database in &trusted.databases {
            report.push(self.in_browser(database, true));
        }
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
        let mut report = Vec::new();
        for database in self.trusted()?.databases {
            if files.state(&database.directory)? != PathState::Absent {
                report.push(self.in_browser(&database, false));
            }
        }
        // Also without the file: a run before may have got no further than its removal.
        let is_noted = files.state(&self.trusted_path())? != PathState::Absent;
        if is_noted || files.state(Path::new(SYSTEM))? != PathState::Absent {
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
            report.push(format!("system: {SYSTEM} is gone"));
        }
        files.remove(&self.trusted_path())?;
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
                });
            }
        }
        Ok(databases)
    }

    /// As its owner: root must leave nothing in somebody's home that its owner cannot write.
    fn in_browser(&self, database: &Database, add: bool) -> String {
        let place = format!("sql:{}", database.directory.display());
        let mut words = vec!["-u", &database.user, "--", "certutil", "-d", &place];
        let chain = SYSTEM;
        if add {
            words.extend(["-A", "-n", NICKNAME, "-t", "C,,", "-i", chain]);
        } else {
            words.extend(["-D", "-n", NICKNAME]);
        }
        let done = if add { "trusts it" } else { "forgot it" };
        match self.host.processes.run(&Invocation::new("runuser", &words)) {
            Ok(outcome) if outcome.code == 0 => {
                format!("browser: {} {done}", database.directory.display())
            }
            Ok(outcome) => format!(
                "browser: {}: {} (`certutil` is in Debian's libnss3-tools)",
                database.directory.display(),
                outcome.stderr.trim()
            ),
            Err(error) => format!("browser: {}: {error}", database.directory.display()),
        }
    }
}
