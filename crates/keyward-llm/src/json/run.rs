//! Runs of characters that mean themselves in a string: what a large request is made of, so that what they cost is what
//! a large request costs.

use wide::u8x32;

/// Bytes that are looked at together.
const TOGETHER: usize = 32;

/// Finds what ends runs: quotes, backslashes and control characters, each of which is escaped when it is written
/// (RFC 8259, section 7).
pub(super) struct Ends<'a> {
    text: &'a [u8],
    /// Where the bytes begin that are looked at.
    block: usize,
    /// Which of them end a run and were not given yet, the lowest bit first.
    marks: u32,
}

impl<'a> Ends<'a> {
    /// Those of a text from a place in it on.
    pub(super) fn of(text: &'a [u8], at: usize) -> Self {
        let mut ends = Self {
            text,
            block: at,
            marks: 0,
        };
        ends.look();
        ends
    }

    /// The next of them, and which byte it is.
    pub(super) fn next(&mut self) -> Option<(usize, u8)> {
        while self.marks == 0 {
            self.block += TOGETHER;
            if self.block >= self.text.len() {
                return None;
            }
            self.look();
        }
        let at = self.block + self.marks.trailing_zeros() as usize;
        self.marks &= self.marks - 1;
        Some((at, *self.text.get(at)?))
    }

    /// Leaves out what stands before a place.
    pub(super) fn skip_to(&mut self, at: usize) {
        let ahead = at.saturating_sub(self.block);
        if ahead < TOGETHER {
            self.marks &= u32::MAX << ahead;
        } else {
            self.block = at;
            self.look();
        }
    }

    fn look(&mut self) {
        let rest = self.text.get(self.block..).unwrap_or_default();
        self.marks = match rest.first_chunk::<TOGETHER>() {
            Some(bytes) => marks(*bytes),
            None => last_marks(rest),
        };
    }
}

/// Of the last bytes of a text. Apart, since the compiler would put all bytes together one by one for both.
#[cold]
#[inline(never)]
fn last_marks(rest: &[u8]) -> u32 {
    // What is not there ends nothing.
    let mut bytes = [b' '; TOGETHER];
    for (to, from) in bytes.iter_mut().zip(rest) {
        *to = *from;
    }
    marks(bytes)
}

fn marks(bytes: [u8; TOGETHER]) -> u32 {
    const CONTROL: u8 = 0x1f;
    let bytes = u8x32::new(bytes);
    let control = u8x32::splat(CONTROL);
    let is = |byte| bytes.simd_eq(u8x32::splat(byte));
    (is(b'"') | is(b'\\') | bytes.max(control).simd_eq(control)).to_bitmask()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(text: &[u8], from: usize) -> Vec<(usize, u8)> {
        let mut ends = Ends::of(text, from);
        std::iter::from_fn(|| ends.next()).collect()
    }

    fn one_by_one(text: &[u8], from: usize) -> Vec<(usize, u8)> {
        let each = text.iter().copied().enumerate().skip(from);
        each.filter(|(_, byte)| *byte < 0x20 || b"\"\\".contains(byte))
            .collect()
    }

    #[test]
    fn every_byte_ends_a_run_or_does_not_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for at in 0..80 {
                let mut text = vec![b'x'; 80];
                text[at] = byte;
                assert_eq!(all(&text, 0), one_by_one(&text, 0), "{byte:#x} at {at}");
            }
        }
    }

    proptest! {
        #[test]
        fn they_are_what_looking_byte_by_byte_finds(
            text in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(b'x')], 0..200),
            from in 0..200_usize,
        ) {
            let from = from.min(text.len());
            prop_assert_eq!(all(&text, from), one_by_one(&text, from));
        }

        #[test]
        fn what_is_left_out_is_not_found(
            text in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b'x')], 0..200),
            to in 0..200_usize,
        ) {
            let mut ends = Ends::of(&text, 0);
            let _first = ends.next();
            ends.skip_to(to);
            let rest: Vec<_> = std::iter::from_fn(|| ends.next()).collect();
            let mut expected = one_by_one(&text, 0);
            expected.retain(|(at, _)| *at >= to);
            // The first was given before.
            if expected.len() == one_by_one(&text, 0).len() && !expected.is_empty() {
                expected.remove(0);
            }
            prop_assert_eq!(rest, expected);
        }
    }
}
