use std::str::FromStr;

use super::{Refused, text_newtype};

/// The name of a stack, site, app, account or credential: `[a-z][a-z0-9-]{0,30}`, no dash at the end.
///
/// Narrow on purpose: it becomes part of file, unit and log names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let mut chars = text.chars();
        let well_formed = chars.next().is_some_and(|c| c.is_ascii_lowercase())
            && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !text.ends_with('-')
            && text.len() <= 31;
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(Refused::new(
                format!("`{}` is not a name", text.escape_default()),
                "use a lower-case letter, then letters, digits or dashes, 31 characters at most",
            ))
        }
    }
}

text_newtype!(Name);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar() {
        for good in ["a", "counter", "redis-flask", "a1-2"] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "A",
            "1a",
            "a-",
            "a b",
            "a;b",
            "a/b",
            "..",
            "a\n",
            "é",
            &"a".repeat(32),
        ] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }
}
