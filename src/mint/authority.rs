//! A certificate authority of this host: what it may sign is bounded, so that who trusts it for one site has not
//! trusted it for the rest of the world.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, GeneralSubtree, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256,
};
use time::{Duration, OffsetDateTime};

use super::certificate::{MintError, Pair, leaf, serial};

/// A new ECDSA P-256 key, PKCS#8 in PEM.
///
/// # Errors
/// When it cannot be made.
pub fn private_key() -> Result<String, MintError> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?.serialize_pem())
}

/// An authority that may sign for `names` and nothing else, for `days` from `now`. With the `key` of an older one it
/// is the same authority to whoever trusts that: what either signed, both vouch for, each within its names.
///
/// # Errors
/// When a name cannot stand in a certificate, or the key cannot be read.
pub fn authority(
    names: &[String],
    days: u16,
    key: Option<&str>,
    now: OffsetDateTime,
) -> Result<Pair, MintError> {
    let key = match key {
        Some(pem) => KeyPair::from_pem(pem)?,
        None => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
    };
    let mut params = authority_params(&key)?;
    params.not_before = now - Duration::hours(1);
    params.not_after = now - Duration::hours(1) + Duration::days(i64::from(days));
    params.name_constraints = Some(constraints(names));
    params.serial_number = Some(serial()?);
    Ok(Pair {
        certificate: params.self_signed(&key)?.pem(),
        key: key.serialize_pem(),
    })
}

/// What is the same for all certificates of one authority: above all its name, which is made from its key.
fn authority_params(key: &KeyPair) -> Result<CertificateParams, MintError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let id: String = params
        .key_identifier(key)
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    params.distinguished_name.remove(DnType::CommonName);
    params
        .distinguished_name
        .push(DnType::CommonName, format!("Tavern local CA {id}"));
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Tavern local CA");
    Ok(params)
}

/// A kind of name that no subtree speaks of is free: so each that is not permitted is excluded.
fn constraints(names: &[String]) -> NameConstraints {
    let mut permitted = Vec::new();
    let (mut has_dns, mut has_address) = (false, false);
    for name in names {
        match name.parse::<IpAddr>() {
            Ok(address) => {
                has_address = true;
                let whole = if address.is_ipv4() { 32 } else { 128 };
                permitted.push(GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(
                    address, whole,
                )));
            }
            Err(_) => {
                has_dns = true;
                let name = name.strip_prefix("*.").unwrap_or(name);
                permitted.push(GeneralSubtree::DnsName(name.to_owned()));
            }
        }
    }
    let mut excluded = Vec::new();
    if !has_dns {
        excluded.push(GeneralSubtree::DnsName(String::new()));
    }
    if !has_address {
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])));
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::V6([0; 16], [0; 16])));
    }
    NameConstraints {
        permitted_subtrees: permitted,
        excluded_subtrees: excluded,
    }
}

/// A certificate for `names` by the authority with this key.
///
/// # Errors
/// When a name cannot stand in a certificate, or the authority's key cannot be read.
pub fn signed_by(
    authority_key: &str,
    names: &[String],
    days: u16,
    now: OffsetDateTime,
) -> Result<Pair, MintError> {
    let authority_key = KeyPair::from_pem(authority_key)?;
    let issuer = Issuer::new(authority_params(&authority_key)?, authority_key);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = leaf(names, days, now)?;
    params.use_authority_key_identifier_extension = true;
    Ok(Pair {
        certificate: params.signed_by(&key, &issuer)?.pem(),
        key: key.serialize_pem(),
    })
}

/// What an authority is sent to sign: `names`, and the proof of having the key. DER.
///
/// # Errors
/// When a name cannot stand in it, or the key cannot be read.
pub fn request(key: &str, names: &[String]) -> Result<Vec<u8>, MintError> {
    let key = KeyPair::from_pem(key)?;
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok(params.serialize_request(&key)?.der().to_vec())
}

/// Signs what [`request`] made, as an authority would.
#[cfg(test)]
pub(crate) fn grant(
    authority_key: &str,
    request: &[u8],
    names: &[String],
    days: u16,
    now: OffsetDateTime,
) -> Result<String, MintError> {
    use x509_parser::prelude::{FromDer, X509CertificationRequest};
    struct Theirs(Vec<u8>);
    impl rcgen::PublicKeyData for Theirs {
        fn der_bytes(&self) -> &[u8] {
            &self.0
        }
        fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
            &PKCS_ECDSA_P256_SHA256
        }
    }
    let (_, asked) = X509CertificationRequest::from_der(request)
        .map_err(|error| MintError::Unreadable(error.to_string()))?;
    let key = &asked.certification_request_info.subject_pki;
    let key = Theirs(key.subject_public_key.data.to_vec());
    let authority_key = KeyPair::from_pem(authority_key)?;
    let issuer = Issuer::new(authority_params(&authority_key)?, authority_key);
    Ok(leaf(names, days, now)?.signed_by(&key, &issuer)?.pem())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mint::{key_fits, read_certificate};

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    fn now() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap()
    }

    fn verified(ca: &str, leaf: &str, name: &str) -> bool {
        use rustls::client::WebPkiServerVerifier;
        use rustls::client::danger::ServerCertVerifier;
        use rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap())
            .unwrap();
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider)
            .build()
            .unwrap();
        let leaf = CertificateDer::from_pem_slice(leaf.as_bytes()).unwrap();
        let at = std::time::Duration::from_secs(now().unix_timestamp().unsigned_abs());
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier
            .verify_server_cert(&leaf, &[], &name, &[], UnixTime::since_unix_epoch(at))
            .is_ok()
    }

    /// Judged by webpki, which did not make them.
    #[test]
    fn an_authority_vouches_for_its_names_and_no_others() {
        let ca = authority(&names(&["a.example", "192.0.2.7"]), 3650, None, now()).unwrap();
        let sign = |list: &[&str]| {
            signed_by(&ca.key, &names(list), 397, now())
                .unwrap()
                .certificate
        };
        for name in ["a.example", "192.0.2.7"] {
            assert!(verified(&ca.certificate, &sign(&[name]), name), "{name}");
        }
        for name in ["b.example", "192.0.2.8", "2001:db8::1"] {
            assert!(!verified(&ca.certificate, &sign(&[name]), name), "{name}");
        }
        let dns_only = authority(&names(&["a.example"]), 3650, None, now()).unwrap();
        let stray = signed_by(&dns_only.key, &names(&["192.0.2.7"]), 397, now()).unwrap();
        assert!(!verified(
            &dns_only.certificate,
            &stray.certificate,
            "192.0.2.7"
        ));
        let address_only = authority(&names(&["192.0.2.7"]), 3650, None, now()).unwrap();
        let stray = signed_by(&address_only.key, &names(&["a.example"]), 397, now()).unwrap();
        assert!(!verified(
            &address_only.certificate,
            &stray.certificate,
            "a.example"
        ));
    }

    #[test]
    fn it_signs_no_authority() {
        let ca = authority(&names(&["a.example"]), 3650, None, now()).unwrap();
        let der = read_certificate(ca.certificate.as_bytes()).unwrap().der;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
        let basic = parsed.basic_constraints().unwrap().unwrap();
        assert!(basic.critical && basic.value.ca);
        assert_eq!(basic.value.path_len_constraint, Some(0));
        assert!(parsed.name_constraints().unwrap().unwrap().critical);
    }

    #[test]
    fn with_the_same_key_it_is_the_same_authority() {
        let old = authority(&names(&["a.example"]), 3650, None, now()).unwrap();
        let new = authority(
            &names(&["a.example", "b.example"]),
            3650,
            Some(&old.key),
            now(),
        )
        .unwrap();
        let leaf = signed_by(&new.key, &names(&["a.example"]), 397, now()).unwrap();
        assert!(verified(&old.certificate, &leaf.certificate, "a.example"));
        let leaf = signed_by(&new.key, &names(&["b.example"]), 397, now()).unwrap();
        assert!(verified(&new.certificate, &leaf.certificate, "b.example"));
        assert!(!verified(&old.certificate, &leaf.certificate, "b.example"));
    }

    #[test]
    fn what_is_asked_for_is_granted_for_its_key() {
        let ca = authority(&names(&["a.example"]), 3650, None, now()).unwrap();
        let key = private_key().unwrap();
        let asked = request(&key, &names(&["a.example"])).unwrap();
        let chain = grant(&ca.key, &asked, &names(&["a.example"]), 90, now()).unwrap();
        assert!(key_fits(chain.as_bytes(), key.as_bytes()).unwrap());
        assert!(verified(&ca.certificate, &chain, "a.example"));
    }
}
