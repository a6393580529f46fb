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
    ///
    /// `strategy` is WebDriver's: what a visit waits for, "normal" for all of the page, "none" for nothing.
    pub fn open(host: &Host, profile: &std::path::Path, strategy: &str) -> Self {
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
            "pageLoadStrategy": strategy,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
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
        self.log("browser")
            .iter()
            .map(|entry| entry["message"].to_string())
            .collect()
    }

    /// What the network was asked and what came back, since it was last asked for.
    pub fn network(&self) -> Vec<Value> {
        let events = self.log("performance").into_iter().map(|entry| {
            let text = entry["message"].as_str().expect("a message");
            let event: Value = serde_json::from_str(text).expect("an event is JSON");
            event["message"].clone()
        });
        events.collect()
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        let log = self.command("POST", "/se/log", &json!({"type": kind}));
        log.as_array().expect("a list of entries").clone()
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        self.ask(method, path, body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = if method == "POST" {
            body.to_string()
        } else {
            String::new()
        };
        let said = |error: std::io::Error| error.to_string();
        let mut stream = TcpStream::connect(self.address).map_err(said)?;
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .map_err(said)?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .map_err(said)?;
        // chromedriver keeps the connection open whatever it is told.
        let mut answer = BufReader::new(stream);
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            answer.read_line(&mut line).map_err(said)?;
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value
                    .trim()
                    .parse()
                    .map_err(|_| format!("no length in {line}"))?;
            }
            if line.trim().is_empty() {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        answer.read_exact(&mut body).map_err(said)?;
        let body = String::from_utf8_lossy(&body);
        let value: Value =
            serde_json::from_str(&body).map_err(|_| format!("not JSON: {head} {body}"))?;
        if head.starts_with("HTTP/1.1 200") {
            Ok(value["value"].clone())
        } else {
            Err(body.into_owned())
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Also when a test fails: chromedriver, once killed, would leave its browser behind.
        if !self.session.is_empty() {
            let _ = self.ask(
                "DELETE",
                &format!("/session/{}", self.session),
                &Value::Null,
            );
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

const MAIN: &str = "https://localhost/";
const CLOSE: &str = "https://localhost/close/";
const SITES: [&str; 3] = ["/open/", "/close/", "/flask/"];

/// The main page shows its three sites: to who gives no password two and a question, to who does all
/// three, on a wide screen and on a narrow one.
pub fn shows_three_frames(host: &Host, site_password: &str) {
    close_asks_for_a_password(host);

    // From here on the password that the /close frame asks for is given with every request.
    let profile = tempfile::tempdir().expect("a temporary directory");
    let browser = Browser::open(host, profile.path(), "normal");
    let login = host.ok(&format!("printf %s 'admin:{site_password}' | base64 -w0"));
    browser.devtools("Network.enable", &json!({}));
    browser.devtools(
        "Network.setExtraHTTPHeaders",
        &json!({"headers": {"Authorization": format!("Basic {}", login.trim())}}),
    );
    browser.visit(MAIN);
    frames_show(&browser, &SITES);
    browser.script("scrollTo(0, 0)");
    if let Ok(directory) = std::env::var("TAVERN_SHOTS") {
        screenshot(&browser, &format!("{directory}/main.png"));
    }
    swagger_shows_its_operations(&browser);
    fits_a_telephone(&browser);
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// Without a password the others load, and the /close frame asks for one: Chromium holds the answer
/// back, from its protocol and its console too, until somebody answers the prompt. So the frame is
/// seen to have asked /close/ and to wait, and what it was told is seen by a request of the page's
/// that may not prompt.
///
/// The one console entry allowed is Chromium's own "Failed to load resource … 401" for that request:
/// it writes it for every answer from 400 up, no page can keep it from doing so, and to be refused
/// here is right.
fn close_asks_for_a_password(host: &Host) {
    let profile = tempfile::tempdir().expect("a temporary directory");
    // A visit that were waited for would wait for the prompt's answer.
    let browser = Browser::open(host, profile.path(), "none");
    browser.visit(MAIN);
    until("the main page", || {
        let seen = browser.script(
            "return [location.href, document.readyState, document.querySelectorAll('iframe').length]",
        );
        if seen[0] == MAIN && seen[1] != "loading" && seen[2] == 3 {
            Ok(())
        } else {
            Err(seen)
        }
    });
    frames_show(&browser, &["/open/", "/flask/"]);
    browser.script("document.querySelectorAll('iframe')[1].scrollIntoView()");
    let mut events = Vec::new();
    until("the /close frame's request", || {
        events.extend(browser.network());
        let is_there = events.iter().any(|event| {
            event["method"] == "Network.requestWillBeSent"
                && event["params"]["type"] == "Document"
                && event["params"]["request"]["url"] == CLOSE
        });
        if is_there { Ok(()) } else { Err(Value::Null) }
    });
    // Were it refused without a question, or let in, it would show that well within this time.
    std::thread::sleep(Duration::from_secs(2));
    events.extend(browser.network());
    let answered = |event: &&Value| {
        event["method"] == "Network.responseReceived" && event["params"]["response"]["url"] == CLOSE
    };
    assert_eq!(events.iter().find(answered), None);
    let shown = browser.script(
        "const frame = document.querySelectorAll('iframe')[1]; \
         return [frame.contentWindow.location.href, frame.contentDocument.body.innerText]",
    );
    assert_eq!(shown, json!(["about:blank", ""]));
    assert_eq!(browser.complaints(), Vec::<String>::new());

    let told = browser.script(
        "return fetch('/close/', {credentials: 'omit'}) \
         .then(answer => [answer.status, answer.headers.get('www-authenticate')])",
    );
    assert_eq!(told[0], 401, "{told}");
    let challenge = told[1].as_str().unwrap_or_default();
    assert!(challenge.starts_with("Basic realm="), "{told}");
    let complaints = browser.complaints();
    assert!(
        complaints.len() == 1
            && complaints[0].contains(CLOSE)
            && complaints[0].contains("Failed to load resource")
            && complaints[0].contains("401"),
        "{complaints:#?}"
    );
}

/// Scrolls to each of these frames, as who reads on does (two load only then), and waits until it
/// shows its site.
fn frames_show(browser: &Browser, paths: &[&str]) {
    let sources = browser.script(
        "return [...document.querySelectorAll('iframe')].map(f => new URL(f.src).pathname)",
    );
    assert_eq!(sources, json!(SITES));
    for (index, path) in SITES.iter().enumerate() {
        if !paths.contains(path) {
            continue;
        }
        browser.script(&format!(
            "document.querySelectorAll('iframe')[{index}].scrollIntoView()"
        ));
        until(&format!("{path} in its frame"), || {
            browser.command("POST", "/frame", &json!({"id": index}));
            let seen = browser.script(
                "return [location.pathname, document.readyState, document.body?.innerText ?? '']",
            );
            browser.command("POST", "/frame", &json!({"id": null}));
            // An error page of nginx begins with the status.
            let text = seen[2].as_str().unwrap_or_default();
            let is_there = seen[0] == **path
                && seen[1] == "complete"
                && text.len() > 20
                && !text.starts_with(|c: char| c.is_ascii_digit());
            if is_there { Ok(()) } else { Err(seen) }
        });
    }
}

fn swagger_shows_its_operations(browser: &Browser) {
    browser.visit("https://localhost/flask/swagger/");
    until("Swagger UI's three operations", || {
        let blocks = browser.script("return document.querySelectorAll('.opblock').length");
        if blocks.as_u64() >= Some(3) {
            Ok(())
        } else {
            Err(blocks)
        }
    });
}

/// 390 pixels wide: nothing to scroll sideways, and the frames one below the other.
fn fits_a_telephone(browser: &Browser) {
    const WIDTH: f64 = 390.0;
    browser.devtools(
        "Emulation.setDeviceMetricsOverride",
        &json!({"width": WIDTH, "height": 844, "deviceScaleFactor": 3, "mobile": true}),
    );
    browser.visit(MAIN);
    frames_show(browser, &SITES);
    let widths = browser.script(
        "return [innerWidth, document.documentElement.scrollWidth, document.documentElement.clientWidth]",
    );
    // Where a page is too wide, Chromium widens what it calls the window: both are compared with the screen.
    assert_eq!(widths[0].as_f64(), Some(WIDTH), "{widths}");
    assert!(widths[1].as_f64() <= Some(WIDTH), "{widths}");
    let boxes = browser.script(
        "return [...document.querySelectorAll('iframe')].map(f => f.getBoundingClientRect()).map(b => [b.left, b.right, b.top, b.bottom])",
    );
    let boxes: Vec<[f64; 4]> = serde_json::from_value(boxes).expect("four numbers a frame");
    assert_eq!(boxes.len(), SITES.len());
    for [left, right, top, bottom] in &boxes {
        let is_seen = *left >= 0.0 && *right <= WIDTH && right - left > WIDTH / 2.0;
        assert!(is_seen && bottom > top, "{boxes:?}");
    }
    let is_column = boxes
        .windows(2)
        .all(|two| (two[0][0] - two[1][0]).abs() < 1.0 && two[0][3] <= two[1][2]);
    assert!(is_column, "the frames are not in one column: {boxes:?}");
    browser.script("scrollTo(0, 0)");
    if let Ok(directory) = std::env::var("TAVERN_SHOTS") {
        screenshot(browser, &format!("{directory}/narrow.png"));
    }
    browser.devtools("Emulation.clearDeviceMetricsOverride", &json!({}));
}

/// Asks again until the answer is `Ok`.
fn until(what: &str, mut ask: impl FnMut() -> Result<(), Value>) {
    let begun = Instant::now();
    while let Err(seen) = ask() {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "waited for {what}, saw {seen}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

pub fn screenshot(browser: &Browser, path: &str) {
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
