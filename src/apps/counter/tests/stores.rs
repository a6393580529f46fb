//! What every store must hold, and what is Redis's own.

#![allow(clippy::disallowed_methods, reason = "a test makes its own files")]

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use super::redis_server::{PASSWORD, RedisServer};
use super::*;

/// One suite for all stores: `open` gives the same store again.
async fn holds(open: impl Fn() -> Arc<dyn Store>) {
    let store = open();
    store.ping().await.unwrap();
    assert_eq!(store.add(1).await, Ok(1));
    assert_eq!(store.add(5).await, Ok(6));
    assert_eq!(store.add(0).await, Ok(6));
    ended_tokens_and_attempts(store.as_ref()).await;
    drop(store);
    let kept = open().revoked(160).await.unwrap();
    assert_eq!(kept, [("b".to_owned(), 200)], "the next process knows them");

    let visits = Arc::new(Visits::start(open(), StoreTimes::new(&Metrics::new())));
    let calls = (0..2000).map(|_| {
        let visits = Arc::clone(&visits);
        tokio::spawn(async move { visits.increment().await.unwrap() })
    });
    let calls: Vec<_> = calls.collect();
    let mut numbers = HashSet::new();
    for call in calls {
        numbers.insert(call.await.unwrap());
    }
    let expected: HashSet<u64> = (7..=2006).collect();
    assert_eq!(
        numbers, expected,
        "each call gets a number of its own, none is left out"
    );
    drop(visits);
    // the writing task ends once nobody can ask it any more
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(open().add(0).await, Ok(2006));
}

async fn ended_tokens_and_attempts(store: &dyn Store) {
    assert_eq!(store.revoked(0).await.unwrap(), []);
    store.revoke("a", 100).await.unwrap();
    store.revoke("b", 200).await.unwrap();
    store.revoke("c", 150).await.unwrap();
    let mut ended = store.revoked(100).await.unwrap();
    ended.sort();
    assert_eq!(
        ended,
        [("a".into(), 100), ("b".into(), 200), ("c".into(), 150)]
    );
    assert_eq!(
        store.revoked(151).await.unwrap(),
        [("b".to_owned(), 200)],
        "what has expired is forgotten"
    );
    for count in 1..=3 {
        assert_eq!(store.attempt("admin", 7).await, Ok(count));
    }
    assert_eq!(store.attempt("bob", 7).await, Ok(1));
    assert_eq!(store.attempt("admin", 8).await, Ok(1), "a new window");
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_holds() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("visits.redb");
    holds(|| Arc::new(Embedded::open(&file).unwrap())).await;
    let mode = std::fs::File::open(&file)
        .unwrap()
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_holds() {
    let directory = tempfile::tempdir().unwrap();
    let server = RedisServer::start(directory.path(), PASSWORD, &[]);
    holds(|| redis(&server.socket, PASSWORD)).await;
}

fn redis(socket: &Path, password: &str) -> Arc<dyn Store> {
    Arc::new(RedisStore::new(socket, "counter", password, "visits").unwrap())
}

#[tokio::test]
async fn a_second_process_cannot_open_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("visits.redb");
    let _first = Embedded::open(&file).unwrap();
    let error = Embedded::open(&file).err().unwrap().to_string();
    assert!(error.contains("visits.redb"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("visits.redb");
    std::fs::write(&file, b"not a database, but somebody's data").unwrap();
    assert!(matches!(Embedded::open(&file), Err(StoreError::Open(_))));
    assert!(std::fs::read(&file).unwrap().starts_with(b"not a database"));
}

#[tokio::test]
async fn redis_refuses_a_wrong_password_and_recovers_when_it_is_right() {
    let directory = tempfile::tempdir().unwrap();
    let server = RedisServer::start(directory.path(), "another", &[]);
    let store = redis(&server.socket, PASSWORD);
    for _ in 0..3 {
        assert!(matches!(store.ping().await, Err(StoreError::Refused(_))));
        assert!(matches!(store.add(1).await, Err(StoreError::Refused(_))));
    }
    drop(server);
    let _server = RedisServer::start(directory.path(), PASSWORD, &[]);
    until_ok(|| store.ping()).await;
    assert_eq!(store.add(1).await, Ok(1));
}

#[tokio::test]
async fn redis_without_a_password_for_us_is_not_healthy() {
    let directory = tempfile::tempdir().unwrap();
    let server = RedisServer::start(directory.path(), PASSWORD, &[]);
    let store = redis(&server.socket, "");
    assert!(
        store.ping().await.is_err(),
        "NOAUTH is not a healthy answer (faults 98)"
    );
}

#[tokio::test]
async fn a_restart_of_redis_loses_no_count() {
    let directory = tempfile::tempdir().unwrap();
    let server = RedisServer::start(directory.path(), PASSWORD, &["--appendfsync", "always"]);
    let store = redis(&server.socket, PASSWORD);
    assert_eq!(store.add(41).await, Ok(41));
    drop(server);
    assert!(store.ping().await.is_err());
    let _server = RedisServer::start(directory.path(), PASSWORD, &["--appendfsync", "always"]);
    until_ok(|| store.ping()).await;
    assert_eq!(store.add(1).await, Ok(42));
}

/// Redis does not start on a file whose end is missing, and nobody repairs it unasked: a repair can cut off most of it.
#[tokio::test]
async fn a_cut_off_file_of_redis_is_not_loaded_in_silence() {
    assert!(
        include_str!("../../../../provision/redis.conf").contains("\naof-load-truncated no\n"),
        "what is installed has it"
    );
    let directory = tempfile::tempdir().unwrap();
    let more = ["--appendfsync", "always", "--aof-load-truncated", "no"];
    let server = RedisServer::start(directory.path(), PASSWORD, &more);
    assert_eq!(redis(&server.socket, PASSWORD).add(41).await, Ok(41));
    drop(server);
    let folder = directory.path().join("appendonlydir");
    let log = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().ends_with(".incr.aof"))
        .unwrap();
    let whole = std::fs::read(&log).unwrap();
    let cut = &whole[..whole.len() - 3];
    std::fs::write(&log, cut).unwrap();
    let socket = directory.path().join("redis.sock");
    std::fs::remove_file(&socket).unwrap();
    let status = std::process::Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--appendonly", "yes"])
        .args(["--aof-load-truncated", "no", "--dir"])
        .arg(directory.path())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success());
    assert_eq!(std::fs::read(&log).unwrap(), cut, "it is as it was");
    let store = redis(&socket, PASSWORD);
    assert!(store.add(1).await.is_err() && store.ping().await.is_err());
    // The owner's decision brings it back.
    std::fs::write(&log, &whole).unwrap();
    let _server = RedisServer::start(directory.path(), PASSWORD, &more);
    until_ok(|| store.ping()).await;
    assert_eq!(store.add(1).await, Ok(42));
}

#[tokio::test]
async fn a_full_redis_is_not_healthy() {
    let directory = tempfile::tempdir().unwrap();
    let more = ["--maxmemory", "1", "--maxmemory-policy", "noeviction"];
    let server = RedisServer::start(directory.path(), PASSWORD, &more);
    let visits = Visits::start(
        redis(&server.socket, PASSWORD),
        StoreTimes::new(&Metrics::new()),
    );
    visits.ping().await.unwrap();
    assert!(matches!(
        visits.increment().await,
        Err(StoreError::NoWrites(_))
    ));
    assert!(
        matches!(visits.ping().await, Err(StoreError::NoWrites(_))),
        "it answers PING, but a write fails (faults 100)"
    );
}

#[tokio::test]
async fn a_hanging_redis_is_given_up_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("redis.sock");
    let _deaf = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let store = redis(&socket, PASSWORD);
    let started = Instant::now();
    assert!(store.add(1).await.is_err());
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
}

async fn until_ok<'a>(ask: impl Fn() -> super::super::store::Reply<'a, ()>) {
    let started = Instant::now();
    while let Err(error) = ask().await {
        assert!(started.elapsed() < Duration::from_secs(5), "still {error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
