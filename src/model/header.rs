use std::str::FromStr;

use super::{Refused, text_newtype};

/// The name of a response header that a stack may set: letters, digits and dashes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeaderName(String);

/// The value of a response header: printable ASCII without `$`, which nginx would take for a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderText(String);

/// What frames the answer, or is said elsewhere in the stack file.
const NOT_TO_BE_SET: &[&str] = &[
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "keep-alive",
    "location",
    "server",
    "set-cookie",
    "strict-transport-security",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "www-authenticate",
];

/// nginx reads no word that is longer than 4096 bytes, escapes included.
const LONGEST: usize = 2000;

impl HeaderName {
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is this name, in whatever case.
    pub fn is(&self, name: &str) -> bool {
        self.0.eq_ignore_ascii_case(name)
    }
}

impl HeaderText {
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HeaderName {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let shown = text.escape_default();
        let well_formed = text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.len() <= 64
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !well_formed {
            return Err(Refused::new(
                format!("`{shown}` is not a header name"),
                "use letters, digits and dashes, a letter first, 64 characters at most",
            ));
        }
        if NOT_TO_BE_SET
            .iter()
            .any(|name| text.eq_ignore_ascii_case(name))
        {
            return Err(Refused::new(
                format!("`{shown}` is not for `headers` to set"),
                "leave it out: nginx, the app or another key of the stack file says it",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for HeaderText {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        if text.contains('$') {
            return Err(Refused::new(
                "a header value with `$`",
                "leave it out: nginx has no way to write one that is not a variable",
            ));
        }
        let printable = |c: char| c == ' ' || c.is_ascii_graphic();
        if text.len() > LONGEST || text.trim() != text || !text.chars().all(printable) {
            return Err(Refused::new(
                format!("`{}` is not a header value", text.escape_default()),
                "use printable ASCII, no space at its ends, 2000 characters at most; \"\" for no such header",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

text_newtype!(HeaderName);
text_newtype!(HeaderText);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["X-Robots-Tag", "content-security-policy", "P3P"] {
            assert!(good.parse::<HeaderName>().is_ok(), "{good}");
        }
        let long = "a".repeat(65);
        for bad in [
            "",
            "-a",
            "1a",
            "a b",
            "a:",
            "a\n",
            "$a",
            "a;",
            "é",
            "Content-Length",
            "SERVER",
            &long,
        ] {
            assert!(bad.parse::<HeaderName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn values() {
        for good in ["", "noindex, nofollow", "a \"b\" 'c' \\ ; { } #"] {
            assert!(good.parse::<HeaderText>().is_ok(), "{good}");
        }
        let long = "a".repeat(2001);
        for bad in [
            "$host", "a\nb", "a\r\nb", " a", "a ", "é", "\0", "\t", &long,
        ] {
            assert!(bad.parse::<HeaderText>().is_err(), "{bad:?}");
        }
    }
}
