//! Who may see a site: the rule as the stack file has it, and what nginx answers by it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Deserialize;
use toml::Spanned;

use super::StackError;
use super::validate::Validation;
use crate::model::{Cidr, Name};

/// Who may see a site. Never empty: a rule that names nobody is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Accounts for basic authentication; none asked for if empty.
    pub accounts: Vec<Name>,
    /// Addresses let in; any if empty.
    pub allow: Vec<Cidr>,
    /// Whether both doors must open, or either.
    pub require: Require,
}

/// How accounts and addresses combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Require {
    /// Both.
    #[default]
    All,
    /// Either.
    Any,
}

/// What nginx answers to somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whether the site is shown.
    pub allowed: bool,
    /// The status if it is not: 401 or 403. 200 stands for whatever the site answers.
    pub status: u16,
    /// Why.
    pub reason: String,
}

impl Answer {
    fn allowed(reason: String) -> Self {
        Self {
            allowed: true,
            status: 200,
            reason,
        }
    }

    fn refused(status: u16, reason: String) -> Self {
        Self {
            allowed: false,
            status,
            reason,
        }
    }
}

impl Access {
    /// Whoever is on this host, and nobody else.
    pub(super) fn this_host() -> Self {
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        Self {
            accounts: Vec::new(),
            allow: loopback.map(Cidr::from).into(),
            require: Require::All,
        }
    }

    /// Whether only whoever is on this host gets in.
    pub fn is_for_this_host(&self) -> bool {
        *self == Self::this_host()
    }

    /// What comes of a request from `address` that logs in as `account`, with its right password. Pure, and nginx's
    /// own order: addresses first, then passwords; with `any`, the first that opens.
    pub fn answer(&self, address: IpAddr, account: Option<&str>) -> Answer {
        let address = address.to_canonical();
        let range = self.allow.iter().find(|range| range.contains(address));
        let is_known = |name: &str| self.accounts.iter().any(|known| known.as_str() == name);
        let at = match range {
            Some(range) if range.to_string() == address.to_string() => {
                format!("{address} is on the list")
            }
            Some(range) => format!("{address} is in {range}"),
            None => format!("{address} is not on the list"),
        };
        let who = match account {
            Some(name) if is_known(name) => format!("`{name}` has an account"),
            Some(name) => format!("`{name}` has no account here"),
            None => "no account was given".to_owned(),
        };
        let is_in = account.is_some_and(is_known);
        match (
            self.allow.is_empty(),
            self.accounts.is_empty(),
            self.require,
        ) {
            (true, true, _) => Answer::allowed("everybody may see it".into()),
            (false, true, _) if range.is_some() => Answer::allowed(at),
            (false, true, _) => Answer::refused(403, at),
            (true, false, _) if is_in => Answer::allowed(who),
            (true, false, _) => Answer::refused(401, who),
            (false, false, Require::Any) if range.is_some() => Answer::allowed(at),
            (false, false, Require::Any) if is_in => Answer::allowed(who),
            (false, false, Require::Any) => Answer::refused(401, format!("{at}, and {who}")),
            (false, false, Require::All) if range.is_none() => Answer::refused(403, at),
            (false, false, Require::All) if is_in => Answer::allowed(format!("{at}, and {who}")),
            (false, false, Require::All) => Answer::refused(401, format!("{at}, but {who}")),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawAccess {
    #[serde(default)]
    accounts: Option<Spanned<Vec<Spanned<Name>>>>,
    #[serde(default)]
    allow: Option<Spanned<Vec<Spanned<Cidr>>>>,
    #[serde(default)]
    require: Require,
    /// A list that leaves nobody out is meant.
    #[serde(default)]
    force: bool,
}

impl Validation<'_> {
    pub(super) fn access(&self, access: Spanned<RawAccess>) -> Result<Access, StackError> {
        let span = access.span();
        let access = access.into_inner();
        // An empty list is a door somebody forgot to describe: never read it as "everybody".
        if let Some(list) = access
            .accounts
            .as_ref()
            .filter(|list| list.get_ref().is_empty())
        {
            return self.fault(
                list.span(),
                "the account list is empty",
                "name an account, or leave `accounts` out",
            );
        }
        if let Some(list) = access
            .allow
            .as_ref()
            .filter(|list| list.get_ref().is_empty())
        {
            return self.fault(
                list.span(),
                "the allowlist is empty",
                "name an address or range, or leave `allow` out",
            );
        }
        if access.accounts.is_none() && access.allow.is_none() {
            return self.fault(
                span,
                "the access rule names nobody",
                "add `accounts` or `allow`, or leave `access` out",
            );
        }
        let accounts = self.distinct(access.accounts)?;
        let list = access.allow.as_ref().map_or(span, Spanned::span);
        let single = |range: &Spanned<Cidr>| Cidr::everybody(&[*range.get_ref()]).is_some();
        let whole = access
            .allow
            .as_ref()
            .and_then(|list| list.get_ref().iter().find(|range| single(range)));
        let place = whole.map_or(list, Spanned::span);
        let allow = self.distinct(access.allow)?;
        if let Some(family) = Cidr::everybody(&allow).filter(|_| !access.force) {
            let by = if allow.contains(&family) {
                ""
            } else {
                "all together "
            };
            return self.fault(
                place,
                format!("{by}`{family}` allows everybody"),
                "leave `allow` out to let every address in, or name the ranges you mean; \
                 `force = true` beside it says that everybody is meant",
            );
        }
        Ok(Access {
            accounts,
            allow,
            require: access.require,
        })
    }

    /// The values of a list in which each may stand once.
    pub(super) fn distinct<T: PartialEq + std::fmt::Display>(
        &self,
        list: Option<Spanned<Vec<Spanned<T>>>>,
    ) -> Result<Vec<T>, StackError> {
        let mut values: Vec<T> = Vec::new();
        for value in list.map(Spanned::into_inner).unwrap_or_default() {
            let span = value.span();
            let value = value.into_inner();
            if values.contains(&value) {
                let message = format!("`{value}` is in the list twice");
                return self.fault(span, message, "keep one of the two");
            }
            values.push(value);
        }
        Ok(values)
    }
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
