//! The most frequent of many, in little memory: the algorithm Space-Saving (Metwally, Agrawal and El Abbadi,
//! 2005).
//!
//! There are so many places. Whoever has none takes that of the one that was seen least, and its count with
//! it: so a count is never too low, and too high by what it says at most; and whoever has more than one call
//! in [`PLACES`] is always there.

use super::TopCaller;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::IpAddr;

/// Callers that one worker keeps apart.
const PLACES: usize = 256;
/// How much of a name is told.
const NAME_MAX: usize = 128;

/// Who calls, without a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who<'a> {
    Subject {
        issuer: Option<&'a str>,
        subject: &'a str,
    },
    Address(IpAddr),
}

/// Callers and how often each was seen.
#[derive(Debug, Default)]
pub(super) struct Sketch {
    /// Where each stands, by a hash that nobody outside can aim at.
    places: HashMap<u64, usize>,
    hasher: RandomState,
    callers: Vec<(u64, TopCaller)>,
}

impl Sketch {
    pub(super) fn count(&mut self, who: Who<'_>, failed: bool) {
        let hash = self.hasher.hash_one(who);
        let place = match self.places.get(&hash) {
            Some(place) => *place,
            None => self.settle(hash, who),
        };
        if let Some((_, caller)) = self.callers.get_mut(place) {
            caller.calls += 1;
            caller.failed += u64::from(failed);
        }
    }

    /// A place for one who has none.
    fn settle(&mut self, hash: u64, who: Who<'_>) -> usize {
        let mut newcomer = who.to_caller();
        let place = if self.callers.len() < PLACES {
            self.callers.push((hash, newcomer));
            self.callers.len() - 1
        } else {
            let least = self.callers.iter_mut().enumerate();
            let Some((place, least)) = least.min_by_key(|(_, (_, caller))| caller.calls) else {
                return 0;
            };
            newcomer.calls = least.1.calls;
            newcomer.overcounted = least.1.calls;
            self.places.remove(&least.0);
            *least = (hash, newcomer);
            place
        };
        self.places.insert(hash, place);
        place
    }

    /// The callers of several sketches together.
    pub(super) fn callers(sketches: [&Self; 2]) -> Vec<TopCaller> {
        let mut all: HashMap<(Option<&str>, &str), TopCaller> = HashMap::new();
        for (_, caller) in sketches.into_iter().flat_map(|sketch| &sketch.callers) {
            let key = (caller.issuer.as_deref(), &*caller.name);
            all.entry(key)
                .and_modify(|known| known.add(caller))
                .or_insert_with(|| caller.clone());
        }
        all.into_values().collect()
    }
}

impl Who<'_> {
    fn to_caller(self) -> TopCaller {
        let (issuer, name) = match self {
            Self::Subject { issuer, subject } => (
                issuer.map(Into::into),
                subject.chars().take(NAME_MAX).collect::<String>(),
            ),
            Self::Address(address) => (None, address.to_string()),
        };
        TopCaller {
            issuer,
            name: name.into(),
            calls: 0,
            overcounted: 0,
            failed: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(name: &str) -> Who<'_> {
        Who::Subject {
            issuer: Some("https://issuer.example"),
            subject: name,
        }
    }

    #[test]
    fn whoever_calls_often_is_there_whatever_else_comes() {
        let mut sketch = Sketch::default();
        for number in 0..100_000_u32 {
            sketch.count(subject(&format!("passing-{number}")), false);
            if number.is_multiple_of(100) {
                sketch.count(subject("often"), number.is_multiple_of(1000));
            }
        }
        assert_eq!(sketch.callers.len(), PLACES);
        assert_eq!(sketch.places.len(), PLACES);
        let callers = Sketch::callers([&sketch, &Sketch::default()]);
        let often = callers
            .iter()
            .find(|caller| &*caller.name == "often")
            .unwrap();
        assert!(
            often.calls >= 1000 && often.calls - often.overcounted <= 1000,
            "{often:?}"
        );
        assert!(
            callers.iter().all(|caller| caller.calls <= often.calls),
            "{often:?}"
        );
    }

    #[test]
    fn what_fits_is_exact_and_sketches_add_up() {
        let (mut one, mut other) = (Sketch::default(), Sketch::default());
        for _ in 0..3 {
            one.count(subject("a"), true);
            other.count(subject("a"), false);
            other.count(Who::Address("192.0.2.1".parse().unwrap()), false);
        }
        let mut callers = Sketch::callers([&one, &other]);
        callers.sort_by_key(|caller| caller.calls);
        let told: Vec<_> = callers
            .iter()
            .map(|caller| {
                (
                    &*caller.name,
                    caller.calls,
                    caller.overcounted,
                    caller.failed,
                )
            })
            .collect();
        assert_eq!(told, [("192.0.2.1", 3, 0, 0), ("a", 6, 0, 3)]);
    }
}
