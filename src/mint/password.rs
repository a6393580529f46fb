use argon2::password_hash::PasswordHasher;
use sha_crypt::ShaCrypt;

use super::MintError;
use crate::model::HashCost;

/// 256 random bits as 64 hexadecimal digits.
///
/// # Errors
/// When the kernel gives no random bytes.
pub fn key() -> Result<String, MintError> {
    Ok(hex(&random::<32>()?))
}

/// A password of 20 characters from 32 that are not mistaken for each other: 100 bits.
///
/// # Errors
/// When the kernel gives no random bytes.
pub fn generate_password() -> Result<String, MintError> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    // 32 divides 256: no character is likelier than another.
    Ok(random::<20>()?
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
        .collect())
}

/// An argon2id hash for an app's accounts file.
///
/// # Errors
/// When the kernel gives no random bytes, or the hash cannot be made.
pub fn account_hash(password: &str, cost: HashCost) -> Result<String, MintError> {
    let salt = random::<16>()?;
    let params = argon2::Params::new(cost.memory_kib(), cost.passes(), 1, None)
        .map_err(|error| MintError::Hash(error.to_string()))?;
    let (algorithm, version) = (argon2::Algorithm::Argon2id, argon2::Version::V0x13);
    argon2::Argon2::new(algorithm, version, params)
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|error| MintError::Hash(error.to_string()))
}

/// A `$6$` hash for nginx. 12 salt bytes become the 16 characters that crypt(3) keeps;
/// with more, nginx answers 401.
///
/// # Errors
/// When the kernel gives no random bytes, or the hash cannot be made.
pub fn site_hash(password: &str) -> Result<String, MintError> {
    let salt = random::<12>()?;
    ShaCrypt::default()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|error| MintError::Hash(error.to_string()))
}

/// The form in which a Redis ACL holds a password: SHA-256 in hexadecimal.
pub fn redis_password_hash(password: &str) -> String {
    sha256(password.as_bytes())
}

/// SHA-256 of any bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn random<const N: usize>() -> Result<[u8; N], MintError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| MintError::Random(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn site_hashes_have_the_form_that_crypt_keeps() {
        let hash = site_hash("secret").unwrap();
        let parts: Vec<_> = hash.split('$').collect();
        assert_eq!(parts[1], "6", "{hash}");
        let salt = parts[parts.len() - 2];
        assert_eq!(salt.len(), 16, "{hash}");
    }

    /// bug: a salt of 22 characters verifies in Rust and nowhere else.
    #[test]
    fn site_hash_verifies_with_libcrypt() {
        let hash = site_hash("pass word").unwrap();
        #[allow(
            clippy::disallowed_methods,
            reason = "libcrypt is the peer, perl its shortest door"
        )]
        let output = std::process::Command::new("perl")
            .args(["-e", "print crypt($ARGV[0], $ARGV[1])", "pass word", &hash])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), hash);
    }

    #[test]
    fn passwords_differ_and_are_long() {
        let (a, b) = (generate_password().unwrap(), generate_password().unwrap());
        assert!(a != b && a.len() == 20);
        assert_eq!(key().unwrap().len(), 64);
        assert!(
            account_hash("x", HashCost::default())
                .unwrap()
                .starts_with("$argon2id$v=19$m=19456,t=2,p=1$")
        );
    }

    #[test]
    fn redis_hash_is_sha256() {
        assert_eq!(
            redis_password_hash("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
