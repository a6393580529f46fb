//! `[tls]`: who signs a stack's certificate, and what that issuer needs to know.

use std::ops::Range;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use crate::model::HostPattern;

/// Let's Encrypt, for certificates that browsers trust.
pub const PRODUCTION: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Let's Encrypt's place to try things: generous limits, no browser trusts it.
pub const STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// Who signs a stack's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Issuer {
    /// The certificate signs itself; browsers warn.
    SelfSigned,
    /// A CA of this host, for its own names only; trusted where its owner installs it.
    LocalCa,
    /// An authority that speaks ACME (RFC 8555).
    Acme(Acme),
    /// The owner's own pair.
    Files {
        /// The chain, leaf first, PEM.
        certificate: PathBuf,
        /// The key, PEM, not encrypted.
        key: PathBuf,
    },
}

/// An ACME authority, and who asks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// Where the authority's directory is.
    pub directory: String,
    /// Where the authority writes to, if anywhere.
    pub email: Option<String>,
    /// The account at the authority that ours is bound to.
    pub binding: Option<Binding>,
    /// The root that signed the directory's own certificate, if it is a private one.
    pub ca_file: Option<PathBuf>,
}

/// An external account binding (RFC 8555, section 7.3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The key's name.
    pub kid: String,
    /// A root-only file with the key in base64url: a secret has no place in a stack file.
    pub key_file: PathBuf,
}

impl Issuer {
    /// Whether a browser may come to trust its certificates, so that it makes sense to insist on TLS.
    pub fn browsers_may_trust(&self) -> bool {
        !matches!(self, Self::SelfSigned)
    }

    /// Its name in a stack file.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::SelfSigned => "self-signed",
            Self::LocalCa => "local-ca",
            Self::Acme(_) => "acme",
            Self::Files { .. } => "files",
        }
    }
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum IssuerName {
    SelfSigned,
    LocalCa,
    Acme,
    Files,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawTls {
    issuer: Spanned<IssuerName>,
    certificate: Option<Spanned<String>>,
    key: Option<Spanned<String>>,
    email: Option<Spanned<String>>,
    directory: Option<Spanned<String>>,
    staging: Option<Spanned<bool>>,
    eab_kid: Option<Spanned<String>>,
    eab_key_file: Option<Spanned<String>>,
    ca_file: Option<Spanned<String>>,
    include_subdomains: Option<Spanned<bool>>,
}

/// `[tls]`, checked.
pub(super) struct Tls {
    pub(super) issuer: Issuer,
    pub(super) include_subdomains: bool,
}

/// Where a fault is, what it is, and what to write instead.
pub(super) struct Fault {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) help: &'static str,
}

pub(super) fn fault<T>(
    span: Range<usize>,
    message: impl Into<String>,
    help: &'static str,
) -> Result<T, Fault> {
    Err(Fault {
        span,
        message: message.into(),
        help,
    })
}

impl RawTls {
    pub(super) fn checked(self, hosts: &Spanned<Vec<HostPattern>>) -> Result<Tls, Fault> {
        self.refuse_keys_of_others()?;
        let include_subdomains = self.include_subdomains()?;
        let issuer = match self.issuer.get_ref() {
            IssuerName::SelfSigned => Issuer::SelfSigned,
            IssuerName::LocalCa => Issuer::LocalCa,
            IssuerName::Files => self.files()?,
            IssuerName::Acme => {
                names_can_be_proven(hosts)?;
                self.acme(hosts)?
            }
        };
        Ok(Tls {
            issuer,
            include_subdomains,
        })
    }

    /// A key that the issuer does not read is a misunderstanding, not decoration.
    fn refuse_keys_of_others(&self) -> Result<(), Fault> {
        use IssuerName::{Acme, Files};
        let span = |value: &Option<Spanned<String>>| value.as_ref().map(Spanned::span);
        let keys = [
            ("certificate", span(&self.certificate), Files),
            ("key", span(&self.key), Files),
            ("email", span(&self.email), Acme),
            ("directory", span(&self.directory), Acme),
            ("staging", self.staging.as_ref().map(Spanned::span), Acme),
            ("eab-kid", span(&self.eab_kid), Acme),
            ("eab-key-file", span(&self.eab_key_file), Acme),
            ("ca-file", span(&self.ca_file), Acme),
        ];
        for (key, span, owner) in keys {
            if let (Some(span), true) = (span, owner != *self.issuer.get_ref()) {
                let (issuer, help) = match owner {
                    Acme => ("acme", "write `issuer = \"acme\"`, or leave this key out"),
                    _ => ("files", "write `issuer = \"files\"`, or leave this key out"),
                };
                return fault(span, format!("`{key}` is for issuer `{issuer}`"), help);
            }
        }
        Ok(())
    }

    fn include_subdomains(&self) -> Result<bool, Fault> {
        match &self.include_subdomains {
            None => Ok(false),
            Some(asked) if *asked.get_ref() && *self.issuer.get_ref() == IssuerName::SelfSigned => {
                fault(
                    asked.span(),
                    "`include-subdomains` with a certificate that signs itself",
                    "a browser must never be told to insist on a certificate it warns of: choose another issuer",
                )
            }
            Some(asked) => Ok(*asked.get_ref()),
        }
    }

    fn files(&self) -> Result<Issuer, Fault> {
        let path = |value: &Option<Spanned<String>>, missing: &str| match value {
            None => fault(
                self.issuer.span(),
                format!("issuer `files` without `{missing}`"),
                "add `certificate = \"/…/fullchain.pem\"` and `key = \"/…/key.pem\"`",
            ),
            Some(text) => plain_path(text),
        };
        let (certificate, key) = (
            path(&self.certificate, "certificate")?,
            path(&self.key, "key")?,
        );
        Ok(Issuer::Files { certificate, key })
    }

    fn acme(&self, hosts: &Spanned<Vec<HostPattern>>) -> Result<Issuer, Fault> {
        let directory = match (&self.directory, &self.staging) {
            (Some(_), Some(staging)) => {
                return fault(
                    staging.span(),
                    "both `directory` and `staging`",
                    "`staging` is Let's Encrypt's own: give the `directory` that you mean",
                );
            }
            (Some(url), None) => https_url(url)?,
            (None, Some(staging)) if *staging.get_ref() => STAGING.to_owned(),
            (None, _) => PRODUCTION.to_owned(),
        };
        if directory == PRODUCTION || directory == STAGING {
            names_are_public(hosts)?;
        }
        let binding = match (&self.eab_kid, &self.eab_key_file) {
            (None, None) => None,
            (Some(kid), Some(file)) => Some(Binding {
                kid: printable(kid)?,
                key_file: plain_path(file)?,
            }),
            (Some(one), None) | (None, Some(one)) => {
                return fault(
                    one.span(),
                    "`eab-kid` and `eab-key-file` belong together",
                    "give both: the authority's name of the key, and a root-only file with the key",
                );
            }
        };
        if let (Some(file), None) = (&self.ca_file, &self.directory) {
            return fault(
                file.span(),
                "`ca-file` without `directory`",
                "it is the root of a private directory: add `directory = \"https://…\"`",
            );
        }
        Ok(Issuer::Acme(Acme {
            directory,
            email: self.email.as_ref().map(email).transpose()?,
            binding,
            ca_file: self.ca_file.as_ref().map(plain_path).transpose()?,
        }))
    }
}

/// HTTP-01 proves names one by one, and only names.
fn names_can_be_proven(hosts: &Spanned<Vec<HostPattern>>) -> Result<(), Fault> {
    for host in hosts.get_ref() {
        let (message, help) = match host {
            HostPattern::Any => (
                "issuer `acme` with `*`".to_owned(),
                "an authority signs names: write `hosts = [\"example.org\"]`",
            ),
            HostPattern::Dns(name) if name.starts_with("*.") => (
                format!("issuer `acme` with `{name}`: HTTP-01 cannot prove a wildcard"),
                "name each host, or use `issuer = \"files\"`",
            ),
            HostPattern::Address(address) => (
                format!("issuer `acme` with the address `{address}`"),
                "name hosts, or use `issuer = \"local-ca\"`",
            ),
            HostPattern::Dns(_) => continue,
        };
        return fault(hosts.span(), message, help);
    }
    Ok(())
}

/// Names that no public authority may sign (RFC 6761, RFC 8375, and single labels).
fn names_are_public(hosts: &Spanned<Vec<HostPattern>>) -> Result<(), Fault> {
    const PRIVATE: &[&str] = &[
        "local",
        "localhost",
        "internal",
        "test",
        "invalid",
        "example",
        "onion",
        "home.arpa",
    ];
    for host in hosts.get_ref() {
        let HostPattern::Dns(name) = host else {
            continue;
        };
        let is_below = |zone: &&str| {
            name.strip_suffix(*zone)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        if !name.contains('.') || PRIVATE.iter().any(is_below) {
            return fault(
                hosts.span(),
                format!("no public authority signs `{name}`"),
                "use `issuer = \"local-ca\"`, or the `directory` of a private authority",
            );
        }
    }
    Ok(())
}

/// An absolute path of plain characters: it is shown in plans, messages and units.
pub(super) fn plain_path(text: &Spanned<String>) -> Result<PathBuf, Fault> {
    let shown = text.get_ref();
    let is_plain = shown.len() <= 1024
        && shown.strip_prefix('/').is_some_and(|rest| {
            rest.split('/').all(|part| {
                !part.is_empty()
                    && part != "."
                    && part != ".."
                    && part
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || "._-+@".contains(c))
            })
        });
    if is_plain {
        return Ok(PathBuf::from(shown));
    }
    fault(
        text.span(),
        format!("`{}` is not a plain absolute path", shown.escape_default()),
        "begin with `/`; use letters, digits and `. _ - + @` between single slashes",
    )
}

fn https_url(text: &Spanned<String>) -> Result<String, Fault> {
    let shown = text.get_ref();
    let is_url = shown.len() <= 1024
        && shown.strip_prefix("https://").is_some_and(|rest| {
            let authority = rest.split('/').next().unwrap_or_default();
            !authority.is_empty()
                && !authority.contains('@')
                && rest
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || ".-_~:/?=&%[]".contains(c))
        });
    if is_url {
        return Ok(shown.clone());
    }
    fault(
        text.span(),
        format!("`{}` is not an https URL", shown.escape_default()),
        "write the authority's directory, such as `https://acme.example.org/directory`",
    )
}

fn email(text: &Spanned<String>) -> Result<String, Fault> {
    let shown = text.get_ref();
    let is_address = shown.len() <= 254
        && shown.split_once('@').is_some_and(|(user, host)| {
            !user.is_empty()
                && user
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c))
                && matches!(host.parse(), Ok(HostPattern::Dns(name)) if !name.starts_with('*'))
        });
    if is_address {
        return Ok(shown.clone());
    }
    fault(
        text.span(),
        format!("`{}` is not a mail address", shown.escape_default()),
        "write one address, such as `admin@example.org`",
    )
}

fn printable(text: &Spanned<String>) -> Result<String, Fault> {
    let shown = text.get_ref();
    if !shown.is_empty() && shown.len() <= 256 && shown.chars().all(|c| c.is_ascii_graphic()) {
        return Ok(shown.clone());
    }
    fault(
        text.span(),
        format!("`{}` is not a key's name", shown.escape_default()),
        "write it as the authority gave it: printable characters, no spaces",
    )
}

#[cfg(test)]
mod tests;
