//! `tavernctl up`: the counter stack in the foreground, with the real nginx, and nothing left of it.
#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test drives real processes"
)]

#[path = "up/schemathesis.rs"]
mod schemathesis;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

const BOUND: Duration = Duration::from_secs(30);

/// A running `up`, and the directory below which all of it must be.
struct Up {
    child: Child,
    scope: PathBuf,
    said: String,
    https: u16,
}

impl Up {
    /// Starts it and waits for its last line.
    fn start(mut command: Command, scope: &Path) -> Self {
        let (http, https) = free_ports();
        command.args([
            format!("--http-port={http}"),
            format!("--https-port={https}"),
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut up = Self {
            child,
            scope: scope.to_owned(),
            said: String::new(),
            https,
        };
        while !up.said.contains("Ctrl-C ends it") {
            match lines.recv_timeout(BOUND) {
                Ok(line) => up.said.push_str(&format!("{line}\n")),
                Err(_) => {
                    let complaints = up.complaints();
                    panic!("not up: {}\n{complaints}", up.said)
                }
            }
        }
        up
    }

    fn complaints(&mut self) -> String {
        let _ = self.child.kill();
        let mut text = String::new();
        let stderr = self.child.stderr.as_mut().unwrap();
        stderr.read_to_string(&mut text).unwrap();
        text
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, signal).unwrap();
    }

    fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("it has ended", BOUND, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Sends a signal; wants exit code 0 and no process left.
    fn end(mut self, signal: Signal) {
        self.signal(signal);
        assert_eq!(self.wait().code(), Some(0), "{}", self.complaints());
        assert_eq!(processes(&self.scope), Vec::<String>::new());
        assert_eq!(self.complaints(), "");
    }

    /// Status and body of a request with curl.
    fn curl(&self, path: &str, more: &[&str]) -> (u16, String) {
        let output = Command::new("curl")
            .args(["-sk", "-m", "10", "-w", "\n%{http_code}"])
            .args(more)
            .arg(format!("https://localhost:{}{path}", self.https))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    fn login(&self) -> String {
        let account = r#"{"username":"admin","password":"password"}"#;
        let (status, body) = self.curl(
            "/flask/auth/login",
            &["-H", "content-type: application/json", "-d", account],
        );
        assert_eq!(status, 200, "{body}");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        body["token"].as_str().unwrap().to_owned()
    }

    fn count(&self, token: &str) -> u64 {
        let bearer = format!("authorization: Bearer {token}");
        let (status, body) = self.curl("/flask/api/count", &["-H", &bearer]);
        assert_eq!(status, 200, "{body}");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        body["visits"].as_u64().unwrap()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until(what: &str, bound: Duration, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + bound;
    while !done() {
        assert!(Instant::now() < end, "not within {bound:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Processes that live and have to do with a directory: by their arguments, or by a file they hold.
fn processes(scope: &Path) -> Vec<String> {
    let scope = scope.to_str().unwrap();
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let is_number = process.file_name().to_string_lossy().parse::<u32>().is_ok();
        let read = |name| fs::read(process.path().join(name)).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        // A zombie has no arguments, and no files.
        if !is_number || arguments.is_empty() {
            continue;
        }
        let files = fs::read_dir(process.path().join("fd"));
        let holds =
            files.into_iter().flatten().flatten().any(|file| {
                fs::read_link(file.path()).is_ok_and(|target| target.starts_with(scope))
            });
        if arguments.contains(scope) || holds {
            found.push(format!("{:?} {arguments}", process.file_name()));
        }
    }
    found
}

fn free_ports() -> (u16, u16) {
    let [a, b] = [0; 2].map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    (port(&a), port(&b))
}

fn scope() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("up-test.")
        .tempdir_in("/tmp")
        .unwrap()
}

fn up(scope: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tavernctl"));
    command
        .arg("up")
        .env("TMPDIR", scope)
        .env_remove("XDG_RUNTIME_DIR");
    command
}

/// What it complains of when it does not start.
fn refused(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn serves_the_stack_and_ends_on_ctrl_c() {
    let scope = scope();
    let up = Up::start(up(scope.path()), scope.path());
    for words in [
        "admin / homework",
        "admin / password",
        "for loopback only",
        " healthy in ",
    ] {
        assert!(up.said.contains(words), "{words} in {}", up.said);
    }
    assert!(!up.said.contains("unhealthy"), "{}", up.said);
    assert!(up.curl("/", &[]).1.contains("iframe"));
    assert_eq!(up.curl("/open/", &[]).0, 200);
    assert_eq!(up.curl("/close/", &[]).0, 401);
    assert_eq!(up.curl("/close/", &["-u", "admin:homework"]).0, 200);
    let from = ["--interface", "127.0.0.2", "-u", "admin:homework", "-4"];
    assert_eq!(up.curl("/close/", &from).0, 403);
    assert_eq!(up.curl("/flask/api/count", &[]).0, 401);
    let token = up.login();
    let first = up.count(&token);
    assert_eq!(up.count(&token), first + 1);
    // nginx's master and two workers, the app, and `up` itself.
    assert_eq!(
        processes(scope.path()).len(),
        5,
        "{:?}",
        processes(scope.path())
    );
    up.end(Signal::SIGINT);
    let left = fs::read_dir(scope.path()).unwrap().count();
    assert_eq!(left, 0, "its directory is gone");
}

#[test]
fn the_count_and_the_pages_stay_in_a_directory_of_ones_own() {
    let scope = scope();
    let dir = scope.path().join("kept");
    let start = || {
        let mut command = up(scope.path());
        command.arg("--dir").arg(&dir);
        command
    };
    let first = Up::start(start(), scope.path());
    let token = first.login();
    let count = first.count(&token);
    let page = dir.join("www/counter/open/index.html");
    fs::write(&page, "mine").unwrap();
    fs::remove_file(dir.join("www/counter/open/style.css")).unwrap();
    let said = refused(start());
    assert!(said.contains("in use by another"), "{said}");
    first.end(Signal::SIGTERM);
    let mode = fs::metadata(&dir).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);

    let second = Up::start(start(), scope.path());
    assert_eq!(
        second.count(&token),
        count + 1,
        "and the token is still good"
    );
    assert_eq!(second.curl("/open/", &[]).1, "mine");
    assert_eq!(
        second.curl("/open/style.css", &[]).0,
        404,
        "deleted is deleted"
    );
    second.end(Signal::SIGHUP);
}

#[test]
fn a_kill_leaves_no_process_and_the_next_run_clears_up() {
    let scope = scope();
    let mut killed = Up::start(up(scope.path()), scope.path());
    killed.signal(Signal::SIGKILL);
    killed.wait();
    until("no process is left", Duration::from_secs(2), || {
        processes(scope.path()).is_empty()
    });
    assert_eq!(fs::read_dir(scope.path()).unwrap().count(), 1);
    let next = Up::start(up(scope.path()), scope.path());
    assert_eq!(fs::read_dir(scope.path()).unwrap().count(), 1);
    next.end(Signal::SIGINT);
    assert_eq!(fs::read_dir(scope.path()).unwrap().count(), 0);
}

#[test]
fn a_child_that_dies_is_named_and_the_rest_ended() {
    for (process, name) in [
        ("nginx: master", "nginx ended"),
        ("serve counter", "app counter ended"),
    ] {
        let scope = scope();
        let mut up = Up::start(up(scope.path()), scope.path());
        let found = processes(scope.path());
        let line = found.iter().find(|line| line.contains(process)).unwrap();
        let pid = line.split('"').nth(1).unwrap().parse().unwrap();
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        assert_eq!(up.wait().code(), Some(1));
        let said = up.complaints();
        assert!(said.contains(name) && said.contains("SIGKILL"), "{said}");
        assert_eq!(processes(scope.path()), Vec::<String>::new());
    }
}

#[test]
fn anybody_can_run_it() {
    let scope = scope();
    fs::set_permissions(scope.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let binary = scope.path().join("tavernctl");
    fs::copy(env!("CARGO_BIN_EXE_tavernctl"), &binary).unwrap();
    let mut command = if geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&binary);
        command
    } else {
        Command::new(&binary)
    };
    command.arg("up").current_dir("/").env_clear();
    command
        .env("HOME", "/nonexistent")
        .env("TMPDIR", scope.path());
    // The caller's, who may have gone through sudo: not ours to write to.
    command.env("XDG_RUNTIME_DIR", "/root");
    let up = Up::start(command, scope.path());
    let token = up.login();
    let first = up.count(&token);
    assert_eq!(up.count(&token), first + 1);
    assert_eq!(up.curl("/close/", &["-u", "admin:homework"]).0, 200);
    up.end(Signal::SIGINT);
}

#[test]
fn what_cannot_be_is_said_before_anything_starts() {
    let scope = scope();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut busy = up(scope.path());
    busy.arg(format!("--https-port={port}"));
    let said = refused(busy);
    let who = format!("port {port} is taken by");
    let me = format!("process {}", std::process::id());
    for words in [&who, &me, "help: give `--https-port` another"] {
        assert!(said.contains(words), "{said}");
    }

    let long = scope.path().join("x".repeat(90));
    fs::create_dir(&long).unwrap();
    let said = refused(up(&long));
    assert!(said.contains("the kernel allows 107"), "{said}");

    for odd in ["a b", "a$b", "a;b", "ä", "a\nb", "a*b"] {
        let mut command = up(scope.path());
        command.arg("--dir").arg(scope.path().join(odd));
        let said = refused(command);
        assert!(said.contains("characters in its path"), "{said}");
        assert!(!scope.path().join(odd).exists(), "{odd} was not made");
    }

    let mut others = up(scope.path());
    others.arg("--dir").arg("/etc");
    let said = refused(others);
    assert!(said.contains("/etc holds other things"), "{said}");

    let mut missing = up(scope.path());
    missing.arg("/nonexistent/x.toml");
    let said = refused(missing);
    assert!(said.contains("no stack file /nonexistent/x.toml"), "{said}");
    assert_eq!(processes(scope.path()), Vec::<String>::new());
}
