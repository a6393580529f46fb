//! Tokens from the login to their end, and what limits it.

use super::redis_server::{PASSWORD, RedisServer};
use super::*;

async fn token_of(response: Response) -> String {
    assert_eq!(response.status(), StatusCode::OK);
    json_of(response).await["token"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn error_of(response: Response, status: StatusCode) -> String {
    assert_eq!(response.status(), status);
    json_of(response).await["error"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_token_is_renewed_once_and_the_old_one_ends() {
    let directory = tempfile::tempdir().unwrap();
    let bench = embedded(directory.path());
    let first = token_of(bench.login_from("192.0.2.1", "admin", "password").await).await;
    let response = bench.post("/flask/auth/refresh", &first).await;
    assert_eq!(
        head(&response, "ratelimit-policy"),
        "\"renewals\";q=60;w=60"
    );
    let second = token_of(response).await;
    assert_eq!(bench.count(&second).await.status(), StatusCode::OK);
    let response = bench.post("/flask/auth/refresh", &first).await;
    let error = error_of(response, StatusCode::UNAUTHORIZED).await;
    assert_eq!(error, "Token has ended");
    let error = error_of(bench.count(&first).await, StatusCode::UNAUTHORIZED).await;
    assert_eq!(error, "Token has ended");
}

#[tokio::test]
async fn of_many_renewals_of_one_token_one_works() {
    let directory = tempfile::tempdir().unwrap();
    let bench = embedded(directory.path());
    let token = bench.token();
    let all = (0..20).map(|_| bench.post("/flask/auth/refresh", &token));
    let all = futures_util::future::join_all(all).await;
    let good = all
        .iter()
        .filter(|response| response.status() == StatusCode::OK);
    assert_eq!(good.count(), 1);
}

/// bug: whose answer was lost and asked again was told 401, as if the token were somebody else's.
#[tokio::test]
async fn logging_out_twice_is_logged_out() {
    let directory = tempfile::tempdir().unwrap();
    let bench = embedded(directory.path());
    let token = bench.token();
    for _ in 0..3 {
        let response = bench.post("/flask/auth/logout", &token).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
    }
    let both = (0..8).map(|_| bench.post("/flask/auth/logout", &token));
    for response in futures_util::future::join_all(both).await {
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
    }
    let error = error_of(bench.count(&token).await, StatusCode::UNAUTHORIZED).await;
    assert_eq!(error, "Token has ended");
    let response = bench.post("/flask/auth/logout", "a.b.c").await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

/// While the store is away nobody is told that a token has ended, and it goes on.
#[tokio::test]
async fn a_logout_that_could_not_be_kept_is_503_and_the_token_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let server = RedisServer::start(directory.path(), PASSWORD, &[]);
    let bench = bench(StoreSettings::redis(server.socket.clone()), PASSWORD);
    bench.app.ask_store().await.unwrap();
    let token = bench.token();
    drop(server);
    for _ in 0..2 {
        let response = bench.post("/flask/auth/logout", &token).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    let _server = RedisServer::start(directory.path(), PASSWORD, &[]);
    let started = std::time::Instant::now();
    while bench.app.ask_store().await.is_err() {
        assert!(started.elapsed() < Duration::from_secs(5), "no Redis");
    }
    assert_eq!(bench.count(&token).await.status(), StatusCode::OK);
    let response = bench.post("/flask/auth/logout", &token).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_logout_survives_a_restart_of_the_app() {
    let directory = tempfile::tempdir().unwrap();
    let token = {
        let bench = embedded(directory.path());
        let token = bench.token();
        let response = bench.post("/flask/auth/logout", &token).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(bench.count(&token).await.status(), StatusCode::UNAUTHORIZED);
        token
    };
    // the writing task of the first one lets go of the file
    tokio::time::sleep(Duration::from_millis(100)).await;
    let bench = embedded(directory.path());
    bench.app.ask_store().await.unwrap();
    let ended = bench.app.store.revoked(0).await.unwrap();
    assert_eq!(ended.len(), 1);
    bench.app.revocations.load(ended);
    assert_eq!(bench.count(&token).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(bench.count(&bench.token()).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_logout_survives_a_restart_with_redis() {
    let directory = tempfile::tempdir().unwrap();
    let server = RedisServer::start(directory.path(), PASSWORD, &[]);
    let store = StoreSettings::redis(server.socket.clone());
    let first = bench(store.clone(), PASSWORD);
    first.app.ask_store().await.unwrap();
    let token = first.token();
    let response = first.post("/flask/auth/logout", &token).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let second = bench(store, PASSWORD);
    second.app.ask_store().await.unwrap();
    let error = error_of(second.count(&token).await, StatusCode::UNAUTHORIZED).await;
    assert_eq!(error, "Token has ended");
    assert_eq!(second.count(&second.token()).await.status(), StatusCode::OK);
}

/// Until the ended tokens are known none is taken for good, and a request waits a little for them.
#[tokio::test]
async fn before_the_ended_tokens_are_known_nobody_is_let_in() {
    let directory = tempfile::tempdir().unwrap();
    let server = RedisServer::start(directory.path(), PASSWORD, &[]);
    let bench = bench(StoreSettings::redis(server.socket.clone()), PASSWORD);
    let token = bench.token();
    let asked = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        bench.app.ask_store().await.unwrap();
    };
    let (response, ()) = tokio::join!(bench.count(&token), asked);
    assert_eq!(
        response.status(),
        StatusCode::OK,
        "a restart loses no request"
    );

    drop(server);
    let away = super::bench(
        StoreSettings::redis(directory.path().join("redis.sock")),
        PASSWORD,
    );
    let response = away.count(&token).await;
    assert_eq!(head(&response, "retry-after"), "2");
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn the_token_of_an_account_that_left_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let bench = embedded(directory.path());
    let token = bench.app.tokens.issue("carol").unwrap();
    let error = error_of(bench.count(&token).await, StatusCode::UNAUTHORIZED).await;
    assert_eq!(error, "The account is no longer there");
}

#[tokio::test]
async fn renewals_are_limited_per_account() {
    let directory = tempfile::tempdir().unwrap();
    let bench = embedded(directory.path());
    let mut token = bench.token();
    for _ in 0..60 {
        token = token_of(bench.post("/flask/auth/refresh", &token).await).await;
    }
    let response = bench.post("/flask/auth/refresh", &token).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        bench.count(&token).await.status(),
        StatusCode::OK,
        "it still holds"
    );
    let bob = bench.app.tokens.issue("bob").unwrap();
    let response = bench.post("/flask/auth/refresh", &bob).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_login_says_what_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let bench = embedded(directory.path());
    let policy = "\"address\";q=10;w=60, \"network\";q=60;w=60, \"account\";q=30;w=60";
    for (password, left) in [("password", 9), ("wrong", 8)] {
        let response = bench.login_from("192.0.2.1", "admin", password).await;
        assert_eq!(head(&response, "ratelimit-policy"), policy);
        let limit = head(&response, "ratelimit");
        assert!(
            limit.starts_with(&format!("\"address\";r={left};t=")),
            "{limit}"
        );
    }
    for _ in 0..8 {
        bench.login_from("192.0.2.1", "admin", "wrong").await;
    }
    let response = bench.login_from("192.0.2.1", "admin", "wrong").await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(head(&response, "ratelimit").starts_with("\"address\";r=0;t="));
}

/// What the store counts does not begin anew with the process.
#[tokio::test]
async fn a_restart_does_not_reset_the_limit_of_an_account() {
    let directory = tempfile::tempdir().unwrap();
    let server = RedisServer::start(directory.path(), PASSWORD, &[]);
    let mut refused = 0;
    // the window may change once meanwhile
    for process in 0..6u8 {
        let bench = bench(StoreSettings::redis(server.socket.clone()), PASSWORD);
        for n in 0..30u8 {
            let response = bench
                .login_from(&format!("192.0.2.{}", process * 40 + n), "admin", "wrong")
                .await;
            refused += u32::from(response.status() == StatusCode::TOO_MANY_REQUESTS);
        }
    }
    assert!(refused >= 180 - 120, "{refused} of 180 were refused");
}

#[tokio::test]
async fn without_the_store_that_counts_attempts_nobody_logs_in() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("redis.sock");
    let bench = bench(StoreSettings::redis(socket), PASSWORD);
    let response = bench.login_from("192.0.2.1", "admin", "password").await;
    assert_eq!(head(&response, "retry-after"), "2");
    let error = error_of(response, StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(error, "Logging in is not possible now");
    let _server = RedisServer::start(directory.path(), PASSWORD, &[]);
    bench.app.ask_store().await.unwrap();
    let response = bench.login_from("192.0.2.1", "admin", "password").await;
    assert_eq!(response.status(), StatusCode::OK);
}

/// Ten thousand wrong logins from a thousand addresses: throttled, memory bounded, others not affected.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_wrong_logins() {
    let directory = tempfile::tempdir().unwrap();
    let bench = embedded(directory.path());
    let mut verified = 0;
    for n in 0..10_000u32 {
        let [_, _, high, low] = (n % 1000).to_be_bytes();
        let response = bench
            .login_from(&format!("198.51.{high}.{low}"), "admin", "wrong")
            .await;
        match response.status() {
            StatusCode::UNAUTHORIZED => verified += 1,
            StatusCode::TOO_MANY_REQUESTS => {}
            other => panic!("{other}"),
        }
    }
    assert!(verified <= 120, "{verified} guesses were looked at");
    let response = bench.login_from("203.0.113.5", "bob", "password").await;
    assert_eq!(
        response.status(),
        StatusCode::OK,
        "another user is not affected"
    );
    assert_eq!(bench.count(&bench.token()).await.status(), StatusCode::OK);
}

/// Names that nobody has, from a thousand networks: who has an account logs in meanwhile, each time.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_names_leaves_others_alone() {
    let directory = tempfile::tempdir().unwrap();
    let server = RedisServer::start(directory.path(), PASSWORD, &[]);
    let bench = bench(StoreSettings::redis(server.socket.clone()), PASSWORD);
    bench.app.ask_store().await.unwrap();
    let flood = (0..2000u32).map(|n| {
        let [_, _, high, low] = (n / 2).to_be_bytes();
        let (bench, address) = (&bench, format!("100.{high}.{low}.1"));
        async move {
            let name = format!("somebody{n}");
            let response = bench.login_from(&address, &name, "wrong").await;
            response.status()
        }
    });
    let owner = async {
        let mut answers = Vec::new();
        for n in 0..8 {
            let address = format!("203.0.113.{n}");
            for user in ["admin", "bob"] {
                let response = bench.login_from(&address, user, "password").await;
                answers.push(response.status());
            }
        }
        answers
    };
    let (flood, owner) = tokio::join!(futures_util::future::join_all(flood), owner);
    assert!(
        flood
            .iter()
            .all(|status| *status == StatusCode::UNAUTHORIZED)
    );
    assert!(
        owner.iter().all(|status| *status == StatusCode::OK),
        "{owner:?}"
    );
}

#[tokio::test]
async fn logins_and_requests_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let bench = embedded(directory.path());
    let token = token_of(bench.login_from("192.0.2.1", "admin", "password").await).await;
    bench.login_from("192.0.2.1", "admin", "wrong").await;
    bench.count(&token).await;
    bench.metrics.upkeep();
    let router = crate::web::metrics::router(bench.metrics.clone());
    let request = Request::get("/metrics").body(Body::empty()).unwrap();
    let shown = text(router.oneshot(request).await.unwrap()).await;
    for line in [
        r#"tavern_logins_total{outcome="accepted"} 1"#,
        r#"tavern_logins_total{outcome="refused"} 1"#,
        r#"tavern_requests_total{route="/flask/auth/login",method="POST",status="401"} 1"#,
        r#"tavern_requests_total{route="/flask/api/count",method="GET",status="200"} 1"#,
        r#"tavern_store_duration_seconds_count{operation="add"} 1"#,
        "tavern_visits_total 1",
    ] {
        assert!(shown.lines().any(|l| l == line), "no {line} in\n{shown}");
    }
    assert!(!shown.contains(&token) && !shown.contains("wrong"));
}
