use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;

use super::*;

/// A relay for as long as the runtime lives.
fn relay(sources: Vec<Source>) -> (tokio::runtime::Runtime, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.spawn(accept(listener, sources));
    (runtime, address)
}

fn ask(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Answers one question with `answer`, and says what it was asked.
fn source(socket: &Path, answer: &'static str) -> thread::JoinHandle<String> {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = [0; 4096];
        let length = stream.read(&mut asked).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&asked[..length]).into_owned()
    })
}

#[test]
fn a_known_path_is_asked_anew_and_nothing_else_is() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("a.metrics.sock");
    let asked = source(
        &socket,
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nset-cookie: a=b\r\n\r\nup 1\n",
    );
    let known = Source {
        path: "/metrics/tavern".into(),
        socket,
    };
    let (_runtime, address) = relay(vec![known]);
    for question in [
        "GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /metrics/tavern/ HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /metrics/../metrics/tavern HTTP/1.1\r\nhost: x\r\n\r\n",
        "POST /metrics/tavern HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
    ] {
        let answer = ask(address, question);
        assert!(answer.starts_with("HTTP/1.1 404 "), "{question}: {answer}");
    }
    let answer = ask(
        address,
        "GET /metrics/tavern?x=secret HTTP/1.1\r\nhost: evil\r\nx-forged: yes\r\n\r\n",
    );
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("up 1\n"),
        "{answer}"
    );
    assert!(!answer.contains("cookie"), "{answer}");
    // The source answers once: a second time within moments is not its work.
    let again = ask(address, "GET /metrics/tavern HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(again.ends_with("up 1\n"), "{again}");
    let asked = asked.join().unwrap();
    assert!(asked.starts_with("GET /metrics HTTP/1.1\r\n"), "{asked}");
    for word in ["evil", "forged", "secret"] {
        assert!(!asked.contains(word), "{asked}");
    }
}

#[test]
fn a_source_that_fails_is_said_to_have_failed() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let asked = source(
        &path("b.sock"),
        "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",
    );
    let (_runtime, address) = relay(vec![
        Source {
            path: "/away".into(),
            socket: path("a.sock"),
        },
        Source {
            path: "/broken".into(),
            socket: path("b.sock"),
        },
    ]);
    for place in ["/away", "/broken"] {
        let answer = ask(address, &format!("GET {place} HTTP/1.1\r\nhost: x\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    }
    asked.join().unwrap();
}

#[test]
fn a_source_is_a_path_and_a_socket() {
    let read = "/metrics/a=/run/a.sock".parse::<Source>().unwrap();
    assert_eq!(read.path, "/metrics/a");
    assert_eq!(read.socket, Path::new("/run/a.sock"));
    for bad in ["", "/metrics/a", "a=/b", "/a=b"] {
        assert!(bad.parse::<Source>().is_err(), "{bad}");
    }
}
