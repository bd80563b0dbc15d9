//! What was masked within one call, and by which mark: a text has one mark however often it comes, and where it is said
//! so the mark becomes the text again in the answer.

use std::collections::HashMap;
use std::fmt;
use zeroize::Zeroize;

/// More in one call are no longer told apart: a mark takes memory.
const MARKS_MAX: usize = 10_000;
/// The longest mark: a name, a number and what is around them.
pub(super) const MARK_MAX: usize = 96;

/// The marks of one call.
#[derive(Default)]
pub(super) struct Vault {
    /// By what each text begins its marks with, and the text.
    marks: HashMap<(Box<str>, Box<str>), u32>,
    /// How many there are of each beginning.
    counts: HashMap<Box<str>, u32>,
    /// What each mark stands for, where it is to be given back.
    given_back: HashMap<Box<str>, Box<str>>,
}

/// Texts of people never stand in a log.
impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("marks", &self.marks.len())
            .finish_non_exhaustive()
    }
}

impl Vault {
    /// The mark that stands for a text.
    pub(super) fn mark(&mut self, label: &str, text: &str, give_back: bool) -> String {
        let key = (Box::from(label), Box::from(text));
        let known = self.marks.get(&key).copied();
        let number = match known {
            Some(number) => number,
            None if self.marks.len() >= MARKS_MAX => return format!("[{label}]"),
            None => {
                let count = self.counts.entry(label.into()).or_default();
                *count += 1;
                let number = *count;
                self.marks.insert(key, number);
                number
            }
        };
        let mark = format!("[{label}_{number}]");
        if give_back {
            self.given_back
                .entry(mark.as_str().into())
                .or_insert_with(|| text.into());
        }
        mark
    }

    /// Whether any mark becomes its text again.
    pub(super) fn gives_back(&self) -> bool {
        !self.given_back.is_empty()
    }

    /// What a mark stands for, where it is to be given back.
    pub(super) fn text_of(&self, mark: &str) -> Option<&str> {
        self.given_back.get(mark).map(|text| &**text)
    }

    /// Finds the marks that begin from `from` on and before `limit`.
    pub(super) fn find(
        &self,
        text: &str,
        from: usize,
        limit: usize,
        found: &mut dyn FnMut(usize, usize),
    ) {
        let bytes = text.as_bytes();
        let begins = bytes.get(from..limit.min(bytes.len())).unwrap_or_default();
        for at in memchr::memchr_iter(b'[', begins) {
            let start = from + at;
            let most = (start + MARK_MAX).min(bytes.len());
            let Some(length) = bytes
                .get(start..most)
                .and_then(|rest| memchr::memchr(b']', rest))
            else {
                continue;
            };
            let end = start + length + 1;
            if text
                .get(start..end)
                .is_some_and(|mark| self.given_back.contains_key(mark))
            {
                found(start, end);
            }
        }
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        for (_, text) in self.given_back.drain() {
            text.into_string().zeroize();
        }
        for ((_, text), _) in self.marks.drain() {
            text.into_string().zeroize();
        }
    }
}
