//! The logs of a stack's parts, merged by time: the journal of its units, nginx's files, its containers.

mod line;

use std::path::Path;
use std::sync::mpsc;

use crate::host::{Host, HostError, Invocation};
use crate::model::Layout;
use crate::stack::Stack;

use line::{Line, from_container, from_journal, from_nginx};

/// Where lines come from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Unit(String),
    Nginx {
        site: String,
        path: std::path::PathBuf,
    },
    Container(String),
}

/// So many lines wait at most for a terminal that is slower than they come.
const WAITING: usize = 1024;

/// Gives the last lines of every source to `print`, oldest first, then goes on if `follow`. A source that cannot be
/// read is a line of its own.
pub fn show(
    host: &Host,
    stacks: &[Stack],
    names: &[String],
    lines: u32,
    follow: bool,
    print: &mut dyn FnMut(&str),
) {
    let sources = sources(stacks, names, &Layout::system());
    let mut found: Vec<Line> = Vec::new();
    for source in &sources {
        let last = last_lines(host, source, lines);
        found.extend(last.unwrap_or_else(|error| vec![refused(host, source, &error)]));
    }
    found.sort_by_key(|line| line.time);
    found.iter().for_each(|line| print(&line.to_string()));
    if follow {
        go_on(host, &sources, print);
    }
}

fn refused(host: &Host, source: &Source, error: &HostError) -> Line {
    let name = match source {
        Source::Unit(name) | Source::Container(name) => name.clone(),
        Source::Nginx { path, .. } => path.display().to_string(),
    };
    Line::now(host, &format!("cannot read the log of {name}: {error}"))
}

fn sources(stacks: &[Stack], names: &[String], layout: &Layout) -> Vec<Source> {
    let wanted = |candidates: &[&str]| {
        names.is_empty() || names.iter().any(|name| candidates.contains(&name.as_str()))
    };
    let mut sources = Vec::new();
    for stack in stacks {
        for app in &stack.apps {
            let unit = Layout::unit_stem(&stack.name, &app.name);
            let alias = app.alias.as_ref().map_or("", |alias| alias.as_str());
            if wanted(&[app.name.as_str(), alias, &unit]) {
                sources.push(Source::Unit(unit));
            }
        }
        for site in stack
            .sites
            .iter()
            .filter(|site| wanted(&[site.name.as_str(), "nginx"]))
        {
            for kind in ["access", "error"] {
                let path = layout
                    .logs
                    .join(format!("{}-{}.{kind}.log", stack.name, site.name));
                sources.push(Source::Nginx {
                    site: site.name.to_string(),
                    path,
                });
            }
        }
        let containers = stack
            .containers
            .iter()
            .filter(|c| wanted(&[c.name.as_str(), c.role.as_str()]));
        sources.extend(containers.map(|container| Source::Container(container.name.to_string())));
    }
    sources
}

fn last_lines(host: &Host, source: &Source, lines: u32) -> Result<Vec<Line>, HostError> {
    let count = lines.to_string();
    match source {
        Source::Unit(unit) => {
            let args = [
                "--unit",
                unit,
                "--lines",
                &count,
                "--output",
                "json",
                "--no-pager",
            ];
            let outcome = host
                .processes
                .run_ok(&Invocation::new("journalctl", &args))?;
            Ok(outcome
                .stdout
                .lines()
                .filter_map(|text| from_journal(unit, text))
                .collect())
        }
        Source::Nginx { site, path } => {
            // Nobody has asked for it yet.
            if !host.files.exists(path) {
                return Ok(Vec::new());
            }
            // However long it has become.
            let shown = path.to_string_lossy();
            let args = ["--lines", count.as_str(), "--", shown.as_ref()];
            let outcome = host.processes.run_ok(&Invocation::new("tail", &args))?;
            Ok(outcome
                .stdout
                .lines()
                .filter_map(|text| from_nginx(site, text))
                .collect())
        }
        Source::Container(name) => {
            let text = host.docker.logs(name, lines)?;
            Ok(text
                .lines()
                .filter_map(|text| from_container(name, text))
                .collect())
        }
    }
}

/// New lines as they come, until the process ends.
fn go_on(host: &Host, sources: &[Source], print: &mut dyn FnMut(&str)) {
    let (sender, lines) = mpsc::sync_channel::<Line>(WAITING);
    std::thread::scope(|scope| {
        for source in sources {
            let sender = sender.clone();
            scope.spawn(move || follow(host, source, &sender));
        }
        drop(sender);
        while let Ok(line) = lines.recv() {
            print(&line.to_string());
        }
    });
}

fn follow(host: &Host, source: &Source, sender: &mpsc::SyncSender<Line>) {
    let send = |line: Option<Line>| line.is_none_or(|line| sender.send(line).is_ok());
    let result = match source {
        Source::Unit(unit) => {
            let args = [
                "--unit",
                unit,
                "--lines",
                "0",
                "--follow",
                "--output",
                "json",
                "--no-pager",
            ];
            host.processes
                .stream(&Invocation::new("journalctl", &args), &mut |text| {
                    send(from_journal(unit, text))
                })
        }
        Source::Nginx { site, path } => {
            let path: &Path = path;
            let shown = path.to_string_lossy();
            // By name: logrotate moves the file away.
            let args = ["--lines", "0", "-F", shown.as_ref()];
            host.processes
                .stream(&Invocation::new("tail", &args), &mut |text| {
                    send(from_nginx(site, text))
                })
        }
        Source::Container(name) => host
            .docker
            .follow_logs(name, &mut |text| send(from_container(name, text))),
    };
    if let Err(error) = result {
        let _ = sender.send(refused(host, source, &error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::memory::MemoryHost;
    use crate::host::{RealFiles, RealProcesses};

    #[test]
    #[allow(clippy::disallowed_methods, reason = "makes a long log")]
    fn of_a_log_of_any_length_the_last_lines_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web-main.error.log");
        let line = "2026/11/20 13:00:00 [error] 1#1: x\n";
        let mut text = line.repeat(20 * 1024 * 1024 / line.len());
        text.push_str("2026/11/20 13:00:01 [error] 1#1: the last\n");
        std::fs::write(&path, text).unwrap();
        let host = Host {
            files: Box::new(RealFiles),
            processes: Box::new(RealProcesses),
            ..MemoryHost::prepared().doors()
        };
        let site = "main".to_owned();
        let source = Source::Nginx { site, path };
        let lines = last_lines(&host, &source, 2).unwrap();
        assert_eq!(lines.len(), 2);
        assert!(lines[1].to_string().ends_with("the last"), "{}", lines[1]);
    }

    #[test]
    fn a_source_that_cannot_be_read_is_one_line() {
        let text = "name = \"web\"\nhosts = [\"*\"]\n[tls]\nissuer = \"self-signed\"\n\
                    [[site]]\npath = \"/\"\napp = \"counter\"\n\
                    [app.counter]\nserve = \"counter\"\naccounts = [\"ann\"]\nneeds = [\"redis\"]\n\
                    [container.redis]\nkind = \"redis\"\nimage = \"redis:7-alpine\"\n";
        let stack = crate::stack::parse(Path::new("web.toml"), text.as_bytes()).unwrap();
        // It has no journal.
        let host = MemoryHost::prepared().doors();
        let mut lines = Vec::new();
        let mut print = |line: &str| lines.push(line.to_owned());
        show(&host, &[stack], &[], 5, false, &mut print);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].contains("cannot read the log of tavern-web-counter"),
            "{lines:?}"
        );
    }
}
