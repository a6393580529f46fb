//! Makes keys, passwords, hashes and certificates, and reads them back. Pure but for the kernel's random bytes.

mod certificate;
mod password;
mod ring;

pub use certificate::{CertificateInfo, MintError, Pair, key_fits, read_certificate, self_signed};
pub use password::{account_hash, generate_password, key, redis_password_hash, site_hash};
pub use ring::{Overlap, is_ring, rotate};
