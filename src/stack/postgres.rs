//! What a `[container.NAME]` of kind `postgres` has beside the others': its major version, its database and its role.

use toml::Spanned;

use super::StackError;
use super::validate::Validation;
use crate::model::{ImageRef, Name};

/// The oldest that is known to take what Tavern tells it.
const OLDEST: u32 = 13;

/// What a Postgres is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postgres {
    /// The major version that the image's tag names.
    pub major: u32,
    /// The uid of `postgres` in the image.
    pub uid: u32,
    /// The database of the stack.
    pub database: String,
    /// The role that owns it, and is no superuser.
    pub user: String,
}

impl Validation<'_> {
    pub(super) fn postgres(
        &self,
        stack: &Name,
        image: &Spanned<ImageRef>,
        database: Option<&Spanned<String>>,
        user: Option<&Spanned<String>>,
    ) -> Result<Postgres, StackError> {
        let Some((major, uid)) = image.get_ref().tag().and_then(version) else {
            let message = format!(
                "`{}` does not say which major version of PostgreSQL it is",
                image.get_ref().as_str().escape_default()
            );
            return self.fault(
                image.span(),
                message,
                "write it with a tag such as `postgres:17-alpine`, before the digest if there is one: the data is of \
                 one major version, and no other one reads it",
            );
        };
        if major < OLDEST {
            return self.fault(
                image.span(),
                format!("PostgreSQL {major} is too old"),
                "13 is the oldest that Tavern runs",
            );
        }
        let name = |given: Option<&Spanned<String>>| {
            match given {
            None => Ok(stack.as_str().replace('-', "_")),
            Some(given) if is_name(given.get_ref()) => Ok(given.get_ref().clone()),
            Some(given) => self.fault(
                given.span(),
                "not a name for a database or role",
                "a lower-case letter, then letters, digits or `_`, 60 characters at most; not `postgres`, `template0`, \
                 `template1` or `pg_…`, which are Postgres's own",
            ),
        }
        };
        Ok(Postgres {
            major,
            uid,
            database: name(database)?,
            user: name(user)?,
        })
    }

    /// Refuses what only a Postgres has, of another kind.
    pub(super) fn no_postgres(
        &self,
        database: Option<&Spanned<String>>,
        user: Option<&Spanned<String>>,
    ) -> Result<(), StackError> {
        match database.or(user) {
            None => Ok(()),
            Some(given) => self.fault(
                given.span(),
                "only a container of kind `postgres` has a database and a role",
                "take it out, or correct `kind`",
            ),
        }
    }
}

/// The major version that a tag begins with, and the uid that `postgres` has in such an image: Alpine has its own.
fn version(tag: &str) -> Option<(u32, u32)> {
    let end = tag.find(|c: char| !c.is_ascii_digit()).unwrap_or(tag.len());
    let (digits, rest) = tag.split_at(end);
    let uid = if rest.contains("alpine") { 70 } else { 999 };
    Some((digits.parse().ok()?, uid))
}

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_lowercase())
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && text.len() <= 60
        && !text.starts_with("pg_")
        && !["postgres", "template0", "template1"].contains(&text)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::stack::{ContainerKind, Stack, parse};

    fn stack(container: &str) -> Result<Stack, StackError> {
        let text = format!(
            "name = \"web-shop\"\nhosts = [\"*\"]\n[tls]\nissuer = \"self-signed\"\n[[site]]\npath = \"/\"\nstatic = \"shop\"\n{container}"
        );
        parse(Path::new("web-shop.toml"), text.as_bytes())
    }

    #[test]
    fn a_tag_says_major_and_user() {
        for (tag, wanted) in [
            ("15-alpine", Some((15, 70))),
            ("17.2-alpine3.21", Some((17, 70))),
            ("16", Some((16, 999))),
            ("18.1-bookworm", Some((18, 999))),
            ("alpine", None),
            ("latest", None),
            ("99999999999", None),
        ] {
            assert_eq!(version(tag), wanted, "{tag}");
        }
    }

    #[test]
    fn database_and_role_are_called_as_the_stack_or_as_given() {
        let one = "[container.db]\nkind = \"postgres\"\nimage = \"postgres:15-alpine\"\n";
        let found = stack(one).unwrap().containers.remove(0);
        assert_eq!(
            (found.kind, found.name.as_str()),
            (ContainerKind::Postgres, "web-shop-db")
        );
        let postgres = found.postgres.unwrap();
        assert_eq!(
            (postgres.database.as_str(), postgres.user.as_str()),
            ("web_shop", "web_shop")
        );
        let named = stack(&format!("{one}database = \"orders\"\nuser = \"clerk\"\n")).unwrap();
        let postgres = named.containers[0].postgres.clone().unwrap();
        assert_eq!(
            (postgres.database.as_str(), postgres.user.as_str()),
            ("orders", "clerk")
        );
    }

    #[test]
    fn what_is_no_postgres_of_ours_is_refused_at_its_place() {
        let digest = format!("postgres@sha256:{}", "a".repeat(64));
        for (lines, wanted, place) in [
            (
                "kind = \"postgres\"\nimage = \"postgres:alpine\"",
                "which major version",
                "postgres:alpine",
            ),
            (
                &format!("kind = \"postgres\"\nimage = \"{digest}\""),
                "which major version",
                &digest,
            ),
            (
                "kind = \"postgres\"\nimage = \"postgres:12\"",
                "too old",
                "postgres:12",
            ),
            (
                "kind = \"postgres\"\nimage = \"postgres:15\"\nuser = \"postgres\"",
                "not a name",
                "user",
            ),
            (
                "kind = \"postgres\"\nimage = \"postgres:15\"\ndatabase = \"a\\\"; DROP\"",
                "not a name",
                "database",
            ),
            (
                "kind = \"redis\"\nimage = \"redis:7\"\ndatabase = \"a\"",
                "only a container of kind `postgres`",
                "database",
            ),
        ] {
            let error = stack(&format!("[container.db]\n{lines}\n")).unwrap_err();
            let shown = error.to_string();
            assert!(shown.contains(wanted) && shown.contains(place), "{shown}");
        }
    }

    #[test]
    fn an_app_of_ours_keeps_its_count_in_no_postgres() {
        let text = "[container.db]\nkind = \"postgres\"\nimage = \"postgres:15\"\n\
                    [app.counter]\nserve = \"counter\"\nneeds = [\"db\"]\naccounts = [\"ada\"]\n";
        let shown = stack(text).unwrap_err().to_string();
        assert!(shown.contains("`db` is no Redis"), "{shown}");
        assert!(shown.contains("needs = [\"db\"]"), "{shown}");
    }
}
