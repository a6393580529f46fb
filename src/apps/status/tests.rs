use std::path::Path;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;

const PAGE: [&str; 4] = [
    include_str!("page/index.html"),
    include_str!("page/style.css"),
    include_str!("page/draw.js"),
    include_str!("page/page.js"),
];

fn page(snapshot: &Path) -> Arc<Page> {
    Arc::new(Page {
        feed: Feed::new(snapshot.to_owned()),
        streams: Streams::default(),
        drain: Arc::default(),
    })
}

fn snapshot(time: u64) -> Value {
    json!({
        "version": 1, "time": time, "host": "vm\u{1b}[2J<script>",
        "probes": [{"name": "nginx", "subject": "nginx", "verdict": "healthy", "since": 1, "reason": "ok"}],
        "sites": [{"name": "a", "requests": 3, "statuses": [0, 3, 0, 0, 0], "p50_ms": 1.0, "p99_ms": 2.5}],
        "days": {"today": 20777, "probes": {"nginx": [[20777, 9, 1, 0]]}},
    })
}

#[allow(clippy::disallowed_methods, reason = "as the supervisor writes it")]
fn write(path: &Path, text: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, text).unwrap();
    std::fs::rename(&next, path).unwrap();
}

async fn get(page: &Arc<Page>, path: &str) -> Response {
    let request = Request::get(path).body(Body::empty()).unwrap();
    router(Arc::clone(page), &["/tavern", "/a/b", ""].into())
        .oneshot(request)
        .await
        .unwrap()
}

async fn value(page: &Arc<Page>, path: &str) -> Value {
    let response = get(page, path).await;
    assert_eq!(response.headers()["content-type"], "application/json");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn the_snapshot_is_shown_in_two_parts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("snapshot.json");
    let page = page(&path);
    page.feed.look();
    assert_eq!(value(&page, "/now.json").await, Value::Null);
    assert!(page.feed.trouble().is_some());

    let time = feed::seconds();
    write(&path, &snapshot(time).to_string());
    page.feed.look();
    assert_eq!(page.feed.trouble(), None);
    let (now, history) = (
        value(&page, "/now.json").await,
        value(&page, "/history.json").await,
    );
    assert_eq!(now["host"], "vm\u{1b}[2J<script>");
    assert_eq!(now["days"], Value::Null);
    assert_eq!(now["edition"], history["edition"]);
    assert_eq!(history["days"]["probes"]["nginx"][0][2], 1);
    assert_eq!(history["charts"]["a"]["requests"], json!([3]));

    // What is no snapshot of ours changes nothing of what is shown.
    for wrong in [
        "{",
        "[]",
        &json!({"version": 2, "time": time}).to_string(),
        "null",
    ] {
        write(&path, wrong);
        page.feed.look();
        assert!(page.feed.trouble().is_some(), "{wrong}");
        assert_eq!(value(&page, "/now.json").await, now);
    }
    write(&path, &snapshot(time - feed::STALE - 5).to_string());
    page.feed.look();
    assert!(page.feed.trouble().unwrap().contains("nothing for"));
}

#[tokio::test]
async fn what_changes_is_told_and_a_stream_ends_with_the_service() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("snapshot.json");
    let page = page(&path);
    let time = feed::seconds();
    write(&path, &snapshot(time).to_string());
    page.feed.look();
    let response = get(&page, "/events").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let mut body = response.into_body();
    let mut event = async || {
        let frame = body.frame().await?.unwrap().into_data().unwrap();
        Some(String::from_utf8(frame.to_vec()).unwrap())
    };
    let first = event().await.unwrap();
    assert!(first.starts_with("event: now\ndata: {"), "{first}");
    // An escape or a line end of somebody's cannot end the event.
    assert_eq!(first.trim_end().lines().count(), 2, "{first}");
    let mut next = snapshot(time);
    next["host"] = "another".into();
    write(&path, &next.to_string());
    page.feed.look();
    assert!(event().await.unwrap().contains("\"another\""));
    page.drain.start();
    assert_eq!(event().await, None);
}

#[tokio::test]
async fn not_everybody_can_listen_at_once() {
    let page = page(Path::new("/nonexistent/snapshot.json"));
    let mut open = Vec::new();
    loop {
        let response = get(&page, "/events").await;
        if response.status() != StatusCode::OK {
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            break;
        }
        open.push(response);
        assert!(open.len() < 1000);
    }
    open.pop();
    assert_eq!(get(&page, "/events").await.status(), StatusCode::OK);
}

/// Row of hostile log lines: no text can become markup, whatever it is.
#[tokio::test]
async fn nothing_is_inline_from_elsewhere_or_made_of_text() {
    let page = page(Path::new("/nonexistent/snapshot.json"));
    let response = get(&page, "/").await;
    let policy = response.headers()["content-security-policy"]
        .to_str()
        .unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(!policy.contains("unsafe") && policy.contains("require-trusted-types-for 'script'"));
    for text in PAGE {
        for bad in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "DOMParser",
            "createContextualFragment",
            " style=",
            "<style",
            " onclick",
            "//cdn",
            "https://",
            "javascript:",
            "@import",
        ] {
            assert!(!text.contains(bad), "{bad} in {}", &text[..60]);
        }
    }
    let scripts = PAGE[0].matches("<script").count();
    assert_eq!(scripts, PAGE[0].matches("<script src=").count());
    for asset in [
        "/style.css",
        "/page.js",
        "/draw.js",
        "/favicon.svg",
        "/health/live",
    ] {
        assert_eq!(get(&page, asset).await.status(), StatusCode::OK, "{asset}");
    }
    for path in ["/tavern/", "/tavern/page.js", "/a/b/", "/a/b/now.json"] {
        assert_eq!(get(&page, path).await.status(), StatusCode::OK, "{path}");
    }
    for path in [
        "/../secret",
        "/tavern/../page.js",
        "/tavern/x/page.js",
        "/a/page.js",
        "/t%61vern/page.js",
    ] {
        assert_eq!(
            get(&page, path).await.status(),
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}
