mod edge;
mod sites;

use std::ops::Range;
use std::path::Path;

use toml::Spanned;

use super::backup::RawBackup;
use super::raw::{RawApp, RawContainer, RawStack};
use super::{App, Container, ContainerKind, Limits, Opening, Stack, StackError};
use crate::model::{HostPattern, Layout, Name};

/// A stack file larger than this is a mistake.
const SIZE_LIMIT: usize = 256 * 1024;

/// Reads a stack file. `path` only names it in errors.
///
/// # Errors
/// The first fault, with its place in the file and what to write instead.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Stack, StackError> {
    if bytes.len() > SIZE_LIMIT {
        let message = format!("{} bytes is too large for a stack file", bytes.len());
        return Err(StackError::whole(
            path,
            message,
            "256 KiB is the limit: is this the right file?",
        ));
    }
    let source = std::str::from_utf8(bytes).map_err(|fault| {
        // What comes before is text, and shows the place.
        let end = fault.valid_up_to();
        let before = std::str::from_utf8(&bytes[..end]).unwrap_or_default();
        StackError::new(
            path,
            before,
            end..end,
            "not UTF-8 text from here on",
            "save the file as UTF-8; is this the right file?",
        )
    })?;
    if source.trim().is_empty() {
        return Err(StackError::whole(
            path,
            "the file is empty",
            "begin with `name = \"…\"`, or remove the file",
        ));
    }
    let raw: RawStack =
        toml::from_str(source).map_err(|error| StackError::toml(path, source, &error))?;
    Validation { path, source }.stack(raw)
}

/// With `tavern-` before it, the longest name that Linux takes for a group.
const CONTAINER_NAME: usize = 24;

/// A stack file that is being judged.
pub(super) struct Validation<'a> {
    path: &'a Path,
    source: &'a str,
}

impl Validation<'_> {
    pub(super) fn fault<T>(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        help: &str,
    ) -> Result<T, StackError> {
        Err(StackError::new(self.path, self.source, span, message, help))
    }

    fn stack(&self, raw: RawStack) -> Result<Stack, StackError> {
        self.file_name(&raw.name)?;
        if raw.hosts.get_ref().is_empty() {
            return self.fault(
                raw.hosts.span(),
                "no host names",
                "write `hosts = [\"*\"]` or the names it answers to",
            );
        }
        if raw.hosts.get_ref().len() > 1 && raw.hosts.get_ref().contains(&HostPattern::Any) {
            return self.fault(
                raw.hosts.span(),
                "`*` beside other names",
                "`*` already means any name: keep it alone, or leave it out",
            );
        }
        if raw.site.is_empty() {
            return self.fault(
                raw.name.span(),
                "the stack has no site",
                "add a `[[site]]` with `path` and `static` or `app`",
            );
        }
        let grafana = (raw.container.values())
            .find(|one| one.kind == ContainerKind::Grafana)
            .map(|one| one.image.span());
        let containers: Vec<Container> = raw
            .container
            .into_iter()
            .map(|(role, container)| self.container(raw.name.get_ref(), role, container))
            .collect::<Result<_, _>>()?;
        self.watches_something(grafana, &containers)?;
        let apps: Vec<App> = raw
            .app
            .into_iter()
            .map(|(name, app)| {
                self.unit_is_free(raw.name.get_ref(), &name, &app)?;
                self.app(name, app, &containers)
            })
            .collect::<Result<_, _>>()?;
        let ports = self.ports(raw.ports)?;
        let limits = self.limits(raw.limits, Limits::default())?;
        let error_pages = self.error_pages(raw.error_pages)?;
        let (monitor, journal) = self.stacks_rules(raw.monitor)?;
        let behind = (apps.as_slice(), containers.as_slice());
        let sites = self.sites(raw.site, &raw.hosts, behind, (limits, monitor))?;
        let proxy = self.proxy(raw.proxy)?;
        let alert = self.alert(raw.alert)?;
        let tls = match raw.tls.checked(&raw.hosts) {
            Ok(tls) => tls,
            Err(fault) => return self.fault(fault.span, fault.message, fault.help),
        };
        let checked = |backup: RawBackup| backup.checked(raw.name.get_ref());
        let backup = match raw.backup.map(checked).transpose() {
            Ok(backup) => backup,
            Err(fault) => return self.fault(fault.span, fault.message, fault.help),
        };
        Ok(Stack {
            name: raw.name.into_inner(),
            hosts: raw.hosts.into_inner(),
            ports,
            issuer: tls.issuer,
            include_subdomains: tls.include_subdomains,
            error_pages,
            sites,
            apps,
            containers,
            proxy,
            backup,
            alert,
            monitor,
            journal,
            firewall: raw
                .firewall
                .allow
                .iter()
                .map(|text| self.opening(text))
                .collect::<Result<_, _>>()?,
        })
    }

    fn file_name(&self, name: &Spanned<Name>) -> Result<(), StackError> {
        let stem = self.path.file_stem().and_then(|stem| stem.to_str());
        if stem == Some(name.get_ref().as_str()) {
            return Ok(());
        }
        let message = format!(
            "the file of stack `{}` must be called `{}.toml`",
            name.get_ref(),
            name.get_ref()
        );
        self.fault(name.span(), message, "rename the file, or change the name")
    }

    fn unit_is_free(
        &self,
        stack: &Name,
        app: &Name,
        place: &Spanned<RawApp>,
    ) -> Result<(), StackError> {
        let stem = Layout::unit_stem(stack, app);
        if !Layout::OWN_UNITS.contains(&stem.as_str()) {
            return Ok(());
        }
        let message = format!("app `{app}` would run as {stem}.service, which is Tavern's own");
        self.fault(place.span(), message, "give the app another name")
    }

    fn app(
        &self,
        name: Name,
        raw: Spanned<RawApp>,
        containers: &[Container],
    ) -> Result<App, StackError> {
        let span = raw.span();
        let raw = raw.into_inner();
        if raw.accounts.is_empty() {
            let message = format!("app `{name}` has no accounts: nobody could log in");
            return self.fault(span, message, "add `accounts = [\"…\"]`");
        }
        if raw.needs.is_empty() {
            let message = format!("app `{name}` has nowhere to keep its count");
            return self.fault(
                span,
                message,
                "add `needs = [\"…\"]` with a container of kind `redis`",
            );
        }
        for need in &raw.needs {
            let mut all = containers.iter();
            let (message, help) = match all.find(|one| &one.role == need.get_ref()) {
                Some(found) if found.kind == ContainerKind::Redis => continue,
                Some(found) => (
                    format!("`{}` is no Redis", found.role),
                    "an app of Tavern's keeps its count in a container of kind `redis`: name one, or correct the `kind`",
                ),
                None => (
                    format!("there is no container called `{}`", need.get_ref()),
                    "declare it as `[container.NAME]`, or correct the name",
                ),
            };
            return self.fault(need.span(), message, help);
        }
        let count_key = match raw.count_key {
            None => "visits".to_owned(),
            Some(key) if is_key(key.get_ref()) => key.into_inner(),
            Some(key) => {
                return self.fault(
                    key.span(),
                    "not a key",
                    "use letters, digits and `_ : . -`, 100 characters at most",
                );
            }
        };
        Ok(App {
            name,
            program: raw.serve,
            needs: raw.needs.into_iter().map(Spanned::into_inner).collect(),
            accounts: raw.accounts,
            count_key,
            hash_cost: self.hash_cost(raw.hash_cost)?,
            alias: raw.alias,
        })
    }

    fn container(
        &self,
        stack: &Name,
        role: Name,
        raw: RawContainer,
    ) -> Result<Container, StackError> {
        let observer = self.observer(&raw)?;
        let given = raw.name.as_ref().map(Spanned::span);
        let name = match raw.name {
            Some(name) => name.into_inner(),
            None => match format!("{stack}-{role}").parse() {
                Ok(name) => name,
                Err(_) => role.clone(),
            },
        };
        if name.as_str().len() > CONTAINER_NAME {
            return self.fault(
                given.unwrap_or(raw.image.span()),
                format!("the container's name `{name}` is longer than {CONTAINER_NAME} characters"),
                "give it a shorter `name`: a group of the host is called after it, and may have 31 at most",
            );
        }
        let volume = match raw.volume {
            None => format!("{name}-data"),
            // Docker's own grammar for volume names.
            Some(volume) if is_volume(volume.get_ref()) => volume.into_inner(),
            Some(volume) => {
                return self.fault(
                    volume.span(),
                    "not a volume name",
                    "use letters, digits and `_ . -`, a letter or digit first",
                );
            }
        };
        let hidden = ["/root", "/home", "/tmp", "/var/tmp", "/run/user"];
        let auth_file = match raw.auth_file {
            None => None,
            Some(path)
                if path.get_ref().is_absolute()
                    && !hidden.iter().any(|dir| path.get_ref().starts_with(dir)) =>
            {
                Some(path.into_inner())
            }
            Some(path) => {
                return self.fault(
                    path.span(),
                    "not a place where tavernd finds a login",
                    "a full path, such as `/etc/tavern/credentials/registry.json`, and not below a home or `/tmp`; \
                     what `docker login` wrote for root is found without this",
                );
            }
        };
        let (database, user) = (raw.database.as_ref(), raw.user.as_ref());
        let postgres = match raw.kind {
            ContainerKind::Postgres => Some(self.postgres(stack, &raw.image, database, user)?),
            _ => self.no_postgres(database, user).map(|()| None)?,
        };
        Ok(Container {
            role,
            kind: raw.kind,
            name,
            image: raw.image.into_inner(),
            auth_file,
            volume,
            observer,
            postgres,
        })
    }

    fn opening(&self, text: &Spanned<String>) -> Result<Opening, StackError> {
        if text.get_ref() == "ssh" {
            return Ok(Opening::Ssh);
        }
        let port = text
            .get_ref()
            .strip_suffix("/tcp")
            .and_then(|port| port.parse::<u16>().ok());
        match port.filter(|port| *port != 0) {
            Some(port) => Ok(Opening::Tcp(port)),
            None => {
                let message = format!("`{}` is not a port", text.get_ref().escape_default());
                self.fault(
                    text.span(),
                    message,
                    "write `ssh` or a port such as `443/tcp`",
                )
            }
        }
    }
}

fn is_key(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 100
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_:.-".contains(c))
}

fn is_volume(text: &str) -> bool {
    text.len() >= 2
        && text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

#[cfg(test)]
mod site_tests;
#[cfg(test)]
mod tests;
