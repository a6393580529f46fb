//! Whether a pair that somebody brings can be served: each fault has a sentence of its own.

use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use super::Flaw;
use super::certificate::{CertificateInfo, certificates, key_fits, read_certificate};

/// Judges a pair for `names`. `roots` are those that this host trusts, PEM, if it has any.
///
/// # Errors
/// The first flaw.
pub fn inspect(
    certificate: &[u8],
    key: &[u8],
    names: &[String],
    roots: Option<&[u8]>,
    now: OffsetDateTime,
) -> Result<CertificateInfo, Flaw> {
    readable_key(key)?;
    let ders = readable_chain(certificate)?;
    let chain = ders
        .iter()
        .map(|der| {
            X509Certificate::from_der(der)
                .map(|(_, parsed)| parsed)
                .map_err(|error| Flaw::BadCertificate(error.to_string()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let leaf = chain.first().ok_or(Flaw::NoCertificate)?;
    // First: of a key that is too short no library says whose it is.
    for certificate in &chain {
        strong(certificate)?;
    }
    match key_fits(certificate, key) {
        Ok(true) => {}
        Ok(false) => {
            // A chain that begins elsewhere fits no key either.
            in_order(&chain)?;
            return Err(Flaw::OtherKey);
        }
        Err(error) => return Err(Flaw::BadKey(error.to_string())),
    }
    for certificate in &chain {
        alive(certificate, now)?;
    }
    for_servers(leaf)?;
    in_order(&chain)?;
    complete(&chain, roots)?;
    let info =
        read_certificate(certificate).map_err(|error| Flaw::BadCertificate(error.to_string()))?;
    for name in names {
        covered(&info, leaf, name)?;
    }
    Ok(info)
}

fn is_binary(bytes: &[u8]) -> bool {
    // A DER sequence; text in PEM files may stand before the first block.
    bytes.first() == Some(&0x30) && !contains(bytes, b"-----BEGIN")
}

fn contains(bytes: &[u8], words: &[u8]) -> bool {
    bytes.windows(words.len()).any(|window| window == words)
}

fn readable_key(key: &[u8]) -> Result<(), Flaw> {
    if is_binary(key) {
        return Err(Flaw::BinaryKey);
    }
    if contains(key, b"BEGIN ENCRYPTED PRIVATE KEY") || contains(key, b"Proc-Type: 4,ENCRYPTED") {
        return Err(Flaw::EncryptedKey);
    }
    match rustls_pemfile::private_key(&mut &key[..]) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(Flaw::NoKey),
        Err(error) => Err(Flaw::BadKey(error.to_string())),
    }
}

fn readable_chain(
    certificate: &[u8],
) -> Result<Vec<rustls::pki_types::CertificateDer<'static>>, Flaw> {
    if is_binary(certificate) {
        return Err(Flaw::BinaryCertificate);
    }
    match certificates(certificate) {
        Ok(chain) if chain.is_empty() => Err(Flaw::NoCertificate),
        Ok(chain) => Ok(chain),
        Err(error) => Err(Flaw::BadCertificate(error.to_string())),
    }
}

fn subject(certificate: &X509Certificate<'_>) -> String {
    let common = certificate.subject().iter_common_name().next();
    match common.and_then(|name| name.as_str().ok()) {
        Some(name) => name.to_owned(),
        None => certificate.subject().to_string(),
    }
}

fn alive(certificate: &X509Certificate<'_>, now: OffsetDateTime) -> Result<(), Flaw> {
    let begin = certificate.validity().not_before.to_datetime();
    let end = certificate.validity().not_after.to_datetime();
    if now < begin {
        return Err(Flaw::NotYetValid {
            subject: subject(certificate),
            from: begin.date().to_string(),
        });
    }
    if now >= end {
        return Err(Flaw::Expired {
            subject: subject(certificate),
            on: end.date().to_string(),
        });
    }
    Ok(())
}

fn strong(certificate: &X509Certificate<'_>) -> Result<(), Flaw> {
    match certificate.public_key().parsed() {
        // With the sign byte that DER puts before it.
        Ok(PublicKey::RSA(rsa)) if rsa.key_size() < 2048 => {
            return Err(Flaw::ShortKey {
                subject: subject(certificate),
                bits: rsa.key_size(),
            });
        }
        Ok(PublicKey::RSA(_)) => {}
        Ok(PublicKey::EC(point)) if matches!(point.key_size(), 256 | 384) => {}
        _ => {
            return Err(Flaw::OddKey {
                subject: subject(certificate),
            });
        }
    }
    // sha1WithRSAEncryption, ecdsa-with-SHA1, md5WithRSAEncryption
    let algorithm = match certificate
        .signature_algorithm
        .algorithm
        .to_id_string()
        .as_str()
    {
        "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" => "SHA-1",
        "1.2.840.113549.1.1.4" => "MD5",
        _ => return Ok(()),
    };
    if signs_itself(certificate) {
        // Of a root nobody asks for the signature.
        return Ok(());
    }
    Err(Flaw::WeakSignature {
        subject: subject(certificate),
        algorithm,
    })
}

fn for_servers(leaf: &X509Certificate<'_>) -> Result<(), Flaw> {
    if leaf.is_ca() {
        return Err(Flaw::Authority {
            subject: subject(leaf),
        });
    }
    let refuses = leaf
        .extensions()
        .iter()
        .any(|extension| match extension.parsed_extension() {
            ParsedExtension::ExtendedKeyUsage(usage) => !usage.server_auth && !usage.any,
            _ => false,
        });
    if refuses {
        return Err(Flaw::OtherUse {
            subject: subject(leaf),
        });
    }
    Ok(())
}

fn signs_itself(certificate: &X509Certificate<'_>) -> bool {
    certificate.subject() == certificate.issuer()
}

fn signed(certificate: &X509Certificate<'_>, by: &X509Certificate<'_>) -> bool {
    certificate.issuer() == by.subject()
        && certificate.verify_signature(Some(by.public_key())).is_ok()
}

fn in_order(chain: &[X509Certificate<'_>]) -> Result<(), Flaw> {
    let broken = chain.windows(2).find(|pair| !signed(&pair[0], &pair[1]));
    let Some([one, next]) = broken else {
        return Ok(());
    };
    // Is it only shuffled? Then each but one has its signer among the others.
    let alone = chain
        .iter()
        .filter(|one| !chain.iter().any(|other| signed(one, other)))
        .count();
    if alone + chain.iter().filter(|one| signs_itself(one)).count() <= 1 {
        return Err(Flaw::WrongOrder);
    }
    Err(Flaw::NotItsSigner {
        subject: subject(one),
        next: subject(next),
    })
}

fn complete(chain: &[X509Certificate<'_>], roots: Option<&[u8]>) -> Result<(), Flaw> {
    let Some(last) = chain.last() else {
        return Err(Flaw::NoCertificate);
    };
    if signs_itself(last) {
        return Err(match chain.len() {
            1 => Flaw::SignsItself,
            _ => Flaw::RootIncluded {
                subject: subject(last),
            },
        });
    }
    // Without a store of roots there is nothing to compare with.
    let Some(roots) = roots else {
        return Ok(());
    };
    let roots = certificates(roots).unwrap_or_default();
    let is_known = roots
        .iter()
        .any(|root| X509Certificate::from_der(root).is_ok_and(|(_, root)| signed(last, &root)));
    if is_known {
        return Ok(());
    }
    let issuer = last.issuer();
    let common = issuer.iter_common_name().next();
    Err(Flaw::Incomplete {
        signer: common
            .and_then(|name| name.as_str().ok())
            .map_or_else(|| issuer.to_string(), str::to_owned),
    })
}

fn covered(info: &CertificateInfo, leaf: &X509Certificate<'_>, name: &str) -> Result<(), Flaw> {
    if info.covers(name) {
        return Ok(());
    }
    let is_common = leaf
        .subject()
        .iter_common_name()
        .any(|common| common.as_str().is_ok_and(|c| c.eq_ignore_ascii_case(name)));
    if is_common {
        return Err(Flaw::CommonNameOnly {
            name: name.to_owned(),
        });
    }
    let wildcard = info.names.iter().find(|own| {
        own.strip_prefix("*.").is_some_and(|zone| {
            let zone = zone.to_ascii_lowercase();
            name == zone || name.ends_with(&format!(".{zone}"))
        })
    });
    Err(match wildcard {
        Some(wildcard) => Flaw::WildcardDepth {
            name: name.to_owned(),
            wildcard: wildcard.clone(),
        },
        None => Flaw::NotCovered {
            name: name.to_owned(),
            has: if info.names.is_empty() {
                "no names".to_owned()
            } else {
                info.names.join(", ")
            },
        },
    })
}

#[cfg(test)]
mod tests;
