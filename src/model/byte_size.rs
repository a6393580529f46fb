use std::str::FromStr;

use super::{Refused, serde_by_text};

/// A number of bytes as people write it: `512k`, `10M`, `2G`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize {
    count: u32,
    unit: char,
}

impl ByteSize {
    /// So many mebibytes.
    pub const fn mebibytes(count: u32) -> Self {
        Self { count, unit: 'm' }
    }
}

impl FromStr for ByteSize {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let lower = text.to_ascii_lowercase();
        let parsed = ['k', 'm', 'g'].into_iter().find_map(|unit| {
            let digits = lower.strip_suffix(unit)?;
            let all_digits = !digits.starts_with('0') && digits.chars().all(|c| c.is_ascii_digit());
            let count = digits.parse().ok().filter(|_| all_digits)?;
            Some(Self { count, unit })
        });
        // Six digits of the largest unit are more than any disk.
        parsed.filter(|size| size.count < 1_000_000).ok_or_else(|| {
            Refused::new(
                format!("`{}` is not a size", text.escape_default()),
                "write it like `512k`, `10M` or `2G`",
            )
        })
    }
}

impl std::fmt::Display for ByteSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.count, self.unit)
    }
}

serde_by_text!(ByteSize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar() {
        for (good, shown) in [("512k", "512k"), ("10M", "10m"), ("2g", "2g")] {
            assert_eq!(good.parse::<ByteSize>().unwrap().to_string(), shown);
        }
        for bad in [
            "", "0", "0m", "10", "-1m", "1 m", "1mb", "k", "1000000g", "1.5m", "é",
        ] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad:?}");
        }
    }
}
