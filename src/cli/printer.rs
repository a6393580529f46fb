#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "the one place that writes to the terminal, and reads whether it wants colour"
)]

use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};

use super::Failure;
use crate::engine::Progress;

/// Writes to the terminal: results to standard output, the rest to standard error, colour only for eyes.
pub(crate) struct Printer {
    colour_out: bool,
    colour_err: bool,
}

const RED: Style = AnsiColor::Red.on_default().bold();
const CYAN: Style = AnsiColor::Cyan.on_default().bold();

impl Printer {
    pub(crate) fn new() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            colour_out: wanted && std::io::stdout().is_terminal(),
            colour_err: wanted && std::io::stderr().is_terminal(),
        }
    }

    /// Whether results may be coloured.
    pub(crate) fn colour(&self) -> bool {
        self.colour_out
    }

    /// Columns of the terminal; 80 where there is none.
    pub(crate) fn width(&self) -> u16 {
        comfy_table::Table::new()
            .width()
            .filter(|width| *width >= 40)
            .unwrap_or(80)
    }

    /// Whether a person reads standard output.
    pub(crate) fn is_terminal(&self) -> bool {
        std::io::stdout().is_terminal()
    }

    /// A result. A reader that went away (`| head`) is no error.
    pub(crate) fn out(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes());
        if !text.ends_with('\n') {
            let _ = out.write_all(b"\n");
        }
        let _ = out.flush();
    }

    pub(crate) fn json(&self, value: &impl serde::Serialize) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.out(&text),
            Err(error) => self.note(&format!("cannot write JSON: {error}")),
        }
    }

    /// Something to know on the way.
    pub(crate) fn note(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    pub(crate) fn failure(&self, failure: &Failure) {
        let (red, cyan) = if self.colour_err {
            (RED, CYAN)
        } else {
            (Style::new(), Style::new())
        };
        let _ = writeln!(std::io::stderr(), "{red}error:{red:#} {}", failure.message);
        if let Some(help) = &failure.help {
            let _ = writeln!(std::io::stderr(), "{cyan}help:{cyan:#} {help}");
        }
    }

    /// Asks a yes-or-no question on the terminal; anything but yes is no.
    pub(crate) fn ask(&self, question: &str) -> bool {
        let _ = write!(std::io::stderr(), "{question} [y/N] ");
        let _ = std::io::stderr().flush();
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line);
        read.is_ok() && matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }
}

impl Progress for Printer {
    fn begin(&self, text: &str) {
        // On a terminal a detail of the step before may stand there.
        let clear = if std::io::stderr().is_terminal() {
            "\u{1b}[2K"
        } else {
            ""
        };
        let _ = writeln!(std::io::stderr(), "{clear}  {text}");
    }

    /// Layers and the like: on a terminal one line, rewritten; in a log nothing.
    fn detail(&self, text: &str) {
        if std::io::stderr().is_terminal() {
            let text: String = text.chars().filter(|c| !c.is_control()).take(70).collect();
            let _ = write!(std::io::stderr(), "\r\u{1b}[2K    {text}\r");
            let _ = std::io::stderr().flush();
        }
    }
}
