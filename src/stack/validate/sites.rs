use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;

use super::Validation;
use crate::model::{HostPattern, LogRules, Name};
use crate::stack::raw::{RawPage, RawSite};
use crate::stack::{Access, App, Container, Limits, Redirect, Site, SiteContent, StackError};

const ONE_OF_THEM: &str = "a site is one of them: make two sites";

impl Validation<'_> {
    /// The sites, each at a place of its own. `limits` and `rules` are the stack's.
    pub(super) fn sites(
        &self,
        raw: Vec<Spanned<RawSite>>,
        hosts: &Spanned<Vec<HostPattern>>,
        behind: (&[App], &[Container]),
        (limits, rules): (Limits, LogRules),
    ) -> Result<Vec<Site>, StackError> {
        let mut paths = BTreeSet::new();
        let mut names = BTreeSet::new();
        let mut sites = Vec::new();
        let mut places = Vec::new();
        for site in raw {
            let span = site.span();
            let site = site.into_inner();
            let (path, path_span) = (site.path.get_ref().clone(), site.path.span());
            let content = self.content(&site, span.clone(), behind)?;
            self.only_where_it_means_something(&site, &content)?;
            let host = self.host(site.host, hosts)?;
            let name = match (site.name, &content) {
                (Some(name), _) => name.into_inner(),
                (
                    None,
                    SiteContent::Seeded(name)
                    | SiteContent::App(name)
                    | SiteContent::Container(name),
                ) => name.clone(),
                (None, SiteContent::Status) => match "status".parse() {
                    Ok(name) => name,
                    Err(_) => return self.fault(span, "no name", "add `name`"),
                },
                (None, SiteContent::Directory(_)) => {
                    return self.fault(
                        span,
                        "a site of your own directory has no name",
                        "add `name = \"…\"`: it names the logs",
                    );
                }
                (None, SiteContent::Redirect(_)) => {
                    return self.fault(
                        span,
                        "a redirect has no name",
                        "add `name = \"…\"`: it names the logs",
                    );
                }
            };
            if !paths.insert((host.clone(), path.prefix().to_owned())) {
                return self.fault(
                    path_span,
                    format!("two sites at `{path}`"),
                    "give each site its own path",
                );
            }
            if !names.insert(name.clone()) {
                return self.fault(
                    span,
                    format!("two sites called `{name}`"),
                    "give each site its own `name`",
                );
            }
            let access = site.access.map(|access| self.access(access)).transpose()?;
            let access = match content {
                // What it shows is nobody else's business, unless somebody says so.
                SiteContent::Status | SiteContent::Container(_) => {
                    Some(access.unwrap_or_else(Access::this_host))
                }
                _ => access,
            };
            // A Grafana tells its pages what happens.
            let is_live = matches!(content, SiteContent::Container(_));
            sites.push(Site {
                name,
                host,
                path,
                content,
                access,
                limits: self.limits(site.limits, limits)?,
                websocket: is_live || site.websocket.is_some_and(Spanned::into_inner),
                headers: site.headers,
                monitor: self.sites_rules(site.monitor, rules)?,
            });
            places.push(path_span);
        }
        self.every_name_has_a_site(&sites, hosts)?;
        for (site, span) in sites.iter().zip(places) {
            self.leads_elsewhere(site, &sites, span)?;
        }
        Ok(sites)
    }

    fn content(
        &self,
        site: &RawSite,
        span: Range<usize>,
        (apps, containers): (&[App], &[Container]),
    ) -> Result<SiteContent, StackError> {
        let given = [
            site.files.as_ref().map(|files| (files.span(), "static")),
            site.app.as_ref().map(|app| (app.span(), "app")),
            site.redirect.as_ref().map(|to| (to.span(), "redirect")),
            site.page.as_ref().map(|page| (page.span(), "page")),
            site.container.as_ref().map(|one| (one.span(), "container")),
        ];
        let mut given = given.into_iter().flatten();
        if let (Some((span, first)), Some((_, second))) = (given.next(), given.next()) {
            return self.fault(span, format!("both `{first}` and `{second}`"), ONE_OF_THEM);
        }
        if let Some(role) = &site.container {
            return self.site_container(role, containers);
        }
        match (&site.files, &site.app, &site.redirect, &site.page) {
            (Some(files), ..) => self.files(files),
            (_, Some(app), ..) if apps.iter().any(|known| &known.name == app.get_ref()) => {
                Ok(SiteContent::App(app.get_ref().clone()))
            }
            (_, Some(app), ..) => {
                let message = format!("there is no app called `{}`", app.get_ref());
                self.fault(
                    app.span(),
                    message,
                    "declare it as `[app.NAME]`, or correct the name",
                )
            }
            (.., Some(to), _) => Ok(SiteContent::Redirect(Redirect {
                to: to.get_ref().clone(),
                status: self.status(site.status.as_ref())?,
            })),
            (.., Some(page)) => match page.get_ref() {
                RawPage::Status => Ok(SiteContent::Status),
            },
            (None, None, None, None) => self.fault(
                span,
                "the site serves nothing",
                "add `static = \"…\"`, `app = \"…\"`, `redirect = \"…\"`, `page = \"status\"` or `container = \"…\"`",
            ),
        }
    }

    fn status(&self, status: Option<&Spanned<u16>>) -> Result<u16, StackError> {
        match status {
            // Browsers forget it: a redirect that was a mistake can be taken back.
            None => Ok(302),
            Some(status) if [301, 302, 307, 308].contains(status.get_ref()) => {
                Ok(*status.get_ref())
            }
            Some(status) => self.fault(
                status.span(),
                format!("{} is not a redirect", status.get_ref()),
                "write 301 or 308 (for ever), 302 or 307 (for now; the default is 302)",
            ),
        }
    }

    /// Keys that other content would take in silence.
    fn only_where_it_means_something(
        &self,
        site: &RawSite,
        content: &SiteContent,
    ) -> Result<(), StackError> {
        let is_redirect = matches!(content, SiteContent::Redirect(_));
        if let Some(status) = site.status.as_ref().filter(|_| !is_redirect) {
            let help = "leave it out, or write `redirect`";
            return self.fault(status.span(), "`status` without `redirect`", help);
        }
        // nginx would redirect before it asks who is there.
        if let Some(access) = site.access.as_ref().filter(|_| is_redirect) {
            return self.fault(
                access.span(),
                "`access` of a redirect",
                "leave it out: a redirect is for everybody; guard the site that it leads to",
            );
        }
        let is_app = matches!(content, SiteContent::App(_));
        if let Some(websocket) = site.websocket.as_ref().filter(|_| !is_app) {
            let help = "leave it out: only an app speaks WebSocket";
            return self.fault(websocket.span(), "`websocket` without `app`", help);
        }
        Ok(())
    }

    fn host(
        &self,
        host: Option<Spanned<HostPattern>>,
        hosts: &Spanned<Vec<HostPattern>>,
    ) -> Result<Option<HostPattern>, StackError> {
        let Some(host) = host else {
            return Ok(None);
        };
        if *host.get_ref() == HostPattern::Any || !hosts.get_ref().contains(host.get_ref()) {
            return self.fault(
                host.span(),
                format!("`{}` is not one of the stack's names", host.get_ref()),
                "add it to `hosts`, or leave it out: then the site is at every name that no site has for itself",
            );
        }
        Ok(Some(host.into_inner()))
    }

    fn every_name_has_a_site(
        &self,
        sites: &[Site],
        hosts: &Spanned<Vec<HostPattern>>,
    ) -> Result<(), StackError> {
        let own = |host: &HostPattern| sites.iter().any(|site| site.host.as_ref() == Some(host));
        let free = hosts.get_ref().iter().find(|host| !own(host));
        let shared = sites.iter().find(|site| site.host.is_none());
        match (free, shared) {
            (Some(host), None) => self.fault(
                hosts.span(),
                format!("nothing is served at `{host}`"),
                "add a `[[site]]` with that `host`, or one without `host`",
            ),
            (None, Some(site)) => self.fault(
                hosts.span(),
                format!("no name is left for site `{}`", site.name),
                "a name that a site has as its `host` is for such sites only: add `host` to this one, or a name",
            ),
            _ => Ok(()),
        }
    }

    /// A redirect whose target is found by the same redirect would never end.
    fn leads_elsewhere(
        &self,
        site: &Site,
        sites: &[Site],
        span: Range<usize>,
    ) -> Result<(), StackError> {
        let SiteContent::Redirect(redirect) = &site.content else {
            return Ok(());
        };
        let Some(target) = redirect.to.local_path() else {
            return Ok(());
        };
        let beside = sites.iter().filter(|other| other.host == site.host);
        let found = beside
            .filter(|other| is_below(target, other.path.prefix()))
            .max_by_key(|other| other.path.prefix().len());
        if found.is_some_and(|found| found.name == site.name) {
            let message = format!("the redirect at `{}` leads to itself", site.path);
            return self.fault(
                span,
                message,
                "redirect to another site, or to another host",
            );
        }
        Ok(())
    }

    fn files(&self, files: &Spanned<String>) -> Result<SiteContent, StackError> {
        let text = files.get_ref();
        if !text.starts_with('/') {
            return match text.parse::<Name>() {
                Ok(name) => Ok(SiteContent::Seeded(name)),
                Err(refused) => self.fault(
                    files.span(),
                    refused.message,
                    "write a name, or a directory that begins with `/`",
                ),
            };
        }
        let plain = text.split('/').skip(1).all(is_plain_part);
        if plain {
            Ok(SiteContent::Directory(PathBuf::from(text)))
        } else {
            let message = format!("`{}` is not a plain directory path", text.escape_default());
            self.fault(
                files.span(),
                message,
                "use letters, digits and `. _ -` between single slashes, no final slash",
            )
        }
    }
}

/// A part of a path that means itself.
pub(super) fn is_plain_part(part: &str) -> bool {
    !part.is_empty()
        && part != "."
        && part != ".."
        && part
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// Whether a path is at or below a site's; an empty prefix is the root.
fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| prefix.is_empty() || rest.is_empty() || rest.starts_with('/'))
}
