use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Files as _, HostError, Invocation, Processes as _, RealFiles, RealProcesses};
use crate::resource::PathState;

/// Debian's packages.
pub trait Packages: Send + Sync {
    /// Which of these are installed; without names, all that are.
    ///
    /// # Errors
    /// When dpkg cannot be asked.
    fn installed(&self, names: &[&str]) -> Result<BTreeSet<String>, HostError>;

    /// Which of these apt could install, with the version it would take.
    ///
    /// # Errors
    /// When apt cannot be asked.
    fn available(&self, names: &[&str]) -> Result<BTreeMap<String, String>, HostError>;

    /// Reads the repositories' lists anew, waiting up to five minutes for another apt to end.
    ///
    /// # Errors
    /// When apt cannot reach them.
    fn refresh(&self) -> Result<(), HostError>;

    /// The package that owns a path, if any.
    fn owner_of(&self, path: &str) -> Option<String>;

    /// Installs, waiting up to five minutes for another apt to end, asking nothing.
    ///
    /// # Errors
    /// When apt fails.
    fn install(&self, names: &[&str]) -> Result<(), HostError>;

    /// Packages that came as dependencies, not by name.
    ///
    /// # Errors
    /// When apt cannot be asked.
    fn automatic(&self) -> Result<BTreeSet<String>, HostError>;

    /// Packages that the operator holds: apt installs and upgrades none of them.
    ///
    /// # Errors
    /// When apt cannot be asked.
    fn held(&self) -> Result<BTreeSet<String>, HostError>;

    /// Removes packages with their configuration. What some other package needs stays; says what stayed.
    ///
    /// # Errors
    /// When dpkg cannot be run.
    fn purge(&self, names: &BTreeSet<String>) -> Result<BTreeSet<String>, HostError>;

    /// Files below a directory that these packages did not bring, or that were changed since.
    ///
    /// # Errors
    /// When dpkg cannot be asked.
    fn not_of_packages(
        &self,
        names: &BTreeSet<String>,
        below: &Path,
    ) -> Result<Vec<PathBuf>, HostError>;

    /// Packages that dpkg left half-done; empty when all is well.
    ///
    /// # Errors
    /// When dpkg cannot be asked.
    fn unfinished(&self) -> Result<Vec<String>, HostError>;
}

/// apt and dpkg.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealPackages;

const LOCK_WAIT: &str = "DPkg::Lock::Timeout=300";
const LOCK_PATIENCE: Duration = Duration::from_secs(300);

impl Packages for RealPackages {
    fn installed(&self, names: &[&str]) -> Result<BTreeSet<String>, HostError> {
        let mut args = vec![
            "--show",
            "--showformat=${Package} ${db:Status-Status}\\n",
            "--",
        ];
        args.extend(names);
        // Exit code 1 only says that some name is unknown.
        let outcome = RealProcesses.run(&Invocation::new("dpkg-query", &args))?;
        let lines = outcome
            .stdout
            .lines()
            .filter_map(|line| line.strip_suffix(" installed"));
        Ok(lines.map(str::to_owned).collect())
    }

    fn available(&self, names: &[&str]) -> Result<BTreeMap<String, String>, HostError> {
        let mut args = vec!["policy", "--"];
        args.extend(names);
        let outcome = RealProcesses.run_ok(&Invocation::new("apt-cache", &args))?;
        Ok(candidates(&outcome.stdout))
    }

    fn refresh(&self) -> Result<(), HostError> {
        // Without it, a mirror that cannot be reached is but a warning.
        apt(&["update", "-o", "APT::Update::Error-Mode=any"])
    }

    fn owner_of(&self, path: &str) -> Option<String> {
        let outcome = RealProcesses
            .run(&Invocation::new("dpkg-query", &["--search", path]))
            .ok()?;
        outcome.success().then(|| {
            outcome
                .stdout
                .split(':')
                .next()
                .unwrap_or_default()
                .to_owned()
        })
    }

    fn install(&self, names: &[&str]) -> Result<(), HostError> {
        let mut args = vec![
            "install",
            "--yes",
            "-o",
            "Dpkg::Options::=--force-confold",
            "--",
        ];
        args.extend(names);
        apt(&args)
    }

    fn automatic(&self) -> Result<BTreeSet<String>, HostError> {
        marks("showauto")
    }

    fn held(&self) -> Result<BTreeSet<String>, HostError> {
        marks("showhold")
    }

    fn purge(&self, names: &BTreeSet<String>) -> Result<BTreeSet<String>, HostError> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if names.is_empty() {
            return Ok(BTreeSet::new());
        }
        // dpkg, not apt: apt would take along what depends on them; dpkg leaves what is needed and goes on.
        let mut args = vec!["--purge", "--"];
        args.extend(&names);
        let invocation = Invocation::new("dpkg", &args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .limit(Duration::from_secs(600));
        let limit = Instant::now() + LOCK_PATIENCE;
        let outcome = loop {
            let outcome = RealProcesses.run(&invocation)?;
            if outcome.success() || !is_locked(&outcome.stderr) || Instant::now() > limit {
                break outcome;
            }
            std::thread::sleep(Duration::from_secs(1));
        };
        let stay = self.installed(&names)?;
        if !outcome.success() && stay.is_empty() {
            // All are gone, and yet a script of one of them failed.
            return Err(HostError::Failed {
                program: "dpkg".to_owned(),
                args: "--purge".to_owned(),
                status: format!("exit code {}", outcome.code),
                tail: outcome.stderr,
            });
        }
        Ok(stay)
    }

    fn not_of_packages(
        &self,
        names: &BTreeSet<String>,
        below: &Path,
    ) -> Result<Vec<PathBuf>, HostError> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let listed = [&["--listfiles", "--"], names.as_slice()].concat();
        let listed = RealProcesses.run(&Invocation::new("dpkg-query", &listed))?;
        let owned: BTreeSet<PathBuf> = listed.stdout.lines().map(PathBuf::from).collect();
        let verified = [&["--verify"], names.as_slice()].concat();
        let verified = RealProcesses.run(&Invocation::new("dpkg", &verified))?;
        let changed = verified
            .stdout
            .lines()
            .filter_map(|line| line.split_whitespace().last().map(PathBuf::from));
        let mut found: Vec<PathBuf> = changed.filter(|path| path.starts_with(below)).collect();
        let mut places = vec![below.to_owned()];
        while let Some(place) = places.pop() {
            for path in RealFiles.list(&place)? {
                match RealFiles.state(&path)? {
                    PathState::Directory { .. } => places.push(path),
                    // Links are made by packages' scripts, which no list names, and hold nothing.
                    PathState::File { .. } if !owned.contains(&path) => found.push(path),
                    _ => {}
                }
            }
        }
        Ok(found)
    }

    fn unfinished(&self) -> Result<Vec<String>, HostError> {
        let outcome = RealProcesses.run(&Invocation::new("dpkg", &["--audit"]))?;
        Ok(audited(&outcome.stdout))
    }
}

fn marks(which: &str) -> Result<BTreeSet<String>, HostError> {
    let outcome = RealProcesses.run_ok(&Invocation::new("apt-mark", &[which]))?;
    Ok(outcome.stdout.lines().map(str::to_owned).collect())
}

fn apt(args: &[&str]) -> Result<(), HostError> {
    let mut all = vec!["-q", "-o", LOCK_WAIT];
    all.extend(args);
    let invocation = Invocation::new("apt-get", &all)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Ubuntu's needrestart: list, never ask, never restart services on its own.
        .env("NEEDRESTART_MODE", "l")
        .env("NEEDRESTART_SUSPEND", "1")
        .limit(Duration::from_secs(1200));
    patiently(LOCK_PATIENCE, Duration::from_secs(1), || {
        RealProcesses.run_ok(&invocation)
    })
    .map(|_| ())
}

/// Tries again while another apt holds a lock that apt itself does not wait for: its option covers dpkg's
/// lock, and not that of the lists, which a first boot's `apt-daily` takes.
fn patiently<T>(
    limit: Duration,
    pause: Duration,
    mut run: impl FnMut() -> Result<T, HostError>,
) -> Result<T, HostError> {
    let began = Instant::now();
    loop {
        match run() {
            Err(HostError::Failed { tail, .. }) if is_locked(&tail) && began.elapsed() < limit => {
                std::thread::sleep(pause);
            }
            result => return result,
        }
    }
}

/// Whether apt complains of a lock that somebody holds, and not of one that it may not take.
fn is_locked(said: &str) -> bool {
    let words = [
        "Could not get lock",
        "Unable to acquire",
        "was locked by another process",
    ];
    let held = words.iter().any(|words| said.contains(words));
    held && !said.contains("are you root?")
}

/// The line of a failed apt that says why: its first error. The last one only says that there were some.
pub(super) fn reason(error: &HostError) -> String {
    let HostError::Failed { tail, .. } = error else {
        return error.to_string();
    };
    let first = tail.lines().find_map(|line| line.strip_prefix("E: "));
    let last = tail.lines().next_back().unwrap_or_default();
    first.unwrap_or(last).trim().to_owned()
}

/// Reads `apt-cache policy`: a package's name at the margin, its `Candidate:` below.
fn candidates(policy: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut name = "";
    for line in policy.lines() {
        if let Some(package) = line.strip_suffix(':').filter(|_| !line.starts_with(' ')) {
            name = package;
        } else if let Some(version) = line.trim().strip_prefix("Candidate: ")
            && version != "(none)"
        {
            found.insert(name.to_owned(), version.to_owned());
        }
    }
    found
}

/// The packages that `dpkg --audit` lists: indented, below a paragraph on what is wrong with them.
fn audited(audit: &str) -> Vec<String> {
    audit
        .lines()
        .filter(|line| line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELD: &str = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)\n\
                        E: Unable to lock directory /var/lib/apt/lists/";

    fn failed(tail: &str) -> HostError {
        HostError::Failed {
            program: "apt-get".into(),
            args: "update".into(),
            status: "exit code 100".into(),
            tail: tail.into(),
        }
    }

    #[test]
    fn a_lock_is_waited_for_and_nothing_else() {
        let tries = |limit, tail: &'static str, ends_at: u32| {
            let mut count = 0;
            let result = patiently(limit, Duration::ZERO, || {
                count += 1;
                if count < ends_at {
                    Err(failed(tail))
                } else {
                    Ok(())
                }
            });
            (count, result.is_ok())
        };
        let long = Duration::from_secs(60);
        assert_eq!(tries(long, HELD, 4), (4, true));
        assert_eq!(tries(Duration::ZERO, HELD, 4), (1, false));
        let dpkg = "E: Unable to acquire the dpkg frontend lock, is another process using it?";
        assert_eq!(tries(long, dpkg, 3), (3, true));
        let root = "E: Unable to acquire the dpkg frontend lock (/x), are you root?";
        assert_eq!(tries(long, root, 3), (1, false));
        assert_eq!(tries(long, "E: Unable to locate package x", 3), (1, false));
    }

    #[test]
    fn the_first_error_is_the_reason() {
        assert_eq!(
            reason(&failed(HELD)),
            "Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)"
        );
        let fetch = "E: Failed to fetch http://x/InRelease  Connection failed\n\
                     E: Some index files failed to download. They have been ignored.";
        assert_eq!(
            reason(&failed(fetch)),
            "Failed to fetch http://x/InRelease  Connection failed"
        );
        assert_eq!(reason(&failed("odd\nwords")), "words");
        assert_eq!(reason(&failed("")), "");
    }

    #[test]
    fn reads_policy() {
        let policy = "nginx:\n  Installed: (none)\n  Candidate: 1.22.1-9\n  Version table:\n     1.22.1-9 500\n\
                      docker-cli:\n  Installed: (none)\n  Candidate: (none)\n";
        let found = candidates(policy);
        assert_eq!(found.get("nginx").map(String::as_str), Some("1.22.1-9"));
        assert!(!found.contains_key("docker-cli"));
    }

    #[test]
    fn an_audit_names_packages() {
        let audit = "The following packages are only half configured, probably due to problems\n\
                     configuring them the first time.  The configuration should be retried using\n\
                     dpkg --configure <package> or the configure menu option in dselect:\n \
                     ufw                  program for managing a Netfilter firewall\n \
                     nginx-common         small, powerful, scalable web/proxy server - common files\n\n";
        assert_eq!(audited(audit), ["ufw", "nginx-common"]);
        assert!(audited("").is_empty());
    }
}
