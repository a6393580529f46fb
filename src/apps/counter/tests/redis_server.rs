//! A real Redis for one test, on a Unix socket in a directory of its own.
#![allow(
    clippy::disallowed_methods,
    reason = "the test starts and stops its own redis-server"
)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(super) const PASSWORD: &str = "correct-horse";

pub(super) struct RedisServer {
    child: Child,
    pub(super) socket: PathBuf,
}

impl RedisServer {
    /// The user may do what the installed one may: nothing beyond what the app needs.
    pub(super) fn start(directory: &Path, password: &str, more: &[&str]) -> Self {
        let socket = directory.join("redis.sock");
        let acl = directory.join("users.acl");
        std::fs::write(
            &acl,
            format!("user default off\nuser counter on >{password} ~visits ~visits:* +ping +incrby +set +zadd +zrange +zremrangebyscore\n"),
        )
        .unwrap();
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "yes"])
            .args(["--appendfsync", "everysec", "--aclfile"])
            .arg(&acl)
            .arg("--dir")
            .arg(directory)
            .arg("--unixsocket")
            .arg(&socket)
            .args(more)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let started = Instant::now();
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(
                started.elapsed() < Duration::from_secs(5),
                "redis-server did not start"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { child, socket }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
