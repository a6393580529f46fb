mod api;
mod faults;
mod front;
mod login;
mod records;
mod redis_server;
mod stores;

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::web::account::Accounts;
use crate::web::credential::Secret;
use crate::web::doorway::Drain;
use crate::web::envelope;

use super::*;

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A cheap hash, so that the tests do not wait for argon2.
fn accounts() -> String {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
    let params = Params::new(8, 1, 1, None).unwrap();
    let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password(b"password")
        .unwrap();
    format!("admin:{hash}\nbob:{hash}\n")
}

struct Bench {
    router: Router,
    app: Arc<App>,
    drain: Arc<Drain>,
    metrics: Metrics,
}

fn bench(store: StoreSettings, redis_password: &str) -> Bench {
    let settings = Settings::new("/flask", store, "/nonexistent".into());
    let secrets = Secrets {
        tokens: Tokens::new(&Secret::new(KEY.to_owned()), NAME).unwrap(),
        accounts: Accounts::parse(&Secret::new(accounts()), 2).unwrap(),
        redis_password: Some(Secret::new(redis_password.to_owned())),
    };
    let metrics = Metrics::new();
    let app = App::new(&settings, secrets, &metrics).unwrap();
    if matches!(settings.store, StoreSettings::Embedded { .. }) {
        // what the first question to the store does
        app.revocations.load([]);
    }
    let drain = Arc::new(Drain::default());
    let router = routes::router(&settings.base, Arc::clone(&app));
    Bench {
        router: envelope::wrap(router, &settings.limits, Arc::clone(&drain), &metrics),
        app,
        drain,
        metrics,
    }
}

fn embedded(directory: &Path) -> Bench {
    let file = directory.join("visits.redb");
    bench(StoreSettings::Embedded { file }, "")
}

impl Bench {
    async fn send(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn get(&self, path: &str) -> Response {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    async fn count(&self, token: &str) -> Response {
        let request = Request::get("/flask/api/count")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::empty())
            .unwrap();
        self.send(request).await
    }

    async fn post(&self, path: &str, token: &str) -> Response {
        let request = Request::post(path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::empty())
            .unwrap();
        self.send(request).await
    }

    async fn login_from(&self, address: &str, user: &str, password: &str) -> Response {
        let body = json!({"username": user, "password": password}).to_string();
        let request = Request::post("/flask/auth/login")
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-real-ip", address)
            .body(Body::from(body))
            .unwrap();
        self.send(request).await
    }

    fn token(&self) -> String {
        self.app.tokens.issue("admin").unwrap()
    }
}

async fn text(response: Response) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn json_of(response: Response) -> Value {
    serde_json::from_str(&text(response).await).unwrap()
}

fn head<'a>(response: &'a Response, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

#[test]
fn base_paths() {
    for good in ["", "/flask", "/a/b", "/a-b_c.d"] {
        check_base(good).unwrap();
    }
    for bad in [
        "/", "flask", "/flask/", "/a//b", "/{x}", "/..", "/a b", "/ä",
    ] {
        check_base(bad).unwrap_err();
    }
}

#[test]
fn a_missing_credential_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let store = StoreSettings::Embedded {
        file: directory.path().join("x"),
    };
    let settings = Settings::new("/flask", store, directory.path().to_owned());
    let error = Secrets::read(&settings).err().unwrap().to_string();
    assert!(
        error.contains("jwt-key") && error.contains("LoadCredential"),
        "{error}"
    );
}
