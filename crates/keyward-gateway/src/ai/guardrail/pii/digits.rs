//! Digits with what may stand between them.

use smallvec::SmallVec;

/// Digits, and where each ends.
pub(super) struct Digits {
    values: SmallVec<[u8; 20]>,
    ends: SmallVec<[usize; 20]>,
    grouped: bool,
}

impl Digits {
    /// Reads up to `most` digits from `at` on, with at most `gap` of `separators` between two of them (and before the
    /// first, where it is `(`). `None` where there is none.
    pub(super) fn read(
        bytes: &[u8],
        at: usize,
        separators: &[u8],
        gap: usize,
        most: usize,
    ) -> Option<Self> {
        let mut digits = Self {
            values: SmallVec::new(),
            ends: SmallVec::new(),
            grouped: false,
        };
        let mut between = 0;
        for (place, byte) in bytes.iter().enumerate().skip(at) {
            if byte.is_ascii_digit() {
                if digits.values.len() == most {
                    break;
                }
                digits.grouped |= between > 0 && !digits.values.is_empty();
                digits.values.push(byte - b'0');
                digits.ends.push(place + 1);
                between = 0;
            } else if separators.contains(byte)
                && between < gap
                && (!digits.values.is_empty() || *byte == b'(')
            {
                between += 1;
            } else {
                break;
            }
        }
        (!digits.values.is_empty()).then_some(digits)
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn first(&self) -> Option<u8> {
        self.get(0)
    }

    pub(super) fn get(&self, place: usize) -> Option<u8> {
        self.values.get(place).copied()
    }

    /// The first so many.
    pub(super) fn front(&self, count: usize) -> &[u8] {
        self.values.get(..count).unwrap_or_default()
    }

    /// Where the last ends.
    pub(super) fn end(&self) -> usize {
        self.ends.last().copied().unwrap_or_default()
    }

    /// Where the first so many end.
    pub(super) fn end_of(&self, count: usize) -> Option<usize> {
        self.ends.get(count.checked_sub(1)?).copied()
    }

    /// Whether something stands between some of them.
    pub(super) fn is_grouped(&self) -> bool {
        self.grouped
    }
}
