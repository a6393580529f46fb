//! The rows on a terminal, drawn anew as they change or as somebody moves in them.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crossterm::style::{Attribute, Color, SetAttribute, SetForegroundColor};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap,
    EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode, size,
};
use crossterm::{cursor, execute, queue};

use super::keys::{Wish, listen};
use super::rows::{Row, Tone, rows};
use super::view::{Extent, View};
use crate::host::Events;
use crate::supervise::Snapshot;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);

/// What a person asked for.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    pub(super) colour: bool,
    /// Standard input is a terminal.
    pub(super) reads_keys: bool,
}

/// Shows it until a key or a signal ends it. The terminal is given back as it was.
pub(super) fn run(
    events: Events,
    manner: Manner,
    look: &mut dyn FnMut() -> Snapshot,
) -> io::Result<()> {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // First, or its words would go with the screen.
        give_back(&mut io::stdout());
        before(panic);
    }));
    let screen = Screen::take(io::stdout(), manner.reads_keys)?;
    let ended = watch(&listen(events, manner.reads_keys), manner, look);
    drop(screen);
    ended
}

/// A terminal that is ours, until this is dropped.
struct Screen<W: Write>(W);

impl<W: Write> Screen<W> {
    fn take(out: W, reads_keys: bool) -> io::Result<Self> {
        let mut screen = Self(out);
        if reads_keys {
            enable_raw_mode()?;
        }
        execute!(
            screen.0,
            EnterAlternateScreen,
            DisableLineWrap,
            cursor::Hide
        )?;
        Ok(screen)
    }
}

impl<W: Write> Drop for Screen<W> {
    fn drop(&mut self) {
        give_back(&mut self.0);
    }
}

/// Nobody is left to tell if the terminal is gone.
fn give_back(out: &mut impl Write) {
    let _ = execute!(out, cursor::Show, EnableLineWrap, LeaveAlternateScreen);
    let _ = disable_raw_mode();
}

fn watch(
    wishes: &Receiver<Wish>,
    manner: Manner,
    look: &mut dyn FnMut() -> Snapshot,
) -> io::Result<()> {
    let mut view = View::default();
    let mut shown = rows(&look());
    let mut next = Instant::now() + PAUSE;
    loop {
        if Instant::now() >= next {
            shown = rows(&look());
            next = Instant::now() + PAUSE;
        }
        let room = room()?;
        let all = extent(&shown);
        view.stay_within(all, room);
        // In one piece: what is half drawn would be seen.
        let mut frame = Vec::new();
        draw(&mut frame, &shown, view, room, manner)?;
        io::stdout().write_all(&frame)?;
        io::stdout().flush()?;
        let left = next.saturating_duration_since(Instant::now());
        let first = match wishes.recv_timeout(left) {
            Ok(first) => Some(first),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        for wish in first.into_iter().chain(wishes.try_iter()) {
            match wish {
                Wish::Go(step) => view.go(step, all, room),
                Wish::Redraw => {}
                Wish::Leave => return Ok(()),
            }
        }
    }
}

/// All but the last line. Some terminals do not say how large they are.
fn room() -> io::Result<Extent> {
    let (columns, rows) = match size()? {
        (0, _) | (_, 0) => (80, 24),
        known => known,
    };
    Ok(Extent {
        rows: usize::from(rows).saturating_sub(1),
        columns: usize::from(columns),
    })
}

fn extent(rows: &[Row]) -> Extent {
    let columns = rows.iter().map(|row| row.text().chars().count());
    Extent {
        rows: rows.len(),
        columns: columns.max().unwrap_or_default(),
    }
}

/// The rows that are in view; the last line says what there is beside them.
fn draw(
    out: &mut impl Write,
    rows: &[Row],
    view: View,
    room: Extent,
    manner: Manner,
) -> io::Result<()> {
    queue!(out, BeginSynchronizedUpdate, cursor::MoveTo(0, 0))?;
    let seen = rows.iter().skip(view.top).take(room.rows);
    for row in seen {
        let mut hidden = view.left;
        for (tone, text) in &row.0 {
            paint(out, *tone, manner.colour)?;
            let shown: String = text.chars().skip(hidden).collect();
            hidden = hidden.saturating_sub(text.chars().count());
            out.write_all(shown.as_bytes())?;
            queue!(out, SetAttribute(Attribute::Reset))?;
        }
        queue!(out, Clear(ClearType::UntilNewLine))?;
        out.write_all(b"\r\n")?;
    }
    queue!(out, Clear(ClearType::FromCursorDown))?;
    paint(out, Tone::Soft, manner.colour)?;
    out.write_all(footer(rows.len(), view, room, manner).as_bytes())?;
    queue!(out, SetAttribute(Attribute::Reset), EndSynchronizedUpdate)?;
    out.flush()
}

fn footer(all: usize, view: View, room: Extent, manner: Manner) -> String {
    let last = all.min(view.top + room.rows);
    let is_whole = view.top == 0 && last == all;
    match (manner.reads_keys, is_whole) {
        (true, true) => "q ends it".to_owned(),
        (true, false) => format!(
            "q ends it; rows {} to {last} of {all}: arrows, PgUp, PgDn, Home and End move",
            view.top + 1
        ),
        (false, true) => "Ctrl-C ends it".to_owned(),
        (false, false) => format!(
            "Ctrl-C ends it; {} more rows: `sudo tavernctl top --once`",
            all - last
        ),
    }
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
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    const KEYS: Manner = Manner {
        colour: true,
        reads_keys: true,
    };
    const NO_KEYS: Manner = Manner {
        colour: false,
        reads_keys: false,
    };

    fn drawn(height: usize, view: View, manner: Manner) -> String {
        let rows: Vec<Row> = (0..50)
            .map(|n| {
                Row(vec![
                    (Tone::Good, format!("row {n}")),
                    (Tone::Soft, " and more".into()),
                ])
            })
            .collect();
        let room = Extent {
            rows: height,
            columns: 80,
        };
        let mut out = Vec::new();
        draw(&mut out, &rows, view, room, manner).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_small_terminal_shows_what_it_has_room_for() {
        let small = drawn(10, View::default(), KEYS);
        assert!(
            small.contains("row 9") && !small.contains("row 10"),
            "{small:?}"
        );
        assert!(small.contains("rows 1 to 10 of 50"), "{small:?}");
        let unread = drawn(10, View::default(), NO_KEYS);
        assert!(unread.contains("40 more rows") && !unread.contains("PgUp"));
        let large = drawn(59, View::default(), NO_KEYS);
        assert!(large.contains("row 49") && !large.contains("more rows"));
        assert_eq!(large.lines().count(), 51);
        assert!(small.contains("\u{1b}[38;5;10m") && !large.contains("\u{1b}[38;"));
        let _ = drawn(0, View::default(), KEYS);
    }

    #[test]
    fn what_is_scrolled_to_is_shown() {
        let end = drawn(10, View { top: 40, left: 4 }, KEYS);
        assert!(
            end.contains("49") && !end.contains("39") && !end.contains("row 4"),
            "{end:?}"
        );
        assert!(end.contains(" and more"), "{end:?}");
        assert!(end.contains("rows 41 to 50 of 50"), "{end:?}");
        let farther = drawn(10, View { top: 40, left: 9 }, KEYS);
        assert!(!farther.contains("and more") && farther.contains("d more"));
    }

    #[derive(Clone, Default)]
    struct Paper(Rc<RefCell<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_gives_the_terminal_back() {
        let paper = Paper::default();
        let out = paper.clone();
        let panics = std::panic::AssertUnwindSafe(|| {
            let _screen = Screen::take(out, false).unwrap();
            panic!("in the middle");
        });
        assert!(std::panic::catch_unwind(panics).is_err());
        let written = String::from_utf8(paper.0.borrow().clone()).unwrap();
        let (taken, given) = (written.find("\u{1b}[?1049h"), written.find("\u{1b}[?1049l"));
        assert!(
            taken.is_some() && taken < given && written.contains("\u{1b}[?25h"),
            "{written:?}"
        );
    }
}
