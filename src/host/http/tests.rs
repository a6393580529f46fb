use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixListener;

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

use super::*;

/// Reads a request's head and answers it; gives the head back.
fn answer(mut stream: impl Read + Write, response: &[u8]) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    let _ = stream.write_all(response);
    let _ = stream.flush();
    String::from_utf8(head).unwrap()
}

fn tcp() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn one(request: Request) -> Result<Answer, HostError> {
    RealHttp.send_all(&[request]).remove(0)
}

#[test]
fn plain_from_another_local_address() {
    let (listener, address) = tcp();
    let server = std::thread::spawn(move || {
        let (stream, peer) = listener.accept().unwrap();
        let head = answer(
            stream,
            b"HTTP/1.1 403 Forbidden\r\nX-Why: no\r\nContent-Length: 2\r\n\r\nno",
        );
        (peer.ip(), head)
    });
    let request = Request::get(Door::Plain(address), "/close?x=1")
        .header("Host", "example.org")
        .from("127.0.0.2".parse().unwrap());
    let got = one(request).unwrap();
    let (peer, head) = server.join().unwrap();
    assert_eq!((got.status, got.body.as_slice()), (403, &b"no"[..]));
    assert_eq!(got.header("x-why"), Some("no"));
    assert_eq!(peer.to_string(), "127.0.0.2");
    assert!(head.starts_with("GET /close?x=1 HTTP/1.1\r\n"), "{head}");
    assert!(
        head.contains("host: example.org\r\n") && !head.contains("localhost"),
        "{head}"
    );
}

#[test]
fn unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("app.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let server = std::thread::spawn(move || {
        let stream = listener.accept().unwrap().0;
        answer(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    let got = one(Request::get(Door::Unix(socket), "/flask/api/ping")).unwrap();
    let head = server.join().unwrap();
    assert_eq!((got.status, got.body.as_slice()), (200, &b"ok"[..]));
    assert!(
        head.starts_with("GET /flask/api/ping HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(head.contains("host: localhost\r\n"), "{head}");
}

#[test]
fn a_socket_that_is_not_there_says_so_and_odd_ones_do_not_panic() {
    let dir = tempfile::tempdir().unwrap();
    let absent = one(Request::get(Door::Unix(dir.path().join("none.sock")), "/"));
    let Err(HostError::Io { source, .. }) = absent else {
        panic!("{absent:?}")
    };
    assert_eq!(source.kind(), io::ErrorKind::NotFound);
    let deaf = dir.path().join("deaf.sock");
    drop(UnixListener::bind(&deaf).unwrap());
    let refused = one(Request::get(Door::Unix(deaf), "/"));
    let Err(HostError::Io { source, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(source.kind(), io::ErrorKind::ConnectionRefused);
    for (socket, path) in [
        (String::new(), "/"),
        ("x".repeat(200), "/"),
        ("/run/x".into(), "no slash"),
        ("/run/x".into(), "/a b\n"),
    ] {
        assert!(one(Request::get(Door::Unix(socket.into()), path)).is_err());
    }
}

#[test]
fn tls_hands_the_certificate_back() {
    let now = time::OffsetDateTime::now_utc();
    let pair = crate::mint::self_signed(&["a.example".into()], 10, now).unwrap();
    let der = crate::mint::read_certificate(pair.certificate.as_bytes())
        .unwrap()
        .der;
    let key: PrivateKeyDer = rustls_pemfile::private_key(&mut pair.key.as_bytes())
        .unwrap()
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(der.clone())], key)
        .unwrap();
    let config = Arc::new(config);
    let (listener, address) = tcp();
    let server = std::thread::spawn(move || {
        let mut names = Vec::new();
        for _ in 0..2 {
            let tcp = listener.accept().unwrap().0;
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, tcp);
            answer(&mut stream, b"HTTP/1.1 204 No Content\r\n\r\n");
            names.extend(stream.conn.server_name().map(str::to_owned));
        }
        names
    });
    let door = |name: Option<&str>| Door::Tls {
        address,
        name: name.map(str::to_owned),
    };
    let answers = RealHttp.send_all(&[
        Request::get(door(None), "/"),
        Request::get(door(Some("a.example")), "/"),
    ]);
    for got in answers {
        let got = got.unwrap();
        assert_eq!((got.status, got.certificate.as_ref()), (204, Some(&der)));
    }
    // By address there is no SNI.
    assert_eq!(server.join().unwrap(), ["a.example"]);
}

#[test]
fn all_at_once_each_within_its_time() {
    let (silent, address) = tcp();
    let begun = Instant::now();
    let requests = vec![Request::get(Door::Plain(address), "/"); 4];
    let answers = RealHttp.send_all(&requests);
    assert!(begun.elapsed() < LIMIT * 2, "{:?}", begun.elapsed());
    for answer in answers {
        let said = answer.unwrap_err().to_string();
        assert!(said.contains("within 2 s"), "{said}");
    }
    drop(silent);
    let said = one(Request::get(Door::Plain(address), "/"))
        .unwrap_err()
        .to_string();
    assert!(said.contains("refused"), "{said}");
}

#[test]
fn a_password_does_not_show_in_debug_text() {
    let request =
        Request::get(Door::Unix("/x".into()), "/").header("Authorization", "Basic c2VjcmV0");
    let text = format!("{request:?}");
    assert!(text.contains("GET") && !text.contains("c2VjcmV0"), "{text}");
}

#[test]
fn a_long_answer_is_cut() {
    let (listener, address) = tcp();
    let server = std::thread::spawn(move || {
        let stream = listener.accept().unwrap().0;
        let mut long = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        long.resize(4 * BODY_LIMIT, b'x');
        answer(stream, &long)
    });
    assert_eq!(
        one(Request::get(Door::Plain(address), "/"))
            .unwrap()
            .body
            .len(),
        BODY_LIMIT
    );
    server.join().unwrap();
}
