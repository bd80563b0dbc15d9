//! One text with many parts.

use super::ClaimsTooLong;
use std::num::NonZeroU32;
use std::sync::Arc;

/// A part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    start: u32,
    /// One more than where it ends: a number that is never zero leaves room for an `Option`.
    after_end: NonZeroU32,
}

impl Place {
    fn new(start: usize, end: usize) -> Result<Self, ClaimsTooLong> {
        let end = u32::try_from(end).map_err(|_| ClaimsTooLong)?;
        Ok(Self {
            start: u32::try_from(start).map_err(|_| ClaimsTooLong)?,
            after_end: NonZeroU32::MIN.checked_add(end).ok_or(ClaimsTooLong)?,
        })
    }

    /// What stands there, in the text that the place is of.
    pub(super) fn of(self, text: &str) -> &str {
        text.get(self.start as usize..self.after_end.get() as usize - 1)
            .unwrap_or_default()
    }
}

/// A text that grows by the parts that are not in it yet.
pub(super) struct TextBuilder<'a> {
    text: &'a str,
    more: String,
}

impl<'a> TextBuilder<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            more: String::new(),
        }
    }

    /// Where this part stands: in the text, if it is a slice of it, else behind it.
    pub(super) fn place(&mut self, part: &str) -> Result<Place, ClaimsTooLong> {
        // Found by its address, and believed by what stands there.
        let start = part.as_ptr().addr().wrapping_sub(self.text.as_ptr().addr());
        let end = start.wrapping_add(part.len());
        if self.text.get(start..end) == Some(part) {
            return Place::new(start, end);
        }
        let start = self.text.len() + self.more.len();
        self.more.push_str(part);
        Place::new(start, self.text.len() + self.more.len())
    }

    pub(super) fn finish(self) -> Arc<str> {
        if self.more.is_empty() {
            Arc::from(self.text)
        } else {
            Arc::from(self.text.to_owned() + &self.more)
        }
    }
}
