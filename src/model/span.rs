use std::str::FromStr;
use time::Duration;

use super::Refused;

/// A length of time as people write it: `45s`, `10m`, `1h30m`, `2d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(u32);

impl Span {
    const UNITS: [(char, u32); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

    /// So many seconds.
    pub const fn seconds(seconds: u32) -> Self {
        Self(seconds)
    }

    /// As a number.
    pub const fn whole_seconds(self) -> u32 {
        self.0
    }

    /// For arithmetic.
    pub fn duration(self) -> Duration {
        Duration::seconds(self.0.into())
    }
}

impl FromStr for Span {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        const HELP: &str = "write it like `45s`, `10m`, `1h30m` or `2d`";
        let refused = || Refused::new(format!("`{text}` is no length of time"), HELP);
        let mut rest = text;
        let mut seconds: u32 = 0;
        let mut units = Self::UNITS.iter();
        while !rest.is_empty() {
            let end = rest
                .find(|c: char| !c.is_ascii_digit())
                .ok_or_else(refused)?;
            let number: u32 = rest[..end].parse().map_err(|_| refused())?;
            let sign = rest[end..].chars().next().ok_or_else(refused)?;
            // Larger units first, none twice.
            let (_, unit) = units.find(|(s, _)| *s == sign).ok_or_else(refused)?;
            let part = number.checked_mul(*unit).ok_or_else(refused)?;
            seconds = seconds.checked_add(part).ok_or_else(refused)?;
            rest = &rest[end + sign.len_utf8()..];
        }
        // Dates end somewhere; a hundred years are enough for everybody.
        if seconds == 0 || seconds > 36_500 * 86_400 {
            return Err(refused());
        }
        Ok(Self(seconds))
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut rest = self.0;
        for (sign, unit) in Self::UNITS {
            if rest >= unit {
                write!(f, "{}{sign}", rest / unit)?;
                rest %= unit;
            }
        }
        if self.0 == 0 {
            f.write_str("0s")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn as_people_write_it() {
        for (text, seconds) in [
            ("45s", 45),
            ("10m", 600),
            ("90m", 5_400),
            ("1h30m", 5_400),
            ("2d", 172_800),
            ("1d1h1m1s", 90_061),
        ] {
            assert_eq!(text.parse(), Ok(Span(seconds)), "{text}");
        }
    }

    #[test]
    fn nothing_else_is_one() {
        for text in [
            "",
            "0s",
            "10",
            "h",
            "-1h",
            "1.5h",
            "1 h",
            "1h 30m",
            "30m1h",
            "1h1h",
            "1w",
            "1H",
            "+1h",
            "99999999999999999999s",
            "300000000000000000d",
            "36501d",
            "１h",
        ] {
            let refused = text.parse::<Span>().unwrap_err();
            assert!(refused.help.contains("1h30m"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(seconds in 1u32..36_500 * 86_400) {
            let span = Span::seconds(seconds);
            prop_assert_eq!(span.to_string().parse(), Ok(span));
        }
    }
}
