use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::BackupError;
use crate::model::{Mode, Name};
use crate::resource::Owner;

/// The version of the form that this build writes where there are dumps of a Postgres: an older one would leave them
/// out.
const VERSION: u32 = 3;
/// The version of the form with databases of SQLite.
const WITH_DATABASES: u32 = 2;
/// The version of the form without either.
const WITHOUT: u32 = 1;

/// What is in a backup. It lies in it, and decides whether it may be restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this form.
    pub version: u32,
    /// The tavernctl that made it.
    pub tavern: String,
    /// The stack it is of.
    pub stack: Name,
    /// When, in seconds since 1970.
    pub made: i64,
    /// What was put together for it: names below the folder of the manifest, and SHA-256 of the bytes.
    pub files: BTreeMap<String, String>,
    /// The stores, and what must be found in them.
    pub stores: Vec<Store>,
    /// Directories that are saved where they are.
    pub trees: Vec<PathBuf>,
    /// Databases of the owner's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<Database>,
    /// Whole servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<Cluster>,
}

/// A Postgres that was saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Docker's name for its container.
    pub container: String,
    /// Its major version.
    pub major: u32,
    /// The file among [`Manifest::files`] with its roles.
    pub roles: String,
    /// The one with what `ALTER SYSTEM` wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<String>,
    /// Its databases.
    pub databases: Vec<Dump>,
    /// What they took on the disk.
    pub bytes: u64,
}

/// One of its databases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dump {
    /// Its name.
    pub name: String,
    /// The file among [`Manifest::files`].
    pub file: String,
    /// Rows of its tables, counted before and after: the fewer …
    pub least: u64,
    /// … and the more. The dump is of a moment between, and may have others.
    pub most: u64,
}

impl Cluster {
    /// Its files: the roles, then each database, then the settings.
    pub fn files(&self) -> impl Iterator<Item = &String> {
        let dumps = self.databases.iter().map(|dump| &dump.file);
        std::iter::once(&self.roles)
            .chain(dumps)
            .chain(&self.settings)
    }
}

/// A SQLite database that was saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Where it lives.
    pub path: PathBuf,
    /// The file among [`Manifest::files`].
    pub file: String,
    /// Its permission bits.
    pub mode: Mode,
    /// Whose it is.
    pub owner: Owner,
}

/// A store that was saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    /// Docker's name for its container.
    pub container: String,
    /// The file among [`Manifest::files`].
    pub file: String,
    /// Keys that do not expire: at least so many …
    pub least: u64,
    /// … and at most so many; more than `least` only if some were written meanwhile.
    pub most: u64,
}

impl Manifest {
    /// One for a stack, still empty.
    pub fn new(stack: &Name, made: i64) -> Self {
        Self {
            version: WITHOUT,
            tavern: env!("CARGO_PKG_VERSION").to_owned(),
            stack: stack.clone(),
            made,
            files: BTreeMap::new(),
            stores: Vec::new(),
            trees: Vec::new(),
            databases: Vec::new(),
            clusters: Vec::new(),
        }
    }

    /// A database among the files.
    pub fn add(&mut self, database: Database) {
        self.version = self.version.max(WITH_DATABASES);
        self.databases.push(database);
    }

    /// A Postgres whose dumps are among the files.
    pub fn add_cluster(&mut self, cluster: Cluster) {
        self.version = VERSION;
        self.clusters.push(cluster);
    }

    /// Its bytes in the backup.
    ///
    /// # Errors
    /// Never, with what it can hold; a fault of ours otherwise.
    pub fn to_bytes(&self) -> Result<Vec<u8>, BackupError> {
        serde_json::to_vec_pretty(self).map_err(|error| BackupError::Refused {
            what: format!("the manifest cannot be written: {error}"),
            help: "this is a fault of tavernctl: please report it".to_owned(),
        })
    }

    /// Reads one that is to be of `stack`.
    ///
    /// # Errors
    /// When it is damaged, of a newer form, of another stack, or says what none of ours would.
    pub fn parse(text: &str, stack: &Name) -> Result<Self, BackupError> {
        #[derive(Deserialize)]
        struct Form {
            version: u32,
            tavern: String,
        }
        let refused = |what: String, help: &str| BackupError::Refused {
            what,
            help: help.to_owned(),
        };
        let damaged = |error: serde_json::Error| {
            refused(
                format!("its manifest cannot be read: {error}"),
                "this is no whole backup of Tavern's: `sudo tavernctl backup list` shows the others",
            )
        };
        let form: Form = serde_json::from_str(text).map_err(damaged)?;
        if form.version > VERSION {
            return Err(refused(
                format!(
                    "it is of form {}, made by tavernctl {}; this one knows form {VERSION} at most",
                    form.version, form.tavern
                ),
                "install the tavernctl that made it",
            ));
        }
        let manifest: Self = serde_json::from_str(text).map_err(damaged)?;
        if manifest.stack != *stack {
            return Err(refused(
                format!("it is of stack `{}`, not of `{stack}`", manifest.stack),
                "`sudo tavernctl restore --stack NAME` restores another stack; is `to` in `[backup]` right?",
            ));
        }
        // Whoever can write the repository may have written the manifest too: names lead nowhere else.
        let is_plain = |name: &str| {
            !name.is_empty()
                && name.split('/').all(|part| {
                    !part.is_empty()
                        && !part.starts_with('.')
                        && part
                            .chars()
                            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
                })
        };
        let names = manifest.files.keys();
        let mut stores = manifest.stores.iter();
        if let Some(name) = names.into_iter().find(|name| !is_plain(name)) {
            return Err(refused(
                format!("its manifest names `{}`", name.escape_default()),
                "Tavern makes no such backup: who else can write to the repository?",
            ));
        }
        let mut databases = manifest.databases.iter();
        let is_in = |file: &String| manifest.files.contains_key(file);
        let dumps = manifest.clusters.iter().flat_map(|one| &one.databases);
        if let Some(dump) = dumps
            .clone()
            .find(|one| !super::postgres::is_plain(&one.name))
        {
            return Err(refused(
                format!("its manifest names `{}`", dump.name.escape_default()),
                "Tavern makes no such backup: who else can write to the repository?",
            ));
        }
        if stores.any(|store| !is_in(&store.file))
            || databases.any(|one| !is_in(&one.file))
            || !manifest.clusters.iter().all(|one| one.files().all(is_in))
        {
            return Err(refused(
                "its manifest names a store or a database that is not in it".to_owned(),
                "`sudo tavernctl backup list` shows the others",
            ));
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM_1: &str = include_str!("../../tests/formats/backup-manifest-v1.json");
    const FORM_2: &str = include_str!("../../tests/formats/backup-manifest-v2.json");
    const FORM_3: &str = include_str!("../../tests/formats/backup-manifest-v3.json");

    fn refusal(text: &str, stack: &str) -> String {
        Manifest::parse(text, &stack.parse().unwrap())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn the_first_form_is_still_read() {
        let manifest = Manifest::parse(FORM_1, &"counter".parse().unwrap()).unwrap();
        assert_eq!(manifest.stores[0].most, 4);
        let again = String::from_utf8(manifest.to_bytes().unwrap()).unwrap();
        assert_eq!(Manifest::parse(&again, &manifest.stack).unwrap(), manifest);
    }

    #[test]
    fn the_second_form_has_databases() {
        let manifest = Manifest::parse(FORM_2, &"counter".parse().unwrap()).unwrap();
        let [database] = &manifest.databases[..] else {
            panic!("{manifest:?}");
        };
        assert_eq!(database.path, std::path::Path::new("/srv/shop/shop.db"));
        assert_eq!(
            (database.mode, database.owner.user.as_str()),
            (Mode(0o640), "shop")
        );
        let again = String::from_utf8(manifest.to_bytes().unwrap()).unwrap();
        assert_eq!(Manifest::parse(&again, &manifest.stack).unwrap(), manifest);
        let other = FORM_2.replace("\"file\": \"sqlite/", "\"file\": \"other/");
        assert!(refusal(&other, "counter").contains("not in it"));
    }

    #[test]
    fn the_third_form_has_dumps() {
        let manifest = Manifest::parse(FORM_3, &"counter".parse().unwrap()).unwrap();
        assert_eq!(manifest.clusters[0].databases[1].most, 1002);
        let again = String::from_utf8(manifest.to_bytes().unwrap()).unwrap();
        assert_eq!(Manifest::parse(&again, &manifest.stack).unwrap(), manifest);
        assert_eq!(manifest.clusters[0].settings, None);
        let other = FORM_3.replace("\"roles\": \"postgres/", "\"roles\": \"other/");
        assert!(refusal(&other, "counter").contains("not in it"));
        let roles = "\"roles\": ";
        let other = FORM_3.replace(roles, &format!("\"settings\": \"other/x\", {roles}"));
        assert!(refusal(&other, "counter").contains("not in it"));
        // Taken for a way to another server by whoever is given it.
        let strange = FORM_3.replace("\"name\": \"shop\"", "\"name\": \"host=evil\"");
        assert!(refusal(&strange, "counter").contains("its manifest names"));
    }

    #[test]
    fn a_foreign_newer_or_damaged_backup_is_refused() {
        assert!(refusal(FORM_1, "shop").contains("of stack `counter`, not of `shop`"));
        let newer = FORM_1.replace("\"version\": 1", "\"version\": 4");
        assert!(refusal(&newer, "counter").contains("form 4"));
        assert!(refusal(&FORM_1[..100], "counter").contains("cannot be read"));
        assert!(refusal("{}", "counter").contains("cannot be read"));
        let store = FORM_1.replace("\"file\": \"redis/", "\"file\": \"other/");
        assert!(refusal(&store, "counter").contains("a store or a database that is not in it"));
    }

    /// Names that would lead out of the folder, or over what is hidden in it.
    #[test]
    fn no_name_of_a_manifest_leads_out() {
        for name in [
            "../../etc/shadow",
            "/etc/shadow",
            "etc/../x",
            "etc//x",
            "etc/.ssh",
            "",
            "a\\u0000b",
            "a b",
            "a\\nb",
        ] {
            let text = FORM_1.replace("etc/stacks/counter.toml", name);
            assert!(
                refusal(&text, "counter").contains("its manifest names"),
                "{name}"
            );
        }
    }
}
