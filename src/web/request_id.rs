//! One id per request, in nginx's `$request_id` form, so that its access log and our records meet.

use axum::http::HeaderValue;

pub const HEADER: &str = "x-request-id";
const LENGTH: usize = 32;

/// 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId([u8; LENGTH]);

impl RequestId {
    /// Accepts what the front door sent if it has the right form.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let digits: [u8; LENGTH] = value.try_into().ok()?;
        digits
            .iter()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
            .then_some(Self(digits))
    }

    pub fn make() -> Self {
        let mut random = [0u8; LENGTH / 2];
        // without randomness the id stays zero: it only correlates, so serving goes on
        let _ = getrandom::fill(&mut random);
        let mut digits = [0u8; LENGTH];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(random) {
            pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
        Self(digits)
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    pub fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_bytes(&self.0).ok()
    }
}

fn hex_digit(value: u8) -> u8 {
    match value {
        0..=9 => b'0' + value,
        _ => b'a' + value - 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar() {
        assert!(RequestId::parse(b"0123456789abcdef0123456789abcdef").is_some());
        for bad in [
            &b""[..],
            b"0123456789ABCDEF0123456789abcdef",
            b"0123456789abcdef0123456789abcdeg",
            b"0123456789abcdef0123456789abcdef0",
        ] {
            assert_eq!(RequestId::parse(bad), None);
        }
        let made = RequestId::make();
        assert_eq!(RequestId::parse(made.as_str().as_bytes()), Some(made));
        assert_ne!(made, RequestId::make());
    }
}
