//! In which order a call asks who answers for a model.

use super::key_pool::by_weight;
use super::plan::{AiTarget, ModelPlan, Order};
use crate::upstream::{mix, score};
use keyward_model::Moment;
use keyward_model::resource::{ModelChoice, Sticky, TargetCondition};
use smallvec::SmallVec;
use std::num::NonZeroU32;
use std::sync::atomic::Ordering;

/// What one that was never asked counts for, once a call is under way there: it is not asked by all at once.
const UNKNOWN_NANOS: u64 = 1_000_000_000;

/// Who answers for a model, or for one that it names.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) choose: ModelChoice,
    /// Those of which one is chosen, then those that follow in order.
    pub(crate) members: Box<[Member]>,
    /// How many are chosen from.
    pub(crate) chosen: usize,
}

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) weight: NonZeroU32,
    pub(crate) when: TargetCondition,
    pub(crate) to: To,
}

/// Who it is.
#[derive(Clone, Debug)]
pub(crate) enum To {
    /// By its place among the model's targets.
    Target(usize),
    Group(Box<Group>),
}

/// What a choice depends on, besides the targets: what is asked, and by whom.
pub(super) struct Look<'a> {
    pub(super) now: Moment,
    /// Another number for each choice.
    pub(super) turn: u32,
    pub(super) streamed: bool,
    /// Whether a target takes the call.
    pub(super) fits: &'a dyn Fn(&TargetCondition) -> bool,
    /// What is alike of calls that go to the same target.
    pub(super) key: &'a dyn Fn(&Sticky) -> Option<u64>,
    /// What the call costs there, about; `None` where no price is known.
    pub(super) cost: &'a dyn Fn(&AiTarget) -> Option<i64>,
    /// Whether a target is known to lack what is asked for.
    pub(super) lacks: &'a dyn Fn(&AiTarget) -> bool,
}

impl ModelPlan {
    /// The places of the targets in the order in which a call asks them: those that fail come last of those that can, and
    /// those that can't come last of all.
    pub(super) fn order(&self, look: &Look<'_>) -> Order {
        let mut order = Order::new();
        self.root.walk(self, look, &mut order);
        let rank = |place: &usize| {
            let target = self.targets.get(*place);
            let lacks = target.is_some_and(look.lacks);
            let out = target.is_some_and(|target| target.is_out(look.now));
            (lacks, out)
        };
        order.sort_by_key(rank);
        // The first may have been out until now: one call at a time tries it.
        let entered = order.first().and_then(|place| self.targets.get(*place));
        if order.len() > 1
            && let Some(target) = entered
            && !target.is_out(look.now)
            && !target.enter(look.now)
        {
            order.rotate_left(1);
        }
        order
    }
}

impl Group {
    /// Says each condition under which somebody answers, here or further down.
    pub(super) fn each_condition(&self, say: &mut dyn FnMut(&TargetCondition)) {
        for member in &self.members {
            say(&member.when);
            match &member.to {
                To::Target(_) => {}
                To::Group(group) => group.each_condition(say),
            }
        }
    }

    fn walk(&self, plan: &ModelPlan, look: &Look<'_>, out: &mut Order) {
        let (chosen, following) = self
            .members
            .split_at_checked(self.chosen)
            .unwrap_or((&self.members, &[]));
        let takes = |member: &&Member| member.when.is_empty() || (look.fits)(&member.when);
        let mut ordered: SmallVec<[&Member; 8]> = chosen.iter().filter(takes).collect();
        self.sort(plan, look, &mut ordered);
        for member in ordered.into_iter().chain(following.iter().filter(takes)) {
            match &member.to {
                To::Target(place) => {
                    if !out.contains(place) {
                        out.push(*place);
                    }
                }
                To::Group(group) => group.walk(plan, look, out),
            }
        }
    }

    fn sort(&self, plan: &ModelPlan, look: &Look<'_>, members: &mut [&Member]) {
        if members.len() < 2 {
            return;
        }
        let key = match &self.choose {
            ModelChoice::Sticky(by) => (look.key)(by),
            ModelChoice::Weighted
            | ModelChoice::Latency
            | ModelChoice::Busy
            | ModelChoice::Cost => None,
        };
        if let Some(key) = key {
            members.sort_by(|one, two| {
                let score = |member: &Member| {
                    let place = plan.hash_of(&member.to);
                    score(mix(key ^ place), u64::from(member.weight.get()))
                };
                score(two).total_cmp(&score(one))
            });
            return;
        }
        // Where nothing else tells them apart, weights do.
        first_by_weight(members, look.turn);
        match &self.choose {
            ModelChoice::Weighted | ModelChoice::Sticky(_) => {}
            ModelChoice::Busy => {
                let Some((first, rest)) = members.split_first_mut() else {
                    return;
                };
                let [a, b, c, d, ..] = mix(u64::from(look.turn)).to_le_bytes();
                first_by_weight(rest, u32::from_le_bytes([a, b, c, d]));
                let load = |member: &Member| {
                    let calls = plan.least(&member.to, &|target| {
                        u64::from(target.state.in_flight.load(Ordering::Relaxed))
                    });
                    (u128::from(calls) << 32) / u128::from(member.weight.get())
                };
                if let Some(second) = rest.first_mut()
                    && load(second) < load(first)
                {
                    std::mem::swap(first, second);
                }
            }
            ModelChoice::Latency => members.sort_by_cached_key(|member| {
                let nanos = plan.least(&member.to, &|target| {
                    let state = &target.state;
                    let calls = u64::from(state.in_flight.load(Ordering::Relaxed));
                    let nanos = match (state.nanos(look.streamed, look.now), calls) {
                        (0, 0) => 0,
                        (0, _) => UNKNOWN_NANOS,
                        (nanos, _) => nanos,
                    };
                    nanos.saturating_mul(calls + 1)
                });
                (u128::from(nanos) << 24) / u128::from(member.weight.get())
            }),
            // What has no known price is asked last.
            ModelChoice::Cost => members.sort_by_cached_key(|member| {
                plan.least(&member.to, &|target| {
                    let cost = (look.cost)(target).and_then(|cost| u64::try_from(cost).ok());
                    cost.unwrap_or(u64::MAX)
                })
            }),
        }
    }
}

impl ModelPlan {
    /// The least of what `of` tells, over all who answer there.
    fn least(&self, to: &To, of: &dyn Fn(&AiTarget) -> u64) -> u64 {
        match to {
            To::Target(place) => self.targets.get(*place).map_or(u64::MAX, of),
            To::Group(group) => {
                let members = group.members.iter();
                let each = members.map(|member| self.least(&member.to, of));
                each.min().unwrap_or(u64::MAX)
            }
        }
    }

    /// What stands for a member, the same on every node and whatever else the model has.
    fn hash_of(&self, to: &To) -> u64 {
        match to {
            To::Target(place) => self.targets.get(*place).map_or(0, |target| target.hash),
            To::Group(group) => group
                .members
                .iter()
                .fold(0, |sum, member| mix(sum ^ self.hash_of(&member.to))),
        }
    }
}

/// Brings one to the front, each as often as its weight says; the others stay in order.
fn first_by_weight(members: &mut [&Member], chance: u32) {
    let weights = members.iter().enumerate();
    let first = by_weight(
        weights.map(|(at, member)| (at, member.weight.get())),
        chance,
    );
    if let Some(front) = first.and_then(|first| members.get_mut(..=first)) {
        front.rotate_right(1);
    }
}

#[cfg(test)]
mod tests;
