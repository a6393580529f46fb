//! The proxies in front of the host, whose word on a visitor's address is taken.

use serde::Deserialize;
use toml::Spanned;

use super::StackError;
use super::validate::Validation;
use crate::model::Cidr;

/// Hops in front of nginx.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxy {
    /// From these, `X-Forwarded-For` says who asks; from any other address it is somebody's claim.
    pub trusted: Vec<Cidr>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawProxy {
    trusted: Spanned<Vec<Spanned<Cidr>>>,
}

impl Validation<'_> {
    pub(super) fn proxy(&self, raw: Option<RawProxy>) -> Result<Proxy, StackError> {
        let Some(raw) = raw else {
            return Ok(Proxy::default());
        };
        let span = raw.trusted.span();
        if raw.trusted.get_ref().is_empty() {
            return self.fault(
                span,
                "no proxy is trusted",
                "name the addresses of the proxies in front, or leave `[proxy]` out",
            );
        }
        let trusted = self.distinct(Some(raw.trusted))?;
        if Cidr::everybody(&trusted).is_some() {
            return self.fault(
                span,
                "everybody would be trusted to say who they are",
                "name the addresses of the proxies in front: whoever is trusted passes every allowlist",
            );
        }
        Ok(Proxy { trusted })
    }
}
