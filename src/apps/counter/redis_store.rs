//! The count in Redis, over its Unix socket.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{
    Client, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisConnectionInfo, RedisError,
    ServerErrorKind,
};

use super::store::{ATTEMPT_WINDOW, Reply, Store, StoreError};

const CONNECT: Duration = Duration::from_millis(500);
const ANSWER: Duration = Duration::from_millis(1000);

pub(super) struct RedisStore {
    client: Client,
    manager: Mutex<ConnectionManager>,
    key: String,
    place: String,
}

impl RedisStore {
    /// Does not connect yet, so Redis may be absent. Call it inside the runtime.
    pub(super) fn new(
        socket: &Path,
        user: &str,
        password: &str,
        key: &str,
    ) -> Result<Self, StoreError> {
        let open = |error: RedisError| StoreError::Open(error.to_string());
        // the name of the library would need one more permission
        let login = RedisConnectionInfo::default()
            .set_username(user)
            .set_password(password)
            .set_skip_set_lib_name();
        let info = ConnectionAddr::Unix(socket.to_owned())
            .into_connection_info()
            .map_err(open)?
            .set_redis_settings(login);
        let client = Client::open(info).map_err(open)?;
        let manager = manager(&client).map_err(open)?;
        Ok(Self {
            client,
            manager: Mutex::new(manager),
            key: key.to_owned(),
            place: socket.display().to_string(),
        })
    }

    /// A key of ours other than the count's; the ACL lets us have those.
    fn beside(&self, name: &str) -> String {
        format!("{}:{name}", self.key)
    }

    fn connection(&self) -> ConnectionManager {
        let manager = self.manager.lock();
        manager.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The manager reconnects after I/O errors only: a refused login would stay refused for ever.
    fn start_over(&self) {
        if let Ok(fresh) = manager(&self.client) {
            *self.manager.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
    }

    async fn run<T: redis::FromRedisValue>(&self, command: redis::Cmd) -> Result<T, StoreError> {
        let mut connection = self.connection();
        let answer = command.query_async(&mut connection).await;
        answer.map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &RedisError) -> StoreError {
        let place = &self.place;
        match error.kind() {
            ErrorKind::Io if error.is_timeout() => StoreError::TimedOut,
            ErrorKind::Io => StoreError::Unreachable(format!("Redis at {place}: {error}")),
            ErrorKind::AuthenticationFailed => StoreError::Refused(error.to_string()),
            ErrorKind::Server(ServerErrorKind::BusyLoading) => StoreError::Loading,
            ErrorKind::Server(ServerErrorKind::NoPerm) => {
                StoreError::NotPermitted(error.to_string())
            }
            ErrorKind::Server(ServerErrorKind::ReadOnly) => StoreError::NoWrites(error.to_string()),
            _ => match error.code() {
                Some("OOM" | "MISCONF" | "NOREPLICAS") => StoreError::NoWrites(error.to_string()),
                Some("NOAUTH" | "WRONGPASS") => StoreError::Refused(error.to_string()),
                _ => StoreError::Corrupt(error.to_string()),
            },
        }
    }
}

/// One attempt to connect per command: the pauses between are the health loop's.
fn manager(client: &Client) -> Result<ConnectionManager, RedisError> {
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(0)
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(ANSWER));
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

impl Store for RedisStore {
    fn add(&self, count: u64) -> Reply<'_, u64> {
        Box::pin(async move {
            let mut command = redis::cmd("INCRBY");
            command.arg(&self.key).arg(count);
            let total: i64 = self.run(command).await?;
            u64::try_from(total).map_err(|_| StoreError::Corrupt(format!("it is {total}")))
        })
    }

    fn revoke<'a>(&'a self, id: &'a str, until: u64) -> Reply<'a, ()> {
        Box::pin(async move {
            let mut command = redis::cmd("ZADD");
            command.arg(self.beside("revoked")).arg(until).arg(id);
            self.run::<i64>(command).await.map(|_| ())
        })
    }

    fn revoked(&self, now: u64) -> Reply<'_, Vec<(String, u64)>> {
        Box::pin(async move {
            let key = self.beside("revoked");
            let mut command = redis::cmd("ZREMRANGEBYSCORE");
            command.arg(&key).arg("-inf").arg(format!("({now}"));
            self.run::<i64>(command).await?;
            let mut command = redis::cmd("ZRANGE");
            command.arg(&key).arg(0).arg(-1).arg("WITHSCORES");
            self.run(command).await
        })
    }

    fn attempt<'a>(&'a self, key: &'a str, window: u64) -> Reply<'a, u64> {
        Box::pin(async move {
            let key = self.beside(&format!("login:{window}:{key}"));
            // made with its end first: a connection that is lost between leaves nothing for ever
            let mut command = redis::cmd("SET");
            command
                .arg(&key)
                .arg(0)
                .arg("EX")
                .arg(2 * ATTEMPT_WINDOW)
                .arg("NX");
            self.run::<Option<String>>(command).await?;
            let mut command = redis::cmd("INCRBY");
            command.arg(&key).arg(1);
            self.run(command).await
        })
    }

    fn ping(&self) -> Reply<'_, ()> {
        Box::pin(async move {
            let answer: Result<String, StoreError> = self.run(redis::cmd("PING")).await;
            if !matches!(
                answer,
                Ok(_) | Err(StoreError::Unreachable(_) | StoreError::TimedOut)
            ) {
                self.start_over();
            }
            match answer?.as_str() {
                "PONG" => Ok(()),
                other => Err(StoreError::Corrupt(format!("PING was answered {other:?}"))),
            }
        })
    }
}
