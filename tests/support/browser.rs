//! A real browser, driven through WebDriver, in the network of a lab host: it comes from 127.0.0.1 as an
//! administrator on the host would.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::lab::Host;

const PORT: u16 = 9515;

/// Ended when dropped, its browser with it.
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
}

impl Browser {
    /// Starts chromedriver and a headless Chromium in the host's network namespace.
    pub fn open(host: &Host, profile: &std::path::Path) -> Self {
        let pid = docker(&["inspect", "--format", "{{.State.Pid}}", host.container()]);
        let driver = Command::new("nsenter")
            .args(["--target", pid.trim(), "--net", "chromedriver"])
            .args([
                format!("--port={PORT}"),
                "--allowed-ips=".to_owned(),
                "--allowed-origins=*".to_owned(),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nsenter and chromedriver are installed by tests/run");
        let address = SocketAddr::new(host.ip(), PORT);
        let begun = Instant::now();
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "chromedriver does not answer"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        let mut browser = Self {
            driver,
            address,
            session: String::new(),
        };
        let arguments = [
            "--headless".to_owned(),
            "--no-sandbox".into(),
            "--disable-gpu".into(),
            "--disable-quic".into(),
            "--no-first-run".into(),
            "--disable-background-networking".into(),
            "--disable-component-update".into(),
            "--disable-sync".into(),
            "--disable-dev-shm-usage".into(),
            "--window-size=1280,1000".into(),
            format!("--user-data-dir={}", profile.display()),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "acceptInsecureCerts": true,
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": arguments},
        }}});
        let answer = browser.send("POST", "/session", &wanted);
        browser.session = answer["sessionId"].as_str().expect("a session").to_owned();
        browser
    }

    /// A WebDriver command of this session.
    pub fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        self.send(method, &format!("/session/{}{path}", self.session), body)
    }

    /// A command of Chromium's own protocol.
    pub fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.command(
            "POST",
            "/goog/cdp/execute",
            &json!({"cmd": command, "params": parameters}),
        )
    }

    /// Opens a page and waits until it and its frames are loaded.
    pub fn visit(&self, url: &str) {
        self.command("POST", "/url", &json!({"url": url}));
    }

    /// The value of a script in the frame that is current.
    pub fn script(&self, script: &str) -> Value {
        self.command(
            "POST",
            "/execute/sync",
            &json!({"script": script, "args": []}),
        )
    }

    /// What the console complained of since it was last asked.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.command("POST", "/se/log", &json!({"type": "browser"}));
        let entries = log.as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .map(|entry| entry["message"].to_string())
            .collect()
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if method != "POST" {
            String::new()
        } else {
            body.to_string()
        };
        let mut stream = TcpStream::connect(self.address).expect("chromedriver listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("a timeout");
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .expect("a request");
        // chromedriver keeps the connection open whatever it is told.
        let mut answer = BufReader::new(stream);
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            answer.read_line(&mut line).expect("a header");
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if line.trim().is_empty() {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        answer.read_exact(&mut body).expect("a body");
        let body = String::from_utf8_lossy(&body);
        let value: Value =
            serde_json::from_str(&body).unwrap_or_else(|_| panic!("not JSON: {head} {body}"));
        assert!(head.starts_with("HTTP/1.1 200"), "{method} {path}: {body}");
        value["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.command("DELETE", "", &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The main page shows its three sites, and the console says nothing.
pub fn shows_three_frames(host: &Host, site_password: &str) {
    let profile = tempfile::tempdir().expect("a temporary directory");
    let browser = Browser::open(host, profile.path());
    // The password that the /close frame asks for.
    let login = host.ok(&format!("printf %s 'admin:{site_password}' | base64 -w0"));
    browser.devtools("Network.enable", &json!({}));
    browser.devtools(
        "Network.setExtraHTTPHeaders",
        &json!({"headers": {"Authorization": format!("Basic {}", login.trim())}}),
    );
    browser.visit("https://localhost/");
    let frames = browser.script(
        "return [...document.querySelectorAll('iframe')].map(f => { f.loading = 'eager'; return f.src })",
    );
    let frames: Vec<String> = frames
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|f| f.as_str().map(str::to_owned))
        .collect();
    let paths: Vec<_> = frames
        .iter()
        .map(|f| f.trim_start_matches("https://localhost"))
        .collect();
    assert_eq!(paths, ["/open/", "/close/", "/flask/"]);
    for (index, path) in paths.iter().enumerate() {
        let begun = Instant::now();
        loop {
            browser.command("POST", "/frame", &json!({"id": index}));
            let seen = browser.script(
                "return [location.pathname, document.readyState, document.body.innerText.length]",
            );
            browser.command("POST", "/frame", &json!({"id": null}));
            if seen[0] == **path && seen[1] == "complete" && seen[2].as_u64() > Some(20) {
                break;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "{path} did not load: {seen}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    if let Ok(directory) = std::env::var("TAVERN_SHOTS") {
        screenshot(&browser, &format!("{directory}/main.png"));
    }
    browser.visit("https://localhost/flask/swagger/");
    let begun = Instant::now();
    while browser
        .script("return document.querySelectorAll('.opblock').length")
        .as_u64()
        < Some(3)
    {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "Swagger UI shows no operation"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

fn screenshot(browser: &Browser, path: &str) {
    let image = browser.command("GET", "/screenshot", &Value::Null);
    let mut decoder = Command::new("base64")
        .args(["--decode"])
        .stdin(Stdio::piped())
        .stdout(std::fs::File::create(path).expect("a file"))
        .spawn()
        .expect("base64");
    decoder
        .stdin
        .take()
        .expect("stdin")
        .write_all(image.as_str().unwrap_or_default().as_bytes())
        .expect("written");
    decoder.wait().expect("ended");
}

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker")
        .args(arguments)
        .output()
        .expect("docker");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
