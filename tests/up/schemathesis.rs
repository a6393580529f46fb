//! The API held to its own description by a stranger: schemathesis, every check it has.

use std::io::{Read, Write, copy};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use nix::sys::signal::Signal;

use super::{Up, scope, up};

/// schemathesis speaks TCP and the app a Unix socket. nginx is left out: it answers TRACE and floods by itself,
/// as it is asked to, and not in the API's words.
fn relay(socket: PathBuf) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, app) = (stream.unwrap(), UnixStream::connect(&socket).unwrap());
            let (other, app_too) = (stream.try_clone().unwrap(), app.try_clone().unwrap());
            thread::spawn(move || {
                pass(stream, app);
            });
            thread::spawn(move || {
                pass(app_too, &other);
                let _ = TcpStream::shutdown(&other, Shutdown::Write);
            });
        }
    });
    port
}

fn pass(mut from: impl Read, mut to: impl Write) {
    let _ = copy(&mut from, &mut to);
}

fn run(port: u16, token: &str, operations: &[&str]) {
    let program = std::env::var("TAVERN_SCHEMATHESIS").unwrap_or_else(|_| {
        panic!(
            "TAVERN_SCHEMATHESIS is not set: run tests/run, which installs the pinned one, \
             or set it to a schemathesis of the version at the head of tests/run"
        )
    });
    let output = Command::new(program)
        .args([
            "run",
            &format!("http://127.0.0.1:{port}/flask/openapi.json"),
        ])
        .args(["--checks", "all", "--max-time", "15", "--no-color", "-H"])
        .arg(format!("Authorization: Bearer {token}"))
        .args(operations)
        .current_dir(std::env::temp_dir())
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    assert!(said.contains(" passed"), "nothing was tried: {said}");
}

#[test]
fn the_api_is_as_its_description_says() {
    let scope = scope();
    let mut up = Up::start(up(scope.path()), scope.path());
    let directory = std::fs::read_dir(scope.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let port = relay(directory.path().join("run/counter.sock"));
    let ends = "^/auth/(refresh|logout)$";
    // A token that one of these has ended would leave nothing but 401 to the others.
    run(port, &up.login(), &["--exclude-path-regex", ends]);
    run(port, &up.login(), &["--include-path", "/auth/refresh"]);
    run(port, &up.login(), &["--include-path", "/auth/logout"]);
    up.signal(Signal::SIGINT);
    assert!(up.wait().success());
}
