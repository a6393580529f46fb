use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// As Postgres has it.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();

/// The form in which Postgres keeps a password (RFC 5803). The same each time, so that a file with it is left alone:
/// its salt is made from the password, of whose 256 random bits it gives nothing away.
pub fn scram_verifier(user: &str, password: &str) -> String {
    let keyed = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    let salt = keyed(password.as_bytes(), format!("salt of {user}").as_bytes());
    let salt = salt.as_ref().get(..16).unwrap_or_default();
    let mut salted = [0; 32];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        ITERATIONS,
        salt,
        password.as_bytes(),
        &mut salted,
    );
    let client = keyed(&salted, b"Client Key");
    let stored = digest::digest(&digest::SHA256, client.as_ref());
    let server = keyed(&salted, b"Server Key");
    format!(
        "SCRAM-SHA-256${ITERATIONS}:{}${}:{}",
        BASE64_STANDARD.encode(salt),
        BASE64_STANDARD.encode(stored),
        BASE64_STANDARD.encode(server)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_another_library_makes_of_it() {
        assert_eq!(
            scram_verifier("shop", "secret"),
            "SCRAM-SHA-256$4096:ahxwPE7/+2khTytIf8vkFg==\
             $aKNdPr4xoqEH5usZoMSxvxdTf26uCSSawGdTSGO6nDw=:r7Hq8NMN51dB1Ow6qcdtV6Ul4AsSKyo3UCRhWdbDQdU="
        );
        assert_ne!(
            scram_verifier("shop", "secret"),
            scram_verifier("other", "secret")
        );
    }
}
