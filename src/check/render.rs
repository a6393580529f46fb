//! Shows a [`Report`]: a table for people, JSON for programs.

use anstyle::{AnsiColor, Style};
use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, Width};
use serde::Serialize;

use super::{Finding, Report, Verdict};

/// Whether the table may use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Terminal escapes.
    On,
    /// Plain text.
    Off,
}

/// Narrower than this nothing is readable.
const LEAST_WIDTH: u16 = 60;

/// A row per finding, stack by stack, `width` columns wide, and a line that sums up.
pub fn table(report: &Report, colour: Colour, width: u16) -> String {
    let sheet = Sheet::new(report, colour, width);
    let mut text = String::new();
    let mut group = None;
    let mut rows: Vec<&Finding> = Vec::new();
    for finding in &report.findings {
        let of = finding.stack.as_ref();
        if group != Some(of) {
            text.push_str(&sheet.section(&rows));
            rows.clear();
            group = Some(of);
        }
        rows.push(finding);
    }
    text.push_str(&sheet.section(&rows));
    text.push_str(&summary(report));
    text.push('\n');
    text
}

/// What the report comes to, in one line.
pub fn summary(report: &Report) -> String {
    let counted = |verdict: Verdict| match report.count(verdict) {
        0 => None,
        count => Some(format!("{count} {}", verdict.as_str())),
    };
    let parts: Vec<_> = [Verdict::Unhealthy, Verdict::Unknown, Verdict::Healthy]
        .into_iter()
        .filter_map(counted)
        .collect();
    format!("{} in {} ms", parts.join(", "), report.took_ms)
}

/// The report for programs.
///
/// # Errors
/// Never in practice: all of it is text and numbers.
pub fn json(report: &Report) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    struct Document<'a> {
        healthy: bool,
        exit_code: u8,
        #[serde(flatten)]
        report: &'a Report,
    }
    serde_json::to_string_pretty(&Document {
        healthy: report.is_healthy(),
        exit_code: report.exit_code(),
        report,
    })
}

/// The columns that all sections share, so that they stand beside each other.
struct Sheet {
    colour: Colour,
    /// Verdict, subject, reason, time.
    widths: [u16; 4],
}

impl Sheet {
    fn new(report: &Report, colour: Colour, width: u16) -> Self {
        // comfy-table puts a space on either side of a cell.
        const PADDING: u16 = 2;
        let widest = |text: &dyn Fn(&Finding) -> String, most: usize| {
            let widths = report
                .findings
                .iter()
                .map(|finding| text(finding).chars().count());
            u16::try_from(widths.max().unwrap_or(0).min(most)).unwrap_or(u16::MAX) + PADDING
        };
        let verdict = widest(&verdict_cell, 20);
        let subject = widest(&|finding| finding.subject.clone(), 28);
        let time = widest(&time_cell, 10);
        let reason = width
            .max(LEAST_WIDTH)
            .saturating_sub(verdict + subject + time);
        Self {
            colour,
            widths: [verdict, subject, reason, time],
        }
    }

    fn section(&self, rows: &[&Finding]) -> String {
        let Some(first) = rows.first() else {
            return String::new();
        };
        let title = match &first.stack {
            Some(name) => format!("stack {name}"),
            None => "host".to_owned(),
        };
        let mut table = Table::new();
        table
            .load_style(NOTHING)
            .force_no_tty()
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(self.widths.iter().sum());
        for finding in rows {
            table.add_row([
                Cell::new(verdict_cell(finding)),
                Cell::new(&finding.subject),
                Cell::new(&finding.reason),
                Cell::new(time_cell(finding)).set_alignment(CellAlignment::Right),
            ]);
        }
        let fixed = |width| ColumnConstraint::Absolute(Width::Fixed(width));
        table.set_constraints(self.widths.map(fixed));
        let mut text = format!("{}\n", paint(&title, Style::new().bold(), self.colour));
        for line in table.trim_fmt().lines() {
            text.push_str(&paint_line(line, self.colour));
            text.push('\n');
        }
        text.push('\n');
        text
    }
}

fn verdict_cell(finding: &Finding) -> String {
    format!("{} {}", mark(finding.verdict), finding.verdict.as_str())
}

fn time_cell(finding: &Finding) -> String {
    format!("{} ms", finding.took_ms)
}

fn mark(verdict: Verdict) -> char {
    match verdict {
        Verdict::Healthy => '✓',
        Verdict::Unhealthy => '✗',
        Verdict::Unknown => '?',
        Verdict::Note => '·',
    }
}

/// Colours the verdict at the beginning of a rendered line; the table is laid out without escapes.
fn paint_line(line: &str, colour: Colour) -> String {
    for (verdict, style) in [
        (Verdict::Healthy, AnsiColor::Green.on_default()),
        (Verdict::Unhealthy, AnsiColor::Red.on_default().bold()),
        (Verdict::Unknown, AnsiColor::Yellow.on_default()),
        (Verdict::Note, Style::new().dimmed()),
    ] {
        let words = format!("{} {}", mark(verdict), verdict.as_str());
        if let Some(rest) = line.trim_start().strip_prefix(&words) {
            return format!(" {}{rest}", paint(&words, style, colour));
        }
    }
    line.to_owned()
}

fn paint(text: &str, style: Style, colour: Colour) -> String {
    match colour {
        Colour::On => format!("{style}{text}{style:#}"),
        Colour::Off => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::{healthy, note, unhealthy};

    fn report() -> Report {
        let counter = "counter".parse().unwrap();
        let long = "no answer at /run/tavern/redis-flask/redis.sock (Connection refused): is the container running?";
        Report {
            findings: vec![
                Finding::new(Some(&counter), "app counter, socket", healthy("200"), 1),
                Finding::new(
                    Some(&counter),
                    "redis redis-flask as counter",
                    unhealthy(long),
                    12,
                ),
                Finding::new(None, "other listeners", note("sshd 22"), 0),
            ],
            took_ms: 40,
        }
    }

    #[test]
    fn a_table_fits_80_columns_and_says_the_verdict_in_words() {
        let text = table(&report(), Colour::Off, 80);
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'), "{text}");
        for part in [
            "stack counter\n",
            "host\n",
            "✓ healthy",
            "✗ unhealthy",
            "· note",
            "1 unhealthy, 1 healthy in 40 ms",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn colour_changes_nothing_but_escapes() {
        let text = table(&report(), Colour::On, 80);
        assert!(text.contains("\u{1b}["), "{text}");
        let mut plain = String::new();
        let mut escaped = false;
        for c in text.chars() {
            match c {
                '\u{1b}' => escaped = true,
                'm' if escaped => escaped = false,
                c if !escaped => plain.push(c),
                _ => {}
            }
        }
        assert_eq!(plain, table(&report(), Colour::Off, 80));
    }

    #[test]
    fn json_for_programs() {
        let value: serde_json::Value = serde_json::from_str(&json(&report()).unwrap()).unwrap();
        assert_eq!(value["healthy"], false);
        assert_eq!(value["exit_code"], 2);
        assert_eq!(value["findings"][0]["stack"], "counter");
        assert_eq!(value["findings"][1]["verdict"], "unhealthy");
        assert_eq!(value["findings"][2]["stack"], serde_json::Value::Null);
    }
}
