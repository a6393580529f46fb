//! `[backup]`: where a stack's backups go, when they are made, and how long they are kept.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::backup_paths::{database, directory};
use super::tls::{Fault, fault, plain_path};
use crate::model::{Layout, Name};

/// What a stack asks for its backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The place of the repositories: each stack has one of its own name there.
    pub to: Target,
    /// How many are kept.
    pub keep: Retention,
    /// When they are made, as systemd's `OnCalendar=` takes it.
    pub at: String,
    /// Directories of the owner's that are saved too.
    pub directories: Vec<PathBuf>,
    /// SQLite databases of the owner's: a copy of one moment is saved.
    pub sqlite: Vec<PathBuf>,
    /// How often the newest is restored to see whether it can be.
    pub drill: Interval,
}

/// Where repositories are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A directory of this host, on another disk if it is worth anything.
    Directory(PathBuf),
    /// A host that is reached by SSH: `sftp:user@host:/path`.
    Sftp(String),
    /// A store that speaks S3.
    S3 {
        /// `s3:https://host/bucket` or longer.
        url: String,
        /// The credential with its access key.
        credentials: Name,
    },
}

impl Target {
    /// The repository of a stack, as restic takes it.
    pub fn repository(&self, stack: &Name) -> String {
        let place = match self {
            Self::Directory(path) => path.to_string_lossy().into_owned(),
            Self::Sftp(url) | Self::S3 { url, .. } => url.clone(),
        };
        format!("{}/{stack}", place.trim_end_matches('/'))
    }
}

/// How many backups are kept: the last of so many days, weeks and months.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Days.
    #[serde(default)]
    pub daily: u16,
    /// Weeks.
    #[serde(default)]
    pub weekly: u16,
    /// Months.
    #[serde(default)]
    pub monthly: u16,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            daily: 7,
            weekly: 4,
            monthly: 6,
        }
    }
}

/// How often something is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interval {
    /// Each day.
    Daily,
    /// Each week.
    #[default]
    Weekly,
    /// Each month.
    Monthly,
}

impl Interval {
    /// As systemd's `OnCalendar=` takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
        }
    }

    /// Its days, at most.
    pub fn days(self) -> u16 {
        match self {
            Self::Daily => 1,
            Self::Weekly => 7,
            Self::Monthly => 31,
        }
    }
}

impl Backup {
    /// Days from one backup to the next, at most.
    pub fn days_between(&self) -> u16 {
        if self.at.contains(' ') && !self.at.starts_with('*') {
            7
        } else {
            1
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawBackup {
    to: Spanned<String>,
    credentials: Option<Spanned<Name>>,
    keep: Option<Spanned<Retention>>,
    at: Option<Spanned<String>>,
    #[serde(default)]
    directories: Vec<Spanned<String>>,
    #[serde(default)]
    sqlite: Vec<Spanned<String>>,
    #[serde(default)]
    drill: Interval,
}

impl RawBackup {
    pub(super) fn checked(self, stack: &Name) -> Result<Backup, Fault> {
        let keep = match &self.keep {
            None => Retention::default(),
            Some(keep) => {
                let Retention {
                    daily,
                    weekly,
                    monthly,
                } = *keep.get_ref();
                if [daily, weekly, monthly] == [0; 3] {
                    return fault(
                        keep.span(),
                        "no backup would be kept",
                        "write at least one of `daily`, `weekly`, `monthly`, such as `{ daily = 7 }`",
                    );
                }
                *keep.get_ref()
            }
        };
        let at = match &self.at {
            None => "*-*-* 03:00:00".to_owned(),
            Some(text) => calendar(text)?,
        };
        let to = self.target()?;
        let mut directories = Vec::new();
        for text in &self.directories {
            let path = directory(text, &to)?;
            let pages = Layout::system().www.join(stack.as_str());
            let overlaps = |one: &&PathBuf| one.starts_with(&path) || path.starts_with(one);
            if let Some(other) = directories.iter().chain([&pages]).find(overlaps) {
                return fault(
                    text.span(),
                    format!(
                        "`{}` and {} are saved already, in part or whole",
                        path.display(),
                        other.display()
                    ),
                    "name no directory twice, and none within another: a restore swaps each for what comes",
                );
            }
            directories.push(path);
        }
        let mut sqlite = Vec::new();
        for text in &self.sqlite {
            let path = database(text, &directories)?;
            if sqlite.contains(&path) {
                return fault(text.span(), "named twice", "name each database once");
            }
            sqlite.push(path);
        }
        Ok(Backup {
            to,
            keep,
            at,
            directories,
            sqlite,
            drill: self.drill,
        })
    }

    fn target(&self) -> Result<Target, Fault> {
        const HELP: &str = "write a directory (`/srv/backup`), `sftp:user@host:/path`, or `s3:https://host/bucket`";
        let text = self.to.get_ref();
        let refused = || {
            fault(
                self.to.span(),
                format!("`{}` is no place for backups", text.escape_default()),
                HELP,
            )
        };
        let is_plain = |rest: &str| {
            rest.len() <= 1024
                && rest
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._~/:@+-[]".contains(c))
        };
        let target = if let Some(rest) = text.strip_prefix("sftp:") {
            // `-oProxyCommand=…` would be an option of ssh.
            let is_place = rest.split_once(":/").is_some_and(|(host, _)| {
                let host = host.rsplit('@').next().unwrap_or_default();
                !host.is_empty() && !host.starts_with('-')
            });
            if !is_plain(rest) || !is_place || rest.starts_with('-') || rest.contains("..") {
                return refused();
            }
            Target::Sftp(text.clone())
        } else if let Some(rest) = text.strip_prefix("s3:") {
            let bucket = rest
                .strip_prefix("https://")
                .or(rest.strip_prefix("http://"))
                .and_then(|rest| rest.split_once('/'));
            let is_place =
                bucket.is_some_and(|(host, bucket)| !host.is_empty() && !bucket.is_empty());
            if !is_plain(rest) || !is_place || rest.contains('@') {
                return refused();
            }
            let Some(credentials) = &self.credentials else {
                return fault(
                    self.to.span(),
                    "an S3 store without `credentials`",
                    "add `credentials = \"s3\"`: a root-only file of that name beside the stack's other credentials",
                );
            };
            if OURS.contains(&credentials.get_ref().as_str()) {
                return fault(
                    credentials.span(),
                    format!(
                        "`{}` is a credential of Tavern's own",
                        credentials.get_ref()
                    ),
                    "give yours another name, such as `s3`",
                );
            }
            Target::S3 {
                url: text.clone(),
                credentials: credentials.get_ref().clone(),
            }
        } else if text.starts_with('/') {
            Target::Directory(plain_path(&self.to)?)
        } else {
            return refused();
        };
        if let (Some(credentials), false) = (&self.credentials, matches!(target, Target::S3 { .. }))
        {
            return fault(
                credentials.span(),
                "`credentials` are for an `s3:` target",
                "leave this key out; sftp uses root's own SSH keys",
            );
        }
        if let Target::Directory(path) = &target
            && let Some(inside) = [
                "/etc/tavern",
                "/var/lib/tavern",
                "/var/www",
                "/run",
                "/tmp",
                "/proc",
                "/sys",
                "/dev",
            ]
            .iter()
            .find(|place| path.starts_with(place))
        {
            return fault(
                self.to.span(),
                format!("a backup below {inside} goes with what it is to save"),
                "choose a directory on another disk, such as `/srv/backup`",
            );
        }
        Ok(target)
    }
}

/// Credentials that Tavern makes.
const OURS: [&str; 8] = [
    "backup-key",
    "grafana-admin-password",
    "grafana-secret-key",
    "postgres-password",
    "jwt-key",
    "accounts",
    "redis-password",
    "passwords",
];

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// `03:00`, `Sun 03:00`, `Mon..Fri 03:00`, `Mon,Thu 03:00`, or `hourly`, as systemd takes it.
fn calendar(text: &Spanned<String>) -> Result<String, Fault> {
    let shown = text.get_ref();
    if shown == "hourly" {
        return Ok(shown.clone());
    }
    let (days, time) = match shown.split_once(' ') {
        Some((days, time)) => (Some(days), time),
        None => (None, shown.as_str()),
    };
    let is_day = |day: &str| DAYS.contains(&day);
    let are_days = days.is_none_or(|days| {
        days.split(',').all(|part| match part.split_once("..") {
            Some((first, last)) => is_day(first) && is_day(last),
            None => is_day(part),
        })
    });
    let number = |part: &str, below: u8| {
        part.len() == 2
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && part.parse::<u8>().is_ok_and(|number| number < below)
    };
    let is_time = time
        .split_once(':')
        .is_some_and(|(hours, minutes)| number(hours, 24) && number(minutes, 60));
    if !are_days || !is_time {
        return fault(
            text.span(),
            format!("`{}` is no time of day", shown.escape_default()),
            "write `03:00`, `Sun 03:00`, `Mon..Fri 03:00`, or `hourly`",
        );
    }
    Ok(match days {
        Some(days) => format!("{days} *-*-* {time}:00"),
        None => format!("*-*-* {time}:00"),
    })
}

#[cfg(test)]
#[path = "backup_tests.rs"]
mod tests;
