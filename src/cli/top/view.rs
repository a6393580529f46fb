//! Which part of the rows is on the screen. Knows neither keys nor terminals.

/// Columns that one step to the side moves.
const SIDE: usize = 8;

/// A step that a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Left,
    Right,
}

/// What there is room for; also how large that is which is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

/// The first row and column that are seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct View {
    pub(super) top: usize,
    pub(super) left: usize,
}

impl View {
    /// Takes a step, and stays where there is something to see.
    pub(super) fn go(&mut self, step: Step, all: Extent, room: Extent) {
        // The last row of a page is the first of the next one.
        let page = room.rows.saturating_sub(1).max(1);
        match step {
            Step::Up => self.top = self.top.saturating_sub(1),
            Step::Down => self.top += 1,
            Step::PageUp => self.top = self.top.saturating_sub(page),
            Step::PageDown => self.top += page,
            Step::Home => *self = Self::default(),
            Step::End => self.top = all.rows,
            Step::Left => self.left = self.left.saturating_sub(SIDE),
            Step::Right => self.left += SIDE,
        }
        self.stay_within(all, room);
    }

    /// After the rows or the terminal changed: no farther than the last row and column need.
    pub(super) fn stay_within(&mut self, all: Extent, room: Extent) {
        self.top = self.top.min(all.rows.saturating_sub(room.rows));
        self.left = self.left.min(all.columns.saturating_sub(room.columns));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: Extent = Extent {
        rows: 57,
        columns: 130,
    };
    const ROOM: Extent = Extent {
        rows: 23,
        columns: 80,
    };

    fn after(steps: &[Step], room: Extent) -> (usize, usize) {
        let mut view = View::default();
        for step in steps {
            view.go(*step, ALL, room);
        }
        (view.top, view.left)
    }

    #[test]
    fn each_step_goes_as_far_as_it_says() {
        use Step::{Down, End, Home, Left, PageDown, PageUp, Right, Up};
        let cases: [(&[Step], (usize, usize)); 9] = [
            (&[Up, PageUp, Left], (0, 0)),
            (&[Down, Down, Up], (1, 0)),
            (&[PageDown], (22, 0)),
            (&[PageDown, PageDown, PageDown], (34, 0)),
            (&[PageDown, PageUp], (0, 0)),
            (&[End], (34, 0)),
            (&[End, Up], (33, 0)),
            (&[Right, Right, Left], (0, 8)),
            (&[End, Right, Home], (0, 0)),
        ];
        for (steps, wanted) in cases {
            assert_eq!(after(steps, ROOM), wanted, "{steps:?}");
        }
        assert_eq!(after(&[Right; 20], ROOM), (0, 50));
        let none = Extent {
            rows: 0,
            columns: 0,
        };
        assert_eq!(after(&[PageDown; 3], none), (3, 0));
    }

    #[test]
    fn what_became_shorter_is_still_seen() {
        let mut view = View::default();
        view.go(Step::End, ALL, ROOM);
        let fewer = Extent { rows: 30, ..ALL };
        view.stay_within(fewer, ROOM);
        assert_eq!(view.top, 7);
        let tall = Extent { rows: 60, ..ROOM };
        view.stay_within(fewer, tall);
        assert_eq!(view.top, 0);
    }

    proptest! {
        /// Whatever is pressed, the room is filled; and every row can be reached row by row.
        #[test]
        fn nothing_leads_into_the_void(
            rows in 0_usize..200, room in 1_usize..60, steps in proptest::collection::vec(0_usize..8, 0..50)
        ) {
            use Step::{Down, End, Home, Left, PageDown, PageUp, Right, Up};
            let all = Extent { rows, columns: 100 };
            let room = Extent { rows: room, columns: 80 };
            let mut view = View::default();
            for step in steps {
                view.go([Up, Down, PageUp, PageDown, Home, End, Left, Right][step], all, room);
                prop_assert!(view.top == 0 || view.top + room.rows <= rows);
                prop_assert!(view.left + room.columns <= 100 || view.left == 0);
            }
            view.go(Home, all, room);
            for _ in 0..rows {
                view.go(Down, all, room);
            }
            prop_assert!(view.top + room.rows >= rows);
        }
    }
}
