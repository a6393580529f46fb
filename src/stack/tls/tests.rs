use super::*;
use crate::stack::{Stack, StackError, parse};

fn stack(hosts: &str, tls: &str) -> Result<Stack, StackError> {
    let text = format!(
        "name = \"a\"\nhosts = [{hosts}]\n[tls]\n{tls}\n[[site]]\npath = \"/\"\nstatic = \"main\"\n"
    );
    parse(
        std::path::Path::new("/etc/tavern/stacks/a.toml"),
        text.as_bytes(),
    )
}

const NAMED: &str = "\"a.example.org\", \"www.a.example.org\"";

#[test]
fn every_issuer_has_its_keys() {
    let issuer = |hosts, tls| stack(hosts, tls).unwrap().issuer;
    assert_eq!(
        issuer("\"*\"", "issuer = \"self-signed\""),
        Issuer::SelfSigned
    );
    assert_eq!(issuer("\"*\"", "issuer = \"local-ca\""), Issuer::LocalCa);
    let plain = Acme {
        directory: PRODUCTION.to_owned(),
        email: None,
        binding: None,
        ca_file: None,
    };
    assert_eq!(
        issuer(NAMED, "issuer = \"acme\""),
        Issuer::Acme(plain.clone())
    );
    assert_eq!(
        issuer(NAMED, "issuer = \"acme\"\nstaging = true"),
        Issuer::Acme(Acme {
            directory: STAGING.to_owned(),
            ..plain
        })
    );
    let whole = "issuer = \"acme\"\nemail = \"admin@example.org\"\n\
                 directory = \"https://ca.lan:14000/dir\"\neab-kid = \"kid-1\"\n\
                 eab-key-file = \"/etc/tavern/eab\"\nca-file = \"/etc/ssl/ca.pem\"";
    assert_eq!(
        issuer("\"host.lan\"", whole),
        Issuer::Acme(Acme {
            directory: "https://ca.lan:14000/dir".into(),
            email: Some("admin@example.org".into()),
            binding: Some(Binding {
                kid: "kid-1".into(),
                key_file: "/etc/tavern/eab".into(),
            }),
            ca_file: Some("/etc/ssl/ca.pem".into()),
        })
    );
    assert_eq!(
        issuer(
            NAMED,
            "issuer = \"files\"\ncertificate = \"/srv/a/chain.pem\"\nkey = \"/srv/a/key.pem\""
        ),
        Issuer::Files {
            certificate: "/srv/a/chain.pem".into(),
            key: "/srv/a/key.pem".into(),
        }
    );
}

#[test]
fn only_what_a_browser_may_trust_is_insisted_on() {
    let with = |issuer: &str| {
        stack(
            NAMED,
            &format!("issuer = \"{issuer}\"\ninclude-subdomains = true"),
        )
    };
    assert!(with("acme").unwrap().include_subdomains);
    assert!(with("local-ca").unwrap().include_subdomains);
    assert!(with("self-signed").is_err());
    assert!(
        !stack(NAMED, "issuer = \"acme\"")
            .unwrap()
            .include_subdomains
    );
    assert!(!Issuer::SelfSigned.browsers_may_trust() && Issuer::LocalCa.browsers_may_trust());
}

/// Hosts, `[tls]`, the words owed and the line they point to.
#[test]
fn faults_name_line_and_remedy() {
    let acme = |more: &str| format!("issuer = \"acme\"\n{more}");
    let files = "issuer = \"files\"";
    let cases: &[(&str, String, &str, usize)] = &[
        ("\"*\"", acme(""), "issuer `acme` with `*`", 2),
        ("\"*.example.org\"", acme(""), "cannot prove a wildcard", 2),
        ("\"198.51.100.7\"", acme(""), "with the address", 2),
        ("\"box\"", acme(""), "no public authority signs `box`", 2),
        ("\"box.local\"", acme(""), "no public authority signs", 2),
        (
            "\"a.home.arpa\"",
            acme("staging = true"),
            "no public authority",
            2,
        ),
        (NAMED, acme("email = \"a;b@c\""), "not a mail address", 5),
        (NAMED, acme("email = \"a@b c\""), "not a mail address", 5),
        (NAMED, acme("email = \"a@b\\nc\""), "not a mail address", 5),
        (
            NAMED,
            acme("directory = \"http://ca.example.org\""),
            "not an https URL",
            5,
        ),
        (
            NAMED,
            acme("directory = \"https://u:p@ca.example.org\""),
            "not an https URL",
            5,
        ),
        (
            NAMED,
            acme("directory = \"https://\""),
            "not an https URL",
            5,
        ),
        (
            NAMED,
            acme("directory = \"https://a b\""),
            "not an https URL",
            5,
        ),
        (
            NAMED,
            acme("directory = \"https://ca.example.org\"\nstaging = true"),
            "both `directory`",
            6,
        ),
        (NAMED, acme("eab-kid = \"k\""), "belong together", 5),
        (NAMED, acme("eab-key-file = \"/k\""), "belong together", 5),
        (
            NAMED,
            acme("eab-kid = \"a b\"\neab-key-file = \"/k\""),
            "not a key's name",
            5,
        ),
        (
            NAMED,
            acme("eab-key = \"c2VjcmV0\""),
            "unknown field `eab-key`",
            5,
        ),
        (
            NAMED,
            acme("ca-file = \"/ca.pem\""),
            "without `directory`",
            5,
        ),
        (
            NAMED,
            acme("certificate = \"/c.pem\""),
            "is for issuer `files`",
            5,
        ),
        (
            NAMED,
            "issuer = \"local-ca\"\nemail = \"a@b.org\"".into(),
            "is for issuer `acme`",
            5,
        ),
        (NAMED, files.into(), "without `certificate`", 4),
        (
            NAMED,
            format!("{files}\ncertificate = \"/c\""),
            "without `key`",
            4,
        ),
        (
            NAMED,
            format!("{files}\ncertificate = \"c\"\nkey = \"/k\""),
            "not a plain absolute path",
            5,
        ),
        (
            NAMED,
            format!("{files}\ncertificate = \"/a/../c\"\nkey = \"/k\""),
            "not a plain absolute path",
            5,
        ),
        (
            NAMED,
            format!("{files}\ncertificate = \"/a c\"\nkey = \"/k\""),
            "not a plain absolute path",
            5,
        ),
        (
            NAMED,
            format!("{files}\ncertificate = \"/c\"\nkey = \"/k;\""),
            "not a plain absolute path",
            6,
        ),
        (
            NAMED,
            "issuer = \"letsencrypt\"".into(),
            "unknown variant `letsencrypt`",
            4,
        ),
        (
            NAMED,
            "issuer = \"self-signed\"\ninclude-subdomains = true".into(),
            "signs itself",
            5,
        ),
    ];
    for (hosts, tls, words, line) in cases {
        let error = stack(hosts, tls).unwrap_err().to_string();
        assert!(error.contains(words), "{tls}: {error}");
        assert!(error.contains(&format!("a.toml:{line}:")), "{tls}: {error}");
    }
}
