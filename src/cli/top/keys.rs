//! What is pressed, and signals, as one line of wishes.

use std::sync::mpsc::{Receiver, Sender, channel};

use crossterm::event::{self, KeyCode, KeyEvent, KeyModifiers};

use super::view::Step;
use crate::host::{Event, Events};

/// What somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Go(Step),
    /// The terminal has another size.
    Redraw,
    Leave,
}

/// Signals at once, and keys if the terminal is ours to read. The threads end with the process: a read of a
/// terminal cannot be called off.
pub(super) fn listen(events: Events, reads_keys: bool) -> Receiver<Wish> {
    let (sender, receiver) = channel();
    let to = sender.clone();
    std::thread::spawn(move || signals(&events, &to));
    if reads_keys {
        std::thread::spawn(move || keys(&sender));
    }
    receiver
}

fn signals(events: &Events, to: &Sender<Wish>) {
    while let Some(event) = events.wait(None) {
        if event == Event::Stop && to.send(Wish::Leave).is_err() {
            return;
        }
    }
}

fn keys(to: &Sender<Wish>) {
    while let Ok(event) = event::read() {
        let wish = match event {
            event::Event::Key(key) => wish(&key),
            event::Event::Resize(..) => Some(Wish::Redraw),
            _ => None,
        };
        if wish.is_some_and(|wish| to.send(wish).is_err()) {
            return;
        }
    }
}

fn wish(key: &KeyEvent) -> Option<Wish> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        // Where keys are read one by one, the terminal makes no signal of it.
        return (key.code == KeyCode::Char('c')).then_some(Wish::Leave);
    }
    let step = match key.code {
        KeyCode::Char('q') => return Some(Wish::Leave),
        KeyCode::Up | KeyCode::Char('k') => Step::Up,
        KeyCode::Down | KeyCode::Char('j') => Step::Down,
        KeyCode::PageUp => Step::PageUp,
        KeyCode::PageDown | KeyCode::Char(' ') => Step::PageDown,
        KeyCode::Home => Step::Home,
        KeyCode::End => Step::End,
        KeyCode::Left => Step::Left,
        KeyCode::Right => Step::Right,
        _ => return None,
    };
    Some(Wish::Go(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_of_the_help_text_does_what_it_says() {
        let of = |code| wish(&KeyEvent::new(code, KeyModifiers::NONE));
        let steps = [
            (KeyCode::Up, Step::Up),
            (KeyCode::Down, Step::Down),
            (KeyCode::Left, Step::Left),
            (KeyCode::Right, Step::Right),
            (KeyCode::PageUp, Step::PageUp),
            (KeyCode::PageDown, Step::PageDown),
            (KeyCode::Home, Step::Home),
            (KeyCode::End, Step::End),
        ];
        for (code, step) in steps {
            assert_eq!(of(code), Some(Wish::Go(step)));
        }
        assert_eq!(of(KeyCode::Char('q')), Some(Wish::Leave));
        assert_eq!(of(KeyCode::Char('c')), None);
        assert_eq!(of(KeyCode::Esc), None);
        let control = |letter| wish(&KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL));
        assert_eq!(control('c'), Some(Wish::Leave));
        assert_eq!(control('q'), None);
    }
}
