//! The API through its routes.

use std::time::{Duration, Instant};

use super::redis_server::{PASSWORD, RedisServer};
use super::*;

async fn problem(response: Response, status: StatusCode, error: &str) -> Value {
    assert_eq!(response.status(), status);
    assert_eq!(head(&response, "content-type"), "application/problem+json");
    let id = head(&response, "x-request-id").to_owned();
    let body = json_of(response).await;
    assert_eq!(body["type"], "about:blank");
    assert_eq!(body["status"], status.as_u16());
    assert_eq!(body["error"], error);
    assert_eq!(body["request_id"], id);
    body
}

#[tokio::test]
async fn ping_is_exactly_the_seeds() {
    let directory = tempfile::tempdir().unwrap();
    let bench = embedded(directory.path());
    let response = bench.get("/flask/api/ping").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(head(&response, "content-type"), "application/json");
    assert_eq!(text(response).await, r#"{"status":"ok"}"#);
}

#[tokio::test]
async fn login_and_count() {
    let directory = tempfile::tempdir().unwrap();
    let bench = embedded(directory.path());
    let response = bench.login_from("192.0.2.1", "admin", "password").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(head(&response, "cache-control"), "no-store");
    let body = json_of(response).await;
    let token = body["token"].as_str().unwrap();
    for visits in 1..=3 {
        let response = bench.count(token).await;
        assert_eq!(json_of(response).await, json!({"visits": visits}));
    }
}

#[tokio::test]
async fn head_does_not_count() {
    let directory = tempfile::tempdir().unwrap();
    let bench = embedded(directory.path());
    let bearer = format!("bearer {}", bench.token());
    let request = Request::head("/flask/api/count").header(header::AUTHORIZATION, bearer);
    let response = bench.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    let body = json_of(bench.count(&bench.token()).await).await;
    assert_eq!(body["visits"], 1);
}

#[tokio::test]
async fn without_a_good_token_401_says_what_to_send() {
    let directory = tempfile::tempdir().unwrap();
    let bench = embedded(directory.path());
    let response = bench.get("/flask/api/count").await;
    assert_eq!(head(&response, "www-authenticate"), "Bearer");
    problem(response, StatusCode::UNAUTHORIZED, "Token is missing").await;
    let response = bench.count("a.b.c").await;
    assert_eq!(
        head(&response, "www-authenticate"),
        "Bearer error=\"invalid_token\""
    );
    problem(response, StatusCode::UNAUTHORIZED, "Token is invalid").await;
    let token = bench.token();
    let twice = Request::get("/flask/api/count")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::AUTHORIZATION, "Bearer other");
    let response = bench.send(twice.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    for scheme in ["Basic", "Bearer:", ""] {
        let request = Request::get("/flask/api/count")
            .header(header::AUTHORIZATION, format!("{scheme} {token}"));
        let response = bench.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{scheme}");
    }
}

#[tokio::test]
async fn a_wrong_name_and_a_wrong_password_answer_alike() {
    let directory = tempfile::tempdir().unwrap();
    let bench = embedded(directory.path());
    let mut bodies = Vec::new();
    for (user, password) in [("admin", "wrong"), ("nobody", "password")] {
        let response = bench.login_from("192.0.2.1", user, password).await;
        assert_eq!(head(&response, "www-authenticate"), "Bearer");
        let mut body = problem(
            response,
            StatusCode::UNAUTHORIZED,
            "Wrong username or password",
        )
        .await;
        body["request_id"] = json!("");
        bodies.push(body);
    }
    assert_eq!(bodies[0], bodies[1]);
}

#[tokio::test]
async fn guessing_is_throttled_and_others_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let bench = embedded(directory.path());
    let mut throttled = 0;
    for _ in 0..100 {
        let response = bench.login_from("192.0.2.1", "admin", "wrong").await;
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            throttled += 1;
            let seconds: u64 = head(&response, "retry-after").parse().unwrap();
            assert!((1..=60).contains(&seconds));
        }
    }
    assert_eq!(throttled, 90);
    for user in ["admin", "bob"] {
        let response = bench.login_from("192.0.2.2", user, "password").await;
        assert_eq!(response.status(), StatusCode::OK, "{user} from elsewhere");
    }
}

#[tokio::test]
async fn bad_bodies() {
    let directory = tempfile::tempdir().unwrap();
    let bench = embedded(directory.path());
    let post = |content_type: &'static str, body: String| {
        let request = Request::post("/flask/auth/login").header("content-type", content_type);
        bench.send(request.body(Body::from(body)).unwrap())
    };
    let json = "application/json";
    let form = "application/x-www-form-urlencoded";
    let good = r#"{"username":"admin","password":"secret-word"}"#;
    problem(
        post(form, good.into()).await,
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "Body is not JSON",
    )
    .await;
    for broken in ["", "{", "nonsense secret-word", "\u{0}"] {
        let response = post(json, broken.into()).await;
        let body = problem(response, StatusCode::BAD_REQUEST, "Body is not valid JSON").await;
        assert!(!body.to_string().contains("secret-word"));
    }
    for wrong in [
        "[]",
        "{}",
        r#"{"username":"admin"}"#,
        r#"{"username":1,"password":"secret-word"}"#,
        r#"{"username":"a","username":"b","password":"secret-word"}"#,
    ] {
        let response = post(json, wrong.into()).await;
        let body = problem(
            response,
            StatusCode::BAD_REQUEST,
            "JSON has a missing or wrong field",
        )
        .await;
        assert!(!body.to_string().contains("secret-word"));
    }
    let long = format!(r#"{{"username":"{}"}}"#, "a".repeat(17_000));
    problem(
        post(json, long).await,
        StatusCode::PAYLOAD_TOO_LARGE,
        "Body is too long",
    )
    .await;
    assert_eq!(
        post("application/json; charset=utf-8", good.into())
            .await
            .status(),
        401
    );
}

#[tokio::test]
async fn unknown_paths_and_methods() {
    let directory = tempfile::tempdir().unwrap();
    let bench = embedded(directory.path());
    for path in [
        "/",
        "/flask/nope",
        "/flask/api",
        "/flask/api/ping/",
        "/api/ping",
        "/flask/swagger/../x",
    ] {
        problem(bench.get(path).await, StatusCode::NOT_FOUND, "Not found").await;
    }
    for (method, path, allow) in [
        ("POST", "/flask/api/ping", "GET,HEAD"),
        ("DELETE", "/flask/api/count", "GET,HEAD"),
        ("GET", "/flask/auth/login", "POST"),
        ("PUT", "/flask/", "GET,HEAD"),
    ] {
        let request = |method: &str| {
            Request::builder()
                .method(method)
                .uri(path)
                .body(Body::empty())
                .unwrap()
        };
        let response = bench.send(request(method)).await;
        assert_eq!(head(&response, "allow"), allow, "{method} {path}");
        problem(
            response,
            StatusCode::METHOD_NOT_ALLOWED,
            "Method not allowed",
        )
        .await;
        let response = bench.send(request("OPTIONS")).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(head(&response, "allow"), allow);
    }
}

#[tokio::test]
async fn a_request_id_is_taken_over_or_made() {
    let directory = tempfile::tempdir().unwrap();
    let bench = embedded(directory.path());
    let id = "0123456789abcdef0123456789abcdef";
    for (sent, kept) in [(id, true), ("<script>", false), ("", false)] {
        let request = Request::get("/flask/api/ping").header("x-request-id", sent);
        let response = bench.send(request.body(Body::empty()).unwrap()).await;
        let answered = head(&response, "x-request-id");
        assert_eq!(answered == sent, kept);
        assert_eq!(answered.len(), 32);
    }
}

#[tokio::test]
async fn a_panic_is_a_500_that_tells_nothing() {
    let router = Router::new().route(
        "/",
        axum::routing::get(|| async {
            if true {
                panic!("secret-word");
            }
        }),
    );
    let router = envelope::wrap(router, &Limits::default(), Arc::default(), &Metrics::new());
    let request = Request::get("/").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let body = problem(
        response,
        StatusCode::INTERNAL_SERVER_ERROR,
        "Internal error",
    )
    .await;
    assert!(!body.to_string().contains("secret-word"));
}

#[tokio::test]
async fn a_slow_handler_is_given_up() {
    let sleep = || async { tokio::time::sleep(Duration::from_secs(60)).await };
    let router = Router::new().route("/", axum::routing::get(sleep));
    let limits = Limits {
        timeout: Duration::from_millis(20),
        ..Limits::default()
    };
    let router = envelope::wrap(router, &limits, Arc::default(), &Metrics::new());
    let request = Request::get("/").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(head(&response, "retry-after"), "1");
    problem(
        response,
        StatusCode::SERVICE_UNAVAILABLE,
        "The request took too long",
    )
    .await;
}

#[tokio::test]
async fn while_draining_connections_are_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let bench = embedded(directory.path());
    assert_eq!(head(&bench.get("/flask/api/ping").await, "connection"), "");
    bench.drain.start();
    assert_eq!(
        head(&bench.get("/flask/api/ping").await, "connection"),
        "close"
    );
}

#[tokio::test]
async fn starts_without_redis_says_503_and_recovers_alone() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("redis.sock");
    let bench = bench(StoreSettings::redis(socket), PASSWORD);
    let upkeep = tokio::spawn(super::super::upkeep(Arc::clone(&bench.app)));
    let token = bench.token();
    for _ in 0..3 {
        let response = bench.count(&token).await;
        assert_eq!(head(&response, "retry-after"), "2");
        let error = "The counter's store is not available";
        problem(response, StatusCode::SERVICE_UNAVAILABLE, error).await;
    }
    assert_eq!(
        bench.get("/flask/health/ready").await.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(
        bench.get("/flask/health/live").await.status(),
        StatusCode::OK
    );
    assert_eq!(bench.get("/flask/api/ping").await.status(), StatusCode::OK);

    let _server = RedisServer::start(directory.path(), PASSWORD, &[]);
    let started = Instant::now();
    let first = loop {
        let response = bench.count(&token).await;
        if response.status() == StatusCode::OK {
            break json_of(response).await;
        }
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "did not recover"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(
        first,
        json!({"visits": 1}),
        "refused requests were not counted"
    );
    assert_eq!(
        bench.get("/flask/health/ready").await.status(),
        StatusCode::OK
    );
    upkeep.abort();
}

#[tokio::test]
async fn a_wrong_redis_password_is_503_and_the_status_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let server = RedisServer::start(directory.path(), "another", &[]);
    let bench = bench(StoreSettings::redis(server.socket.clone()), PASSWORD);
    let mut health = bench.app.health.subscribe();
    let upkeep = tokio::spawn(super::super::upkeep(Arc::clone(&bench.app)));
    let down = health.wait_for(|state| *state != crate::web::health::State::Unknown);
    let down = format!("{:?}", *down.await.unwrap());
    assert!(down.contains("refuses the user or its password"), "{down}");
    assert!(!down.contains(PASSWORD), "{down}");
    assert_eq!(
        bench.count(&bench.token()).await.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    upkeep.abort();
}
