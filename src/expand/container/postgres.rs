//! PostgreSQL on a Unix socket: one database and a role that owns it and is no superuser.

use std::collections::BTreeMap;
use std::path::PathBuf;

use minijinja::context;

use super::super::base::{folder, managed_for};
use super::super::emit::{EmitError, emit};
use super::{MEBIBYTE, group, image_and_volume};
use crate::model::{Layout, Mode};
use crate::resource::{
    self, Content, Desired, File, Keep, Mount, Network, Owner, PostgresRole, Probe, Resource,
    ResourceId, Secret, SecretKind,
};
use crate::stack::{Container, Postgres, Stack};

/// Where the image has its sockets.
pub const RUN: &str = "/var/run/postgresql";
/// Where what we write is seen in the container.
pub const PLACE: &str = "/etc/postgresql";
/// From this major version on, the image has a volume for the data of all versions.
const DIVIDED: u32 = 18;

/// Whether it is the server that was asked for: while the data is made, the image runs another one at the same
/// socket, but not as the container's first process.
const IS_FIRST: &str = "SELECT 1 / (pg_catalog.split_part(pg_catalog.pg_read_file('postmaster.pid'), E'\\n', 1) = '1')::int";

/// A database as its superuser opens it. Whoever owns it may have given it settings (`ALTER DATABASE … SET`), and
/// functions of the names that we call: these settings win over those, and nothing of theirs is found.
pub fn login(database: &str) -> String {
    format!(
        "dbname={database} application_name=tavernctl options='-c role=none -c search_path=pg_catalog \
         -c statement_timeout=0 -c lock_timeout=60s -c default_transaction_read_only=off'"
    )
}

/// What `psql` is given in the container to do as its superuser, whatever the image's user has configured.
pub fn psql(database: &str, rest: &[&str]) -> Vec<String> {
    let begin = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"];
    let login = ["-h", RUN, "-U", "postgres", "-d", &login(database)];
    begin
        .iter()
        .chain(&login)
        .chain(rest)
        .map(|word| (*word).to_owned())
        .collect()
}

/// Its data in the container: where the volume is, and where in it the server keeps it.
pub fn data(postgres: &Postgres) -> (&'static str, String) {
    if postgres.major < DIVIDED {
        (
            "/var/lib/postgresql/data",
            "/var/lib/postgresql/data".into(),
        )
    } else {
        let data = format!("/var/lib/postgresql/{}/docker", postgres.major);
        ("/var/lib/postgresql", data)
    }
}

/// Everything of the container but its volume: a throw-away one has its data elsewhere.
pub fn container(
    stack: &Stack,
    container: &Container,
    postgres: &Postgres,
    layout: &Layout,
) -> resource::Container {
    let (_, data) = data(postgres);
    let name = container.name.as_str();
    resource::Container {
        name: name.to_owned(),
        stack: stack.name.to_string(),
        image: container.image.clone(),
        command: vec![
            "postgres".to_owned(),
            format!("--config_file={PLACE}/postgresql.conf"),
        ],
        uid: postgres.uid,
        group: group(container),
        mounts: vec![
            Mount::Bind {
                source: layout.container(name),
                target: PLACE.into(),
                writable: false,
            },
            Mount::Memory {
                target: "/dev/shm".into(),
            },
            Mount::Memory {
                target: "/tmp".into(),
            },
        ],
        memory: 1024 * MEBIBYTE,
        pids: 256,
        network: Network::None,
        environment: BTreeMap::from(
            [
                ("PGDATA", data),
                ("POSTGRES_INITDB_ARGS", "--data-checksums".to_owned()),
                ("POSTGRES_PASSWORD_FILE", format!("{PLACE}/password")),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        ),
        probe: Probe {
            argv: psql("postgres", &["--command", IS_FIRST]),
            says: None,
        },
        settle: psql("postgres", &["-f", &format!("{PLACE}/role.sql")]),
    }
}

pub(super) fn resources(
    stack: &Stack,
    wanted: &Container,
    postgres: &Postgres,
    layout: &Layout,
) -> Result<Vec<Desired>, EmitError> {
    let directory = layout.container(wanted.name.as_str());
    let password = layout.credential(&stack.name, "postgres-password");
    let restarts = vec![ResourceId(format!("container:{}", wanted.name))];
    let text = |template| {
        emit(
            template,
            &context! {
                file => layout.stack_file(&stack.name).to_string_lossy(),
                container => wanted.name.as_str(),
                run => RUN,
                directory => PLACE,
            },
        )
    };
    let derived = |path: PathBuf, content| {
        Resource::File(File {
            path,
            mode: Mode(0o640),
            owner: Owner::root_and(&group(wanted)),
            content,
            keep: Keep::Managed,
        })
    };
    let copy = derived(
        directory.join("password"),
        Content::Password(password.clone()),
    );
    let role = derived(
        directory.join("role.sql"),
        Content::PostgresRole(PostgresRole {
            user: postgres.user.clone(),
            database: postgres.database.clone(),
            password: password.clone(),
        }),
    );
    let follow = vec![copy.id(), role.id()];
    let secret = Desired {
        resource: Resource::Secret(Secret {
            path: password,
            kind: SecretKind::Key,
            passwords: layout.passwords(&stack.name),
            moved_from: None,
        }),
        restarts: follow,
    };
    let with = |resource, restarts: &[ResourceId]| Desired {
        resource,
        restarts: restarts.to_vec(),
    };
    let mut container = container(stack, wanted, postgres, layout);
    container.mounts.extend([
        Mount::Volume {
            name: wanted.volume.clone(),
            target: data(postgres).0.into(),
        },
        Mount::Bind {
            source: layout.container_run(wanted.name.as_str()),
            target: RUN.into(),
            writable: true,
        },
    ]);
    let [image, volume] = image_and_volume(stack, wanted);
    Ok(vec![
        folder(directory.clone()),
        secret,
        managed_for(
            directory.join("postgresql.conf"),
            text("postgres.conf")?,
            restarts.clone(),
        ),
        managed_for(
            directory.join("pg_hba.conf"),
            text("pg_hba.conf")?,
            restarts.clone(),
        ),
        with(copy, &restarts),
        with(role, &restarts),
        image,
        volume,
        Resource::Container(container).into(),
    ])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::resource::Content;
    use crate::stack::parse;

    fn wanted(image: &str) -> (Stack, Vec<Desired>) {
        let text = format!(
            "name = \"shop\"\nhosts = [\"*\"]\n[tls]\nissuer = \"self-signed\"\n[[site]]\npath = \"/\"\nstatic = \"main\"\n\
             [container.db]\nkind = \"postgres\"\nimage = \"postgres:{image}\"\n"
        );
        let stack = parse(Path::new("shop.toml"), text.as_bytes()).unwrap();
        let one = &stack.containers[0];
        let postgres = one.postgres.as_ref().unwrap();
        let desired = resources(&stack, one, postgres, &Layout::system()).unwrap();
        (stack, desired)
    }

    fn made(desired: &[Desired]) -> &resource::Container {
        let mut all = desired.iter();
        all.find_map(|one| match &one.resource {
            Resource::Container(container) => Some(container),
            _ => None,
        })
        .unwrap()
    }

    #[test]
    fn the_volume_is_where_the_image_of_that_version_has_its_data() {
        for (image, uid, target, data) in [
            (
                "15-alpine",
                70,
                "/var/lib/postgresql/data",
                "/var/lib/postgresql/data",
            ),
            (
                "17",
                999,
                "/var/lib/postgresql/data",
                "/var/lib/postgresql/data",
            ),
            (
                "18-alpine",
                70,
                "/var/lib/postgresql",
                "/var/lib/postgresql/18/docker",
            ),
        ] {
            let (_, desired) = wanted(image);
            let container = made(&desired);
            assert_eq!(container.uid, uid, "{image}");
            assert_eq!(container.environment["PGDATA"], data, "{image}");
            let volume = Mount::Volume {
                name: "shop-db-data".into(),
                target: target.into(),
            };
            assert!(container.mounts.contains(&volume), "{container:?}");
        }
    }

    /// bug: whoever owned the database made a `format` of his own, and the superuser called it.
    #[test]
    fn the_superuser_calls_nothing_that_the_owner_of_a_database_made() {
        let (_, desired) = wanted("15-alpine");
        let container = made(&desired);
        for argv in [&container.probe.argv, &container.settle] {
            let at = argv.iter().position(|word| word == "-d").unwrap();
            assert_eq!(argv[at + 1], login("postgres"));
        }
        for setting in ["search_path=pg_catalog", "role=none", "statement_timeout=0"] {
            assert!(login("shop").contains(&format!("-c {setting}")));
        }
        assert!(!login("shop").contains('\n'));
    }

    /// Row 96, and what only its socket leads to.
    #[test]
    fn a_postgres_has_no_network_no_way_in_but_its_socket_and_no_secret_in_the_open() {
        let (stack, desired) = wanted("15-alpine");
        let container = made(&desired);
        assert_eq!(container.network, Network::None);
        assert_eq!(
            container.environment["POSTGRES_PASSWORD_FILE"],
            "/etc/postgresql/password"
        );
        assert!(!container.environment.contains_key("POSTGRES_PASSWORD"));
        let text = |name: &str| {
            desired
                .iter()
                .find_map(|one| match &one.resource {
                    Resource::File(file) if file.path.ends_with(name) => Some(file.clone()),
                    _ => None,
                })
                .unwrap()
        };
        let Content::Text(rules) = text("pg_hba.conf").content else {
            panic!("no text");
        };
        let rules: Vec<_> = rules
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect();
        assert_eq!(
            rules,
            ["local all postgres peer", "local all all scram-sha-256"]
        );
        let Content::Text(settings) = text("postgresql.conf").content else {
            panic!("no text");
        };
        assert!(settings.contains("listen_addresses = ''\n"), "{settings}");
        for file in [text("password"), text("role.sql")] {
            assert_eq!(
                (file.mode, file.owner.group),
                (Mode(0o640), "tavern-shop-db".into())
            );
        }
        let secret = Layout::system().credential(&stack.name, "postgres-password");
        let has = |one: &Desired| one.resource.path() == Some(&secret);
        // What follows a new password: the copy, and what the server is told.
        let restarts = desired
            .iter()
            .find(|one| has(one))
            .map(|one| one.restarts.len());
        assert_eq!(restarts, Some(2));
    }
}
