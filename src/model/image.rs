use std::str::FromStr;

use super::{Refused, text_newtype};

/// A container image reference: `[registry/]name[:tag][@sha256:digest]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef(String);

impl ImageRef {
    /// The reference as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Without tag and digest: `redis`, `registry.example/app`.
    pub fn name(&self) -> &str {
        let rest = self.0.split('@').next().unwrap_or_default();
        let slash = rest.rfind('/').map_or(0, |i| i + 1);
        match rest[slash..].find(':') {
            Some(colon) => &rest[..slash + colon],
            None => rest,
        }
    }

    /// The digest in it, with its `sha256:`.
    pub fn digest(&self) -> Option<&str> {
        self.0.split_once('@').map(|(_, digest)| digest)
    }

    /// Its tag.
    pub fn tag(&self) -> Option<&str> {
        let rest = self.0.split('@').next().unwrap_or_default();
        rest.strip_prefix(self.name())?.strip_prefix(':')
    }

    /// Whether it has a tag.
    pub fn is_tagged(&self) -> bool {
        let rest = self.0.split('@').next().unwrap_or_default();
        rest != self.name()
    }

    /// The same name at a digest, as Docker writes it.
    pub fn at(&self, digest: &str) -> String {
        format!("{}@{digest}", self.name())
    }

    /// The host that has it: `docker.io` for one that names none.
    pub fn registry(&self) -> &str {
        match self.name().split_once('/') {
            Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
            _ => "docker.io",
        }
    }

    /// Whether another name, without tag or digest, is a way to write this one's.
    pub fn is_named(&self, other: &str) -> bool {
        short(self.name()) == short(other)
    }
}

/// Docker's own short form: `docker.io/library/redis` and `redis` are one.
fn short(name: &str) -> &str {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    name.strip_prefix("library/").unwrap_or(name)
}

impl FromStr for ImageRef {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        let slash = rest.rfind('/').map_or(0, |i| i + 1);
        let (name, tag) = match rest[slash..].split_once(':') {
            Some((last, tag)) => (&rest[..slash + last.len()], Some(tag)),
            None => (rest, None),
        };
        let word = |s: &str, extra: &str| {
            s.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && s.chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || extra.contains(c))
        };
        let name_ok = name.len() <= 255 && name.split('/').all(|part| word(part, "._-:"));
        let tag_ok = tag.is_some_and(|t| {
            !t.is_empty()
                && t.len() <= 128
                && t.chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        });
        let digest_ok = digest.is_some_and(|d| {
            d.strip_prefix("sha256:")
                .is_some_and(|hex| hex.len() == 64 && hex.chars().all(|c| c.is_ascii_hexdigit()))
        });
        // A tag or a digest must be there: `latest` moves under the owner's feet.
        if name_ok
            && (tag.is_none() || tag_ok)
            && (digest.is_none() || digest_ok)
            && (tag_ok || digest_ok)
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(Refused::new(
                format!(
                    "`{}` is not an image with a tag or digest",
                    text.escape_default()
                ),
                "write it as `redis:7-alpine` or `registry.example/app@sha256:…`",
            ))
        }
    }
}

text_newtype!(ImageRef);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_parts() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, name, registry, tagged) in [
            ("redis:7", "redis", "docker.io", true),
            ("grafana/grafana:1", "grafana/grafana", "docker.io", true),
            (
                "localhost:5000/a/b:1",
                "localhost:5000/a/b",
                "localhost:5000",
                true,
            ),
            ("localhost/a:1", "localhost/a", "localhost", true),
            (
                "registry.example/a/b:1",
                "registry.example/a/b",
                "registry.example",
                true,
            ),
        ] {
            let image: ImageRef = text.parse().unwrap();
            assert_eq!(
                (
                    image.name(),
                    image.registry(),
                    image.is_tagged(),
                    image.digest()
                ),
                (name, registry, tagged, None),
            );
            let pinned: ImageRef = image.at(&digest).parse().unwrap();
            assert_eq!(pinned.digest(), Some(digest.as_str()));
            assert_eq!((pinned.name(), pinned.is_tagged()), (name, false));
        }
        let redis: ImageRef = "redis:7".parse().unwrap();
        assert!(redis.is_named("docker.io/library/redis") && redis.is_named("redis"));
        assert!(!redis.is_named("theirs/redis"));
    }

    #[test]
    fn grammar() {
        let digest = format!("redis@sha256:{}", "a".repeat(64));
        for good in [
            "redis:7-alpine",
            "library/redis:7",
            "localhost:5000/a/b:1.2_3",
            digest.as_str(),
        ] {
            assert!(good.parse::<ImageRef>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "redis",
            "Redis:7",
            "redis:",
            "redis:7 alpine",
            "redis@sha256:12",
            "a;b:1",
            "../x:1",
        ] {
            assert!(bad.parse::<ImageRef>().is_err(), "{bad}");
        }
    }
}
