use crate::model::Name;

/// A generated password that the owner may still have to read.
#[derive(Clone, PartialEq, Eq)]
pub struct SitePassword {
    pub site: String,
    pub account: String,
    pub password: String,
}

/// Reads the lines `site NAME ACCOUNT PASSWORD`; others are not about sites.
pub fn parse(bytes: &[u8]) -> Vec<SitePassword> {
    String::from_utf8_lossy(bytes)
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            if words.next() != Some("site") {
                return None;
            }
            Some(SitePassword {
                site: words.next()?.to_owned(),
                account: words.next()?.to_owned(),
                password: words.next()?.to_owned(),
            })
        })
        .collect()
}

/// The first of `accounts` whose password for `site` is known.
pub fn find<'a>(
    known: &'a [SitePassword],
    site: &Name,
    accounts: &[Name],
) -> Option<&'a SitePassword> {
    accounts.iter().find_map(|account| {
        known
            .iter()
            .find(|entry| entry.site == site.as_str() && entry.account == account.as_str())
    })
}

/// The `Authorization` field of basic authentication (RFC 7617).
pub fn basic(account: &str, password: &str) -> String {
    format!(
        "Basic {}",
        base64(format!("{account}:{password}").as_bytes())
    )
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0usize, |group, i| {
            group << 8 | usize::from(chunk.get(i).copied().unwrap_or(0))
        });
        for i in 0..4 {
            text.push(if i <= chunk.len() {
                char::from(ALPHABET[group >> (18 - 6 * i) & 63])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_rfc_4648() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(
            basic("Aladdin", "open sesame"),
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        );
    }

    #[test]
    fn finds_a_sites_password_among_other_lines() {
        let known =
            parse(b"# keep\napp counter admin a\nsite close admin b\nsite close\nsite x admin c\n");
        let name = |text: &str| text.parse::<Name>().unwrap();
        let found = find(&known, &name("close"), &[name("eve"), name("admin")]).unwrap();
        assert_eq!(found.password, "b");
        assert!(find(&known, &name("close"), &[name("eve")]).is_none());
        assert!(find(&known, &name("other"), &[name("admin")]).is_none());
    }
}
