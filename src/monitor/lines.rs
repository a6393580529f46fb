//! Bytes as they come, parted into lines; one without an end takes no memory.

use super::line::LONGEST;

/// What is left of the bytes so far.
#[derive(Default)]
pub(super) struct Lines {
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
    /// The line under way is too long, and is passed over.
    skips: bool,
}

impl Lines {
    /// Begins in the midst of a line, which is not whole.
    pub(super) fn within() -> Self {
        Self {
            begun: Vec::new(),
            skips: true,
        }
    }

    /// Hands over the lines that these bytes end.
    pub(super) fn split(&mut self, bytes: &[u8], each: &mut impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, is_whole) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            if !self.skips {
                if is_whole && self.begun.is_empty() && text.len() <= LONGEST {
                    each(text);
                    continue;
                }
                self.begun.extend_from_slice(text);
                if self.begun.len() > LONGEST {
                    self.begun = Vec::new();
                    self.skips = true;
                }
            }
            if is_whole {
                if !self.skips {
                    each(&self.begun);
                }
                self.begun.clear();
                self.skips = false;
            }
        }
    }

    /// Bytes that are kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.begun.capacity()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However the bytes are cut into pieces, the lines are the same.
        #[test]
        fn pieces_make_no_difference(
            text in prop::collection::vec(prop::sample::select(vec![b'a', b'\n', 0xff]), 0..200),
            cuts in prop::collection::vec(1..20_usize, 1..50),
        ) {
            let mut lines = Lines::default();
            let mut got: Vec<Vec<u8>> = Vec::new();
            let (mut rest, mut cuts) = (&text[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, more) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                lines.split(piece, &mut |line| got.push(line.to_vec()));
                rest = more;
            }
            let mut whole: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            whole.pop();
            prop_assert_eq!(got, whole);
        }
    }
}
