//! The count in a file of our own. Each answer has been synced to disk before.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::store::{Reply, Store, StoreError};

const COUNTS: TableDefinition<'_, &str, u64> = TableDefinition::new("counts");
/// Ids of ended tokens, with the second after which they are forgotten.
const REVOKED: TableDefinition<'_, &str, u64> = TableDefinition::new("revoked");
/// Login attempts by window and account.
const ATTEMPTS: TableDefinition<'_, (u64, &str), u64> = TableDefinition::new("attempts");
const VISITS: &str = "visits";
const CACHE_BYTES: usize = 1024 * 1024;

pub(super) struct Embedded(Arc<Inner>);

struct Inner {
    file: PathBuf,
    /// Gone after an I/O error, which redb does not forget; the next call opens it again.
    database: Mutex<Option<Database>>,
}

impl Embedded {
    pub(super) fn open(file: &Path) -> Result<Self, StoreError> {
        let database = open(file)?;
        Ok(Self(Arc::new(Inner {
            file: file.to_owned(),
            database: Mutex::new(Some(database)),
        })))
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || inner.with(work));
        done.await.unwrap_or(Err(StoreError::TimedOut))
    }
}

impl Inner {
    fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let mut slot = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let database = match slot.take() {
            Some(database) => database,
            None => open(&self.file)?,
        };
        let answer = work(&database);
        match &answer {
            Err(redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::Corrupted(_)) => {}
            _ => *slot = Some(database),
        }
        answer.map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &redb::Error) -> StoreError {
        let text = format!("{}: {error}", self.file.display());
        match error {
            redb::Error::Io(_) | redb::Error::PreviousIo => StoreError::NoWrites(text),
            _ => StoreError::Corrupt(text),
        }
    }
}

fn open(file: &Path) -> Result<Database, StoreError> {
    let fail = |reason: String| StoreError::Open(format!("{}: {reason}", file.display()));
    let handle: File = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(file)
        .map_err(|error| fail(error.to_string()))?;
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    let database = builder
        .create_file(handle)
        .map_err(|error| fail(error.to_string()))?;
    add(&database, 0).map_err(|error| fail(error.to_string()))?;
    Ok(database)
}

fn add(database: &Database, count: u64) -> Result<u64, redb::Error> {
    let write = database.begin_write()?;
    let total = {
        let mut counts = write.open_table(COUNTS)?;
        let before = counts.get(VISITS)?.map_or(0, |value| value.value());
        let total = before.saturating_add(count);
        counts.insert(VISITS, total)?;
        total
    };
    write.commit()?;
    Ok(total)
}

fn read(database: &Database) -> Result<(), redb::Error> {
    database.begin_read()?.open_table(COUNTS)?.get(VISITS)?;
    Ok(())
}

fn revoke(database: &Database, id: &str, until: u64) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    write.open_table(REVOKED)?.insert(id, until)?;
    write.commit()?;
    Ok(())
}

fn revoked(database: &Database, now: u64) -> Result<Vec<(String, u64)>, redb::Error> {
    let write = database.begin_write()?;
    let all = {
        let mut table = write.open_table(REVOKED)?;
        table.retain(|_, until| until >= now)?;
        let mut all = Vec::new();
        for entry in table.iter()? {
            let (id, until) = entry?;
            all.push((id.value().to_owned(), until.value()));
        }
        all
    };
    write.commit()?;
    Ok(all)
}

fn attempt(database: &Database, key: &str, window: u64) -> Result<u64, redb::Error> {
    let write = database.begin_write()?;
    let count = {
        let mut table = write.open_table(ATTEMPTS)?;
        table.retain(|(then, _), _| then == window)?;
        let before = table.get((window, key))?.map_or(0, |value| value.value());
        table.insert((window, key), before + 1)?;
        before + 1
    };
    write.commit()?;
    Ok(count)
}

impl Store for Embedded {
    fn revoke<'a>(&'a self, id: &'a str, until: u64) -> Reply<'a, ()> {
        let id = id.to_owned();
        Box::pin(self.run(move |database| revoke(database, &id, until)))
    }

    fn revoked(&self, now: u64) -> Reply<'_, Vec<(String, u64)>> {
        Box::pin(self.run(move |database| revoked(database, now)))
    }

    fn attempt<'a>(&'a self, key: &'a str, window: u64) -> Reply<'a, u64> {
        let key = key.to_owned();
        Box::pin(self.run(move |database| attempt(database, &key, window)))
    }

    fn add(&self, count: u64) -> Reply<'_, u64> {
        Box::pin(self.run(move |database| add(database, count)))
    }

    fn ping(&self) -> Reply<'_, ()> {
        Box::pin(self.run(read))
    }
}
