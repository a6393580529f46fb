//! PostgreSQL on a Unix socket: one database and a role that owns it and is no superuser.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use minijinja::context;

use super::super::base::managed_for;
use super::super::emit::{EmitError, emit};
use super::{MEBIBYTE, group};
use crate::model::{Layout, Mode};
use crate::resource::{
    self, Content, Desired, Directory, File, Image, Keep, Mount, Network, Owner, PostgresRole,
    Probe, Resource, ResourceId, Secret, SecretKind, Volume,
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
const IS_FIRST: &str =
    "SELECT 1 / (split_part(pg_read_file('postmaster.pid'), E'\\n', 1) = '1')::int";

/// What `psql` is given in the container to do as its superuser, whatever the image's user has configured.
pub fn psql(rest: &[&str]) -> Vec<String> {
    let begin = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"];
    let login = ["-h", RUN, "-U", "postgres"];
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
        command: ["postgres".to_owned(), "-c".to_owned()]
            .into_iter()
            .chain([format!("config_file={PLACE}/postgresql.conf")])
            .collect(),
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
            argv: psql(&["-d", "postgres", "-c", IS_FIRST]),
            says: None,
        },
        settle: psql(&["-d", "postgres", "-f", &format!("{PLACE}/role.sql")]),
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
    Ok(vec![
        own(&directory).into(),
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
        Resource::Image(Image {
            auth_file: wanted.auth_file.clone(),
            ..Image::new(wanted.image.clone())
        })
        .into(),
        Resource::Volume(Volume {
            name: wanted.volume.clone(),
            stack: stack.name.to_string(),
            postgres: Some(postgres.major),
        })
        .into(),
        Resource::Container(container).into(),
    ])
}

fn own(directory: &Path) -> Resource {
    Resource::Directory(Directory {
        path: directory.to_owned(),
        mode: Mode(0o755),
        owner: Owner::root(),
        keep: Keep::Managed,
    })
}
