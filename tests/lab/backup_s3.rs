//! Backups in a store that speaks S3: s3rver, beside the host and behind TLS. It knows who has an account, but takes any
//! signature of somebody it knows.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::site::{STACK, exits, installed};
use crate::support::lab::{Host, Image};

const ACCESS: &str = "/etc/tavern/credentials/counter/s3";
const PORT: &str = "9443";

/// The store, in the host's network; dropping it ends it.
struct Store(Child);

impl Store {
    fn start(host: &Host, place: &Path) -> Self {
        let pid = Command::new("docker")
            .args(["inspect", "--format", "{{.State.Pid}}", host.container()])
            .output()
            .expect("docker inspect");
        let pid = String::from_utf8_lossy(&pid.stdout).trim().to_owned();
        let tool = std::env::var("TAVERN_S3RVER").expect("TAVERN_S3RVER: tests/full sets it");
        let child = Command::new("nsenter")
            .arg(format!("--net=/proc/{pid}/ns/net"))
            .arg("node")
            .arg(format!("{tool}/node_modules/.bin/s3rver"))
            .args([
                "--silent",
                "--no-vhost-buckets",
                "--configure-bucket",
                "tavern",
            ])
            .args(["--address", "127.0.0.1", "--port", PORT, "--directory"])
            .arg(place.join("data"))
            .arg("--key")
            .arg(place.join("key.pem"))
            .arg("--cert")
            .arg(place.join("cert.pem"))
            .stdin(Stdio::null())
            .spawn()
            .expect("nsenter, node");
        host.wait("the store", Duration::from_secs(30), || {
            let asked = host.sh(&format!("curl -sS -o /dev/null https://localhost:{PORT}/"));
            asked.success().then_some(()).ok_or(asked.to_string())
        });
        Self(child)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A key, and a certificate for `localhost` by a CA that the host trusts.
fn trusted(host: &Host, place: &Path) {
    let make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=lab -days 9 \
                  -keyout ca.key -out ca.pem && \
                openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
                  -keyout key.pem -out request.pem && \
                printf 'subjectAltName=DNS:localhost' >names && \
                openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 9 \
                  -extfile names -out cert.pem";
    let made = Command::new("bash")
        .args(["-ec", make])
        .current_dir(place)
        .output()
        .expect("bash, openssl");
    assert!(made.status.success(), "{made:?}");
    std::fs::create_dir(place.join("data")).expect("a directory");
    host.put(
        &place.join("ca.pem"),
        "/usr/local/share/ca-certificates/lab.crt",
    );
    host.ok("update-ca-certificates >/dev/null 2>&1");
}

fn access(host: &Host, key: &str) {
    let lines = format!("AWS_ACCESS_KEY_ID={key}\nAWS_SECRET_ACCESS_KEY=S3RVER\n");
    host.write(ACCESS, &lines, 0o600);
}

#[test]
#[ignore = "longer: tests/full"]
fn debian_12_backups_in_an_s3_store() {
    let place = tempfile::tempdir().expect("a directory");
    let host = installed(Image::BookwormPrepared, "s3-12");
    trusted(&host, place.path());
    let store = Store::start(&host, place.path());
    host.ok("apt-get -q update >/dev/null");
    let text = host.read(STACK);
    let backup = format!("to = \"s3:https://localhost:{PORT}/tavern\"\ncredentials = \"s3\"");
    host.write(STACK, &format!("{text}\n[backup]\n{backup}\n"), 0o644);
    access(&host, "S3RVER");
    exits(&host.sh("tavernctl install --yes"), 0);
    exits(&host.sh("tavernctl plan"), 0);

    // In the timer's sandbox, as every night.
    for unit in ["tavern-backup", "tavern-drill"] {
        let output = host.sh(&format!(
            "systemctl start {unit}.service; journalctl --no-pager -u {unit}"
        ));
        let state = host.ok(&format!("systemctl show -p Result --value {unit}.service"));
        assert_eq!(state.trim(), "success", "{output}");
    }
    assert!(place.path().join("data/tavern/counter").is_dir());
    exits(&host.sh("tavernctl check"), 0);
    host.ok("echo new >/var/www/counter/open/new.html");
    exits(&host.sh("tavernctl restore --yes"), 0);
    host.ok("test ! -e /var/www/counter/open/new.html");

    // Somebody that it does not know: said, and nothing is touched.
    host.ok("echo new >/var/www/counter/open/new.html");
    access(&host, "NOBODY");
    for verb in ["backup now", "backup verify", "restore --yes"] {
        let refused = host.sh(&format!("tavernctl {verb} </dev/null"));
        exits(&refused, 1);
        let said = &refused.stderr;
        assert!(
            said.contains("error: ") && said.contains("help: "),
            "{refused}"
        );
        assert!(said.contains("Access Key"), "{refused}");
        assert!(!said.contains("S3RVER"), "{refused}");
    }
    host.ok("test -e /var/www/counter/open/new.html");
    access(&host, "S3RVER");
    exits(&host.sh("tavernctl backup now"), 0);
    // The trial that was refused has failed, until another one has not.
    exits(&host.sh("tavernctl check"), 2);
    exits(&host.sh("tavernctl backup verify"), 0);
    exits(&host.sh("tavernctl check"), 0);

    // Away: said, and nothing hangs.
    drop(store);
    let away = host.sh("tavernctl backup now </dev/null");
    exits(&away, 1);
    assert!(away.stderr.contains("connection refused"), "{away}");
    let check = host.sh("tavernctl check --json");
    exits(&check, 2);
    assert!(check.stdout.contains("the last try failed"), "{check}");
    let _store = Store::start(&host, place.path());
    exits(&host.sh("tavernctl backup now"), 0);
    exits(&host.sh("tavernctl check"), 0);
}
