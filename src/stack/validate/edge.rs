use std::collections::BTreeMap;
use std::path::PathBuf;

use toml::Spanned;

use super::Validation;
use super::sites::is_plain_part;
use crate::stack::edge::{PAGE_STATUSES, RawLimits};
use crate::stack::{ErrorPage, ErrorPages, HTTPS_PORT, Limits, StackError};

/// Ports that a browser would speak plain HTTP or nothing to, or that the host itself needs.
const NOT_FOR_HTTPS: &[u16] = &[0, 22, 80];

impl Validation<'_> {
    pub(super) fn ports(&self, raw: Option<Spanned<Vec<u16>>>) -> Result<Vec<u16>, StackError> {
        let Some(raw) = raw else {
            return Ok(vec![HTTPS_PORT]);
        };
        let (span, ports) = (raw.span(), raw.into_inner());
        let help =
            "write the ports of HTTPS, such as `ports = [443, 5085]`, or leave it out for 443";
        if ports.is_empty() {
            return self.fault(span, "no ports", help);
        }
        if let Some(port) = ports.iter().find(|port| NOT_FOR_HTTPS.contains(port)) {
            return self.fault(span, format!("port {port} cannot be one of HTTPS"), help);
        }
        let twice = |port: &&u16| ports.iter().filter(|other| other == port).count() > 1;
        if let Some(port) = ports.iter().find(twice) {
            return self.fault(span, format!("port {port} twice"), "name each port once");
        }
        Ok(ports)
    }

    /// What is not given comes from `others`.
    pub(super) fn limits(&self, raw: RawLimits, others: Limits) -> Result<Limits, StackError> {
        Ok(Limits {
            rate: self.number(raw.rate, others.rate, 1, 1_000_000)?,
            burst: self.number(raw.burst, others.burst, 1, 1_000_000)?,
            connections: self.number(raw.connections, others.connections, 1, 65_535)?,
            body: raw.body.unwrap_or(others.body),
        })
    }

    /// A number within bounds; `other` if none is given.
    pub(in crate::stack) fn number(
        &self,
        given: Option<Spanned<u32>>,
        other: u32,
        least: u32,
        most: u32,
    ) -> Result<u32, StackError> {
        match given {
            None => Ok(other),
            Some(given) if (least..=most).contains(given.get_ref()) => Ok(given.into_inner()),
            Some(given) => {
                let message = format!("{} is out of bounds", given.get_ref());
                let help = format!("write a number from {least} to {most}");
                self.fault(given.span(), message, &help)
            }
        }
    }

    pub(super) fn error_pages(
        &self,
        raw: BTreeMap<String, Spanned<String>>,
    ) -> Result<ErrorPages, StackError> {
        let mut pages = ErrorPages::new();
        for (status, file) in raw {
            let number = status.parse().ok();
            let Some(number) = number.filter(|number| PAGE_STATUSES.contains(number)) else {
                let known: Vec<_> = PAGE_STATUSES.iter().map(u16::to_string).collect();
                let message = format!("no page can be set for `{}`", status.escape_default());
                let help = format!("the key is one of {}", known.join(", "));
                return self.fault(file.span(), message, &help);
            };
            pages.insert(number, self.error_page(&file)?);
        }
        Ok(pages)
    }

    fn error_page(&self, file: &Spanned<String>) -> Result<ErrorPage, StackError> {
        let text = file.get_ref();
        let parts = text.strip_prefix('/').unwrap_or(text);
        let is_plain = parts.split('/').all(is_plain_part) && text.ends_with(".html");
        match text.starts_with('/') {
            true if is_plain => Ok(ErrorPage::File(PathBuf::from(text))),
            false if is_plain && !text.contains('/') => Ok(ErrorPage::Seeded(text.clone())),
            _ => self.fault(
                file.span(),
                format!("`{}` is not a page", text.escape_default()),
                "write a file name such as `404.html`, or the absolute path of a file of yours, with \
                 letters, digits and `. _ -`",
            ),
        }
    }
}
