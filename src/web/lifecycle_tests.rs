//! A service on a real socket, which outlives it as systemd's does.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::routing::{get, post};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use hyperlocal::{UnixConnector, Uri};

use crate::web::envelope::{self, Limits};

use super::*;
use crate::web::metrics::Metrics;

struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    fn bind(directory: &Path) -> Self {
        let path = directory.join("app.sock");
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener, path }
    }

    fn service(&self, router: Router) -> Service {
        let drain = Arc::new(Drain::default());
        Service {
            router: envelope::wrap(
                router,
                &Limits::default(),
                Arc::clone(&drain),
                &Metrics::new(),
            ),
            listeners: vec![self.listener.try_clone().unwrap()],
            private: Router::new(),
            private_listeners: Vec::new(),
            health: Arc::default(),
            drain,
            liveness_path: "/".to_owned(),
        }
    }
}

type HttpClient = Client<UnixConnector, Body>;

fn client() -> HttpClient {
    Client::builder(TokioExecutor::new()).build(UnixConnector)
}

async fn ask(client: &HttpClient, path: &Path, method: &str) -> Result<String, String> {
    let uri: hyper::Uri = Uri::new(path, "/").into();
    let request = hyper::Request::builder().method(method).uri(uri);
    let request = request.body(Body::empty()).map_err(|e| e.to_string())?;
    let response = client
        .request(request)
        .await
        .map_err(|e| format!("{e:?}"))?;
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|e| e.to_string())?;
    match status.is_success() {
        true => Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned()),
        false => Err(status.to_string()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_under_load_lose_no_request_and_count_none_twice() {
    let directory = tempfile::tempdir().unwrap();
    let socket = Socket::bind(directory.path());
    let served = Arc::new(AtomicU64::new(0));
    let router = {
        let served = Arc::clone(&served);
        let count = move || async move { (served.fetch_add(1, Ordering::SeqCst) + 1).to_string() };
        Router::new().route("/", post(count.clone()).get(count))
    };
    let (over, ended) = watch::channel(false);
    let clients: Vec<_> = (0..16)
        .map(|n| {
            let (path, ended) = (socket.path.clone(), ended.clone());
            let method = if n % 2 == 0 { "GET" } else { "POST" };
            tokio::spawn(async move {
                let (client, mut answered) = (client(), 0);
                while !*ended.borrow() {
                    ask(&client, &path, method).await.unwrap();
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    for _ in 0..4 {
        let (stop, stopped) = mpsc::channel(1);
        let run = tokio::spawn(run_until(socket.service(router.clone()), stopped));
        sleep(Duration::from_millis(150)).await;
        stop.send(()).await.unwrap();
        run.await.unwrap().unwrap();
        // the gap in which a new process starts
        sleep(Duration::from_millis(30)).await;
    }
    over.send(true).unwrap();
    let (_stop, stopped) = mpsc::channel(1);
    tokio::spawn(run_until(socket.service(router), stopped));
    let mut answered = 0;
    for client in clients {
        answered += client.await.unwrap();
    }
    assert!(answered > 100, "only {answered} requests");
    assert_eq!(served.load(Ordering::SeqCst), answered);
}

#[tokio::test]
async fn a_request_under_way_is_finished() {
    let directory = tempfile::tempdir().unwrap();
    let socket = Socket::bind(directory.path());
    let slow = || async {
        sleep(Duration::from_millis(600)).await;
        "done"
    };
    let (stop, stopped) = mpsc::channel(1);
    let service = socket.service(Router::new().route("/", get(slow)));
    let run = tokio::spawn(run_until(service, stopped));
    let path = socket.path.clone();
    let answer = tokio::spawn(async move { ask(&client(), &path, "GET").await });
    sleep(Duration::from_millis(100)).await;
    stop.send(()).await.unwrap();
    run.await.unwrap().unwrap();
    assert_eq!(answer.await.unwrap().unwrap(), "done");
}

#[tokio::test]
async fn a_second_signal_does_not_wait() {
    let directory = tempfile::tempdir().unwrap();
    let socket = Socket::bind(directory.path());
    let stuck = || async { sleep(Duration::from_secs(8)).await };
    let (stop, stopped) = mpsc::channel(1);
    let service = socket.service(Router::new().route("/", get(stuck)));
    let run = tokio::spawn(run_until(service, stopped));
    let path = socket.path.clone();
    tokio::spawn(async move { ask(&client(), &path, "GET").await });
    sleep(Duration::from_millis(50)).await;
    let started = Instant::now();
    stop.send(()).await.unwrap();
    stop.send(()).await.unwrap();
    run.await.unwrap().unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn the_watchdog_goes_through_the_door() {
    let directory = tempfile::tempdir().unwrap();
    let socket = Socket::bind(directory.path());
    let (door, open) = watch::channel(true);
    let listener = socket.listener.try_clone().unwrap();
    let (doorway, side_door) =
        Doorway::new(listener, open, Arc::default(), Arc::default()).unwrap();
    let router = Router::new().route("/", get(|| async { "alive" }));
    let (_leave, leaving) = watch::channel(false);
    tokio::spawn(server::serve(doorway, router, leaving));
    assert!(visit(&side_door, "/").await.unwrap());
    assert!(!visit(&side_door, "/absent").await.unwrap());
    door.send(false).unwrap();
    let stuck = timeout(Duration::from_millis(100), visit(&side_door, "/")).await;
    assert!(
        !matches!(stuck, Ok(Ok(true))),
        "a closed door does not answer its watchdog"
    );
}
