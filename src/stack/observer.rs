//! Containers that watch the stack, Prometheus and Grafana: what their tables say beside what every container says.

use std::ops::Range;

use toml::Spanned;

use super::raw::RawContainer;
use super::validate::Validation;
use super::{Container, ContainerKind, SiteContent, StackError};
use crate::model::{Layout, Name};

/// The keys that only containers of these kinds have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observer {
    /// Where it listens, on loopback alone.
    pub port: u16,
    /// How many days of numbers are kept.
    pub retention_days: u16,
    /// And how many megabytes of them at most.
    pub retention_megabytes: u32,
}

impl ContainerKind {
    /// The port of loopback where such a container listens unless it is told another; none for one on a Unix socket.
    pub fn usual_port(self) -> Option<u16> {
        match self {
            Self::Redis | Self::Postgres => None,
            Self::Prometheus => Some(9090),
            Self::Grafana => Some(3000),
        }
    }
}

impl Validation<'_> {
    /// What a container of such a kind says of itself; nothing for other kinds, which may not say it.
    pub(super) fn observer(&self, raw: &RawContainer) -> Result<Option<Observer>, StackError> {
        let is_prometheus = raw.kind == ContainerKind::Prometheus;
        let Some(usual) = raw.kind.usual_port() else {
            self.means_nothing(raw.port.as_ref().map(Spanned::span), "port")?;
            self.keeps_no_numbers(raw)?;
            return Ok(None);
        };
        if !is_prometheus {
            self.keeps_no_numbers(raw)?;
        }
        let port = raw.port.as_ref().map_or(usual, |port| *port.get_ref());
        if let Some(given) = raw.port.as_ref().filter(|given| *given.get_ref() < 1024) {
            let help = "one from 1024 on: the container has no right to those below";
            return self.fault(given.span(), format!("port {port}"), help);
        }
        if let Some(given) = raw.port.as_ref().filter(|_| port == Layout::RELAY_PORT) {
            let help = "another: `tavern-metrics.socket` listens there";
            return self.fault(given.span(), format!("port {port}"), help);
        }
        let days = raw.retention_days.as_ref();
        if let Some(given) = days.filter(|given| !(1..=3650).contains(given.get_ref())) {
            return self.fault(
                given.span(),
                format!("{} days", given.get_ref()),
                "1 to 3650 of them",
            );
        }
        let size = raw.retention_mb.as_ref();
        if let Some(given) = size.filter(|given| !(64..=1_000_000).contains(given.get_ref())) {
            return self.fault(
                given.span(),
                format!("{} MB", given.get_ref()),
                "64 to 1000000 of them",
            );
        }
        Ok(Some(Observer {
            port,
            retention_days: days.map_or(15, |days| *days.get_ref()),
            retention_megabytes: size.map_or(1024, |size| *size.get_ref()),
        }))
    }

    /// A Grafana has something to show.
    pub(super) fn watches_something(
        &self,
        grafana: Option<Range<usize>>,
        containers: &[Container],
    ) -> Result<(), StackError> {
        let mut all = containers.iter();
        match grafana {
            Some(span) if !all.any(|one| one.kind == ContainerKind::Prometheus) => self.fault(
                span,
                "a Grafana without a Prometheus has nothing to show",
                "declare a container of `kind = \"prometheus\"` too",
            ),
            _ => Ok(()),
        }
    }

    /// The container that a site leads to.
    pub(super) fn site_container(
        &self,
        role: &Spanned<Name>,
        containers: &[Container],
    ) -> Result<SiteContent, StackError> {
        let mut all = containers.iter();
        match all.find(|one| &one.role == role.get_ref()) {
            Some(one) if one.kind == ContainerKind::Grafana => {
                Ok(SiteContent::Container(one.role.clone()))
            }
            Some(one) => self.fault(
                role.span(),
                format!("`{}` has no pages for a site", one.role),
                "name a container of kind `grafana`",
            ),
            None => self.fault(
                role.span(),
                format!("there is no container called `{}`", role.get_ref()),
                "declare it as `[container.NAME]`, or correct the name",
            ),
        }
    }

    fn keeps_no_numbers(&self, raw: &RawContainer) -> Result<(), StackError> {
        let days = raw.retention_days.as_ref().map(Spanned::span);
        self.means_nothing(days, "retention-days")?;
        let size = raw.retention_mb.as_ref().map(Spanned::span);
        self.means_nothing(size, "retention-mb")
    }

    fn means_nothing(&self, span: Option<Range<usize>>, key: &str) -> Result<(), StackError> {
        let Some(span) = span else {
            return Ok(());
        };
        let help = "leave it out: a container of this kind has no use for it";
        self.fault(
            span,
            format!("`{key}` of a container that is not asked for it"),
            help,
        )
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::stack::{DEFAULT, Observer, parse};

    fn with(lines: &str) -> Result<Vec<Option<Observer>>, String> {
        let text = format!("{DEFAULT}\n{lines}");
        let stack = parse(Path::new("counter.toml"), text.as_bytes());
        let stack = stack.map_err(|error| error.to_string())?;
        Ok(stack.containers.iter().map(|one| one.observer).collect())
    }

    const PROMETHEUS: &str =
        "[container.numbers]\nkind = \"prometheus\"\nimage = \"prom/prometheus:v3.1.0\"\n";

    #[test]
    fn a_prometheus_has_bounds_without_being_told() {
        let usual = Observer {
            port: 9090,
            retention_days: 15,
            retention_megabytes: 1024,
        };
        assert_eq!(with(PROMETHEUS).unwrap(), [Some(usual), None]);
        let own = with(&format!(
            "{PROMETHEUS}port = 9999\nretention-days = 3\nretention-mb = 100\n"
        ));
        let told = Observer {
            port: 9999,
            retention_days: 3,
            retention_megabytes: 100,
        };
        assert_eq!(own.unwrap(), [Some(told), None]);
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let grafana = PROMETHEUS.replace("\"prometheus\"", "\"grafana\"");
        for (table, line, what) in [
            (grafana.as_str(), "", "nothing to show"),
            (grafana.as_str(), "retention-mb = 100\n", "`retention-mb`"),
            (PROMETHEUS, "port = 80\n", "port 80"),
            (PROMETHEUS, "port = 9179\n", "port 9179"),
            (PROMETHEUS, "retention-days = 0\n", "0 days"),
            (PROMETHEUS, "retention-mb = 1\n", "1 MB"),
            (
                "[container.more]\nkind = \"redis\"\nimage = \"redis:7-alpine\"\n",
                "port = 6379\n",
                "`port`",
            ),
        ] {
            let error = with(&format!("{table}{line}")).unwrap_err();
            assert!(
                error.contains(what) && error.contains(line.trim()),
                "{error}"
            );
        }
    }

    #[test]
    fn an_app_keeps_nothing_in_a_prometheus() {
        let text = DEFAULT.replace("needs = [\"redis\"]", "needs = [\"redis\", \"numbers\"]");
        let text = format!("{text}\n{PROMETHEUS}");
        let error = parse(Path::new("counter.toml"), text.as_bytes()).unwrap_err();
        assert!(
            error.to_string().contains("`numbers` is no Redis"),
            "{error}"
        );
    }
}
