use super::super::token::{Refusal, Tokens, now};
use super::*;

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const OTHER: &str = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff000102030405060708090a0b0c0d0e0f";

fn tokens(text: impl Into<String>) -> Tokens {
    Tokens::new(&Secret::new(text.into()), "tavern-counter").unwrap()
}

#[test]
fn a_key_on_its_way_out_still_verifies() {
    let token = tokens(KEY).issue("admin").unwrap();
    let rotated = tokens(format!("{OTHER}\n{KEY} retired={}\n", now()));
    assert!(rotated.check(&token).is_ok());
    let fresh = rotated.issue("admin").unwrap();
    assert!(tokens(KEY).check(&fresh).is_err(), "the first key signs");
    let gone = tokens(OTHER);
    assert_eq!(gone.check(&token), Err(Refusal::Invalid));
}

#[test]
fn weak_keys_are_refused() {
    let new = |text: &str| Tokens::new(&Secret::new(text.to_owned()), "x").err();
    assert!(matches!(
        new(&KEY[2..]),
        Some(KeyError::TooShort { line: 1, bytes: 31 })
    ));
    assert!(matches!(
        new("your-secret-key-here"),
        Some(KeyError::NotHex { line: 1 })
    ));
    assert!(matches!(new(&KEY[1..]), Some(KeyError::NotHex { line: 1 })));
    assert!(matches!(
        new(&"00".repeat(32)),
        Some(KeyError::NotRandom { line: 1 })
    ));
    assert!(matches!(
        new(&format!("{KEY}\nff")),
        Some(KeyError::TooShort { line: 2, .. })
    ));
    assert!(new(KEY).is_none());
}

#[test]
fn an_old_key_is_forgotten_when_its_last_token_has_expired() {
    let token = tokens(KEY).issue("admin").unwrap();
    let end = LIFE_SECONDS + LEEWAY_SECONDS + HANDOVER_SECONDS;
    let with_age = |age: u64| tokens(format!("{OTHER}\n{KEY} retired={}", now() - age));
    assert!(with_age(end - 5).check(&token).is_ok());
    assert_eq!(with_age(end + 5).check(&token), Err(Refusal::Invalid));
    // a clock that was set back does not take the key away
    let ahead = tokens(format!("{OTHER}\n{KEY} retired={}", now() + 86_400));
    assert!(ahead.check(&token).is_ok());
}

#[test]
fn a_ring_of_an_earlier_version_is_read() {
    let token = tokens(KEY).issue("admin").unwrap();
    assert!(tokens(format!("{KEY}\n")).check(&token).is_ok());
    assert!(tokens(format!("{OTHER}\n{KEY}\n")).check(&token).is_ok());
}

#[test]
fn notes_behind_a_key_are_strict() {
    let new = |text: String| KeyRing::parse(&Secret::new(text)).err();
    for note in ["retired=", "retired=x", "retired=-1", "old", "retired=1 x"] {
        assert!(
            matches!(
                new(format!("{KEY} {note}")),
                Some(KeyError::Note { line: 1 })
            ),
            "{note}"
        );
    }
    assert!(matches!(
        new(vec![KEY; MAX_KEYS + 1].join("\n")),
        Some(KeyError::TooMany)
    ));
    assert!(matches!(
        new("0102".repeat(16)),
        Some(KeyError::NotRandom { line: 1 })
    ));
}

/// The engine writes what the app reads.
#[test]
fn what_the_engine_rotates_is_a_ring() {
    let first = crate::mint::key().unwrap();
    let token = tokens(first.clone()).issue("admin").unwrap();
    let second = crate::mint::rotate(&first, now(), crate::mint::Overlap::Kept).unwrap();
    assert!(tokens(second.clone()).check(&token).is_ok());
    let third = crate::mint::rotate(&second, now(), crate::mint::Overlap::Kept).unwrap();
    assert!(tokens(third.clone()).check(&token).is_ok());
    assert_eq!(third.lines().count(), 3);
    let later = now() + LIFE_SECONDS + LEEWAY_SECONDS + HANDOVER_SECONDS + 120;
    let fourth = crate::mint::rotate(&third, later, crate::mint::Overlap::Kept).unwrap();
    assert_eq!(
        fourth.lines().count(),
        2,
        "what verifies no more is dropped"
    );
    let alone = crate::mint::rotate(&third, now(), crate::mint::Overlap::None).unwrap();
    assert_eq!(alone.lines().count(), 1);
    assert_eq!(tokens(alone).check(&token), Err(Refusal::Invalid));
}
