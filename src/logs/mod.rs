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

/// Gives the last lines of every source to `print`, oldest first, then goes on if `follow`.
///
/// # Errors
/// When the journal cannot be read.
pub fn show(
    host: &Host,
    stacks: &[Stack],
    names: &[String],
    lines: u32,
    follow: bool,
    print: &mut dyn FnMut(&str),
) -> Result<(), HostError> {
    let sources = sources(stacks, names, &Layout::system());
    let mut found: Vec<Line> = Vec::new();
    for source in &sources {
        found.extend(last_lines(host, source, lines)?);
    }
    found.sort_by_key(|line| line.time);
    found.iter().for_each(|line| print(&line.to_string()));
    if follow {
        go_on(host, &sources, print)
    } else {
        Ok(())
    }
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
            let bytes = host.files.read(path)?.unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            let all: Vec<_> = text.lines().collect();
            let start = all.len().saturating_sub(lines as usize);
            Ok(all[start..]
                .iter()
                .filter_map(|text| from_nginx(site, text))
                .collect())
        }
        Source::Container(name) => {
            let text = host.docker.logs(name, lines).unwrap_or_default();
            Ok(text
                .lines()
                .filter_map(|text| from_container(name, text))
                .collect())
        }
    }
}

/// New lines as they come, until the process ends.
fn go_on(host: &Host, sources: &[Source], print: &mut dyn FnMut(&str)) -> Result<(), HostError> {
    let (sender, lines) = mpsc::channel::<Line>();
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
    Ok(())
}

fn follow(host: &Host, source: &Source, sender: &mpsc::Sender<Line>) {
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
        let _ = sender.send(Line::now(host, &error.to_string()));
    }
}
