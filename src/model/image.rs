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
