//! A Postgres as the stack's programs reach it: a login as its role, and a query.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, NoTls};

use super::Setting;
use super::finding::{Finding, Judged, healthy, refused, since, unhealthy, unknown};
use crate::host::Host;
use crate::mint;
use crate::stack::{Postgres, Stack};

const LIMIT: Duration = Duration::from_millis(1500);

/// Logs in to every Postgres of a stack.
pub fn probe(host: &Host, stack: &Stack, site: &Setting) -> Vec<Finding> {
    let all = stack.containers.iter();
    all.filter_map(|container| Some((container, container.postgres.as_ref()?)))
        .map(|(container, postgres)| {
            let begun = Instant::now();
            let path = site.layout.credential(&stack.name, "postgres-password");
            let judged = match host.files.read(&path) {
                Ok(Some(bytes)) => {
                    let text = String::from_utf8_lossy(&bytes);
                    let password = mint::keys(&text).next().unwrap_or_default().to_owned();
                    let place = site.layout.container_run(container.name.as_str());
                    ask(&place, postgres, &password)
                }
                Ok(None) => unhealthy(format!(
                    "no {}: `tavernctl install` makes it",
                    path.display()
                )),
                Err(error) => refused(&error),
            };
            let subject = format!("postgres {} as {}", container.name, postgres.user);
            Finding::new(Some(&stack.name), subject, judged, since(begun))
        })
        .collect()
}

fn ask(place: &Path, postgres: &Postgres, password: &str) -> Judged {
    let mut config = Config::new();
    config
        .host_path(place)
        .user(&postgres.user)
        .dbname(&postgres.database)
        .password(password)
        .application_name("tavernctl check");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let asked = match runtime {
        Ok(runtime) => {
            runtime.block_on(async { tokio::time::timeout(LIMIT, query(&config)).await })
        }
        Err(error) => return unknown(format!("no runtime to ask with: {error}")),
    };
    match asked {
        Ok(Ok(true)) => healthy("logged in, and a query was answered"),
        Ok(Ok(false)) => unhealthy("its answer is not what was asked for: see `tavernctl logs`"),
        Ok(Err(error)) => judge(place, &error),
        Err(_) => unhealthy("no answer in time: see `tavernctl logs`"),
    }
}

async fn query(config: &Config) -> Result<bool, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    let work = async {
        let row = client.query_one("SELECT 41 + 1", &[]).await?;
        row.try_get::<_, i32>(0)
    };
    tokio::select! {
        answer = work => answer.map(|number| number == 42),
        ended = connection => ended.map(|()| false),
    }
}

/// What a refusal means, and what to do.
fn judge(place: &Path, error: &tokio_postgres::Error) -> Judged {
    if let Some(said) = error.as_db_error() {
        let next = match said.code() {
            &SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                "its password is not the stack's: `tavernctl secret rotate NAME --at-once` gives it another"
            }
            &SqlState::INVALID_CATALOG_NAME => {
                "somebody dropped or renamed it: `tavernctl restore` brings it back"
            }
            &SqlState::CANNOT_CONNECT_NOW => "it is reading its data: try again soon",
            &SqlState::TOO_MANY_CONNECTIONS => "what uses it keeps too many connections open",
            _ => "see `tavernctl logs`",
        };
        return unhealthy(format!("{}; {next}", shown(said.message())));
    }
    let source = std::error::Error::source(error);
    let io = source.and_then(|source| source.downcast_ref::<std::io::Error>());
    if io.is_some_and(|io| io.kind() == std::io::ErrorKind::PermissionDenied) {
        return unknown(format!("cannot open {}: run it with sudo", place.display()));
    }
    let why = io.map_or_else(|| error.to_string(), ToString::to_string);
    unhealthy(format!(
        "no answer at {} ({}): is the container running?",
        place.display(),
        shown(&why)
    ))
}

fn shown(said: &str) -> String {
    let text: String = said.chars().take(120).collect();
    text.escape_default().to_string()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::check::finding::Verdict;

    fn postgres() -> Postgres {
        Postgres {
            major: 15,
            uid: 70,
            database: "shop".into(),
            user: "shop".into(),
        }
    }

    /// A message of the protocol: a letter, a length that counts itself, the body.
    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind][..], &length.to_be_bytes(), body].concat()
    }

    /// What is made of a server that says this to whoever comes.
    fn judged(says: Vec<u8>) -> Judged {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join(".s.PGSQL.5432")).unwrap();
        let server = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let mut start = [0; 512];
            let count = stream.read(&mut start).unwrap();
            assert!(start[..count].windows(5).any(|part| part == b"shop\0"));
            stream.write_all(&says).unwrap();
        });
        let judged = ask(dir.path(), &postgres(), "secret");
        server.join().unwrap();
        judged
    }

    fn refusal(code: &str, text: &str) -> Judged {
        let body = format!("SFATAL\0VFATAL\0C{code}\0M{text}\0\0");
        judged(message(b'E', body.as_bytes()))
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        for (code, text, next) in [
            ("28P01", "password authentication failed", "secret rotate"),
            (
                "3D000",
                "database \"shop\" does not exist",
                "tavernctl restore",
            ),
            (
                "57P03",
                "the database system is starting up",
                "try again soon",
            ),
            ("53300", "too many clients", "too many connections"),
            ("XX000", "cache lookup failed\u{1b}[2J", "tavernctl logs"),
        ] {
            let found = refusal(code, text);
            assert_eq!(found.verdict, Verdict::Unhealthy, "{code}");
            assert!(found.reason.contains(next), "{}", found.reason);
            assert!(!found.reason.contains('\u{1b}'), "{}", found.reason);
        }
    }

    #[test]
    fn whoever_lets_in_without_answering_is_not_healthy() {
        // Logged in, ready, and gone before the query.
        let says = [message(b'R', &[0; 4]), message(b'Z', b"I")].concat();
        assert_eq!(judged(says).verdict, Verdict::Unhealthy);
        let gone = ask(Path::new("/nowhere"), &postgres(), "secret");
        assert!(
            gone.reason.contains("is the container running?"),
            "{}",
            gone.reason
        );
    }
}
