//! The login for a registry, out of a file in the form of Docker's `config.json`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use serde::Deserialize;
use std::collections::BTreeMap;

use crate::model::ImageRef;

/// Docker's own name for its hub's login.
const HUB: &str = "https://index.docker.io/v1/";

/// How to log in to a registry. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryLogin {
    server: String,
    user: String,
    password: String,
    token: Option<String>,
}

impl std::fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a login for {}", self.server)
    }
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Auth {
    auth: String,
    username: String,
    password: String,
    identitytoken: Option<String>,
}

impl RegistryLogin {
    /// The login for an image's registry; nothing where the file has none for it.
    ///
    /// # Errors
    /// When the file is not of that form. The reason has nothing of what is in it.
    pub fn find(file: &[u8], image: &ImageRef) -> Result<Option<Self>, String> {
        // serde's own words quote the text, which may be a password.
        let config: Config = serde_json::from_slice(file).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            format!("not in the form of Docker's config.json, at line {line}, column {column}")
        })?;
        let wanted = match image.registry() {
            "docker.io" => format!(
                "docker.io/{}",
                image.name().trim_start_matches("docker.io/")
            ),
            _ => image.name().to_owned(),
        };
        let mut best: Option<(String, &String, &Auth)> = None;
        for (key, auth) in &config.auths {
            let place = place(key);
            let fits = wanted.strip_prefix(place.as_str());
            let is_better = best
                .as_ref()
                .is_none_or(|(known, ..)| known.len() < place.len());
            if fits.is_some_and(|rest| rest.starts_with('/')) && is_better {
                best = Some((place, key, auth));
            }
        }
        let Some((place, key, auth)) = best else {
            return Ok(None);
        };
        let (user, password) = if auth.auth.is_empty() {
            (auth.username.clone(), auth.password.clone())
        } else {
            in_one(&auth.auth).ok_or_else(|| format!("`auth` of {key} is no login in base64"))?
        };
        let token = auth.identitytoken.clone().filter(|token| !token.is_empty());
        // A credential helper has the rest: Tavern runs none, and pulls without a login.
        if user.is_empty() && token.is_none() {
            return Ok(None);
        }
        Ok(Some(Self {
            server: if place == "docker.io" {
                HUB.to_owned()
            } else {
                place
            },
            user,
            password,
            token,
        }))
    }

    /// As Docker wants it, in a header.
    pub(super) fn credentials(&self) -> DockerCredentials {
        let (user, password) = match &self.token {
            Some(_) => (None, None),
            None => (Some(self.user.clone()), Some(self.password.clone())),
        };
        DockerCredentials {
            username: user,
            password,
            identitytoken: self.token.clone(),
            serveraddress: Some(self.server.clone()),
            ..DockerCredentials::default()
        }
    }

    /// Whether the header can carry it. Docker reads the URL's alphabet of base64 and is sent the other one: where
    /// these differ it would see no login at all.
    pub(super) fn can_be_sent(&self) -> bool {
        serde_json::to_vec(&self.credentials())
            .is_ok_and(|text| !STANDARD.encode(text).contains(['+', '/']))
    }
}

/// `https://index.docker.io/v1/` is `docker.io`, `https://registry.example/v2/` is `registry.example`.
fn place(key: &str) -> String {
    let key = key.split_once("://").map_or(key, |(_, rest)| rest);
    let key = key.trim_end_matches('/');
    let key = key.trim_end_matches("/v1").trim_end_matches("/v2");
    match key {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        _ => key.to_owned(),
    }
}

fn in_one(auth: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    // Docker pads with zeros.
    Some((user.to_owned(), password.trim_end_matches('\0').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(file: &str, image: &str) -> Result<Option<RegistryLogin>, String> {
        RegistryLogin::find(file.as_bytes(), &image.parse().unwrap())
    }

    fn user(file: &str, image: &str) -> Option<String> {
        find(file, image)
            .unwrap()
            .map(|login| format!("{}/{}", login.user, login.password))
    }

    #[test]
    fn the_login_of_the_registry_and_no_other() {
        // ann:secret, hub:word
        let file = r#"{"auths": {
            "registry.example:5000": {"auth": "YW5uOnNlY3JldA=="},
            "registry.example:5000/deep": {"username": "deep", "password": "er"},
            "https://index.docker.io/v1/": {"auth": "aHViOndvcmQ="},
            "helped.example": {}
        }, "credsStore": "desktop"}"#;
        for (image, found) in [
            ("registry.example:5000/redis:7", Some("ann/secret")),
            ("registry.example:5000/deep/redis:7", Some("deep/er")),
            ("registry.example:5000/deeper:7", Some("ann/secret")),
            ("redis:7", Some("hub/word")),
            ("docker.io/library/redis:7", Some("hub/word")),
            ("registry.example/redis:7", None),
            ("other.example/redis:7", None),
            ("helped.example/redis:7", None),
        ] {
            assert_eq!(user(file, image).as_deref(), found, "{image}");
        }
        assert_eq!(user("{}", "redis:7"), None);
    }

    #[test]
    fn nothing_of_it_is_said() {
        let login = find(
            r#"{"auths": {"a.b": {"auth": "YW5uOnNlY3JldA=="}}}"#,
            "a.b/c:1",
        );
        let said = format!("{login:?}");
        assert!(
            said.contains("a login for a.b") && !said.contains("secret"),
            "{said}"
        );
        for damaged in [
            r#"{"auths": {"a.b": {"auth": "secret"}}}"#,
            r#"{"auths": {"a.b": {"auth": 5, "password": "secret"}}}"#,
            r#"{"auths": "secret"}"#,
            "secret",
        ] {
            let said = find(damaged, "a.b/c:1").unwrap_err();
            assert!(!said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn a_login_that_the_header_cannot_carry_is_known() {
        let can = |password: &str| {
            let login = RegistryLogin {
                server: "a.b".into(),
                user: "ann".into(),
                password: password.into(),
                token: None,
            };
            login.can_be_sent()
        };
        assert!(can("plain"));
        assert!(!["~", "1~", "12~"].iter().all(|password| can(password)));
    }
}
