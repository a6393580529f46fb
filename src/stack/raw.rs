//! The file as TOML gives it. Unknown keys are errors; values are parsed by their newtypes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::access::RawAccess;
use super::alert::RawAlert;
use super::backup::RawBackup;
use super::edge::RawLimits;
use super::hash_cost::RawHashCost;
use super::monitor::RawLogRules;
use super::proxy::RawProxy;
use super::tls::RawTls;
use super::{ContainerKind, Headers, Program};
use crate::model::{HostPattern, ImageRef, Name, RedirectTo, UrlPath};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawStack {
    pub(super) name: Spanned<Name>,
    pub(super) hosts: Spanned<Vec<HostPattern>>,
    pub(super) tls: RawTls,
    pub(super) ports: Option<Spanned<Vec<u16>>>,
    #[serde(default)]
    pub(super) limits: RawLimits,
    #[serde(default)]
    pub(super) error_pages: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    pub(super) site: Vec<Spanned<RawSite>>,
    #[serde(default)]
    pub(super) app: BTreeMap<Name, Spanned<RawApp>>,
    #[serde(default)]
    pub(super) container: BTreeMap<Name, RawContainer>,
    #[serde(default)]
    pub(super) firewall: RawFirewall,
    pub(super) proxy: Option<RawProxy>,
    pub(super) backup: Option<RawBackup>,
    pub(super) alert: Option<Spanned<RawAlert>>,
    #[serde(default)]
    pub(super) monitor: RawLogRules,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawSite {
    pub(super) path: Spanned<UrlPath>,
    pub(super) name: Option<Spanned<Name>>,
    #[serde(rename = "static")]
    pub(super) files: Option<Spanned<String>>,
    pub(super) app: Option<Spanned<Name>>,
    pub(super) redirect: Option<Spanned<RedirectTo>>,
    pub(super) page: Option<Spanned<RawPage>>,
    pub(super) container: Option<Spanned<Name>>,
    pub(super) status: Option<Spanned<u16>>,
    pub(super) host: Option<Spanned<HostPattern>>,
    pub(super) websocket: Option<Spanned<bool>>,
    #[serde(default)]
    pub(super) limits: RawLimits,
    #[serde(default)]
    pub(super) headers: Headers,
    pub(super) access: Option<Spanned<RawAccess>>,
    #[serde(default)]
    pub(super) monitor: RawLogRules,
}

/// A page of Tavern's own.
#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawPage {
    Status,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawApp {
    pub(super) serve: Program,
    #[serde(default)]
    pub(super) needs: Vec<Spanned<Name>>,
    #[serde(default)]
    pub(super) accounts: Vec<Name>,
    pub(super) count_key: Option<Spanned<String>>,
    pub(super) hash_cost: Option<Spanned<RawHashCost>>,
    pub(super) alias: Option<Name>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawContainer {
    pub(super) kind: ContainerKind,
    pub(super) name: Option<Spanned<Name>>,
    pub(super) image: Spanned<ImageRef>,
    pub(super) auth_file: Option<Spanned<PathBuf>>,
    pub(super) volume: Option<Spanned<String>>,
    pub(super) port: Option<Spanned<u16>>,
    pub(super) retention_days: Option<Spanned<u16>>,
    pub(super) retention_mb: Option<Spanned<u32>>,
    pub(super) database: Option<Spanned<String>>,
    pub(super) user: Option<Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawFirewall {
    #[serde(default)]
    pub(super) allow: Vec<Spanned<String>>,
}
