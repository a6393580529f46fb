use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::errors::Error;
use tokio::runtime::Runtime;

use super::HostError;
use super::docker_error::refuse;

/// Every call that is not a pull must be answered in this time.
const LIMIT: Duration = Duration::from_secs(60);

/// The way to an engine, by the version that both sides speak.
pub(super) struct Connection {
    socket: PathBuf,
    known: Mutex<Option<(Arc<Runtime>, bollard::Docker)>>,
}

impl Default for Connection {
    fn default() -> Self {
        Self::at("/var/run/docker.sock")
    }
}

impl Connection {
    pub(super) fn at(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            known: Mutex::default(),
        }
    }

    /// One that is there already.
    #[cfg(test)]
    pub(super) fn known(runtime: Runtime, docker: bollard::Docker) -> Self {
        Self {
            known: Mutex::new(Some((Arc::new(runtime), docker))),
            ..Self::default()
        }
    }

    pub(super) fn get(&self) -> Result<(Arc<Runtime>, bollard::Docker), HostError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*known {
            return Ok(known.clone());
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| HostError::Unexpected(format!("cannot make a runtime: {error}")))?;
        let docker = runtime
            .block_on(async {
                let docker = bollard::Docker::connect_with_unix(
                    &self.socket.to_string_lossy(),
                    LIMIT.as_secs(),
                    bollard::API_DEFAULT_VERSION,
                )?;
                // Never pinned: engines refuse versions that are too new and, since 29, too old.
                tokio::time::timeout(Duration::from_secs(10), docker.negotiate_version())
                    .await
                    .map_err(|_| Error::RequestTimeoutError)?
            })
            .map_err(|error| refuse(&error))?;
        Ok(known.insert((Arc::new(runtime), docker)).clone())
    }

    pub(super) fn call<T, F>(&self, work: impl FnOnce(bollard::Docker) -> F) -> Result<T, HostError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let (runtime, docker) = self.get()?;
        let work = work(docker);
        let done = runtime.block_on(async {
            tokio::time::timeout(LIMIT, work)
                .await
                .map_err(|_| Error::RequestTimeoutError)?
        });
        done.map_err(|error| {
            // An upgrade or a downgrade took place: the next call asks for the version again.
            if let Error::DockerResponseServerError {
                status_code: 400, ..
            } = error
            {
                *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
            refuse(&error)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Speaks one version, as an engine that is upgraded or downgraded does, and only to who has asked for it.
    fn answer(stream: UnixStream, speaks: u32, agreed: &mut u32) {
        let mut stream = BufReader::new(stream);
        let mut first = String::new();
        stream.read_line(&mut first).unwrap();
        let mut line = String::new();
        while stream.read_line(&mut line).unwrap() > 2 {
            line.clear();
        }
        let path = first.split([' ', '?']).nth(1).unwrap_or_default();
        if path.ends_with("/version") {
            *agreed = speaks;
        }
        let (status, body) = if *agreed == speaks {
            let body = format!("{{\"ApiVersion\":\"1.{speaks}\",\"Volumes\":[]}}");
            ("200 OK", body)
        } else {
            let body = "{\"message\":\"client version is too new\"}".to_owned();
            ("400 Bad Request", body)
        };
        let length = body.len();
        write!(
            stream.get_mut(),
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        )
        .unwrap();
    }

    #[test]
    fn an_engine_of_another_version_is_asked_for_it_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("docker.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let speaks = Arc::new(AtomicU32::new(45));
        let spoken = Arc::clone(&speaks);
        std::thread::spawn(move || {
            let mut agreed = 0;
            for stream in listener.incoming().flatten() {
                answer(stream, spoken.load(Ordering::SeqCst), &mut agreed);
            }
        });
        let connection = Connection::at(path);
        let ask = || {
            let options = None::<bollard::query_parameters::ListVolumesOptions>;
            connection.call(|docker| async move { docker.list_volumes(options).await })
        };
        ask().unwrap();
        for version in [43, 47] {
            speaks.store(version, Ordering::SeqCst);
            let refused = ask().unwrap_err().to_string();
            assert!(refused.contains("too new"), "{refused}");
            ask().unwrap();
        }
    }
}
