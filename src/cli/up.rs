use std::path::PathBuf;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::Args;

use super::{Answer, Failure, Printer};
use crate::check::Report;
use crate::check::render::{self, Colour};
use crate::host::{Events, Host};
use crate::stack::{Site, SiteContent};
use crate::up::{
    self, APP_PASSWORD, HTTP_PORT, HTTPS_PORT, PortWish, Running, SITE_PASSWORD, UpError, Wish,
};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  tavernctl up                      the counter stack, gone when it ends\n  \
                        tavernctl up --dir ~/counter      pages and the count stay\n  \
                        tavernctl up shop.toml            another stack\n\n\
                        Reachable from this machine only. Exit codes: 0 told to end, 1 error."
)]
pub(super) struct Arguments {
    /// The stack file; the counter stack if none is named
    stack_file: Option<PathBuf>,
    /// Keep everything in this directory, made if it is missing
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Port for HTTP [default: 8080, or the next free one]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    http_port: Option<u16>,
    /// Port for HTTPS [default: 8443, or the next free one]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    https_port: Option<u16>,
}

impl From<UpError> for Failure {
    fn from(error: UpError) -> Self {
        Self {
            message: error.to_string(),
            help: error.help(),
            code: 1,
        }
    }
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    // Before anything else: there is no other thread yet.
    let events = Events::catch()?;
    let host = Host::real();
    match serve(arguments, &host, &events, printer) {
        Ok(()) | Err(UpError::Stopped) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error.into()),
    }
}

fn serve(
    arguments: &Arguments,
    host: &Host,
    events: &Events,
    printer: &Printer,
) -> Result<(), UpError> {
    let port = |asked: Option<u16>, usual| asked.map_or(PortWish::From(usual), PortWish::Exactly);
    let wish = Wish {
        stack_file: arguments.stack_file.clone(),
        dir: arguments.dir.clone(),
        http_port: port(arguments.http_port, HTTP_PORT),
        https_port: port(arguments.https_port, HTTPS_PORT),
    };
    let placed = up::place(host, &wish, events, &|line| printer.note(line))?;
    let mut running = Running::start(host, placed, events)?;
    let paint = Paint(printer.colour());
    printer.out(&welcome(&running, &paint));
    printer.out(&judged(&running.check(), printer, &paint));
    running.wait(events)?;
    let (dir, passing) = running.directory();
    let kept = if passing {
        "nothing is left of it".to_owned()
    } else {
        format!("{} keeps its pages and its count", dir.display())
    };
    running.stop(events);
    printer.out(&format!("\nStopped; {kept}."));
    Ok(())
}

/// Colours, for eyes only.
struct Paint(bool);

impl Paint {
    fn with(&self, style: Style, text: &str) -> String {
        if self.0 {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    fn strong(&self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    fn faint(&self, text: &str) -> String {
        self.with(Style::new().dimmed(), text)
    }

    fn link(&self, text: &str) -> String {
        self.with(AnsiColor::Cyan.on_default(), text)
    }
}

fn welcome(running: &Running, paint: &Paint) -> String {
    let stack = running.stack();
    let (http, https) = running.ports();
    let rows: Vec<_> = stack
        .sites
        .iter()
        .map(|site| {
            let path = format!("{}/", site.path.prefix());
            (
                format!("https://localhost:{https}{path}"),
                login(running, site),
            )
        })
        .collect();
    let width = rows.iter().map(|(url, _)| url.len()).max().unwrap_or(0);
    let mut text = format!(
        "{}\n\n",
        paint.strong(&format!("Stack {} is up", stack.name))
    );
    for (url, login) in rows {
        let gap = " ".repeat(width - url.len());
        let line = format!("  {}{gap}   {login}", paint.link(&url));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let (dir, passing) = running.directory();
    let fate = if passing {
        "removed at the end; --dir DIR keeps it"
    } else {
        "stays at the end"
    };
    let facts = [
        (
            "Reach",
            format!("this machine only; http://localhost:{http}/ leads to https"),
        ),
        (
            "Logins",
            "test accounts, known to everybody: for loopback only".to_owned(),
        ),
        (
            "Browser",
            "asks once about the certificate, which signs itself; curl: -k".to_owned(),
        ),
        ("Files", format!("{} ({fate})", dir.display())),
        (
            "Pages",
            format!(
                "{}: edit, then reload",
                running.layout().www.join(stack.name.as_str()).display()
            ),
        ),
        ("Logs", running.layout().logs.display().to_string()),
    ];
    text.push('\n');
    for (name, value) in facts {
        text.push_str(&format!(
            "  {} {value}\n",
            paint.faint(&format!("{name:<8}"))
        ));
    }
    text.trim_end().to_owned()
}

fn login(running: &Running, site: &Site) -> String {
    let account = |names: &[crate::model::Name], password: &str| {
        names.first().map(|name| format!("{name} / {password}"))
    };
    let by_nginx = site
        .access
        .as_ref()
        .and_then(|access| account(&access.accounts, SITE_PASSWORD));
    let by_app = match &site.content {
        SiteContent::App(app) => running
            .stack()
            .app(app)
            .and_then(|app| account(&app.accounts, APP_PASSWORD)),
        _ => None,
    };
    by_nginx.or(by_app).unwrap_or_default()
}

/// One line when all is well, else the whole table.
fn judged(report: &Report, printer: &Printer, paint: &Paint) -> String {
    let end = paint.strong("Ctrl-C ends it.");
    if report.exit_code() == 0 {
        let line = format!("  {} {}", paint.faint("Check   "), render::summary(report));
        return format!("{line}\n\n{end}");
    }
    let colour = if printer.colour() {
        Colour::On
    } else {
        Colour::Off
    };
    format!(
        "\n{}\n{end}",
        render::table(report, colour, printer.width())
    )
}
