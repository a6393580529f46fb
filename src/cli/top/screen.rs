//! The rows on a terminal, drawn anew as they change. Nothing is read from it: Ctrl-C ends it, as it ends `tail -f`.

use std::io::{self, Write};
use std::time::Duration;

use crossterm::style::{Attribute, Color, SetAttribute, SetForegroundColor};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap,
    EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, size,
};
use crossterm::{cursor, execute, queue};

use super::rows::{Row, Tone, rows};
use crate::host::{Event, Events};
use crate::supervise::Snapshot;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);

/// Shows it until a signal ends it. The terminal is given back as it was.
pub(super) fn run(
    events: &Events,
    colour: bool,
    look: &mut dyn FnMut() -> Snapshot,
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    execute!(out, EnterAlternateScreen, DisableLineWrap, cursor::Hide)?;
    let ended = watch(&mut out, events, colour, look);
    execute!(out, cursor::Show, EnableLineWrap, LeaveAlternateScreen)?;
    ended
}

fn watch(
    out: &mut impl Write,
    events: &Events,
    colour: bool,
    look: &mut dyn FnMut() -> Snapshot,
) -> io::Result<()> {
    loop {
        let (_, height) = size()?;
        draw(out, &rows(&look()), usize::from(height), colour)?;
        if events.wait(Some(PAUSE)) == Some(Event::Stop) {
            return Ok(());
        }
    }
}

/// As many rows as there is room for; the last line says what there is beside them.
fn draw(out: &mut impl Write, rows: &[Row], height: usize, colour: bool) -> io::Result<()> {
    let room = height.saturating_sub(1);
    queue!(out, BeginSynchronizedUpdate, cursor::MoveTo(0, 0))?;
    for row in rows.iter().take(room) {
        for (tone, text) in &row.0 {
            paint(out, *tone, colour)?;
            out.write_all(text.as_bytes())?;
            queue!(out, SetAttribute(Attribute::Reset))?;
        }
        queue!(out, Clear(ClearType::UntilNewLine))?;
        out.write_all(b"\r\n")?;
    }
    queue!(out, Clear(ClearType::FromCursorDown))?;
    let more = match rows.len().saturating_sub(room) {
        0 => String::new(),
        more => format!("; {more} more rows: `sudo tavernctl top --once`"),
    };
    paint(out, Tone::Soft, colour)?;
    write!(out, "Ctrl-C ends it{more}")?;
    queue!(out, SetAttribute(Attribute::Reset), EndSynchronizedUpdate)?;
    out.flush()
}

fn paint(out: &mut impl Write, tone: Tone, colour: bool) -> io::Result<()> {
    let colour_of = |one| if colour { Some(one) } else { None };
    let hue = match tone {
        Tone::Plain => None,
        Tone::Head => return queue!(out, SetAttribute(Attribute::Bold)),
        Tone::Soft => return queue!(out, SetAttribute(Attribute::Dim)),
        Tone::Good => colour_of(Color::Green),
        Tone::Odd => colour_of(Color::Yellow),
        Tone::Bad => colour_of(Color::Red),
    };
    match hue {
        Some(hue) => queue!(out, SetForegroundColor(hue)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_terminal_shows_what_it_has_room_for() {
        let rows: Vec<Row> = (0..50)
            .map(|n| Row(vec![(Tone::Good, format!("row {n}"))]))
            .collect();
        let drawn = |height, colour| {
            let mut out = Vec::new();
            draw(&mut out, &rows, height, colour).unwrap();
            String::from_utf8(out).unwrap()
        };
        let small = drawn(11, true);
        assert!(
            small.contains("row 9") && !small.contains("row 10"),
            "{small:?}"
        );
        assert!(small.contains("40 more rows"), "{small:?}");
        let large = drawn(60, false);
        assert!(large.contains("row 49") && !large.contains("more rows"));
        assert_eq!(large.lines().count(), 51);
        assert!(small.contains("\u{1b}[38;5;10m") && !large.contains("\u{1b}[38;"));
        let _ = drawn(0, true);
    }
}
