//! Calls that mean the same: their last words as numbers, held against those of calls that are the same but for them.
//!
//! Exact: each is compared. Some thousand vectors take less than a millisecond, and no index has to be kept right.

use super::key::Key;
use crate::policy::memory::Memory;
use crate::policy::whole::Reserved;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// The longest vectors that models make have some four thousand numbers.
const DIMENSIONS_MAX: usize = 8_192;

/// The last words of calls whose answers are kept, the oldest first.
#[derive(Debug)]
pub(super) struct Vectors {
    known: Mutex<VecDeque<Known>>,
    most: usize,
}

#[derive(Debug)]
struct Known {
    /// The key of all but the last words.
    around: Key,
    answer: Key,
    vector: Vector,
    _reserved: Reserved,
}

/// A direction: its length is one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Vector(Arc<[f32]>);

impl Vector {
    /// `None` for what has no direction, or too many numbers.
    pub(super) fn new(numbers: &[f64]) -> Option<Self> {
        let length = numbers
            .iter()
            .map(|number| number * number)
            .sum::<f64>()
            .sqrt();
        let fits = length.is_finite() && length > 0.0 && numbers.len() <= DIMENSIONS_MAX;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a cosine is told apart in thousandths, and half the memory holds twice the calls"
        )]
        let narrow = |number: &f64| (number / length) as f32;
        fits.then(|| Self(numbers.iter().map(narrow).collect()))
    }

    /// The cosine of the angle between both; nothing where they are of different models.
    fn cosine(&self, other: &Self) -> Option<f32> {
        let pairs = self.0.iter().zip(other.0.iter());
        (self.0.len() == other.0.len()).then(|| pairs.map(|(one, two)| one * two).sum())
    }

    fn bytes(&self) -> usize {
        self.0.len() * size_of::<f32>()
    }
}

impl Vectors {
    pub(super) fn new(most: usize) -> Self {
        Self {
            known: Mutex::default(),
            most,
        }
    }

    /// The answer to the nearest of the calls that are the same around their last words, if it is near enough: the
    /// threshold is in thousandths.
    pub(super) fn nearest(&self, around: &Key, vector: &Vector, threshold: u16) -> Option<Key> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let near = known
            .iter()
            .filter(|known| known.around == *around)
            .filter_map(|known| Some((known.vector.cosine(vector)?, known.answer)))
            .filter(|(cosine, _)| cosine * 1_000.0 >= f32::from(threshold));
        near.max_by(|(one, _), (two, _)| one.total_cmp(two))
            .map(|(_, answer)| answer)
    }

    /// Remembers the last words of a call, in place of the oldest where there are too many.
    pub(super) fn remember(
        &self,
        (around, answer): (Key, Key),
        vector: Vector,
        memory: (&Arc<Memory>, &Arc<Memory>),
    ) {
        let mut reserved = Reserved::nothing(memory.0, memory.1);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|known| known.answer != answer);
        while known.len() >= self.most {
            known.pop_front();
        }
        while !reserved.resize(vector.bytes()) {
            if known.pop_front().is_none() {
                return;
            }
        }
        known.push_back(Known {
            around,
            answer,
            vector,
            _reserved: reserved,
        });
    }

    /// The answer to a call is kept no more.
    pub(super) fn forget(&self, answer: &Key) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|known| known.answer != *answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cosine_is_that_of_the_directions() {
        let vector = |numbers: &[f64]| Vector::new(numbers).unwrap();
        let cosine = |one: &[f64], two: &[f64]| vector(one).cosine(&vector(two));
        assert_eq!(cosine(&[2.0, 0.0], &[5.0, 0.0]), Some(1.0));
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 3.0]), Some(0.0));
        assert!((cosine(&[1.0, 0.0], &[1.0, 1.0]).unwrap() - 0.707).abs() < 0.001);
        assert_eq!(cosine(&[1.0], &[1.0, 1.0]), None);
        assert_eq!(Vector::new(&[0.0, 0.0]), None);
        assert_eq!(Vector::new(&[f64::NAN]), None);
        assert_eq!(Vector::new(&[]), None);
    }
}
