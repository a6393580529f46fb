//! An engine that answers what a test wants, on a socket of its own: what real ones say when something is wrong.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};

use super::*;
use crate::resource::Network;

/// A status and a body for a request such as `GET /version`.
type Answers = fn(&str) -> (u16, &'static str);

struct Fake {
    docker: RealDocker,
    asked: Arc<Mutex<Vec<String>>>,
    _directory: tempfile::TempDir,
}

fn fake(answers: Answers) -> Fake {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("docker.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream, answers, &log);
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let version = bollard::API_DEFAULT_VERSION;
    let client = bollard::Docker::connect_with_unix(path.to_str().unwrap(), 10, version).unwrap();
    Fake {
        docker: RealDocker {
            connection: Connection::known(runtime, client),
        },
        asked,
        _directory: directory,
    }
}

/// One request, its version taken off its path, and its answer; then the connection ends.
fn answer(stream: UnixStream, answers: Answers, log: &Mutex<Vec<String>>) {
    let mut stream = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    if stream.read_line(&mut first).is_err() || first.is_empty() {
        return;
    }
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let line = line.to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    let mut words = first.split_whitespace();
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let path = path.split('?').next().unwrap();
    let plain = match path.strip_prefix("/v1.") {
        Some(rest) => &rest[rest.find('/').unwrap()..],
        None => path,
    };
    let request = format!("{method} {plain}");
    log.lock().unwrap().push(format!("{method} {path}"));
    let (status, text) = answers(&request);
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    let _ = stream.get_mut().write_all((head + text).as_bytes());
}

fn spec() -> ContainerSpec {
    ContainerSpec {
        name: "redis".into(),
        stack: "counter".into(),
        settings: "hash".into(),
        image: "redis:7".into(),
        command: vec!["redis-server".into()],
        user: "999:990".into(),
        mounts: Vec::new(),
        memory: 512,
        pids: 64,
        health: vec!["ping".into()],
        network: Network::None,
        environment: BTreeMap::new(),
    }
}

#[test]
fn an_api_that_is_too_old_is_named_and_another_version_agreed_upon() {
    let old = fake(|_| {
        (
            400,
            r#"{"message": "client version 1.53 is too new. Maximum supported API version is 1.24"}"#,
        )
    });
    let refused = old.docker.version().unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("Maximum supported API version is 1.24")
    );
    assert!(refused.help().unwrap().contains("1.41"), "{refused:?}");

    let other = fake(|request| match request {
        "GET /version" => (
            200,
            r#"{"ApiVersion": "1.41", "MinAPIVersion": "1.12", "Version": "20.10"}"#,
        ),
        _ => (404, r#"{"message": "no such thing"}"#),
    });
    let (runtime, client) = other.docker.connection.get().unwrap();
    let agreed = runtime
        .block_on(async { client.clone().negotiate_version().await })
        .unwrap();
    let version = agreed.client_version();
    assert_eq!((version.major_version, version.minor_version), (1, 41));
}

#[test]
fn an_error_in_the_middle_of_a_pull_that_began_well_is_an_error() {
    let engine = fake(|_| {
        (
            200,
            "{\"status\":\"Pulling from library/redis\",\"id\":\"7\"}\n\
             {\"errorDetail\":{\"message\":\"toomanyrequests: slow down\"},\"error\":\"toomanyrequests: slow down\"}\n",
        )
    });
    let mut told = Vec::new();
    let refused = engine
        .docker
        .pull("redis:7", None, &mut |text| told.push(text.to_owned()))
        .unwrap_err();
    assert_eq!(told, ["7: Pulling from library/redis"]);
    assert!(
        refused
            .to_string()
            .contains("cannot pull redis:7: toomanyrequests: slow down"),
        "{refused}"
    );
}

#[test]
fn a_container_that_does_not_start_is_removed_again() {
    let engine = fake(|request| match request {
        "POST /containers/create" => (201, r#"{"Id": "1", "Warnings": []}"#),
        "GET /containers/redis/json" => (200, "{}"),
        "POST /containers/redis/start" => (
            500,
            r#"{"message": "driver failed programming external connectivity: port is already allocated"}"#,
        ),
        _ => (204, ""),
    });
    let refused = engine.docker.run(&spec()).unwrap_err();
    assert!(
        refused.to_string().contains("port is already allocated"),
        "{refused}"
    );
    let asked = engine.asked.lock().unwrap().clone();
    assert!(
        asked.last().unwrap().starts_with("DELETE ")
            && asked.last().unwrap().ends_with("/containers/redis"),
        "{asked:?}"
    );
}
