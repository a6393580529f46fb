use std::net::IpAddr;

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

/// By this a certificate that Tavern made is told from one that somebody put in its place.
const ORGANIZATION: &str = "Tavern self-signed";

/// Why something could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// The kernel's generator failed.
    #[error("the kernel gave no random bytes: {0}")]
    Random(String),
    /// A password hash failed.
    #[error("cannot hash a password: {0}")]
    Hash(String),
    /// rcgen failed.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// Too many rotations within the life of a token.
    #[error(
        "this app has {} signing keys whose tokens may still be good, and takes no more\n\
         help: rotate again in an hour; or end all tokens now: `tavernctl secret rotate APP --at-once`",
        super::ring::RING_LIMIT
    )]
    RingFull,
    /// A PEM file does not hold what it should.
    #[error("{0}")]
    Unreadable(String),
}

/// A certificate and its key, both PEM.
pub struct Pair {
    /// The chain, leaf first.
    pub certificate: String,
    /// The key, PKCS#8.
    pub key: String,
}

/// What is read of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInfo {
    /// Names and addresses it covers.
    pub names: Vec<String>,
    /// Names and addresses it may vouch for, if it is an authority that is bound to some.
    pub permitted: Vec<String>,
    /// Begin of its life.
    pub not_before: OffsetDateTime,
    /// End of its life.
    pub not_after: OffsetDateTime,
    /// Serial number in hexadecimal.
    pub serial: String,
    /// Signed by itself, and made here.
    pub is_own: bool,
    /// Who signed it, for people.
    pub issuer: String,
    /// The identifier of the key that signed it, if it says so.
    pub signer: Option<Vec<u8>>,
    /// The identifier of its own key, if it says so.
    pub key_id: Option<Vec<u8>>,
    /// The certificate itself.
    pub der: Vec<u8>,
}

impl CertificateInfo {
    /// SHA-256 of the certificate, in hexadecimal.
    pub fn fingerprint(&self) -> String {
        super::password::hex(
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.der).as_ref(),
        )
    }

    /// Whether it covers a name: by the name itself, or by a wildcard for its first label.
    pub fn covers(&self, name: &str) -> bool {
        let parent = name.split_once('.').map(|(_, parent)| parent);
        self.names.iter().any(|own| {
            own.eq_ignore_ascii_case(name)
                || own.strip_prefix("*.").is_some_and(|zone| {
                    parent.is_some_and(|parent| zone.eq_ignore_ascii_case(parent))
                })
        })
    }
}

/// Makes an ECDSA P-256 certificate that signs itself, for `days` from `now`.
///
/// It begins an hour early, for clients whose clock is behind.
///
/// # Errors
/// When a name cannot stand in a certificate.
pub fn self_signed(names: &[String], days: u16, now: OffsetDateTime) -> Result<Pair, MintError> {
    let mut params = leaf(names, days, now)?;
    params
        .distinguished_name
        .push(DnType::OrganizationName, ORGANIZATION);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?;
    Ok(Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

/// What every certificate of ours for a server says, whoever signs it. It begins an hour early, for clients whose clock
/// is behind.
pub(super) fn leaf(
    names: &[String],
    days: u16,
    now: OffsetDateTime,
) -> Result<CertificateParams, MintError> {
    let mut params = CertificateParams::new(names.to_vec())?;
    params.not_before = now - Duration::hours(1);
    params.not_after = now - Duration::hours(1) + Duration::days(i64::from(days));
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(
        DnType::CommonName,
        names.first().map_or("tavern", |n| n.get(..64).unwrap_or(n)),
    );
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.serial_number = Some(serial()?);
    Ok(params)
}

pub(super) fn serial() -> Result<SerialNumber, MintError> {
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(|error| MintError::Random(error.to_string()))?;
    serial[0] &= 0x7f; // positive, RFC 5280 section 4.1.2.2
    serial[0] |= 0x40; // and never a byte shorter
    Ok(SerialNumber::from_slice(&serial))
}

/// Reads the first certificate of a PEM file.
///
/// # Errors
/// When there is none, or it cannot be parsed.
pub fn read_certificate(pem: &[u8]) -> Result<CertificateInfo, MintError> {
    let der = certificates(pem)?
        .into_iter()
        .next()
        .ok_or_else(|| MintError::Unreadable("no certificate in the file".into()))?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&der)
        .map_err(|error| MintError::Unreadable(format!("not a certificate: {error}")))?;
    let mut names = Vec::new();
    if let Ok(Some(san)) = parsed.subject_alternative_name() {
        for name in &san.value.general_names {
            match name {
                GeneralName::DNSName(name) => names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => {
                    names.extend(address(bytes).map(|a| a.to_string()))
                }
                _ => {}
            }
        }
    }
    let key_ids = parsed
        .extensions()
        .iter()
        .fold((None, None), |(signer, own), extension| {
            match extension.parsed_extension() {
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    (id.key_identifier.as_ref().map(|id| id.0.to_vec()), own)
                }
                ParsedExtension::SubjectKeyIdentifier(id) => (signer, Some(id.0.to_vec())),
                _ => (signer, own),
            }
        });
    let mut permitted = Vec::new();
    if let Ok(Some(constraints)) = parsed.name_constraints() {
        for subtree in constraints.value.permitted_subtrees.iter().flatten() {
            match &subtree.base {
                GeneralName::DNSName(name) => permitted.push((*name).to_owned()),
                // An address, then its mask.
                GeneralName::IPAddress(bytes) => permitted
                    .extend(address(&bytes[..bytes.len() / 2]).map(|address| address.to_string())),
                _ => {}
            }
        }
    }
    Ok(CertificateInfo {
        names,
        permitted,
        issuer: parsed.issuer().to_string(),
        signer: key_ids.0,
        key_id: key_ids.1,
        not_before: parsed.validity().not_before.to_datetime(),
        not_after: parsed.validity().not_after.to_datetime(),
        serial: parsed.raw_serial_as_string(),
        is_own: parsed.issuer() == parsed.subject()
            && parsed
                .issuer()
                .iter_organization()
                .any(|name| name.as_str() == Ok(ORGANIZATION)),
        der: der.to_vec(),
    })
}

/// Whether the key belongs to the certificate.
///
/// # Errors
/// When either cannot be read.
pub fn key_fits(certificate_pem: &[u8], key_pem: &[u8]) -> Result<bool, MintError> {
    let key: PrivateKeyDer<'static> = rustls_pemfile::private_key(&mut &key_pem[..])
        .map_err(|error| MintError::Unreadable(format!("not a PEM key: {error}")))?
        .ok_or_else(|| MintError::Unreadable("no private key in the file".into()))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|error| MintError::Unreadable(format!("not a usable key: {error}")))?;
    let chain = certificates(certificate_pem)?;
    let Some((ours, leaf)) = key.public_key().zip(chain.first()) else {
        return Ok(false);
    };
    // Not by rustls, which reads no certificates of version 1 and would call their keys wrong.
    let (_, leaf) = X509Certificate::from_der(leaf)
        .map_err(|error| MintError::Unreadable(error.to_string()))?;
    Ok(leaf.public_key().raw == ours.as_ref())
}

pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, MintError> {
    rustls_pemfile::certs(&mut &pem[..])
        .collect::<Result<_, _>>()
        .map_err(|error| MintError::Unreadable(format!("not a PEM file: {error}")))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        vec![
            "host.example".into(),
            "192.0.2.7".into(),
            "2001:db8::1".into(),
        ]
    }

    #[test]
    fn what_is_made_reads_back() {
        let now = OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap();
        let pair = self_signed(&names(), 397, now).unwrap();
        let info = read_certificate(pair.certificate.as_bytes()).unwrap();
        assert_eq!(info.names, names());
        assert!(info.is_own);
        assert!(info.not_before < now && info.not_after - info.not_before <= Duration::days(398));
        assert!(key_fits(pair.certificate.as_bytes(), pair.key.as_bytes()).unwrap());
        assert!(pair.key.starts_with("-----BEGIN PRIVATE KEY"));
    }

    #[test]
    fn another_key_does_not_fit() {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        let (a, b) = (
            self_signed(&names(), 10, now).unwrap(),
            self_signed(&names(), 10, now).unwrap(),
        );
        assert!(!key_fits(a.certificate.as_bytes(), b.key.as_bytes()).unwrap());
        assert!(read_certificate(b"junk").is_err());
        assert!(key_fits(b"", b"junk").is_err());
    }
}
