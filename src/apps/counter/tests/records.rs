//! What the journal gets.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Mutex;

use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::*;

type Fields = BTreeMap<String, String>;

/// The fields of each record of this thread.
#[derive(Clone, Default)]
struct Records(Arc<Mutex<Vec<Fields>>>);

impl<S: Subscriber> Layer<S> for Records {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut seen = Seen(Fields::new());
        event.record(&mut seen);
        self.0.lock().unwrap().push(seen.0);
    }
}

struct Seen(Fields);

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}").trim_matches('"').to_owned();
        self.0.insert(field.name().to_owned(), text);
    }
}

impl Records {
    /// With one subscriber alone, a record's first time on another thread would settle that nobody wants it.
    fn listen(&self) -> (DefaultGuard, Dispatch) {
        let second = Dispatch::new(Registry::default());
        let ours = Registry::default().with(self.clone());
        (tracing::subscriber::set_default(ours), second)
    }

    fn with(&self, message: &str) -> Vec<Fields> {
        let all = self.0.lock().unwrap();
        let is_it = |one: &&Fields| one.get("message").is_some_and(|text| text == message);
        all.iter().filter(is_it).cloned().collect()
    }
}

const ID: &str = "0123456789abcdef0123456789abcdef";

async fn ask(slow: Duration, records: &Records) -> Response {
    let _guards = records.listen();
    let wait = || async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        StatusCode::IM_A_TEAPOT
    };
    let router = Router::new().route("/slow/{x}", axum::routing::get(wait));
    let limits = Limits {
        slow,
        ..Limits::default()
    };
    let router = envelope::wrap(router, &limits, Arc::default(), &Metrics::new());
    let request = Request::get("/slow/secret-path").header("x-request-id", ID);
    router
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_slow_request_leaves_its_route_status_duration_and_id() {
    let records = Records::default();
    ask(Duration::from_millis(20), &records).await;
    let [record] = records.with("slow request").try_into().unwrap();
    assert_eq!(record["route"], "/slow/{x}");
    assert_eq!(record["status"], "418");
    assert_eq!(record["request_id"], ID);
    assert!(record["duration_ms"].parse::<u64>().unwrap() >= 30);
    assert!(!format!("{record:?}").contains("secret-path"));
    let records = Records::default();
    ask(Duration::from_secs(60), &records).await;
    assert!(
        records.0.lock().unwrap().is_empty(),
        "what went well leaves none"
    );
}

/// Logins and the ends of tokens, each with who, from where and under which id, and no secret in any.
#[tokio::test]
async fn logins_and_logouts_leave_who_and_what_came_of_it() {
    let records = Records::default();
    let _guards = records.listen();
    let directory = tempfile::tempdir().unwrap();
    let bench = embedded(directory.path());
    let response = bench.login_from("192.0.2.1", "admin", "password").await;
    let token = json_of(response).await["token"]
        .as_str()
        .unwrap()
        .to_owned();
    bench.login_from("192.0.2.1", "admin", "wrong-word").await;
    bench
        .login_from("192.0.2.1", "typed-password", "wrong-word")
        .await;
    bench.post("/flask/auth/logout", &token).await;
    let of = |message: &str, name: &str| -> Vec<Option<String>> {
        let all = records.with(message);
        all.iter().map(|one| one.get(name).cloned()).collect()
    };
    let some = |list: &[&str]| -> Vec<Option<String>> {
        list.iter().map(|text| Some((*text).to_owned())).collect()
    };
    assert_eq!(
        of("login", "outcome"),
        some(&["accepted", "refused", "refused"])
    );
    assert_eq!(of("login", "address"), some(&["192.0.2.1"; 3]));
    let users = of("login", "user");
    assert_eq!(users[..2], some(&["admin", "admin"]));
    assert_eq!(users[2], None, "people type their password there");
    assert_eq!(of("token", "outcome"), some(&["ended"]));
    assert_eq!(of("token", "user"), some(&["admin"]));
    let all = format!("{:?}", records.0.lock().unwrap());
    for secret in [token.as_str(), "wrong-word", "typed-password"] {
        assert!(!all.contains(secret), "{all}");
    }
    assert!(
        of("login", "request_id")
            .iter()
            .all(|id| id.as_ref().is_some_and(|id| id.len() == 32))
    );
}
