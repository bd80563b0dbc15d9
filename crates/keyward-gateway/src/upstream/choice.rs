//! Which target a call goes to.

use super::hash;
use super::plan::{TargetPlan, UpstreamPlan};
use keyward_model::Moment;
use keyward_model::resource::upstream::Balance;
use std::time::Duration;

/// Words of the set of targets: as many bits as there may be targets.
const WORDS: usize = 4;

/// The targets that a call has been to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tried([u64; WORDS]);

impl Tried {
    pub(crate) fn add(&mut self, target: usize) {
        if let Some(word) = self.0.get_mut(target / 64) {
            *word |= 1 << (target % 64);
        }
    }

    pub(crate) fn has(&self, target: usize) -> bool {
        let word = self.0.get(target / 64);
        word.is_some_and(|word| word & (1 << (target % 64)) != 0)
    }

    fn is_empty(&self) -> bool {
        self.0 == [0; WORDS]
    }
}

/// What a choice depends on, besides the targets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances {
    pub(crate) now: Moment,
    /// Another number for each choice, for taking turns and for chance.
    pub(crate) turn: u32,
    /// What has to be alike for calls to go to the same target.
    pub(crate) key: Option<u64>,
}

/// How well a target may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Well,
    /// Ejected or ill: called when there is no other.
    Out,
    /// Its breaker is open.
    Spared,
}

impl UpstreamPlan {
    /// The target for a call that has been to those `tried`; `None` when there is none that may be called.
    /// Targets that are out are called only for want of others, but for a first attempt when so many are
    /// out that it can't be right.
    pub(crate) fn choose(&self, tried: &Tried, circumstances: &Circumstances) -> Option<usize> {
        let now = circumstances.now;
        let fresh = tried.is_empty();
        if self.targets.len() == 1 {
            let standing = self.targets.first().map(|only| self.standing(only, now));
            let again = fresh || self.declared.retries.same_target;
            return (again && standing != Some(Standing::Spared)).then_some(0);
        }
        let takes_all = fresh && self.too_many_are_out(now);
        let untried = |wanted: &[Standing]| {
            self.pick(circumstances, |index, target| {
                !tried.has(index) && wanted.contains(&self.standing(target, now))
            })
        };
        if takes_all {
            return untried(&[Standing::Well, Standing::Out]);
        }
        untried(&[Standing::Well])
            .or_else(|| untried(&[Standing::Out]))
            .or_else(|| {
                if !self.declared.retries.same_target {
                    return None;
                }
                let pick = |wanted| {
                    self.pick(circumstances, |_, target| {
                        self.standing(target, now) == wanted
                    })
                };
                pick(Standing::Well).or_else(|| pick(Standing::Out))
            })
    }

    /// How long until some target may be called again, where all breakers are open.
    pub(crate) fn spared_for(&self, now: Moment) -> Option<Duration> {
        self.declared.breaker.as_ref()?;
        let breakers = self
            .targets
            .iter()
            .map(|target| &target.endpoint.state.breaker);
        let mut shortest = None;
        for breaker in breakers {
            if breaker.lets_through(now) {
                return None;
            }
            let left = breaker.left(now);
            shortest = Some(shortest.map_or(left, |shortest: Duration| shortest.min(left)));
        }
        shortest
    }

    fn standing(&self, target: &TargetPlan, now: Moment) -> Standing {
        let state = &target.endpoint.state;
        if self.declared.breaker.is_some() && !state.breaker.lets_through(now) {
            Standing::Spared
        } else if self.is_out(state, now) {
            Standing::Out
        } else {
            Standing::Well
        }
    }

    fn too_many_are_out(&self, now: Moment) -> bool {
        let Some(ejection) = &self.declared.ejection else {
            return false;
        };
        let out = |target: &&std::sync::Arc<TargetPlan>| self.is_out(&target.endpoint.state, now);
        let out = self.targets.iter().filter(out).count();
        out * 100 > self.targets.len() * usize::from(ejection.max_percent)
    }

    fn pick(
        &self,
        circumstances: &Circumstances,
        eligible: impl Fn(usize, &TargetPlan) -> bool,
    ) -> Option<usize> {
        let now = circumstances.now;
        let candidates = || {
            let targets = self.targets.iter().enumerate();
            targets.filter(|(index, target)| eligible(*index, target))
        };
        let total: u64 = candidates()
            .map(|(_, target)| self.weight(target, now))
            .sum();
        // Turns are multiplied by the golden ratio of 2³², so that neighbours in time go to different
        // targets.
        let spread = circumstances.turn.wrapping_mul(0x9e37_79b9);
        let at = |spread: u32, total: u64, besides: Option<usize>| {
            let mut point = (u128::from(spread) * u128::from(total)) >> 32;
            candidates()
                .filter(|(index, _)| Some(*index) != besides)
                .find_map(|(index, target)| {
                    let weight = u128::from(self.weight(target, now));
                    if point < weight {
                        return Some((index, target));
                    }
                    point -= weight;
                    None
                })
        };
        let (first, target) = at(spread, total, None)?;
        let two = |cost: &dyn Fn(&TargetPlan) -> u128| {
            let chance = hash::mix(u64::from(circumstances.turn)).to_le_bytes();
            let [a, b, c, d, ..] = chance;
            let rest = total - self.weight(target, now);
            let second = at(u32::from_le_bytes([a, b, c, d]), rest, Some(first));
            match second {
                Some((second, other)) if cost(other) < cost(target) => second,
                Some(_) | None => first,
            }
        };
        Some(match (&self.declared.balance, circumstances.key) {
            (Balance::RoundRobin, _) | (Balance::ConsistentHash(_), None) => first,
            // Where nobody waits at either, the first stands: it was taken by weight.
            (Balance::LeastRequests, _) => two(&|target| {
                let calls = u128::from(target.endpoint.state.in_flight());
                (calls << 32) / u128::from(self.weight(target, now).max(1))
            }),
            (Balance::Latency, _) => two(&|target| {
                let state = &target.endpoint.state;
                // One that was never asked costs nothing while nobody waits for it, and much when someone
                // does.
                let nanos = match (state.latency.nanos(now), state.in_flight()) {
                    (0, 0) => 0,
                    (0, _) => 1_000_000_000,
                    (nanos, _) => nanos,
                };
                let cost = u128::from(nanos) * (u128::from(state.in_flight()) + 1);
                (cost << 24) / u128::from(self.weight(target, now).max(1))
            }),
            (Balance::ConsistentHash(_), Some(key)) => {
                let score = |target: &TargetPlan| {
                    score(hash::mix(key ^ target.place), self.weight(target, now))
                };
                candidates()
                    .max_by(|(_, one), (_, two)| score(one).total_cmp(&score(two)))
                    .map_or(first, |(index, _)| index)
            }
        })
    }
}

/// The score of a target in weighted rendezvous hashing: the highest wins, each as often as its weight
/// says, and one that is left out leaves all others where they were.
pub(crate) fn score(hash: u64, weight: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits are more than enough")]
    let (uniform, weight) = (
        ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64,
        weight as f64,
    );
    -weight / uniform.ln()
}

#[cfg(test)]
mod tests;
