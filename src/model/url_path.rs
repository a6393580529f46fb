use std::str::FromStr;

use super::{Refused, text_newtype};

/// Where a site lives on its host: absolute, normalised, from a small alphabet (`A-Z a-z 0-9 . _ ~ - /`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UrlPath(String);

impl UrlPath {
    /// The path as written, with its final slash if it had one.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path without a final slash; empty for the root.
    pub fn prefix(&self) -> &str {
        self.0.trim_end_matches('/')
    }

    /// Whether this is `/`.
    pub fn is_root(&self) -> bool {
        self.0 == "/"
    }
}

impl FromStr for UrlPath {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let segment_ok = |segment: &str| {
            segment != "."
                && segment != ".."
                && segment
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._~-".contains(c))
        };
        let inner = text
            .strip_prefix('/')
            .map(|rest| rest.strip_suffix('/').unwrap_or(rest));
        let well_formed = text.len() <= 200
            && match inner {
                Some("") => text == "/",
                Some(inner) => inner.split('/').all(|s| !s.is_empty() && segment_ok(s)),
                None => false,
            };
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(Refused::new(
                format!("`{}` is not a path", text.escape_default()),
                "begin with `/` and use letters, digits and `. _ ~ -` between single slashes",
            ))
        }
    }
}

text_newtype!(UrlPath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar() {
        for good in ["/", "/open", "/flask/", "/a/b.c/d~e_f-g"] {
            assert!(good.parse::<UrlPath>().is_ok(), "{good}");
        }
        for bad in [
            "", "open", "//", "/a//b", "/../etc", "/a/..", "/a b", "/a;b", "/$uri", "/a\n", "/é",
            "/a{", "/%2e%2e",
        ] {
            assert!(bad.parse::<UrlPath>().is_err(), "{bad:?}");
        }
    }
}
