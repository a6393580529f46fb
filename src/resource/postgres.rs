//! What a Postgres is told about the stack's role and database, by a file that its superuser runs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::MARKER;

/// The role and the database, but for the password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostgresRole {
    /// The role: no superuser.
    pub user: String,
    /// The database that it owns.
    pub database: String,
    /// The credential file with the password.
    pub password: PathBuf,
}

impl PostgresRole {
    /// Statements for `psql` that may be run at any time, and lead to the same. Both names are of a grammar without
    /// quotes. The password is only there as Postgres keeps it.
    pub fn text(&self, verifier: &str) -> String {
        let Self { user, database, .. } = self;
        format!(
            "-- {MARKER}. The role of the stack and its database: run by the superuser of the container.\n\
             SET log_min_error_statement = panic;\n\
             SELECT 'CREATE ROLE \"{user}\"' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{user}') \\gexec\n\
             ALTER ROLE \"{user}\" WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS \
             PASSWORD '{verifier}';\n\
             SELECT 'CREATE DATABASE \"{database}\" OWNER \"{user}\"' \
             WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{database}') \\gexec\n\
             ALTER DATABASE \"{database}\" OWNER TO \"{user}\";\n\
             REVOKE ALL ON DATABASE \"{database}\" FROM PUBLIC;\n"
        )
    }

    /// Whether somebody changed what was written. A new password is no such change.
    pub fn is_edited(&self, found: &str) -> bool {
        let verifier = found
            .split_once("PASSWORD '")
            .and_then(|(_, rest)| rest.split_once('\''))
            .map_or("", |(verifier, _)| verifier);
        self.text(verifier) != found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_password_is_no_edit_and_anything_else_is() {
        let role = PostgresRole {
            user: "clerk".into(),
            database: "orders".into(),
            password: "/etc/tavern/credentials/shop/postgres-password".into(),
        };
        let text = role.text("SCRAM-SHA-256$4096:a$b:c");
        assert!(!role.is_edited(&text));
        assert!(!role.is_edited(&role.text("SCRAM-SHA-256$4096:x$y:z")));
        assert!(role.is_edited(&text.replace("NOSUPERUSER", "SUPERUSER")));
        assert!(role.is_edited(&format!("{text}DROP DATABASE orders;\n")));
    }
}
