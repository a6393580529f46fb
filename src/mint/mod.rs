//! Makes keys, passwords, hashes and certificates, and reads them back. Pure but for the kernel's random bytes.

mod authority;
mod certificate;
mod flaw;
mod inspect;
mod password;
mod ring;
mod scram;

#[cfg(test)]
pub(crate) use authority::grant;
pub use authority::{authority, private_key, request, signed_by};
pub use certificate::{CertificateInfo, MintError, Pair, key_fits, read_certificate, self_signed};
pub use flaw::Flaw;
pub use inspect::inspect;
pub use password::{account_hash, generate_password, key, redis_password_hash, sha256, site_hash};
pub use ring::{Overlap, is_ring, keys, rotate};
pub use scram::scram_verifier;
