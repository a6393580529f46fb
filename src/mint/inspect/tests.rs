use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use time::Duration;

use super::*;

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap()
}

/// An authority of the world outside, its helper, and a server.
struct World {
    root: Signed,
    middle: Signed,
}

struct Signed {
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

fn params(name: &str, sans: &[&str], is_ca: bool) -> CertificateParams {
    let sans: Vec<String> = sans.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(sans).unwrap();
    params.not_before = now() - Duration::days(10);
    params.not_after = now() + Duration::days(80);
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    } else {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    }
    params
}

impl World {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let root = params("Root", &[], true);
        let pem = root.self_signed(&key).unwrap().pem();
        let root = Signed {
            params: root,
            key,
            pem,
        };
        let middle = root.signs(params("Middle", &[], true));
        Self { root, middle }
    }
}

impl Signed {
    fn signs(&self, params: CertificateParams) -> Signed {
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let pem = params.signed_by(&key, &issuer).unwrap().pem();
        Signed { params, key, pem }
    }

    fn key(&self) -> String {
        self.key.serialize_pem()
    }
}

const NAME: &str = "shop.example.org";

fn judged(world: &World, chain: &str, key: &str) -> Result<CertificateInfo, Flaw> {
    let roots = Some(world.root.pem.as_bytes());
    inspect(
        chain.as_bytes(),
        key.as_bytes(),
        &[NAME.to_owned()],
        roots,
        now(),
    )
}

fn leaf(world: &World) -> Signed {
    world.middle.signs(params(NAME, &[NAME], false))
}

#[test]
fn a_good_pair_passes_also_with_line_ends_of_windows() {
    let world = World::new();
    let leaf = leaf(&world);
    let chain = format!("{}{}", leaf.pem, world.middle.pem);
    assert_eq!(judged(&world, &chain, &leaf.key()).unwrap().names, [NAME]);
    let (crlf, key) = (
        chain.replace('\n', "\r\n"),
        leaf.key().replace('\n', "\r\n"),
    );
    assert!(judged(&world, &crlf, &key).is_ok());
    let wild = world.middle.signs(params("w", &["*.example.org"], false));
    let chain = format!("{}{}", wild.pem, world.middle.pem);
    assert!(judged(&world, &chain, &wild.key()).is_ok());
    // Where there is no store of roots, the last link cannot be judged.
    let alone = inspect(leaf.pem.as_bytes(), leaf.key().as_bytes(), &[], None, now());
    assert!(alone.is_ok());
}

#[test]
fn halves_of_two_pairs() {
    let world = World::new();
    let (one, other) = (leaf(&world), leaf(&world));
    let chain = format!("{}{}", one.pem, world.middle.pem);
    assert_eq!(
        judged(&world, &chain, &other.key()).unwrap_err(),
        Flaw::OtherKey
    );
    assert!(matches!(judged(&world, &chain, "junk"), Err(Flaw::NoKey)));
    assert!(matches!(
        judged(&world, "junk", &one.key()),
        Err(Flaw::NoCertificate)
    ));
    let swapped = judged(&world, &one.key(), &chain).unwrap_err();
    assert!(matches!(swapped, Flaw::NoKey | Flaw::NoCertificate));
}

#[test]
fn lives_that_are_over_or_have_not_begun() {
    let world = World::new();
    let with = |from: i64, to: i64| {
        let mut params = params(NAME, &[NAME], false);
        params.not_before = now() + Duration::days(from);
        params.not_after = now() + Duration::days(to);
        let leaf = world.middle.signs(params);
        let chain = format!("{}{}", leaf.pem, world.middle.pem);
        judged(&world, &chain, &leaf.key()).unwrap_err()
    };
    assert!(matches!(with(-90, -1), Flaw::Expired { .. }));
    assert!(matches!(with(1, 90), Flaw::NotYetValid { .. }));
    // An authority in between, too.
    let mut old = params("Old", &[], true);
    old.not_after = now() - Duration::days(1);
    let old = world.root.signs(old);
    let leaf = old.signs(params(NAME, &[NAME], false));
    let flaw = judged(&world, &format!("{}{}", leaf.pem, old.pem), &leaf.key()).unwrap_err();
    assert!(flaw.to_string().contains("of Old expired"), "{flaw}");
}

#[test]
fn chains_that_browsers_stumble_over() {
    let world = World::new();
    let leaf = leaf(&world);
    let (middle, root) = (&world.middle.pem, &world.root.pem);
    let flaw = |parts: &[&str]| judged(&world, &parts.concat(), &leaf.key()).unwrap_err();
    let alone = flaw(&[&leaf.pem]);
    assert_eq!(
        alone,
        Flaw::Incomplete {
            signer: "Middle".into()
        }
    );
    assert_eq!(flaw(&[middle, &leaf.pem]), Flaw::WrongOrder);
    assert!(matches!(
        flaw(&[&leaf.pem, middle, root]),
        Flaw::RootIncluded { .. }
    ));
    let stranger = World::new().middle.pem;
    assert!(matches!(
        flaw(&[&leaf.pem, &stranger]),
        Flaw::NotItsSigner { .. }
    ));
    // Of the right name, and another key.
    assert!(matches!(
        flaw(&[&leaf.pem, middle, &World::new().middle.pem]),
        Flaw::NotItsSigner { .. }
    ));
    let own = KeyPair::generate().unwrap();
    let pem = params(NAME, &[NAME], false)
        .self_signed(&own)
        .unwrap()
        .pem();
    assert_eq!(
        judged(&world, &pem, &own.serialize_pem()).unwrap_err(),
        Flaw::SignsItself
    );
}

#[test]
fn names_it_does_not_have() {
    let world = World::new();
    let flaw = |common: &str, sans: &[&str]| {
        let leaf = world.middle.signs(params(common, sans, false));
        let chain = format!("{}{}", leaf.pem, world.middle.pem);
        judged(&world, &chain, &leaf.key()).unwrap_err()
    };
    assert!(matches!(flaw(NAME, &[]), Flaw::CommonNameOnly { .. }));
    assert!(matches!(
        flaw("x", &["other.example.org"]),
        Flaw::NotCovered { .. }
    ));
    assert!(matches!(flaw("x", &["*.org"]), Flaw::WildcardDepth { .. }));
    assert!(matches!(
        flaw("x", &["*.shop.example.org"]),
        Flaw::WildcardDepth { .. }
    ));
}

#[test]
fn certificates_for_something_else() {
    let world = World::new();
    let key = &world.middle.key();
    let flaw = judged(&world, &world.middle.pem, key).unwrap_err();
    assert!(matches!(flaw, Flaw::Authority { .. }));
    let mut mail = params(NAME, &[NAME], false);
    mail.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
    let mail = world.middle.signs(mail);
    let chain = format!("{}{}", mail.pem, world.middle.pem);
    assert!(matches!(
        judged(&world, &chain, &mail.key()),
        Err(Flaw::OtherUse { .. })
    ));
}

#[test]
fn what_is_not_pem() {
    let world = World::new();
    let leaf = leaf(&world);
    let chain = format!("{}{}", leaf.pem, world.middle.pem);
    let der = certificates(leaf.pem.as_bytes()).unwrap().remove(0);
    let names = [NAME.to_owned()];
    let flaw = |chain: &[u8], key: &[u8]| inspect(chain, key, &names, None, now()).unwrap_err();
    assert_eq!(flaw(&der, leaf.key().as_bytes()), Flaw::BinaryCertificate);
    let key = leaf.key.serialize_der();
    assert_eq!(flaw(chain.as_bytes(), &key), Flaw::BinaryKey);
    let cut = &chain[..chain.len() / 4];
    assert!(inspect(cut.as_bytes(), leaf.key().as_bytes(), &names, None, now()).is_err());
}

/// What no library of ours makes any more.
#[test]
fn weak_and_locked_ones_of_openssl() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    #[allow(
        clippy::disallowed_methods,
        reason = "openssl is the peer that still makes them"
    )]
    let openssl = |arguments: &[&str]| {
        let output = std::process::Command::new("openssl")
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
    };
    #[allow(clippy::disallowed_methods, reason = "the files are openssl's")]
    let read = |name: &str| std::fs::read(at(name)).unwrap();
    let (key, chain) = (at("key.pem"), at("chain.pem"));
    let made = |kind: &str, digest: &str| {
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            kind,
            "-nodes",
            "-keyout",
            &key,
            "-out",
            &chain,
            "-days",
            "3000",
            digest,
            "-subj",
            "/CN=shop.example.org",
            "-addext",
            "subjectAltName=DNS:shop.example.org",
            "-addext",
            "basicConstraints=CA:FALSE",
        ]);
        let now = OffsetDateTime::now_utc();
        inspect(
            &read("chain.pem"),
            &read("key.pem"),
            &[NAME.to_owned()],
            None,
            now,
        )
        .unwrap_err()
    };
    let short = made("rsa:1024", "-sha256");
    let is_refused = matches!(short, Flaw::ShortKey { bits: 1024, .. } | Flaw::BadKey(_));
    assert!(is_refused, "{short}");
    assert_eq!(made("rsa:2048", "-sha256"), Flaw::SignsItself);
    openssl(&[
        "pkey",
        "-in",
        &key,
        "-aes256",
        "-passout",
        "pass:x",
        "-out",
        &at("locked.pem"),
    ]);
    let now = OffsetDateTime::now_utc();
    let locked = inspect(&read("chain.pem"), &read("locked.pem"), &[], None, now);
    assert_eq!(locked.unwrap_err(), Flaw::EncryptedKey);
    // Signed by another, with SHA-1.
    openssl(&[
        "req",
        "-new",
        "-key",
        &key,
        "-subj",
        "/CN=shop.example.org",
        "-out",
        &at("request.pem"),
    ]);
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        &at("ca.key"),
        "-out",
        &at("ca.pem"),
        "-days",
        "3000",
        "-subj",
        "/CN=Old CA",
    ]);
    openssl(&[
        "x509",
        "-req",
        "-in",
        &at("request.pem"),
        "-CA",
        &at("ca.pem"),
        "-CAkey",
        &at("ca.key"),
        "-sha1",
        "-days",
        "3000",
        "-CAcreateserial",
        "-out",
        &at("weak.pem"),
    ]);
    let weak = inspect(&read("weak.pem"), &read("key.pem"), &[], None, now).unwrap_err();
    assert!(
        matches!(
            weak,
            Flaw::WeakSignature {
                algorithm: "SHA-1",
                ..
            }
        ),
        "{weak}"
    );
}

#[test]
fn every_flaw_has_its_own_words_and_help() {
    let subject = || "S".to_owned();
    let flaws = [
        Flaw::BinaryCertificate,
        Flaw::BinaryKey,
        Flaw::NoCertificate,
        Flaw::NoKey,
        Flaw::EncryptedKey,
        Flaw::OtherKey,
        Flaw::Expired {
            subject: subject(),
            on: "x".into(),
        },
        Flaw::NotYetValid {
            subject: subject(),
            from: "x".into(),
        },
        Flaw::ShortKey {
            subject: subject(),
            bits: 1024,
        },
        Flaw::OddKey { subject: subject() },
        Flaw::WeakSignature {
            subject: subject(),
            algorithm: "SHA-1",
        },
        Flaw::Authority { subject: subject() },
        Flaw::OtherUse { subject: subject() },
        Flaw::SignsItself,
        Flaw::WrongOrder,
        Flaw::NotItsSigner {
            subject: subject(),
            next: "x".into(),
        },
        Flaw::RootIncluded { subject: subject() },
        Flaw::Incomplete { signer: "x".into() },
        Flaw::CommonNameOnly { name: "x".into() },
        Flaw::WildcardDepth {
            name: "x".into(),
            wildcard: "y".into(),
        },
        Flaw::NotCovered {
            name: "x".into(),
            has: "y".into(),
        },
    ];
    let words: std::collections::BTreeSet<String> = flaws.iter().map(ToString::to_string).collect();
    assert_eq!(words.len(), flaws.len());
    assert!(flaws.iter().all(|flaw| flaw.help().len() > 20));
}
