//! Disposable hosts: whole Debian machines (systemd as PID 1) in containers of this machine's
//! dockerd, made by `tests/lab/images`.
//!
//! A test boots a [`Host`], drives it, and drops it. Every wait is bounded, and says what it
//! waited for when it gives up. Hosts that a killed test process left behind are removed by the
//! next one; `docker ps -a --filter label=tavern-lab=1` lists them. With `TAVERN_LAB_KEEP=1` the
//! hosts of failed tests stay, to be looked at.
//!
//! What a container host is not: its kernel, clock and `/proc/sys` are this machine's. So the
//! boot id is the same after a [`Host::reboot`], and `journalctl -b` shows every boot.
#![allow(
    dead_code,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used
)]

use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The longest a command on a host may take: installing packages is the slowest.
const EXEC: Duration = Duration::from_secs(600);
/// The longest a host may take to boot, or to go down; it is used to take about a second.
const BOOT: Duration = Duration::from_secs(90);
/// The longest the images may take to build, when they are missing.
const BUILD: Duration = Duration::from_secs(1800);
/// Docker's own small requests.
const DOCKER: Duration = Duration::from_secs(60);

const NETWORK: &str = "tavern-lab";

/// What a host starts from. "Bare" is the VM that Tavern is given; "prepared" has nginx, Docker,
/// ufw, jq and Python already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Image {
    BookwormBare,
    BookwormPrepared,
    TrixieBare,
    TrixiePrepared,
}

impl Image {
    pub const ALL: [Image; 4] = [
        Image::BookwormBare,
        Image::BookwormPrepared,
        Image::TrixieBare,
        Image::TrixiePrepared,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Image::BookwormBare => "bookworm-bare",
            Image::BookwormPrepared => "bookworm-prepared",
            Image::TrixieBare => "trixie-bare",
            Image::TrixiePrepared => "trixie-prepared",
        }
    }

    pub fn prepared(self) -> bool {
        matches!(self, Image::BookwormPrepared | Image::TrixiePrepared)
    }

    /// Builds the image if it is missing, once in a process; gives the reference.
    pub fn ready(self) -> &'static str {
        static READY: [OnceLock<String>; 4] = [const { OnceLock::new() }; 4];
        READY[self as usize].get_or_init(|| made(self.name()))
    }
}

/// What a command did.
#[derive(Clone, Debug)]
pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    pub fn success(&self) -> bool {
        self.code == 0
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "exit code {}\n--- stdout\n{}\n--- stderr\n{}",
            self.code,
            self.stdout.trim_end(),
            self.stderr.trim_end()
        )
    }
}

/// A booted machine; dropping it removes it, with its inner Docker's volume.
#[derive(Debug)]
pub struct Host {
    /// The container's name.
    container: String,
}

impl Host {
    /// Boots a fresh host, whose host name is `name`.
    pub fn boot(image: Image, name: &str) -> Host {
        Host::start(image.ready(), name, &[])
    }

    /// Boots a copy of a root file system that a host packed.
    pub fn boot_tree(tree: &Tree, name: &str) -> Host {
        Host::start(&tree.0, name, &[])
    }

    /// Boots a host that has directories of this machine, each as `OURS:THERE`.
    pub fn boot_on(image: Image, name: &str, directories: &[String]) -> Host {
        Host::start(image.ready(), name, directories)
    }

    fn start(reference: &str, name: &str, directories: &[String]) -> Host {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        sweep();
        network();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let host = Host {
            container: format!("tavern-lab-{name}-{}-{count}", std::process::id()),
        };
        let owner = format!("tavern-lab.owner={}", owner());
        let mut args = vec![
            "run",
            "--detach",
            "--label",
            "tavern-lab=1",
            "--label",
            &owner,
        ];
        args.extend(["--name", &host.container, "--hostname", name]);
        args.extend(["--network", NETWORK, "--stop-signal", "SIGRTMIN+3"]);
        // --privileged and a private cgroup namespace do not work everywhere: see shared/lab.md.
        args.extend(["--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE"]);
        for option in [
            "seccomp=unconfined",
            "apparmor=unconfined",
            "systempaths=unconfined",
        ] {
            args.extend(["--security-opt", option]);
        }
        args.extend([
            "--cgroupns",
            "host",
            "--volume",
            "/sys/fs/cgroup:/sys/fs/cgroup:rw",
        ]);
        args.extend(["--tmpfs", "/run:mode=755", "--tmpfs", "/tmp:exec,mode=1777"]);
        for directory in directories {
            args.extend(["--volume", directory]);
        }
        args.extend(["--sysctl", "net.ipv6.conf.all.disable_ipv6=0", reference]);
        docker_ok(&args, DOCKER);
        host.wait_booted();
        host
    }

    /// The name of the container, for a `docker` command of one's own.
    pub fn container(&self) -> &str {
        &self.container
    }

    /// Runs a command on the host, as root.
    pub fn run(&self, argv: &[&str]) -> Output {
        self.exec(argv, Stdin::Nothing)
    }

    /// Runs a bash script on the host, as root.
    pub fn sh(&self, script: &str) -> Output {
        self.run(&["bash", "-c", script])
    }

    /// Runs a bash script that must succeed, and gives what it printed.
    #[track_caller]
    pub fn ok(&self, script: &str) -> String {
        let output = self.sh(script);
        assert!(output.success(), "{}: {script}\n{output}", self.container);
        output.stdout
    }

    /// Copies a file to the host, with its mode; directories are made. (Not `docker cp`, which
    /// does not see what is mounted on `/run` and `/tmp`.)
    #[track_caller]
    pub fn put(&self, local: &Path, remote: &str) {
        let file = File::open(local).unwrap_or_else(|e| panic!("{}: {e}", local.display()));
        let mode = file.metadata().unwrap().permissions().mode();
        self.install(remote, mode & 0o7777, Stdin::File(file));
    }

    /// Writes a file on the host; directories are made.
    #[track_caller]
    pub fn write(&self, remote: &str, content: &str, mode: u32) {
        self.install(remote, mode, Stdin::Bytes(content.as_bytes().to_vec()));
    }

    #[track_caller]
    pub fn read(&self, remote: &str) -> String {
        let output = self.run(&["cat", "--", remote]);
        assert!(
            output.success(),
            "{}: read {remote}\n{output}",
            self.container
        );
        output.stdout
    }

    /// An orderly reboot: systemd stops every unit, `/run` and `/tmp` are emptied, systemd starts.
    pub fn reboot(&self) {
        let seconds = (BOOT.as_secs() - 5).to_string();
        docker_ok(&["restart", "--time", &seconds, &self.container], BOOT);
        self.wait_booted();
    }

    /// The address on the lab's network; another one, maybe, after a reboot.
    pub fn ip(&self) -> IpAddr {
        let format = format!("{{{{(index .NetworkSettings.Networks \"{NETWORK}\").IPAddress}}}}");
        let address = docker_ok(&["inspect", "--format", &format, &self.container], DOCKER);
        address
            .trim()
            .parse()
            .unwrap_or_else(|e| panic!("{}: address {address:?}: {e}", self.container))
    }

    /// Loads a tar into the host's own Docker.
    #[track_caller]
    pub fn load_image(&self, tar: &Path) {
        self.wait("Docker on the host", DOCKER, || {
            let output = self.run(&["docker", "version"]);
            if output.success() {
                Ok(())
            } else {
                Err(output.to_string())
            }
        });
        let file = File::open(tar).unwrap_or_else(|e| panic!("{}: {e}", tar.display()));
        let output = self.exec(&["docker", "load", "--quiet"], Stdin::File(file));
        assert!(
            output.success(),
            "{}: docker load\n{output}",
            self.container
        );
    }

    /// Asks again until the answer is `Ok`; panics with the last `Err` when `limit` has passed.
    #[track_caller]
    pub fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        mut ask: impl FnMut() -> Result<T, String>,
    ) -> T {
        let began = Instant::now();
        loop {
            match ask() {
                Ok(value) => return value,
                Err(reason) if began.elapsed() > limit => {
                    panic!("{}: waited {limit:?} for {what}: {reason}", self.container)
                }
                Err(_) => thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// Unpacks the root file system of an image into a directory of this host.
    pub fn unpack(&self, image: Image, directory: &str) {
        let source = docker_ok(
            &["create", "--label", "tavern-lab=1", image.ready()],
            DOCKER,
        );
        let mut export = Command::new("docker")
            .args(["export", source.trim()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("docker export");
        let tar = export.stdout.take().map(OwnedFd::from).unwrap();
        self.ok(&format!("mkdir -p {directory}"));
        let output = self.exec(
            &["tar", "-x", "-C", directory],
            Stdin::File(File::from(tar)),
        );
        let exported = export.wait().unwrap().success();
        remove(source.trim());
        assert!(
            exported && output.success(),
            "unpack {}\n{output}",
            image.name()
        );
    }

    /// Packs a root file system in a directory of this host, so that hosts can boot it.
    pub fn pack(&self, directory: &str) -> Tree {
        let mut pack = Command::new("docker")
            .args(["exec", &self.container, "tar", "-c", "-C", directory, "."])
            .stdout(Stdio::piped())
            .spawn()
            .expect("docker exec");
        let tar = pack.stdout.take().map(OwnedFd::from).unwrap();
        let reference = format!("{}-tree", self.container);
        // As `import_host` in `tests/lab/images`.
        let output = docker(
            &[
                "import",
                "--change",
                r#"CMD ["/bin/sh", "-c", "mount --make-rshared / && exec /sbin/init"]"#,
                "--change",
                "ENV container=docker SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1",
                "--change",
                "VOLUME /var/lib/docker",
                "--change",
                "LABEL tavern-lab=1",
                "-",
                &reference,
            ],
            Stdin::File(File::from(tar)),
            EXEC,
        );
        let packed = pack.wait().unwrap().success();
        assert!(packed && output.success(), "pack {directory}\n{output}");
        Tree(reference)
    }

    fn wait_booted(&self) {
        let state = self.wait("systemd to be up", BOOT, || {
            let output = self.run(&["systemctl", "is-system-running"]);
            let state = output.stdout.trim();
            if matches!(state, "running" | "degraded") {
                return Ok(state.to_owned());
            }
            let jobs = self.run(&["systemctl", "list-jobs"]);
            let logs = docker(
                &["logs", "--tail", "20", &self.container],
                Stdin::Nothing,
                DOCKER,
            );
            Err(format!(
                "it says {output}\n--- jobs\n{}\n--- console\n{logs}",
                jobs.stdout
            ))
        });
        if state == "degraded" {
            let failed = self.run(&[
                "systemctl",
                "list-units",
                "--failed",
                "--no-legend",
                "--plain",
            ]);
            eprintln!(
                "{}: booted, but failed: {}",
                self.container,
                failed.stdout.trim()
            );
        }
    }

    #[track_caller]
    fn install(&self, remote: &str, mode: u32, content: Stdin) {
        let mode = format!("{mode:o}");
        let output = self.exec(
            &["install", "-D", "-m", &mode, "/dev/stdin", remote],
            content,
        );
        assert!(
            output.success(),
            "{}: write {remote}\n{output}",
            self.container
        );
    }

    fn exec(&self, argv: &[&str], stdin: Stdin) -> Output {
        let mut args = vec!["exec", "--interactive", &self.container];
        args.extend(argv);
        docker(&args, stdin, EXEC)
    }
}

/// A root file system that hosts can boot; dropping it removes it.
#[derive(Debug)]
pub struct Tree(String);

impl Drop for Tree {
    fn drop(&mut self) {
        let removed = Command::new("docker")
            .args(["image", "rm", "--force", &self.0])
            .stdin(Stdio::null())
            .output();
        match removed {
            Ok(output) if output.status.success() => {}
            other => eprintln!("docker image rm {}: {other:?}", self.0),
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if thread::panicking() && std::env::var_os("TAVERN_LAB_KEEP").is_some() {
            eprintln!("kept: docker exec -it {} bash", self.container);
            return;
        }
        remove(&self.container);
    }
}

/// A tar for [`Host::load_image`], with a stand-in for `redis:7-alpine` made of Debian's Redis.
pub fn redis_image_tar() -> PathBuf {
    static TAR: OnceLock<String> = OnceLock::new();
    TAR.get_or_init(|| made("redis")).into()
}

/// The same for `prom/prometheus:v3.1.0`, of Debian's Prometheus.
pub fn prometheus_image_tar() -> PathBuf {
    static TAR: OnceLock<String> = OnceLock::new();
    TAR.get_or_init(|| made("prometheus")).into()
}

/// The same of `postgres:15-alpine`, made of Debian's PostgreSQL.
pub fn postgres_image_tar() -> PathBuf {
    static TAR: OnceLock<String> = OnceLock::new();
    TAR.get_or_init(|| made("postgres")).into()
}

/// A registry with that stand-in of Redis, which hosts can pull from; dropping it stops it.
#[derive(Debug)]
pub struct Registry {
    address: String,
    child: Child,
}

/// Starts a registry on the lab's network.
pub fn registry() -> Registry {
    network();
    let format = "{{(index .IPAM.Config 0).Gateway}}";
    let gateway = docker_ok(&["network", "inspect", "--format", format, NETWORK], DOCKER);
    let free = TcpListener::bind((gateway.trim(), 0)).expect("a free port on the lab's gateway");
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let mut child = Command::new(lab().join("registry"))
        .args(["--with-stdin", "--port", &port])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("tests/lab/registry");
    // It bounds its own wait, and then ends, which ends this line.
    let mut address = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut address)
        .unwrap();
    let address = address.trim().to_owned();
    assert!(
        !address.is_empty(),
        "tests/lab/registry: {:?}",
        child.wait()
    );
    Registry { address, child }
}

impl Registry {
    /// `address:port`
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Makes the host's Docker, there or yet to be installed, pull through this registry.
    pub fn serve(&self, host: &Host) {
        let config = format!("{{\"registry-mirrors\": [\"http://{}\"]}}\n", self.address);
        host.write("/etc/docker/daemon.json", &config, 0o644);
        host.ok("if systemctl cat docker.service >/dev/null 2>&1; then systemctl try-restart docker.service; fi");
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.stdin.take()); // which it takes as the sign to end
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(10) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary to install: `$TAVERNCTL`, or this tree's release build.
pub fn tavernctl() -> PathBuf {
    let path = match std::env::var_os("TAVERNCTL") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/release/tavernctl"),
    };
    assert!(
        path.is_file(),
        "{} is missing: cargo build --release",
        path.display()
    );
    path
}

fn lab() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab")
}

/// Has `tests/lab/images` make a thing; gives the line it prints.
fn made(name: &str) -> String {
    let script = lab().join("images");
    let output = command(Command::new(&script).arg(name), Stdin::Nothing, BUILD);
    assert!(output.success(), "{} {name}\n{output}", script.display());
    output.stdout.trim().to_owned()
}

fn network() {
    static NETWORK_READY: OnceLock<String> = OnceLock::new();
    NETWORK_READY.get_or_init(|| made("network"));
}

/// This process, in words that no later one will use: pid namespace, pid, start time.
fn owner() -> String {
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let pid = std::process::id();
    format!(
        "{} {pid} {}",
        namespace.display(),
        started(pid).unwrap_or_default()
    )
}

/// When a process started, in clock ticks since boot: field 22 of its `stat`.
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(19)
        .map(str::to_owned)
}

/// Removes, once in a process, the hosts of processes that are gone.
fn sweep() {
    static SWEPT: OnceLock<()> = OnceLock::new();
    SWEPT.get_or_init(|| {
        let format = "{{.ID}} {{.Label \"tavern-lab.owner\"}}";
        let list = [
            "ps",
            "--all",
            "--filter",
            "label=tavern-lab.owner",
            "--format",
            format,
        ];
        let mine = owner();
        let namespace = mine.split(' ').next();
        for line in docker_ok(&list, DOCKER).lines() {
            let mut words = line.split(' ');
            let (id, its) = (words.next(), words.next());
            let pid = words.next().and_then(|pid| pid.parse().ok());
            if let (Some(id), Some(pid)) = (id, pid)
                && its == namespace
                && started(pid).as_deref() != words.next()
            {
                remove(id);
            }
        }
    });
}

/// Does not panic: it runs while a test unwinds.
fn remove(container: &str) {
    let removed = Command::new("docker")
        .args(["rm", "--force", "--volumes", container])
        .stdin(Stdio::null())
        .output();
    match removed {
        Ok(output) if output.status.success() => {}
        other => eprintln!("docker rm {container}: {other:?}"),
    }
}

#[track_caller]
fn docker_ok(args: &[&str], limit: Duration) -> String {
    let output = docker(args, Stdin::Nothing, limit);
    assert!(output.success(), "docker {}\n{output}", args.join(" "));
    output.stdout
}

fn docker(args: &[&str], stdin: Stdin, limit: Duration) -> Output {
    command(Command::new("docker").args(args), stdin, limit)
}

enum Stdin {
    Nothing,
    Bytes(Vec<u8>),
    File(File),
}

/// Runs a command to its end; kills it and panics when `limit` has passed.
fn command(command: &mut Command, stdin: Stdin, limit: Duration) -> Output {
    let (input, bytes) = match stdin {
        Stdin::Nothing => (Stdio::null(), None),
        Stdin::Bytes(bytes) => (Stdio::piped(), Some(bytes)),
        Stdin::File(file) => (Stdio::from(file), None),
    };
    let began = Instant::now();
    let mut child = command
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    if let (Some(mut pipe), Some(bytes)) = (child.stdin.take(), bytes) {
        // A command that does not read its input says so by its exit code.
        thread::spawn(move || pipe.write_all(&bytes));
    }
    let stdout = collect(child.stdout.take().unwrap());
    let stderr = collect(child.stderr.take().unwrap());
    let mut pause = Duration::from_millis(2);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if began.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    };
    let output = Output {
        code: status.and_then(|status| status.code()).unwrap_or(-1),
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
    };
    assert!(
        status.is_some(),
        "not done after {limit:?}: {command:?}\n{output}"
    );
    output
}

fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
