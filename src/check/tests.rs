//! All of `check` against a real nginx and a real Redis, as under `up`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::host::Accounts as _;
use crate::host::{Files as _, Invocation, Processes as _, RealAccounts, RealFiles, RealProcesses};
use crate::mint;
use crate::model::Mode;

const WAIT: Duration = Duration::from_millis(20);

/// nginx and a stand-in for the app, in a directory of their own.
struct Bench {
    dir: tempfile::TempDir,
    stack: Stack,
    site: Setting,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // nginx's workers are not root when root starts it.
        let owner = me();
        RealFiles
            .make_directory(dir.path(), Mode(0o755), &owner)
            .unwrap();
        let (http, https) = (free_port(), free_port());
        let mut stack =
            crate::stack::parse(Path::new("counter.toml"), crate::stack::DEFAULT.as_bytes())
                .unwrap();
        // As `up` has it: nobody serves the status page here.
        stack.sites.retain(|site| site.name.as_str() != "status");
        let site = Setting {
            generation: Some("g1".into()),
            ..Setting::private(dir.path(), http, https)
        };
        let bench = Self { dir, stack, site };
        bench.write_pages();
        bench.write_certificate("");
        bench.serve_app();
        bench.write_configuration("g1", "satisfy all;");
        bench.nginx(&[]);
        bench.wait_for_nginx("g1");
        bench
    }

    fn write(&self, path: impl AsRef<Path>, text: &str, mode: u32) {
        let path = self.dir.path().join(path);
        RealFiles
            .make_directory(path.parent().unwrap(), Mode(0o755), &me())
            .unwrap();
        RealFiles
            .write(&path, text.as_bytes(), Mode(mode), &me())
            .unwrap();
    }

    fn write_pages(&self) {
        for page in ["main", "open", "close"] {
            self.write(format!("www/counter/{page}/index.html"), page, 0o644);
        }
        let hash = mint::site_hash("homework").unwrap();
        self.write(
            "etc/htpasswd/counter-close",
            &format!("admin:{hash}\n"),
            0o644,
        );
        self.write(
            "etc/credentials/counter/passwords",
            "site close admin homework\n",
            0o600,
        );
    }

    fn write_certificate(&self, suffix: &str) {
        let now = time::OffsetDateTime::now_utc();
        let pair = mint::self_signed(&["localhost".into()], 90, now).unwrap();
        self.write(
            format!("etc/tls/counter/fullchain.pem{suffix}"),
            &pair.certificate,
            0o644,
        );
        self.write(format!("etc/tls/counter/key.pem{suffix}"), &pair.key, 0o600);
    }

    fn serve_app(&self) {
        let name = self.stack.name.clone();
        let socket = self.site.layout.app_socket(&name, &name);
        RealFiles
            .make_directory(socket.parent().unwrap(), Mode(0o755), &me())
            .unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        open_to_all(&socket);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || answer(stream));
            }
        });
    }

    fn write_configuration(&self, generation: &str, close: &str) {
        let dir = self.dir.path().display();
        let (http, https) = (self.site.http_port, self.site.https_port);
        let text = format!(
            "daemon on; pid {dir}/nginx.pid; error_log {dir}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2;
  fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  server {{
    listen 127.0.0.1:{http};
    location = /.well-known/tavern-generation {{ return 200 {generation}; }}
    location / {{ return 301 https://$host:{https}$request_uri; }}
  }}
  server {{
    listen 127.0.0.1:{https} ssl;
    ssl_certificate {dir}/etc/tls/counter/fullchain.pem;
    ssl_certificate_key {dir}/etc/tls/counter/key.pem;
    root {dir}/www/counter/main;
    location /open/ {{ alias {dir}/www/counter/open/; }}
    location /close/ {{
      {close} allow 127.0.0.1; allow ::1; deny all;
      auth_basic x; auth_basic_user_file {dir}/etc/htpasswd/counter-close;
      alias {dir}/www/counter/close/;
    }}
    location /flask/ {{ proxy_pass http://unix:{dir}/run/counter.sock; }}
  }}
}}
"
        );
        self.write("nginx.conf", &text, 0o644);
    }

    fn nginx(&self, more: &[&str]) {
        let configuration = self.dir.path().join("nginx.conf");
        let mut args = vec!["-e", "stderr", "-c", configuration.to_str().unwrap()];
        args.extend(more);
        RealProcesses
            .run_ok(&Invocation::new("nginx", &args))
            .unwrap();
    }

    fn wait_for_nginx(&self, generation: &str) {
        let host = Host::real();
        for _ in 0..200 {
            if host.nginx.generation(self.site.http_port).as_deref() == Some(generation) {
                return;
            }
            std::thread::sleep(WAIT);
        }
        panic!("nginx does not answer");
    }

    fn run(&self) -> Report {
        run(&Host::real(), std::slice::from_ref(&self.stack), &self.site)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.nginx(&["-s", "stop"]);
    }
}

fn me() -> crate::resource::Owner {
    let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
    RealAccounts.owner(uid.as_raw(), gid.as_raw())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    #[allow(clippy::disallowed_methods, reason = "a test's own socket")]
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).unwrap();
}

/// Alive, but its store is away.
fn answer(mut stream: std::os::unix::net::UnixStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
        head.push(byte[0]);
    }
    let ready = head.starts_with(b"GET /flask/health/ready ");
    let (status, body) = if ready {
        (
            "503 Service Unavailable",
            r#"{"detail":"The store is away."}"#,
        )
    } else {
        ("200 OK", r#"{"status":"ok"}"#)
    };
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
}

fn unhealthy_subjects(report: &Report) -> Vec<&str> {
    report
        .findings
        .iter()
        .filter(|finding| {
            finding.verdict != Verdict::Healthy && !finding.subject.starts_with("disk")
        })
        .map(|finding| finding.subject.as_str())
        .collect()
}

#[test]
fn a_private_host_and_its_faults() {
    let bench = Bench::new();
    let report = bench.run();
    let text = render::table(&report, render::Colour::Off, 80);
    // The stand-in's store is away, and nothing else is wrong.
    assert_eq!(
        unhealthy_subjects(&report),
        ["app counter, ready"],
        "{text}"
    );
    assert!(text.contains("The store is away"), "{text}");
    let count = report.count(Verdict::Healthy);
    assert!(count >= 12, "{text}");

    // A certificate renewed without a reload.
    bench.write_certificate("");
    assert_eq!(
        unhealthy_subjects(&bench.run()),
        ["app counter, ready", "certificate served"]
    );

    // The page is gone; the password file is gone; nginx runs another generation.
    RealFiles
        .remove(&bench.dir.path().join("www/counter/open/index.html"))
        .unwrap();
    RealFiles
        .remove(&bench.dir.path().join("etc/htpasswd/counter-close"))
        .unwrap();
    let mut late = bench.site.clone();
    late.generation = Some("g2".into());
    let report = run(&Host::real(), std::slice::from_ref(&bench.stack), &late);
    assert_eq!(
        unhealthy_subjects(&report),
        [
            "app counter, ready",
            "certificate served",
            "site /close, password",
            "site /open",
            "nginx generation",
        ],
        "{}",
        render::table(&report, render::Colour::Off, 80)
    );
    assert_eq!(report.exit_code(), 2);
}

/// bug: `return` answers before nginx asks for address or password, and `satisfy any` opens either door.
#[test]
fn a_door_that_stands_open_is_found() {
    let bench = Bench::new();
    // The old worker answers what reached it before: asked until it is gone.
    let unhealthy_after = |generation: &str, close: &str, expected: &[&str]| {
        bench.write_configuration(generation, close);
        bench.nginx(&["-s", "reload"]);
        bench.wait_for_nginx(generation);
        let begun = Instant::now();
        loop {
            let report = bench.run();
            let mut subjects = unhealthy_subjects(&report);
            subjects.retain(|subject| subject.starts_with("site"));
            if subjects == expected {
                return;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "{generation}: {subjects:?}"
            );
            std::thread::sleep(WAIT);
        }
    };
    let open = ["site /close, elsewhere", "site /close, no password"];
    unhealthy_after("g3", "return 200;", &open);
    unhealthy_after("g4", "satisfy any;", &open);
    unhealthy_after("g5", "satisfy all;", &[]);
}

/// A Redis on a socket, as the container has it.
struct Redis {
    dir: tempfile::TempDir,
    socket: PathBuf,
}

impl Redis {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("redis.sock");
        let acl = format!(
            "user default on nopass -@all +ping\nuser counter on #{} ~visits -@all +ping +incr\n",
            mint::redis_password_hash("right")
        );
        let acl_file = dir.path().join("users.acl");
        RealFiles
            .write(&acl_file, acl.as_bytes(), Mode(0o600), &me())
            .unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let args = [
            "--port",
            "0",
            "--daemonize",
            "yes",
            "--save",
            "",
            "--dir",
            &text(dir.path()),
            "--pidfile",
            &text(&dir.path().join("pid")),
            "--unixsocket",
            &text(&socket),
            "--aclfile",
            &text(&acl_file),
        ];
        RealProcesses
            .run_ok(&Invocation::new("redis-server", &args))
            .unwrap();
        for _ in 0..200 {
            if socket.exists()
                && redis::ping(&socket, "counter", "right").verdict == Verdict::Healthy
            {
                return Self { dir, socket };
            }
            std::thread::sleep(WAIT);
        }
        panic!("redis-server does not answer");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let pid = RealFiles
            .read(&self.dir.path().join("pid"))
            .unwrap()
            .unwrap();
        let pid = String::from_utf8_lossy(&pid).trim().parse().unwrap();
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(pid),
            nix::sys::signal::Signal::SIGTERM,
        )
        .unwrap();
    }
}

#[test]
fn redis_is_healthy_only_for_who_can_log_in() {
    let server = Redis::new();
    assert_eq!(
        redis::ping(&server.socket, "counter", "right").verdict,
        Verdict::Healthy
    );
    // The default user may ping without a password: that must not count.
    for (user, password) in [("counter", "wrong"), ("nobody", "right")] {
        let judged = redis::ping(&server.socket, user, password);
        assert_eq!(judged.verdict, Verdict::Unhealthy);
        assert!(judged.reason.contains("WRONGPASS"), "{}", judged.reason);
    }
}
