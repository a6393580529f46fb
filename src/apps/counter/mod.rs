//! The counter: a JSON API that counts visits for whoever has logged in.

mod api;
mod auth;
mod docs;
mod embedded;
mod numbers;
mod pages;
mod redis_store;
mod routes;
mod store;
mod visits;

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tracing::warn;

use crate::web::account::{AccountError, Accounts};
use crate::web::activation::{self, ActivationError};
use crate::web::credential::{self, CredentialError};
use crate::web::doorway::Drain;
use crate::web::envelope::{self, Limits};
use crate::web::health::Health;
use crate::web::key_ring::KeyError;
use crate::web::lifecycle::{self, LifecycleError, Service};
use crate::web::limit::{Limiter, LoginLimiter, LoginRates, Rate};
use crate::web::memory;
use crate::web::metrics::{self, Metrics};
use crate::web::revocation::Revocations;
use crate::web::telemetry;
use crate::web::token::{self, Tokens};

use embedded::Embedded;
use numbers::{Logins, StoreTimes};
use redis_store::RedisStore;
use store::{Store, StoreError};
use visits::Visits;

/// What it calls itself if nobody says.
pub const NAME: &str = "tavern-counter";
/// Renewals of an account: many windows of one person, and a bound on the list of ended tokens.
const RENEWALS: Rate = Rate::a_minute(const { NonZeroU32::new(60).unwrap() });
const SWEEP: Duration = Duration::from_secs(30);
/// Tokens live for an hour.
const FORGET: Duration = Duration::from_secs(3600);

#[derive(Clone, Debug)]
pub struct Settings {
    /// Issuer and audience of the tokens: another app's are not good here.
    pub name: String,
    /// The path prefix under which nginx passes requests on, such as `/flask`; empty for none.
    pub base: String,
    pub store: StoreSettings,
    /// The directory of `jwt-key`, `accounts` and `redis-password`.
    pub credentials: PathBuf,
    pub login_rates: LoginRates,
    /// Passwords verified at a time; each costs 19 MiB at the default hash cost.
    pub logins_at_once: NonZeroUsize,
    pub limits: Limits,
}

#[derive(Clone, Debug)]
pub enum StoreSettings {
    Redis {
        socket: PathBuf,
        /// The ACL user; it needs `+ping +incrby` on the key.
        user: String,
        key: String,
    },
    Embedded {
        file: PathBuf,
    },
}

impl StoreSettings {
    /// Redis behind a socket, with the default user and key.
    pub fn redis(socket: PathBuf) -> Self {
        Self::Redis {
            socket,
            user: "counter".to_owned(),
            key: "visits".to_owned(),
        }
    }
}

impl Settings {
    pub fn new(base: impl Into<String>, store: StoreSettings, credentials: PathBuf) -> Self {
        Self {
            name: NAME.to_owned(),
            base: base.into(),
            store,
            credentials,
            login_rates: LoginRates::default(),
            logins_at_once: const { NonZeroUsize::new(2).unwrap() },
            limits: Limits::default(),
        }
    }
}

#[derive(Debug, Error)]
pub enum ServeError {
    #[error(
        "base path {0:?} is not one\nhelp: like /flask: begins with a slash, ends without, and has \
         letters, digits, dashes, underscores and dots"
    )]
    Base(String),
    #[error(transparent)]
    Activation(#[from] ActivationError),
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error("credential jwt-key: {0}")]
    Key(#[from] KeyError),
    #[error("credential {0}")]
    Accounts(#[from] AccountError),
    #[error("store: {0}")]
    Store(#[from] StoreError),
    #[error("cannot start the runtime: {0}")]
    Runtime(std::io::Error),
    #[error(transparent)]
    Lifecycle(#[from] LifecycleError),
}

/// Serves until it is told to stop. Takes its listeners from systemd.
pub fn serve(settings: Settings) -> Result<(), ServeError> {
    // first, while there is one thread: this changes the environment
    let listeners = activation::listeners()?;
    let secrets = Secrets::read(&settings)?;
    check_base(&settings.base)?;
    let _telemetry = telemetry::start(&settings.name);
    let (listeners, private) = activation::apart(listeners);
    let metrics = Metrics::new();
    // One thread answers all: a request takes microseconds, and most of what a second thread adds is waking it.
    // Hashing and the embedded store have threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(settings.logins_at_once.get() + 2)
        .thread_stack_size(512 * 1024)
        .enable_all()
        .build()
        .map_err(ServeError::Runtime)?;
    let served = runtime.block_on(async {
        let app = App::new(&settings, secrets, &metrics)?;
        let drain = Arc::new(Drain::default());
        let router = routes::router(&settings.base, Arc::clone(&app));
        let upkeep = tokio::spawn(upkeep(Arc::clone(&app)));
        let counting = tokio::spawn(metrics.clone().keep_up());
        let giving_back = tokio::spawn(memory::keep_small());
        let service = Service {
            router: envelope::wrap(router, &settings.limits, Arc::clone(&drain), &metrics),
            listeners,
            private: metrics::router(metrics.clone()),
            private_listeners: private,
            health: Arc::clone(&app.health),
            drain,
            liveness_path: format!("{}/health/live", settings.base),
        };
        let served = lifecycle::run(service).await;
        upkeep.abort();
        counting.abort();
        giving_back.abort();
        served.map_err(ServeError::from)
    });
    // a store call that hangs in a thread must not keep the process
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

struct Secrets {
    tokens: Tokens,
    accounts: Accounts,
    redis_password: Option<credential::Secret>,
}

impl Secrets {
    fn read(settings: &Settings) -> Result<Self, ServeError> {
        let read = |name| credential::read(&settings.credentials, name);
        Ok(Self {
            tokens: Tokens::new(&read("jwt-key")?, &settings.name)?,
            accounts: Accounts::parse(&read("accounts")?, settings.logins_at_once.get())?,
            redis_password: match settings.store {
                StoreSettings::Redis { .. } => Some(first_word(&read("redis-password")?)),
                StoreSettings::Embedded { .. } => None,
            },
        })
    }
}

/// The password in use: those below it were.
fn first_word(passwords: &credential::Secret) -> credential::Secret {
    let first = passwords.expose().split_ascii_whitespace().next();
    credential::Secret::new(first.unwrap_or_default().to_owned())
}

/// What the handlers share.
struct App {
    tokens: Tokens,
    accounts: Accounts,
    limiter: LoginLimiter,
    /// How often an account may renew its tokens.
    renewals: Limiter,
    /// What the store counts up to, so that a restart does not begin anew.
    attempts_per_window: u64,
    revocations: Revocations,
    logins: Logins,
    store: Arc<dyn Store>,
    visits: Visits,
    health: Arc<Health>,
}

impl App {
    /// Starts the store's task, so it runs inside the runtime.
    fn new(
        settings: &Settings,
        secrets: Secrets,
        metrics: &Metrics,
    ) -> Result<Arc<Self>, ServeError> {
        let store: Arc<dyn Store> = match &settings.store {
            StoreSettings::Redis { socket, user, key } => {
                let password = secrets.redis_password.as_ref();
                let password = password.map_or("", credential::Secret::expose);
                Arc::new(RedisStore::new(socket, user, password, key)?)
            }
            StoreSettings::Embedded { file } => Arc::new(Embedded::open(file)?),
        };
        Ok(Arc::new(Self {
            tokens: secrets.tokens,
            accounts: secrets.accounts,
            limiter: LoginLimiter::new(settings.login_rates),
            renewals: Limiter::new("renewals", RENEWALS),
            attempts_per_window: {
                let rate = settings.login_rates.per_account;
                u64::from(rate.burst.get()) + u64::from(rate.per_minute.get())
            },
            revocations: Revocations::default(),
            logins: Logins::new(metrics),
            visits: Visits::start(Arc::clone(&store), StoreTimes::new(metrics)),
            store,
            health: Arc::default(),
        }))
    }

    /// Whether the store answers. The first time, the ended tokens are read.
    async fn ask_store(&self) -> Result<(), StoreError> {
        self.visits.ping().await?;
        if !self.revocations.is_known() {
            let ended = self.store.revoked(token::now()).await?;
            self.revocations.load(ended);
        }
        Ok(())
    }
}

/// What goes on beside the requests.
async fn upkeep(app: Arc<App>) {
    let sweep = async {
        loop {
            tokio::time::sleep(SWEEP).await;
            app.limiter.sweep();
            app.renewals.sweep();
            app.revocations.sweep(token::now());
            let throttled = app.limiter.take_throttled();
            if throttled > 0 {
                warn!(outcome = "throttled", "{throttled} logins were turned away");
            }
        }
    };
    // An account that renews its token all day ends one each time: the store forgets those that have expired.
    let forget = async {
        loop {
            tokio::time::sleep(FORGET).await;
            if let Err(error) = app.store.revoked(token::now()).await {
                warn!(%error, "ended tokens that have expired are still kept");
            }
        }
    };
    let ask = || async { app.ask_store().await.map_err(|error| error.to_string()) };
    tokio::join!(sweep, forget, app.health.keep_asking(ask));
}

fn check_base(base: &str) -> Result<(), ServeError> {
    let segment_ok = |segment: &str| {
        !segment.is_empty()
            && !segment.bytes().all(|b| b == b'.')
            && segment
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let good = match base.strip_prefix('/') {
        Some(rest) => rest.split('/').all(segment_ok),
        None => base.is_empty(),
    };
    good.then_some(())
        .ok_or_else(|| ServeError::Base(base.to_owned()))
}

#[cfg(test)]
mod tests;
