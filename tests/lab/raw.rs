//! Requests that no browser sends: smuggled, oversized, encoded to get around a rule, or never finished. Each is
//! refused, and the site answers others meanwhile.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::site::{installed, password, reload_nginx, status, wait_until_healthy};
use crate::support::lab::{Host, Image};

/// What comes of a request: the statuses, one for each answer; the first is all that counts if more may come.
struct Case {
    name: &'static str,
    door: String,
    bytes: Vec<u8>,
    statuses: &'static [u16],
}

const APP: &str = "unix:/run/tavern/counter.sock";

fn case(
    name: &'static str,
    door: &str,
    bytes: impl Into<Vec<u8>>,
    statuses: &'static [u16],
) -> Case {
    Case {
        name,
        door: door.to_owned(),
        bytes: bytes.into(),
        statuses,
    }
}

/// A GET with more header lines; the connection ends with it.
fn get(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n")
}

/// A POST to the login of the app with these header lines and this body.
fn post(lines: &str, body: &str) -> String {
    format!(
        "POST /flask/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{lines}\r\n{body}"
    )
}

/// Shapes by which one server sees a second request where another sees a body.
fn smuggling() -> Vec<(&'static str, String, &'static [u16])> {
    let second = "GET /close/ HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let chunked = format!("0\r\n\r\n{second}");
    let length = chunked.len();
    vec![
        (
            "Content-Length and Transfer-Encoding",
            post(
                &format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
                &chunked,
            ),
            &[400],
        ),
        (
            "Transfer-Encoding and Content-Length",
            post(
                &format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
                &chunked,
            ),
            &[400],
        ),
        (
            "an unknown Transfer-Encoding",
            post("Transfer-Encoding: xchunked\r\n", &chunked),
            &[400, 501],
        ),
        (
            "two codings",
            post("Transfer-Encoding: chunked, identity\r\n", &chunked),
            &[400, 501],
        ),
        (
            "two Transfer-Encodings",
            post(
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
                &chunked,
            ),
            &[400, 501],
        ),
        (
            "a coding behind a tab",
            post(
                "Transfer-Encoding:\tchunked\r\nContent-Length: 4\r\n",
                &chunked,
            ),
            &[400, 501],
        ),
        (
            "a coding behind a vertical tab",
            post("Transfer-Encoding: \u{b}chunked\r\n", &chunked),
            &[400, 501],
        ),
        (
            "two lengths",
            post("Content-Length: 5\r\nContent-Length: 6\r\n", "{}{}{}"),
            &[400],
        ),
        (
            "a negative length",
            post("Content-Length: -1\r\n", ""),
            &[400],
        ),
        (
            "a signed length",
            post("Content-Length: +5\r\n", "{}{}{"),
            &[400],
        ),
        (
            "a length in hexadecimal",
            post("Content-Length: 0x5\r\n", "{}{}{"),
            &[400],
        ),
        (
            "a length beyond every number",
            post("Content-Length: 99999999999999999999\r\n", ""),
            &[400, 413],
        ),
        (
            "a space before the colon",
            post("Content-Length : 2\r\n", "{}"),
            &[400],
        ),
        (
            "a folded line",
            post(
                "X-A: b\r\n Content-Length: 2\r\nContent-Length: 2\r\n",
                "{}",
            ),
            &[400],
        ),
        (
            "a line that begins with a space",
            get("/flask/api/ping", " X-A: b\r\n"),
            &[400],
        ),
        (
            "a NUL in a header",
            get("/flask/api/ping", "X-A: b\0c\r\n"),
            &[400],
        ),
        (
            "a NUL in a name",
            get("/flask/api/ping", "X\0A: b\r\n"),
            &[400],
        ),
        (
            "a lone CR in a header",
            get("/flask/api/ping", "X-A: b\rX-B: c\r\n"),
            &[400],
        ),
    ]
}

fn oversized() -> Vec<(&'static str, String, &'static [u16])> {
    let long = "a".repeat(9 * 1024);
    vec![
        (
            "a header of 9 kB",
            get("/flask/api/ping", &format!("X-A: {long}\r\n")),
            &[400, 431],
        ),
        (
            "an address of 9 kB",
            get(&format!("/flask/api/ping?{long}"), ""),
            &[414],
        ),
        (
            "a body of 2 MB",
            post(
                "Content-Length: 2097152\r\nConnection: close\r\n",
                &"a".repeat(100_000),
            ),
            &[413],
        ),
    ]
}

fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, text, statuses) in smuggling().into_iter().chain(oversized()) {
        all.push(case(name, "tls", text.clone(), statuses));
        // The same past nginx: the app is no less careful.
        all.push(case(name, APP, text, statuses));
    }
    let through = |name, text: String, statuses| case(name, "tls", text, statuses);
    all.extend([
        case("the app answers", APP, get("/flask/api/ping", ""), &[200]),
        through("nginx answers", get("/flask/api/ping", ""), &[200]),
        through("two Hosts", get("/", "Host: other.example\r\n"), &[400]),
        through("no Host", "GET / HTTP/1.1\r\n\r\n".into(), &[400]),
        through(
            "a Host with a path",
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".into(),
            &[400],
        ),
        through(
            "a Host with a NUL",
            "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n".into(),
            &[400],
        ),
        through(
            "TRACE",
            "TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
            &[405],
        ),
        through(
            "CONNECT",
            "CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
            &[400, 405],
        ),
        through(
            "a method in lower case",
            "get / HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
            &[400, 405],
        ),
        through(
            "a version to come",
            "GET / HTTP/9.9\r\nHost: localhost\r\n\r\n".into(),
            &[400, 505],
        ),
        through(
            "a chunk without a size",
            post("Transfer-Encoding: chunked\r\n", "zz\r\n\r\n"),
            &[400],
        ),
        through(
            "a chunk beyond every number",
            post(
                "Transfer-Encoding: chunked\r\n",
                "fffffffffffffffff\r\n\r\n",
            ),
            &[400, 413],
        ),
        through(
            "encoded traversal",
            get("/open/..%2f..%2f..%2f..%2fetc/passwd", ""),
            &[400],
        ),
        through(
            "twice encoded traversal",
            get("/open/..%252f..%252fetc/passwd", ""),
            &[404],
        ),
        through("encoded dots", get("/%2e%2e/%2e%2e/etc/passwd", ""), &[400]),
        through(
            "traversal below an alias",
            get("/open../counter/close/index.html", ""),
            &[404],
        ),
        through(
            "a NUL in the address",
            get("/open/%00index.html", ""),
            &[400],
        ),
        through("a hidden file", get("/open/.git/config", ""), &[404]),
        case(
            "plain: a redirect and nothing else",
            "plain",
            get("/close/", ""),
            &[301],
        ),
        case(
            "plain: TRACE",
            "plain",
            "TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            &[405, 301],
        ),
        case(
            "plain: a header line in the redirect",
            "plain",
            get("/%0d%0aSet-Cookie:%20a=b", ""),
            &[301, 400],
        ),
    ]);
    // However the address is written, the door is the same.
    for path in [
        "/close/",
        "/%63lose/",
        "//close/",
        "/./close/",
        "/open/../close/",
        "/open/%2e%2e/close/",
        "/close%2f",
        "/close/%2e/",
        "/close//",
        "/close/index.html",
        "/close/?/open/",
        "https://localhost/close/",
    ] {
        all.push(case(
            "a guarded site by another way",
            "tls",
            get(path, ""),
            &[401],
        ));
    }
    all
}

fn send(host: &Host, cases: &[Case]) -> Vec<serde_json::Value> {
    let list: Vec<_> = cases
        .iter()
        .map(|case| {
            let hex = case.bytes.iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            });
            serde_json::json!({ "name": case.name, "door": case.door, "hex": hex })
        })
        .collect();
    let text = serde_json::to_string(&list).expect("JSON");
    host.write("/root/cases.json", &text, 0o600);
    let answer = host.ok("python3 /root/raw.py cases </root/cases.json");
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

fn refused_one_by_one(host: &Host) {
    let cases = cases();
    assert!(cases.len() >= 60, "{}", cases.len());
    let mut faults = String::new();
    for (case, answer) in cases.iter().zip(send(host, &cases)) {
        let statuses: Vec<u16> = answer["statuses"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|one| u16::try_from(one.as_u64()?).ok())
            .collect();
        let [only] = statuses[..] else {
            let _ = writeln!(
                faults,
                "{} at {}: {statuses:?}: {}",
                case.name, case.door, answer["text"]
            );
            continue;
        };
        let text = answer["text"].as_str().expect("text");
        if !case.statuses.contains(&only)
            || text.contains("root:x:")
            || text.contains("Set-Cookie: a=b\r")
        {
            let _ = writeln!(faults, "{} at {}: {only}: {text}", case.name, case.door);
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

/// Runs a flood beside ordinary visitors, none of whom must notice.
fn flood(host: &Host, kind: &str) -> serde_json::Value {
    host.ok(&format!(
        "systemd-run --quiet --unit=lab-{kind} -p LimitNOFILE=65536 -p StandardOutput=file:/root/{kind}.json \
         -p StandardError=file:/root/{kind}.err python3 /root/raw.py {kind}"
    ));
    let mut asked = 0;
    let mut refused = Vec::new();
    let said = host.wait(kind, Duration::from_secs(120), || {
        for path in ["/", "/flask/api/ping", "/open/"] {
            let status = status(host, &format!("--max-time 10 https://localhost{path}"));
            asked += 1;
            if status != 200 {
                refused.push((path, status));
            }
        }
        let said = host.sh(&format!(
            "systemctl is-active --quiet lab-{kind} && exit 1; cat /root/{kind}.json; cat /root/{kind}.err >&2"
        ));
        if said.success() { Ok(said.stdout) } else { Err(said.to_string()) }
    });
    assert!(
        refused.is_empty(),
        "{kind}: {} of {asked}: {refused:?}",
        refused.len()
    );
    assert!(asked >= 6, "{kind}: {asked} visitors");
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{kind}: {error}: {said}"))
}

fn floods(host: &Host) {
    // More than the socket buffers of both sides hold.
    host.ok("truncate -s 30M /var/www/counter/open/large");
    for kind in ["slow-headers", "slow-body", "slow-read"] {
        let said = flood(host, kind);
        let number = |key: &str| said[key].as_u64().unwrap_or_else(|| panic!("{said}"));
        assert!(number("opened") >= 50, "{kind}: {said}");
        assert_eq!(number("left"), 0, "{kind}: {said}");
    }
    let said = flood_at_once(host);
    assert!(
        said["goaway"] == true || said["ended"] == true,
        "the server bore it: {said}"
    );
}

/// The reset flood is over in a second: the visitors come during and after it.
fn flood_at_once(host: &Host) -> serde_json::Value {
    let said = host.ok(
        "for i in $(seq 20); do curl -sSk -o /dev/null -w '%{http_code}\\n' --max-time 10 https://localhost/open/; done \
         >/root/visitors & python3 /root/raw.py rapid-reset; wait; sort -u /root/visitors >&2; \
         [ \"$(sort -u /root/visitors)\" = 200 ]",
    );
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// Row 61: what a client says of itself reaches no app. The login's limit is by address: if the claim counted, each
/// claim would have a limit of its own.
fn a_claim_is_overwritten(host: &Host) {
    host.write(
        "/root/echo.py",
        "import socket, os\np = '/run/tavern/lab-echo.sock'\nif os.path.exists(p): os.unlink(p)\n\
         s = socket.socket(socket.AF_UNIX); s.bind(p); os.chmod(p, 0o666); s.listen(8)\n\
         while True:\n c, _ = s.accept(); d = c.recv(65536)\n \
         c.sendall(b'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n' % len(d) + d); c.close()\n",
        0o644,
    );
    host.ok("systemd-run --quiet --unit=lab-echo python3 /root/echo.py");
    host.wait("the echo", Duration::from_secs(10), || {
        let there = host.sh("test -S /run/tavern/lab-echo.sock");
        if there.success() {
            Ok(())
        } else {
            Err(there.to_string())
        }
    });
    // The same file, with another app behind it: nginx as Tavern has it, and nothing of the app.
    host.ok(
        "cp -a /etc/nginx/sites-available/tavern-counter.conf /root/kept.conf && \
         sed -i 's,unix:/run/tavern/counter.sock,unix:/run/tavern/lab-echo.sock,' /etc/nginx/sites-available/tavern-counter.conf",
    );
    reload_nginx(host);
    let claims = [
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-Proto: evil",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Port: 6666",
        "X-Forwarded-User: evil",
        "X-Forwarded-Prefix: /evil",
        "X-Forwarded-Server: evil",
        "X-Real-IP: 6.6.6.6",
        "Forwarded: for=6.6.6.6",
        "Proxy: evil",
    ];
    let arguments: String = claims.iter().fold(String::new(), |mut all, claim| {
        let _ = write!(all, " -H '{claim}'");
        all
    });
    let seen = host.ok(&format!(
        "curl -sSk{arguments} https://127.0.0.1/flask/api/ping; cp -a /root/kept.conf \
         /etc/nginx/sites-available/tavern-counter.conf; systemctl reload nginx; systemctl stop lab-echo"
    ));
    assert!(seen.contains("X-Forwarded-For: 127.0.0.1\r\n"), "{seen}");
    assert!(seen.contains("X-Forwarded-Proto: https\r\n"), "{seen}");
    assert!(seen.contains("X-Forwarded-Host: 127.0.0.1\r\n"), "{seen}");
    assert!(
        !seen.contains("6.6.6.6") && !seen.contains("evil"),
        "{seen}"
    );
}

fn the_site_stands(image: Image, name: &str) {
    let host = installed(image, name);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/raw.py");
    host.put(&script, "/root/raw.py");
    wait_until_healthy(&host, "the install");
    refused_one_by_one(&host);
    a_claim_is_overwritten(&host);
    floods(&host);
    // And nothing of it has worn anything out.
    wait_until_healthy(&host, "the floods");
    assert!(!password(&host, "app counter admin").is_empty());
}

#[test]
#[ignore = "the same on the other Debian: tests/full"]
fn debian_12_refuses_raw_requests_and_serves_others() {
    the_site_stands(Image::BookwormPrepared, "raw12");
}

#[test]
fn debian_13_refuses_raw_requests_and_serves_others() {
    the_site_stands(Image::TrixiePrepared, "raw13");
}
