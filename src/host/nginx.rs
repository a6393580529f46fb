use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::nginx_rivals::{is_included, servers};
use super::{Files, HostError, Invocation, NginxSetup, Processes as _, RealFiles, RealProcesses};
use crate::model::NginxVersion;
use crate::resource::{MARKER, NginxTree, PathState, Rival};

/// Where the running nginx says which configuration it runs; answered on loopback only.
pub const GENERATION_PATH: &str = "/.well-known/tavern-generation";

/// nginx.
pub trait Nginx: Send + Sync {
    /// Its version, if it is installed.
    fn version(&self) -> Option<NginxVersion>;

    /// Judges the live configuration, warnings included.
    ///
    /// # Errors
    /// [`HostError::Nginx`] with nginx's own words.
    fn test(&self) -> Result<String, HostError>;

    /// What the live configuration reads, and as whom nginx works.
    ///
    /// # Errors
    /// [`HostError::Nginx`] with nginx's own words.
    fn setup(&self) -> Result<NginxSetup, HostError>;

    /// Judges the live configuration with these files, links and removals laid over it, without touching it.
    ///
    /// # Errors
    /// [`HostError::Nginx`] with nginx's own words.
    fn test_staged(
        &self,
        tree: &NginxTree,
        removed: &[PathBuf],
        stage: &Path,
    ) -> Result<String, HostError>;

    /// The generation the running nginx answers with.
    fn generation(&self, port: u16) -> Option<String>;

    /// Enabled sites of others that would take our requests.
    ///
    /// # Errors
    /// When a directory cannot be read.
    fn rivals(&self, tree: &NginxTree) -> Result<Vec<Rival>, HostError>;

    /// Files and links of ours that this tree no longer has.
    ///
    /// # Errors
    /// When a directory cannot be read.
    fn stale(&self, tree: &NginxTree) -> Result<Vec<PathBuf>, HostError>;

    /// The last lines of its error log.
    fn recent_errors(&self) -> String;
}

/// The system's nginx.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealNginx;

const ETC: &str = "/etc/nginx";

impl Nginx for RealNginx {
    fn version(&self) -> Option<NginxVersion> {
        let outcome = RealProcesses.run(&Invocation::new("nginx", &["-v"])).ok()?;
        NginxVersion::parse(&outcome.stderr)
    }

    fn test(&self) -> Result<String, HostError> {
        judge(&Invocation::new("nginx", &["-t", "-q"]))
    }

    fn setup(&self) -> Result<NginxSetup, HostError> {
        let outcome = RealProcesses.run(&Invocation::new("nginx", &["-T", "-q"]))?;
        if outcome.success() {
            Ok(NginxSetup::read(&outcome.stdout))
        } else {
            Err(HostError::Nginx(complaint(outcome.stderr.trim())))
        }
    }

    fn test_staged(
        &self,
        tree: &NginxTree,
        removed: &[PathBuf],
        stage: &Path,
    ) -> Result<String, HostError> {
        RealFiles.remove_tree(stage)?;
        let result = stage_and_judge(tree, removed, stage);
        RealFiles.remove_tree(stage)?;
        result
    }

    fn generation(&self, port: u16) -> Option<String> {
        // HTTP/1.0 by hand: one line each way, and no runtime in the plan's path.
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let limit = Duration::from_secs(1);
        let mut stream = TcpStream::connect_timeout(&address, limit).ok()?;
        stream.set_read_timeout(Some(limit)).ok()?;
        stream.set_write_timeout(Some(limit)).ok()?;
        write!(
            stream,
            "GET {GENERATION_PATH} HTTP/1.0\r\nHost: localhost\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.take(4096).read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.split(' ').nth(1).filter(|status| *status == "200")?;
        Some(body.trim().to_owned())
    }

    fn rivals(&self, tree: &NginxTree) -> Result<Vec<Rival>, HostError> {
        if !tree.claims_default {
            return Ok(Vec::new());
        }
        let mut rivals = Vec::new();
        for directory in ["sites-enabled", "conf.d"] {
            for path in RealFiles.list(&Path::new(ETC).join(directory))? {
                let ours = tree.files.contains_key(&path) || tree.links.contains_key(&path);
                if !ours && is_included(&path) && !is_ours(&RealFiles, &path)? {
                    rivals.extend(rival(&path, &tree.ports)?);
                }
            }
        }
        Ok(rivals)
    }

    fn stale(&self, tree: &NginxTree) -> Result<Vec<PathBuf>, HostError> {
        stale_among(&RealFiles, tree)
    }

    fn recent_errors(&self) -> String {
        let log = RealFiles
            .read(Path::new("/var/log/nginx/error.log"))
            .ok()
            .flatten()
            .unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<_> = text.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

/// Files and links of ours that `tree` does not have.
pub(super) fn stale_among(files: &dyn Files, tree: &NginxTree) -> Result<Vec<PathBuf>, HostError> {
    let mut stale = Vec::new();
    // Links first: what is enabled must never point to nothing.
    for directory in ["sites-enabled", "sites-available", "conf.d"] {
        for path in files.list(&Path::new(ETC).join(directory))? {
            let wanted = tree.files.contains_key(&path) || tree.links.contains_key(&path);
            if !wanted && is_ours(files, &path)? {
                stale.push(path);
            }
        }
    }
    Ok(stale)
}

fn rival(path: &Path, ports: &[u16]) -> Result<Option<Rival>, HostError> {
    let text = RealFiles.read(path)?.unwrap_or_default();
    let found = servers(&String::from_utf8_lossy(&text));
    let in_the_way = found
        .iter()
        .find(|server| server.is_catch_all() && server.ports.iter().any(|p| ports.contains(p)));
    Ok(in_the_way.map(|server| Rival {
        path: path.to_owned(),
        reason: format!(
            "{} on port {}",
            if server.is_default {
                "the default server"
            } else {
                "answers to any name"
            },
            server
                .ports
                .iter()
                .find(|p| ports.contains(p))
                .copied()
                .unwrap_or_default()
        ),
        is_package_default: is_package_default(path),
    }))
}

/// By name and mark: `tavern-*.conf` whose first words are ours, or a link to where such a file was.
fn is_ours(files: &dyn Files, path: &Path) -> Result<bool, HostError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if !name.starts_with("tavern-") || !name.ends_with(".conf") {
        return Ok(false);
    }
    Ok(match files.read(path)? {
        Some(text) => text.starts_with(format!("# {MARKER}").as_bytes()),
        None => true,
    })
}

/// Debian's package enables `default` by a link to its own file.
fn is_package_default(path: &Path) -> bool {
    path == Path::new("/etc/nginx/sites-enabled/default")
        && matches!(
            RealFiles.state(path),
            Ok(PathState::Link { target }) if target == Path::new("/etc/nginx/sites-available/default")
        )
}

fn judge(invocation: &Invocation) -> Result<String, HostError> {
    let outcome = RealProcesses.run(invocation)?;
    let said = outcome.stderr.trim().to_owned();
    if outcome.success() {
        Ok(said)
    } else {
        Err(HostError::Nginx(complaint(&said)))
    }
}

/// nginx's errors without time, level and its closing line: what is wrong, and in which file and line.
fn complaint(said: &str) -> String {
    let faults: Vec<_> = said
        .lines()
        .filter_map(|line| {
            ["[emerg] ", "[alert] ", "[crit] ", "[error] "]
                .iter()
                .find_map(|level| line.split_once(level))
        })
        // After the level comes `PID#THREAD: ` where nginx has begun to log.
        .map(|(_, text)| match text.split_once(": ") {
            Some((id, rest)) if id.contains('#') && !id.contains(' ') => rest,
            _ => text,
        })
        .collect();
    if faults.is_empty() {
        said.to_owned()
    } else {
        faults.join("; ")
    }
}

fn stage_and_judge(
    tree: &NginxTree,
    removed: &[PathBuf],
    stage: &Path,
) -> Result<String, HostError> {
    let source = format!("{ETC}/.");
    let target = stage.to_string_lossy();
    RealFiles.make_directory(
        stage,
        crate::model::Mode(0o755),
        &crate::resource::Owner::root(),
    )?;
    RealProcesses.run_ok(&Invocation::new(
        "cp",
        &["--archive", "--", source.as_str(), target.as_ref()],
    ))?;
    let staged = |path: &Path| path.strip_prefix(ETC).ok().map(|inner| stage.join(inner));
    for path in removed.iter().filter_map(|path| staged(path)) {
        RealFiles.remove(&path)?;
    }
    let files: BTreeMap<_, _> = tree
        .files
        .iter()
        .filter_map(|(path, text)| Some((staged(path)?, text)))
        .collect();
    for (path, text) in files {
        RealFiles.write(
            &path,
            text.as_bytes(),
            crate::model::Mode(0o644),
            &crate::resource::Owner::root(),
        )?;
    }
    for (path, link_target) in tree
        .links
        .iter()
        .filter_map(|(path, target)| Some((staged(path)?, target)))
    {
        RealFiles.link(&path, link_target)?;
    }
    // nginx's includes are absolute paths: the staged tree is mounted over the live one, for this process only.
    let bind = format!("BindReadOnlyPaths={target}:{ETC}");
    judge(
        &Invocation::new(
            "systemd-run",
            &[
                "--quiet",
                "--wait",
                "--pipe",
                "--collect",
                "--property",
                &bind,
                "--",
                "/usr/sbin/nginx",
                "-t",
                "-q",
            ],
        )
        .limit(Duration::from_secs(60)),
    )
}

#[cfg(test)]
mod tests {
    use super::complaint;

    #[test]
    fn a_complaint_is_what_and_where() {
        let said = "2026/11/20 13:41:58 [emerg] 391#391: unknown directive \"proxxy_pass\" in /etc/nginx/conf.d/mine.conf:1\n\
                    nginx: configuration file /etc/nginx/nginx.conf test failed";
        assert_eq!(
            complaint(said),
            "unknown directive \"proxxy_pass\" in /etc/nginx/conf.d/mine.conf:1"
        );
        let early =
            "nginx: [emerg] open() \"/etc/nginx/nginx.conf\" failed (2: No such file or directory)";
        assert_eq!(
            complaint(early),
            "open() \"/etc/nginx/nginx.conf\" failed (2: No such file or directory)"
        );
        assert_eq!(complaint("something else"), "something else");
    }
}
