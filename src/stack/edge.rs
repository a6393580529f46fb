//! What a stack file says of nginx beside paths and content: ports, limits, headers, error pages.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use crate::model::{ByteSize, HeaderName, HeaderText, RedirectTo};

/// The port of HTTPS.
pub const HTTPS_PORT: u16 = 443;

/// Statuses that may have a page of the owner's: those that nginx itself answers with.
pub(super) const PAGE_STATUSES: &[u16] =
    &[400, 403, 404, 405, 410, 413, 414, 429, 500, 502, 503, 504];

/// How much one address may ask of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests a second.
    pub rate: u32,
    /// Requests beyond the rate that are let through at once.
    pub burst: u32,
    /// Connections at a time; with HTTP/2, requests at a time.
    pub connections: u32,
    /// The longest request body.
    pub body: ByteSize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rate: 200,
            burst: 400,
            connections: 250,
            body: ByteSize::mebibytes(1),
        }
    }
}

/// Limits as the file gives them: what is left out comes from the stack, then from the defaults.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawLimits {
    pub(super) rate: Option<Spanned<u32>>,
    pub(super) burst: Option<Spanned<u32>>,
    pub(super) connections: Option<Spanned<u32>>,
    pub(super) body: Option<ByteSize>,
}

/// Where a redirect leads, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// The address.
    pub to: RedirectTo,
    /// 301, 302, 307 or 308.
    pub status: u16,
}

/// A page of the owner's for an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorPage {
    /// A file in `/var/www/STACK/error-pages`, seeded once.
    Seeded(String),
    /// A file of the owner's.
    File(PathBuf),
}

/// Error pages by status.
pub type ErrorPages = BTreeMap<u16, ErrorPage>;

/// Response headers by name.
pub type Headers = BTreeMap<HeaderName, HeaderText>;
