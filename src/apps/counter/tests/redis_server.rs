//! A real Redis for one test, on a Unix socket in a directory of its own.
#![allow(
    clippy::disallowed_methods,
    reason = "the test starts and stops its own redis-server"
)]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::mint::redis_password_hash;
use crate::resource::{RULES, RedisAcl};

pub(super) const PASSWORD: &str = "correct-horse";

pub(super) struct RedisServer {
    child: Child,
    pub(super) socket: PathBuf,
}

impl RedisServer {
    /// With the rules that an install writes: nobody may do more than there.
    pub(super) fn start(directory: &Path, password: &str, more: &[&str]) -> Self {
        Self::start_with(directory, &rules(&[password]), more)
    }

    pub(super) fn start_with(directory: &Path, rules: &str, more: &[&str]) -> Self {
        let socket = directory.join("redis.sock");
        let acl = directory.join("users.acl");
        write_rules(directory, rules);
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

impl RedisServer {
    /// What it answers to these commands, from somebody who may do anything; or from nobody in particular.
    pub(super) fn told(&self, operator: bool, commands: &str) -> String {
        let mut stream = std::os::unix::net::UnixStream::connect(&self.socket).unwrap();
        let login = if operator {
            "AUTH operator all\r\n"
        } else {
            ""
        };
        let all = format!("{login}{commands}\r\nQUIT\r\n");
        stream.write_all(all.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// The access list as an install writes it for these passwords.
pub(super) fn rules(passwords: &[&str]) -> String {
    let hashes = passwords.iter().map(|one| redis_password_hash(one));
    let acl = RedisAcl {
        user: "counter".into(),
        key: "visits".into(),
        others: Vec::new(),
        password: "/none".into(),
        saves: false,
        rules: RULES,
    };
    acl.text(&hashes.collect::<Vec<_>>())
}

/// These, and a user of the test's own.
pub(super) fn write_rules(directory: &Path, rules: &str) {
    let text = format!("{rules}user operator on >all ~* &* +@all\n");
    std::fs::write(directory.join("users.acl"), text).unwrap();
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
