//! The prompts that an API serves, and which version of one takes a call.

use super::super::plan::ModelPlan;
use super::compiled::CompiledPrompt;
use crate::upstream::hash;
use keyward_model::name::Name;
use keyward_model::resource::VersionState;
use std::cmp::Ordering;
use std::sync::Arc;

/// A prompt in all its versions that are served.
#[derive(Debug)]
pub(crate) struct PromptPlan {
    /// In the order of their names, numbers in them as numbers.
    versions: Vec<Arc<PromptVersion>>,
}

/// One version.
#[derive(Debug)]
pub(crate) struct PromptVersion {
    pub(crate) compiled: Arc<CompiledPrompt>,
    /// The model that it asks, with what the prompt asks of its callers in the place of what the model does: whoever
    /// publishes a prompt answers for what it asks.
    pub(crate) model: Arc<ModelPlan>,
}

impl PromptPlan {
    pub(crate) fn new(mut versions: Vec<Arc<PromptVersion>>) -> Self {
        versions.sort_by(|one, two| {
            let (one, two) = (one.compiled.version(), two.compiled.version());
            natural(one.as_str(), two.as_str())
        });
        Self { versions }
    }

    /// The models that its versions ask.
    pub(crate) fn models(&self) -> impl Iterator<Item = &Arc<ModelPlan>> {
        self.versions.iter().map(|version| &version.model)
    }

    /// The version of this name.
    pub(super) fn version(&self, name: &str) -> Option<&Arc<PromptVersion>> {
        let mut versions = self.versions.iter();
        versions.find(|version| version.compiled.version().as_str() == name)
    }

    /// The versions that this allows.
    pub(super) fn allowed(&self, allowed: impl Fn(&ModelPlan) -> bool) -> Vec<Arc<PromptVersion>> {
        let versions = self.versions.iter();
        let allowed = versions.filter(|version| allowed(&version.model));
        allowed.map(Arc::clone).collect()
    }

    /// The version that takes the calls of a caller that name none: the published one, or of several each caller's by
    /// their weights, and always the same for one; the last deprecated one where none is published. One of weight 0 is
    /// called by its name alone. `chance` stands for callers of whom nothing is known. Of those that are not allowed one is
    /// chosen only where no other is: who may call none is to be told so.
    pub(super) fn current(
        &self,
        caller: Option<&[u8]>,
        chance: u32,
        allowed: impl Fn(&ModelPlan) -> bool,
    ) -> Option<&Arc<PromptVersion>> {
        let all: Vec<_> = self.versions.iter().collect();
        let may: Vec<_> = all
            .iter()
            .copied()
            .filter(|version| allowed(&version.model))
            .collect();
        Self::current_of(&may, caller, chance).or_else(|| Self::current_of(&all, caller, chance))
    }

    fn current_of<'v>(
        versions: &[&'v Arc<PromptVersion>],
        caller: Option<&[u8]>,
        chance: u32,
    ) -> Option<&'v Arc<PromptVersion>> {
        let in_state = |state: VersionState| {
            versions
                .iter()
                .copied()
                .filter(move |version| version.compiled.prompt().state == state)
        };
        let published = in_state(VersionState::Published)
            .filter(|version| version.compiled.prompt().trial != Some(0));
        let published: Vec<_> = published.collect();
        match published.as_slice() {
            [] => in_state(VersionState::Deprecated).next_back(),
            [only] => Some(*only),
            several => {
                let score = |version: &PromptVersion| {
                    let weight = version.compiled.prompt().trial.unwrap_or_default();
                    score(
                        version.compiled.name(),
                        version.compiled.version(),
                        weight,
                        caller,
                        chance,
                    )
                };
                let best = several
                    .iter()
                    .max_by(|one, two| score(one).total_cmp(&score(two)));
                best.copied()
            }
        }
    }
}

/// Rendezvous hashing by weight: when a weight changes, no more callers change their version than have to.
fn score(prompt: &Name, version: &Name, weight: u32, caller: Option<&[u8]>, chance: u32) -> f64 {
    if weight == 0 {
        return f64::NEG_INFINITY;
    }
    let mut key = Vec::with_capacity(128);
    key.extend_from_slice(prompt.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(version.as_str().as_bytes());
    key.push(0);
    match caller {
        Some(caller) => key.extend_from_slice(caller),
        None => key.extend_from_slice(&chance.to_be_bytes()),
    }
    let high = u32::try_from(hash::of(&key) >> u32::BITS).unwrap_or(u32::MAX);
    // In (0, 1]: never nothing, of which there is no logarithm.
    let uniform = (f64::from(high) + 1.0) / (f64::from(u32::MAX) + 1.0);
    -f64::from(weight) / uniform.ln().min(-f64::MIN_POSITIVE)
}

/// Texts in their order, numbers in them as numbers: `v9` comes before `v10`.
fn natural(one: &str, two: &str) -> Ordering {
    let (mut one, mut two) = (one, two);
    loop {
        let (first, second) = (digits(one), digits(two));
        let order = if first > 0 && second > 0 {
            let (a, b) = (one.get(..first), two.get(..second));
            let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
            let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
            one = one.get(first..).unwrap_or_default();
            two = two.get(second..).unwrap_or_default();
            a.len().cmp(&b.len()).then_with(|| a.cmp(b))
        } else {
            let (mut a, mut b) = (one.chars(), two.chars());
            let order = match (a.next(), b.next()) {
                (None, None) => return Ordering::Equal,
                (a, b) => a.cmp(&b),
            };
            (one, two) = (a.as_str(), b.as_str());
            order
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_the_order_that_people_expect() {
        let mut versions = ["v10", "v2", "v1.10", "v1.9", "2026-01", "v2-beta", "v02"];
        versions.sort_by(|one, two| natural(one, two));
        assert_eq!(
            versions,
            ["2026-01", "v1.9", "v1.10", "v2", "v02", "v2-beta", "v10"]
        );
    }

    #[test]
    fn callers_are_split_by_weight_and_keep_their_version() {
        let prompt: Name = "translate".parse().unwrap();
        let versions: Vec<Name> = ["v1", "v2"]
            .iter()
            .map(|name| name.parse().unwrap())
            .collect();
        let chosen = |caller: u32, weights: [u32; 2]| {
            let of = |at: usize| {
                score(
                    &prompt,
                    &versions[at],
                    weights[at],
                    Some(&caller.to_be_bytes()),
                    0,
                )
            };
            usize::from(of(1) > of(0))
        };
        let share = |weights| {
            (0..10_000)
                .filter(|caller| chosen(*caller, weights) == 1)
                .count()
        };
        assert!((2_300..2_700).contains(&share([3, 1])), "{}", share([3, 1]));
        assert!((4_700..5_300).contains(&share([1, 1])), "{}", share([1, 1]));
        assert_eq!(share([1, 0]), 0);
        assert_eq!(share([0, 1]), 10_000);
        // Whoever had the second version keeps it when it gets more.
        for caller in 0..10_000 {
            if chosen(caller, [3, 1]) == 1 {
                assert_eq!(chosen(caller, [1, 1]), 1);
            }
        }
    }
}
