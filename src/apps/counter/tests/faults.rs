//! What can be wrong with Redis: the answer is 503, the operator learns why, and nothing is repaired by guessing.

#![allow(clippy::disallowed_methods, reason = "a test makes its own files")]

use std::time::{Duration, Instant};

use super::redis_server::{PASSWORD, RedisServer, rules, write_rules};
use super::*;
use crate::web::health::State;

fn store(server: &RedisServer, password: &str) -> RedisStore {
    RedisStore::new(&server.socket, "counter", password, "visits").unwrap()
}

/// What `systemctl status` and the journal say.
async fn reason(bench: &Bench) -> String {
    let mut health = bench.app.health.subscribe();
    let down = health.wait_for(|state| matches!(state, State::Down(_)));
    let down = tokio::time::timeout(Duration::from_secs(5), down).await;
    format!("{:?}", *down.expect("it is noticed").unwrap())
}

async fn counted(bench: &Bench) -> Value {
    let token = bench.token();
    let started = Instant::now();
    loop {
        let response = bench.count(&token).await;
        if response.status() == StatusCode::OK {
            return json_of(response).await;
        }
        assert!(
            started.elapsed() < Duration::from_secs(6),
            "it did not recover"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Redis loads a value that is damaged without a word (faults 99).
#[tokio::test]
async fn a_count_that_is_no_number_is_503_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let server = RedisServer::start(directory.path(), PASSWORD, &[]);
    server.told(true, "SET visits 12x4");
    let bench = bench(StoreSettings::redis(server.socket.clone()), PASSWORD);
    let upkeep = tokio::spawn(super::super::upkeep(Arc::clone(&bench.app)));
    bench.app.ask_store().await.unwrap();
    let token = bench.token();
    for _ in 0..3 {
        let response = bench.count(&token).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(head(&response, "retry-after"), "2");
    }
    let why = reason(&bench).await;
    assert!(why.contains("the stored count is not usable"), "{why}");
    assert!(why.contains("not an integer"), "{why}");
    assert!(server.told(true, "GET visits").contains("12x4"));
    // What it is to be is the owner's decision.
    server.told(true, "SET visits 41");
    assert_eq!(counted(&bench).await, json!({"visits": 42}));
    upkeep.abort();
}

/// It cannot save, and so refuses writes, though it answers PING (faults 100).
#[tokio::test]
async fn a_redis_that_cannot_save_is_503_until_it_can() {
    let directory = tempfile::tempdir().unwrap();
    // A snapshot cannot replace a directory.
    std::fs::create_dir(directory.path().join("dump.rdb")).unwrap();
    let server = RedisServer::start(directory.path(), PASSWORD, &["--save", "1", "1"]);
    let bench = bench(StoreSettings::redis(server.socket.clone()), PASSWORD);
    let upkeep = tokio::spawn(super::super::upkeep(Arc::clone(&bench.app)));
    bench.app.ask_store().await.unwrap();
    let token = bench.token();
    let (started, mut last) = (Instant::now(), 0);
    loop {
        let response = bench.count(&token).await;
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            break;
        }
        last = json_of(response).await["visits"].as_u64().unwrap();
        assert!(started.elapsed() < Duration::from_secs(10), "it saved");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let why = reason(&bench).await;
    assert!(
        why.contains("does not accept writes") && why.contains("MISCONF"),
        "{why}"
    );
    let ready = bench.get("/flask/health/ready").await;
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    server.told(true, "CONFIG SET stop-writes-on-bgsave-error no");
    assert_eq!(
        counted(&bench).await,
        json!({"visits": last + 1}),
        "none was lost"
    );
    upkeep.abort();
}

/// A large file takes a while to read (faults 101).
#[tokio::test]
async fn while_redis_loads_its_data_it_is_said_so() {
    let directory = tempfile::tempdir().unwrap();
    // Else what it had not yet written is gone with it.
    let server = RedisServer::start(directory.path(), PASSWORD, &["--appendfsync", "always"]);
    let many = "INCRBY visits 1\r\n".repeat(4000);
    server.told(true, many.trim_end());
    drop(server);
    let server = RedisServer::start(directory.path(), PASSWORD, &["--key-load-delay", "500"]);
    let store = store(&server, PASSWORD);
    let (started, mut loading) = (Instant::now(), 0);
    loop {
        match store.ping().await {
            Ok(()) => break,
            Err(StoreError::Loading) => {
                loading += 1;
            }
            Err(StoreError::TimedOut | StoreError::Unreachable(_)) => {}
            Err(other) => panic!("{other}"),
        }
        assert!(started.elapsed() < Duration::from_secs(20), "still loading");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(loading > 0, "it was never seen loading");
    assert_eq!(
        store.add(1).await,
        Ok(4001),
        "no attempt from before counts"
    );
}

/// bug: a binary that a package replaced met the rules of the one before, and said only that Redis refuses.
#[tokio::test]
async fn rules_of_an_older_tavern_are_503_and_the_reason_names_the_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let old = rules(&[PASSWORD])
        .replace(" +zadd +zrange +zremrangebyscore", "")
        .replace(" ~visits:*", "");
    let server = RedisServer::start_with(directory.path(), &old, &[]);
    let bench = bench(StoreSettings::redis(server.socket.clone()), PASSWORD);
    let upkeep = tokio::spawn(super::super::upkeep(Arc::clone(&bench.app)));
    let why = reason(&bench).await;
    assert!(
        why.contains("`sudo tavernctl install`") && why.contains("NoPerm"),
        "{why}"
    );
    let response = bench.count(&bench.token()).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    // What the install does.
    write_rules(directory.path(), &rules(&[PASSWORD]));
    server.told(true, "ACL LOAD");
    assert_eq!(counted(&bench).await, json!({"visits": 1}));
    upkeep.abort();
}

/// Two passwords hold at once, and Redis reads them as it runs when anybody asks it to.
#[tokio::test]
async fn a_new_password_is_taken_beside_the_old_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let server = RedisServer::start(directory.path(), "old", &[]);
    let old = store(&server, "old");
    assert_eq!(old.add(1).await, Ok(1));
    let holds = async |password: &str| {
        // A connection of before is closed by Redis up to 7.0: the next one logs in.
        let fresh = store(&server, password);
        fresh.ping().await
    };
    assert!(matches!(holds("new").await, Err(StoreError::Refused(_))));
    write_rules(directory.path(), &rules(&["new", "old"]));
    assert!(
        server.told(false, "ACL LOAD").starts_with("+OK"),
        "anybody may ask"
    );
    assert_eq!(holds("new").await, Ok(()));
    assert_eq!(holds("old").await, Ok(()));
    write_rules(directory.path(), &rules(&["new"]));
    assert!(server.told(false, "ACL LOAD").starts_with("+OK"));
    assert_eq!(holds("new").await, Ok(()));
    assert!(matches!(holds("old").await, Err(StoreError::Refused(_))));
    assert_eq!(store(&server, "new").add(1).await, Ok(2));
    for more in [
        "GET visits",
        "ACL LIST",
        "ACL SETUSER x on",
        "CONFIG GET dir",
        "ACL WHOAMI",
    ] {
        let answer = server.told(false, more);
        assert!(answer.starts_with("-NOPERM"), "{more}: {answer}");
    }
}
