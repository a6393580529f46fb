//! The signing keys of an app as its credential holds them: the first line signs, the others are
//! on their way out, with the time they were replaced. `web::key_ring` reads it.

use super::MintError;
use super::password::key;

/// An hour for the last token, ten minutes for the app to restart with the new key, and a little.
const KEPT_SECONDS: u64 = 3600 + 600 + 60;

/// No app starts with a ring of more lines.
pub const RING_LIMIT: usize = 64;

/// What becomes of tokens that the key before signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// They hold until they expire.
    Kept,
    /// They end at once: the key may be in wrong hands.
    None,
}

/// The ring with a new key at its head; keys whose last token has expired by `now` are gone.
///
/// # Errors
/// When the kernel gives no random bytes, or the ring is full of keys that may still be needed.
pub fn rotate(ring: &str, now: u64, overlap: Overlap) -> Result<String, MintError> {
    let mut text = format!("{}\n", key()?);
    if overlap == Overlap::None {
        return Ok(text);
    }
    for line in ring.lines() {
        let (digits, retired) = parts(line);
        // a key that was replaced by a Tavern that noted no time, too, has an end from now on
        let retired = retired.unwrap_or(now).min(now);
        if now <= retired.saturating_add(KEPT_SECONDS) {
            text.push_str(&format!("{digits} retired={retired}\n"));
        }
    }
    if text.lines().count() > RING_LIMIT {
        return Err(MintError::RingFull);
    }
    Ok(text)
}

/// Whether it is a ring that an app would start with.
pub fn is_ring(text: &str) -> bool {
    let mut lines = text.lines().peekable();
    lines.peek().is_some()
        && lines.all(|line| {
            let (digits, retired) = parts(line);
            let is_key = digits.len() >= 64
                && digits.len().is_multiple_of(2)
                && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_key && (retired.is_some() || line.trim() == digits)
        })
}

/// Its keys, without what is noted of them; the one in use first.
pub fn keys(ring: &str) -> impl Iterator<Item = &str> {
    ring.lines().map(|line| parts(line).0)
}

fn parts(line: &str) -> (&str, Option<u64>) {
    let line = line.trim();
    match line.split_once(' ') {
        None => (line, None),
        Some((digits, note)) => {
            let seconds = note.trim().strip_prefix("retired=");
            (digits, seconds.and_then(|seconds| seconds.parse().ok()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// bug: the ring grew past what an app takes, and the run failed when the app did not start.
    #[test]
    fn a_full_ring_is_refused_until_a_key_has_expired() {
        let mut ring = format!("{}\n", key().unwrap());
        for _ in 1..RING_LIMIT {
            ring = rotate(&ring, 1000, Overlap::Kept).unwrap();
        }
        assert!(is_ring(&ring));
        assert!(matches!(
            rotate(&ring, 1000, Overlap::Kept),
            Err(MintError::RingFull)
        ));
        assert!(rotate(&ring, 1000, Overlap::None).is_ok());
        let later = rotate(&ring, 1000 + KEPT_SECONDS + 1, Overlap::Kept).unwrap();
        assert_eq!(later.lines().count(), 2);
    }

    #[test]
    fn only_rings_are_rings() {
        let key = key().unwrap();
        for good in [
            key.clone(),
            format!("{key}\n"),
            format!("{key}\n{key} retired=5\n"),
            format!("{key}\n{key}\n"),
        ] {
            assert!(is_ring(&good), "{good}");
        }
        for bad in [
            String::new(),
            "\n".to_owned(),
            key[1..].to_owned(),
            key[2..].to_owned(),
            format!("{key} retired=x"),
            format!("{key}\nsecret"),
        ] {
            assert!(!is_ring(&bad), "{bad}");
        }
    }
}
