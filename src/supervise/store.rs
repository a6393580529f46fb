//! What was found, kept over reboots: how each probe is, and 90 days of counts.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};

use super::history::Book;

/// Days that are kept.
pub const DAYS: u32 = 90;

const TEXTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("texts");
/// By day since 1970 and probe: how often it was healthy, unhealthy, unknown.
const COUNTS: TableDefinition<'_, (u32, &str), (u32, u32, u32)> = TableDefinition::new("days");
const HEALTH: &str = "health-1";
const BOOT: &str = "boot";
const OUTBOXES: &str = "outboxes-1";
/// How long another process may have it.
const IN_USE: Duration = Duration::from_secs(5);
const CACHE_BYTES: usize = 1024 * 1024;

/// The store is damaged, or the disk is full.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct StoreError {
    path: String,
    source: Box<redb::Error>,
}

impl StoreError {
    pub(super) fn damage(path: &Path) -> Self {
        let what = "it could not be read to its end".to_owned();
        Self {
            path: path.display().to_string(),
            source: Box::new(redb::Error::Corrupted(what)),
        }
    }

    /// Whether it will never be read again: not a full disk, nor another process that has it.
    pub fn is_damage(&self) -> bool {
        match self.source.as_ref() {
            redb::Error::Corrupted(_) | redb::Error::UpgradeRequired(_) => true,
            redb::Error::Io(error) => error.kind() == std::io::ErrorKind::InvalidData,
            _ => false,
        }
    }
}

/// The history of this host's health.
pub struct Store {
    path: String,
    database: Database,
}

/// One day of a probe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Day {
    /// Answers that were healthy.
    pub healthy: u32,
    /// Answers that were not.
    pub unhealthy: u32,
    /// Questions without an answer.
    pub unknown: u32,
}

impl Store {
    /// Opens it, or makes it.
    ///
    /// # Errors
    /// When it is in use, damaged, or cannot be made.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let text = path.display().to_string();
        let begun = Instant::now();
        loop {
            let opened = Database::builder().set_cache_size(CACHE_BYTES).create(path);
            match opened {
                // Another process has it for a moment.
                Err(DatabaseError::DatabaseAlreadyOpen) if begun.elapsed() < IN_USE => {
                    std::thread::sleep(IN_USE / 50);
                }
                Err(source) => {
                    return Err(StoreError {
                        path: text,
                        source: Box::new(source.into()),
                    });
                }
                Ok(database) => {
                    return Ok(Self {
                        path: text,
                        database,
                    });
                }
            }
        }
    }

    /// What the last round left.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn book(&self) -> Result<Book, StoreError> {
        self.told(|| {
            let reading = self.database.begin_read()?;
            let texts = match reading.open_table(TEXTS) {
                Ok(texts) => texts,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Book::default()),
                Err(error) => return Err(error.into()),
            };
            // What another version wrote is begun anew: it is known again in two rounds.
            let health = texts
                .get(HEALTH)?
                .and_then(|bytes| serde_json::from_slice(bytes.value()).ok());
            let outboxes = texts
                .get(OUTBOXES)?
                .and_then(|bytes| serde_json::from_slice(bytes.value()).ok());
            let boot = texts
                .get(BOOT)?
                .map(|bytes| String::from_utf8_lossy(bytes.value()).into_owned());
            Ok(Book {
                health: health.unwrap_or_default(),
                boot,
                outboxes: outboxes.unwrap_or_default(),
            })
        })
    }

    /// Writes a round down, all of it or nothing, and forgets what is too old.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn save(
        &self,
        book: &Book,
        answers: &[(String, Day)],
        today: u32,
    ) -> Result<(), StoreError> {
        let health = serde_json::to_vec(&book.health).unwrap_or_default();
        let outboxes = serde_json::to_vec(&book.outboxes).unwrap_or_default();
        self.told(|| {
            let writing = self.database.begin_write()?;
            {
                let mut texts = writing.open_table(TEXTS)?;
                texts.insert(HEALTH, health.as_slice())?;
                texts.insert(OUTBOXES, outboxes.as_slice())?;
                if let Some(boot) = &book.boot {
                    texts.insert(BOOT, boot.as_bytes())?;
                }
                let mut counts = writing.open_table(COUNTS)?;
                for (probe, answer) in answers {
                    let key = (today, probe.as_str());
                    let (healthy, unhealthy, unknown) =
                        counts.get(key)?.map_or((0, 0, 0), |day| day.value());
                    let sum = (
                        healthy.saturating_add(answer.healthy),
                        unhealthy.saturating_add(answer.unhealthy),
                        unknown.saturating_add(answer.unknown),
                    );
                    counts.insert(key, sum)?;
                }
                let oldest = today.saturating_sub(DAYS - 1);
                counts.retain_in(..(oldest, ""), |_, _| false)?;
            }
            Ok(writing.commit()?)
        })
    }

    /// The days that are known of every probe, oldest first.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn days(&self) -> Result<BTreeMap<String, Vec<(u32, Day)>>, StoreError> {
        self.told(|| {
            let reading = self.database.begin_read()?;
            let mut probes: BTreeMap<String, Vec<(u32, Day)>> = BTreeMap::new();
            let counts = match reading.open_table(COUNTS) {
                Ok(counts) => counts,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(probes),
                Err(error) => return Err(error.into()),
            };
            for row in counts.iter()? {
                let (key, day) = row?;
                let (date, probe) = key.value();
                let (healthy, unhealthy, unknown) = day.value();
                let day = Day {
                    healthy,
                    unhealthy,
                    unknown,
                };
                match probes.get_mut(probe) {
                    Some(days) => days.push((date, day)),
                    None => {
                        probes.insert(probe.to_owned(), vec![(date, day)]);
                    }
                }
            }
            Ok(probes)
        })
    }

    fn told<T>(&self, work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, StoreError> {
        work().map_err(|source| StoreError {
            path: self.path.clone(),
            source: Box::new(source),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Finding, Verdict};
    use crate::supervise::health::Health;

    #[test]
    fn it_remembers_ninety_days_and_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("health.redb");
        let mut health = Health::default();
        let finding = Finding {
            stack: None,
            subject: "disk /".into(),
            verdict: Verdict::Healthy,
            reason: "room".into(),
            took_ms: 1,
        };
        health.take(&[finding], 5);
        let book = |boot: &str| Book {
            health: health.clone(),
            boot: Some(boot.to_owned()),
            ..Book::default()
        };
        let answer = |healthy, unhealthy| Day {
            healthy,
            unhealthy,
            unknown: 0,
        };
        {
            let store = Store::open(&path).unwrap();
            assert_eq!(store.book().unwrap(), Book::default());
            for day in 1000..1200 {
                let answers = [("disk /".to_owned(), answer(1, 0))];
                store.save(&book("boot 1"), &answers, day).unwrap();
            }
            let answers = [("disk /".to_owned(), answer(0, 1))];
            store.save(&book("boot 2"), &answers, 1199).unwrap();
        }
        let store = Store::open(&path).unwrap();
        assert_eq!(store.book().unwrap(), book("boot 2"));
        let probes = store.days().unwrap();
        let days = &probes["disk /"];
        assert_eq!(days.len(), DAYS as usize);
        assert_eq!(days[0].0, 1200 - DAYS);
        assert_eq!(days.last(), Some(&(1199, answer(1, 1))));
        assert_eq!(probes.len(), 1);
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "makes what is damaged")]
    fn a_damaged_store_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("health.redb");
        std::fs::write(
            &path,
            "not a database, but long enough to look at it".repeat(100),
        )
        .unwrap();
        let error = Store::open(&path).err().unwrap();
        assert!(
            error.is_damage() && error.to_string().contains("health.redb"),
            "{error}"
        );
    }
}
