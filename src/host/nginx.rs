use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::nginx_rivals::{rivals, stale};
use super::port_hold::PortHold;
use super::{
    Door, Files as _, HostError, Http as _, Invocation, NginxSetup, Processes as _, RealFiles,
    RealHttp, RealProcesses, Request,
};
use crate::model::NginxVersion;
use crate::resource::{NginxTree, Rival};

/// Where the running nginx says which configuration it runs; answered on loopback only.
pub const GENERATION_PATH: &str = "/.well-known/tavern-generation";

/// nginx.
pub trait Nginx: Send + Sync {
    /// What is installed of it, if it is.
    fn build(&self) -> Option<NginxBuild>;

    /// Its version, if it is installed.
    fn version(&self) -> Option<NginxVersion> {
        self.build().map(|build| build.version)
    }

    /// Judges the live configuration, warnings included. None of these ports is opened by it.
    ///
    /// # Errors
    /// [`HostError::Nginx`] with nginx's own words.
    fn test(&self, ports: &[u16]) -> Result<String, HostError>;

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

    /// The certificate (DER) that the running nginx shows on loopback to who asks for `name`, or for none.
    fn shown(&self, port: u16, name: Option<&str>) -> Option<Vec<u8>>;

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

/// An nginx as it was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NginxBuild {
    /// Its version.
    pub version: NginxVersion,
    /// Whether it has the module that sends files which were packed before.
    pub has_gzip_static: bool,
}

/// The system's nginx.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealNginx;

/// nginx's own tree.
pub(super) const ETC: &str = "/etc/nginx";

impl Nginx for RealNginx {
    fn build(&self) -> Option<NginxBuild> {
        let outcome = RealProcesses.run(&Invocation::new("nginx", &["-V"])).ok()?;
        NginxBuild::parse(&outcome.stderr)
    }

    fn test(&self, ports: &[u16]) -> Result<String, HostError> {
        let _hold = PortHold::take(ports);
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
        let hold = PortHold::take(&tree.ports);
        let result = stage_and_judge(tree, removed, stage);
        drop(hold);
        RealFiles.remove_tree(stage)?;
        result
    }

    fn generation(&self, port: u16) -> Option<String> {
        // HTTP/1.0 by hand: one line each way, and no runtime in the plan's path.
        let limit = Duration::from_secs(1);
        let at = |address: IpAddr| TcpStream::connect_timeout(&(address, port).into(), limit);
        // A kernel may have one family only.
        let mut stream = at(Ipv4Addr::LOCALHOST.into())
            .or_else(|_| at(Ipv6Addr::LOCALHOST.into()))
            .ok()?;
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

    fn shown(&self, port: u16, name: Option<&str>) -> Option<Vec<u8>> {
        let loopbacks: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let requests = loopbacks.map(|address| {
            let door = Door::Tls {
                address: SocketAddr::from((address, port)),
                name: name.map(str::to_owned),
            };
            // Who asks for another host than in the handshake gets no answer.
            Request::get(door, GENERATION_PATH).header("Host", name.unwrap_or("localhost"))
        });
        let mut answers = RealHttp.send_all(&requests).into_iter();
        answers.find_map(|answer| answer.ok()?.certificate)
    }

    fn rivals(&self, tree: &NginxTree) -> Result<Vec<Rival>, HostError> {
        rivals(&RealFiles, tree)
    }

    fn stale(&self, tree: &NginxTree) -> Result<Vec<PathBuf>, HostError> {
        stale(&RealFiles, tree)
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

impl NginxBuild {
    /// Reads what `nginx -V` says.
    fn parse(said: &str) -> Option<Self> {
        let mut words = said.split_whitespace();
        Some(Self {
            version: NginxVersion::parse(said)?,
            has_gzip_static: words.any(|word| word == "--with-http_gzip_static_module"),
        })
    }
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
                // It opens every log, as the running one does.
                "--property",
                "LimitNOFILE=65536",
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
    use super::{NginxBuild, complaint};
    use crate::model::NginxVersion;

    #[test]
    fn what_nginx_was_built_with() {
        let said = "nginx version: nginx/1.26.3\nTLS SNI support enabled\nconfigure arguments: \
                    --with-cc-opt='-g -O2' --with-http_ssl_module";
        let build = |has_gzip_static| NginxBuild {
            version: NginxVersion(1, 26, 3),
            has_gzip_static,
        };
        assert_eq!(NginxBuild::parse(said), Some(build(false)));
        let more = format!("{said} --with-http_gzip_static_module --with-threads\n");
        assert_eq!(NginxBuild::parse(&more), Some(build(true)));
        assert_eq!(NginxBuild::parse("sh: nginx: not found"), None);
    }

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
