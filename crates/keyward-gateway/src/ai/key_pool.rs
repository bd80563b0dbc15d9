//! The keys that a provider is called with: chosen by weight, and left alone for a while when the provider refuses one.

use super::credential::Credential;
use crate::snapshot::BudgetPlan;
use aws_lc_rs::digest;
use keyward_model::resource::provider::{AwsKeysOf, GoogleAccount, ProviderKey, ProviderSecret};
use keyward_model::{Moment, Name};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A provider's keys.
#[derive(Debug)]
pub(crate) struct KeyPool {
    keys: Box<[PooledKey]>,
}

#[derive(Debug)]
struct PooledKey {
    declared: ProviderKey,
    credential: Arc<Credential>,
    /// Its limits, and by what they know it: a hash, since it may stand where nodes count together.
    budgets: Option<(Arc<BudgetPlan>, [u8; 32])>,
    /// Shared by all workers, and kept over reloads.
    state: Arc<KeyState>,
}

/// What is known of one key.
#[derive(Debug, Default)]
struct KeyState {
    /// Until when it is left alone for whatever model, in nanoseconds.
    until: AtomicU64,
    /// The latest of what follows.
    latest: AtomicU64,
    /// Models that it is left alone for: providers count calls and tokens of each by itself.
    of_models: [ModelRest; MODELS_MAX],
}

/// For which model a key is left alone, and until when. Whoever reads between the two writes takes a key that is refused once
/// more, or leaves it alone once more: neither matters.
#[derive(Debug, Default)]
struct ModelRest {
    model: AtomicU64,
    until: AtomicU64,
}

/// Of more models at once than this a key is left alone as a whole.
const MODELS_MAX: usize = 16;

/// Keys that were tried for one call, by their numbers: no provider has more of them than there are bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TriedKeys(u64);

impl TriedKeys {
    pub(super) fn add(&mut self, key: usize) {
        self.0 |= 1_u64
            .checked_shl(u32::try_from(key).unwrap_or(u32::MAX))
            .unwrap_or(0);
    }

    fn has(self, key: usize) -> bool {
        let mut one = Self::default();
        one.add(key);
        self.0 & one.0 != 0
    }
}

/// What a pool gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chosen {
    /// The provider has no keys, and needs none.
    NoneNeeded,
    /// This one.
    Key(usize),
    /// All that were not tried are left alone until then.
    AllCool(Moment),
    /// All were tried.
    AllTried,
}

impl KeyPool {
    /// Of these keys. What is known of those that were there `before` stays known, and what they were granted counts.
    /// `make` makes the others ready.
    pub(super) fn new(
        provider: &Name,
        declared: &[ProviderKey],
        before: Option<&Self>,
        make: impl Fn(&ProviderKey) -> Result<Credential, String>,
    ) -> Result<Self, String> {
        let keys = declared.iter().map(|declared| {
            let known = before.and_then(|before| {
                let mut keys = before.keys.iter();
                keys.find(|known| known.declared.secret == declared.secret)
            });
            let (credential, state) = match known {
                Some(known) => (Arc::clone(&known.credential), Arc::clone(&known.state)),
                None => (Arc::new(make(declared)?), Arc::default()),
            };
            Ok(PooledKey {
                budgets: (!declared.budgets.is_empty()).then(|| {
                    let plan = BudgetPlan::of_provider(provider, &declared.budgets);
                    (plan, fingerprint(&declared.secret))
                }),
                declared: declared.clone(),
                credential,
                state,
            })
        });
        Ok(Self {
            keys: keys.collect::<Result<_, String>>()?,
        })
    }

    /// What has to be fetched is fetched from now on. A key that was left alone is tried again with what came.
    pub(super) fn begin(&self) {
        for key in &self.keys {
            let state = Arc::clone(&key.state);
            key.credential
                .begin(move || state.until.store(0, Ordering::Relaxed));
        }
    }

    /// A key for a model, by weight, of those that are neither tried nor left alone. `model` is a number that stands for it;
    /// `chance` is any number.
    pub(super) fn choose(&self, tried: TriedKeys, model: u64, chance: u32, now: Moment) -> Chosen {
        if self.keys.is_empty() {
            return Chosen::NoneNeeded;
        }
        let untried = || {
            let keys = self.keys.iter().enumerate();
            keys.filter(|(index, _)| !tried.has(*index))
        };
        let free = || untried().filter(|(_, key)| key.state.until(model, now) <= now);
        let weights = free().map(|(index, key)| (index, key.declared.weight.get()));
        if let Some(index) = by_weight(weights, chance) {
            return Chosen::Key(index);
        }
        match untried().map(|(_, key)| key.state.until(model, now)).min() {
            Some(until) => Chosen::AllCool(until),
            None => Chosen::AllTried,
        }
    }

    /// A key, for the one who calls with it, and how it was declared.
    pub(super) fn credential(&self, key: usize) -> Option<(&Credential, &ProviderKey)> {
        let key = self.keys.get(key)?;
        Some((&key.credential, &key.declared))
    }

    /// How many are left alone, be it for one model.
    pub(super) fn cooling(&self, now: Moment) -> usize {
        let cools = |key: &&PooledKey| {
            let KeyState { until, latest, .. } = &*key.state;
            until
                .load(Ordering::Relaxed)
                .max(latest.load(Ordering::Relaxed))
                > now.as_nanos()
        };
        self.keys.iter().filter(cools).count()
    }

    /// A key's limits, where it has some, and by what they know it.
    pub(super) fn budgets(&self, key: usize) -> Option<(&Arc<BudgetPlan>, &[u8; 32])> {
        let budgets = self.keys.get(key)?.budgets.as_ref();
        budgets.map(|(plan, hash)| (plan, hash))
    }

    pub(super) fn has_budgets(&self) -> bool {
        self.keys.iter().any(|key| key.budgets.is_some())
    }

    /// Leaves a key alone for this time: for one model, or for whatever one (`None`).
    pub(super) fn cool(&self, key: usize, model: Option<u64>, time: Duration, now: Moment) {
        if let Some(key) = self.keys.get(key) {
            let until = now.plus(time).as_nanos();
            if !model.is_some_and(|model| key.state.rest_of(model, until, now)) {
                key.state.until.fetch_max(until, Ordering::Relaxed);
            }
        }
    }
}

/// By what a key is known where it must not stand itself. Providers make keys of 128 random bits and more: who has this can't
/// find one by trying. What a machine has of its own is known by that alone: those of one deployment are one account.
fn fingerprint(secret: &ProviderSecret) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut parts = |parts: &[&str]| {
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
    };
    match secret {
        // As ever: nodes of another version count the same key by it.
        ProviderSecret::Key(key) => context.update(key.reveal().as_bytes()),
        ProviderSecret::Aws(keys) => match &keys.of {
            AwsKeysOf::Given {
                access_key_id,
                secret_access_key,
                session_token,
            } => {
                let session = session_token.as_ref();
                parts(&[
                    "aws",
                    access_key_id,
                    secret_access_key.reveal(),
                    session.map_or("", |token| token.reveal()),
                ]);
            }
            AwsKeysOf::Machine => parts(&["aws of the machine"]),
        },
        ProviderSecret::Google(GoogleAccount::Service(account)) => {
            parts(&["google", account.reveal()]);
        }
        ProviderSecret::Google(GoogleAccount::Machine) => parts(&["google of the machine"]),
        ProviderSecret::Entra(client) => parts(&[
            "entra",
            &client.tenant,
            &client.client_id,
            client.client_secret.reveal(),
        ]),
    }
    context.finish().as_ref().try_into().unwrap_or_default()
}

impl KeyState {
    /// Until when it is left alone for a model.
    fn until(&self, model: u64, now: Moment) -> Moment {
        let mut until = self.until.load(Ordering::Relaxed);
        // As a rule no model's limit is used up.
        if self.latest.load(Ordering::Relaxed) > now.as_nanos() {
            for rest in &self.of_models {
                if rest.model.load(Ordering::Relaxed) == model {
                    until = until.max(rest.until.load(Ordering::Relaxed));
                }
            }
        }
        Moment::from_nanos(until)
    }

    /// Leaves it alone for a model; `false` where that is already so of too many.
    fn rest_of(&self, model: u64, until: u64, now: Moment) -> bool {
        let known = |rest: &&ModelRest| rest.model.load(Ordering::Relaxed) == model;
        let over = |rest: &&ModelRest| rest.until.load(Ordering::Relaxed) <= now.as_nanos();
        let mut rests = self.of_models.iter();
        let Some(rest) = rests
            .find(known)
            .or_else(|| self.of_models.iter().find(over))
        else {
            return false;
        };
        rest.model.store(model, Ordering::Relaxed);
        rest.until.fetch_max(until, Ordering::Relaxed);
        self.latest.fetch_max(until, Ordering::Relaxed);
        true
    }
}

/// One of these, each as often as its weight says. Numbers that follow on one another give each its share soon: the
/// factor is the golden ratio's.
pub(super) fn by_weight<T: Copy>(
    weights: impl Iterator<Item = (T, u32)> + Clone,
    chance: u32,
) -> Option<T> {
    let sum: u64 = weights.clone().map(|(_, weight)| u64::from(weight)).sum();
    let at = (u64::from(chance.wrapping_mul(0x9e37_79b9)) * sum) >> 32;
    let mut passed = 0;
    let mut last = None;
    for (one, weight) in weights {
        passed += u64::from(weight);
        last = Some(one);
        if at < passed {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_model::Secret;
    use std::num::NonZeroU32;

    fn name() -> Name {
        "back".parse().unwrap()
    }

    fn pool(weights: &[u32], before: Option<&KeyPool>) -> KeyPool {
        let make = |_: &ProviderKey| Ok(Credential::Key(Secret::new("k".to_owned())));
        KeyPool::new(&name(), &keys(weights), before, make).unwrap()
    }

    fn keys(weights: &[u32]) -> Vec<ProviderKey> {
        let weights = weights.iter().enumerate();
        weights
            .map(|(index, weight)| ProviderKey {
                secret: ProviderSecret::Key(Secret::new(format!("key-{index}"))),
                weight: NonZeroU32::new(*weight).unwrap(),
                budgets: Vec::new(),
            })
            .collect()
    }

    #[test]
    fn keys_are_chosen_by_weight() {
        let pool = pool(&[3, 1], None);
        let mut counts = [0; 2];
        for turn in 0..1_000 {
            let Chosen::Key(key) = pool.choose(TriedKeys::default(), 1, turn, Moment::default())
            else {
                panic!("there are free ones");
            };
            counts[key] += 1;
        }
        assert!((740..=760).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn a_key_that_cools_is_left_alone_over_reloads_too() {
        let now = Moment::from_nanos(1_000_000_000);
        let one = pool(&[1, 1], None);
        one.cool(0, None, Duration::from_secs(5), now);
        let later_one = pool(&[1, 1], Some(&one));
        let mut tried = TriedKeys::default();
        for turn in 0..100 {
            assert_eq!(later_one.choose(tried, 1, turn, now), Chosen::Key(1));
        }
        let later = now.plus(Duration::from_secs(5));
        tried.add(1);
        assert_eq!(later_one.choose(tried, 1, 0, now), Chosen::AllCool(later));
        assert_eq!(later_one.choose(tried, 1, 0, later), Chosen::Key(0));
        tried.add(0);
        assert_eq!(later_one.choose(tried, 1, 0, later), Chosen::AllTried);
        let none = pool(&[], None);
        assert_eq!(none.choose(tried, 1, 0, now), Chosen::NoneNeeded);
    }

    #[test]
    fn a_key_whose_limit_of_one_model_is_used_up_serves_the_others() {
        let now = Moment::from_nanos(1_000_000_000);
        let time = Duration::from_secs(5);
        let pool = pool(&[1], None);
        let choose = |model, now| pool.choose(TriedKeys::default(), model, 0, now);
        pool.cool(0, Some(7), time, now);
        assert_eq!(choose(7, now), Chosen::AllCool(now.plus(time)));
        assert_eq!(choose(8, now), Chosen::Key(0));
        assert_eq!(choose(7, now.plus(time)), Chosen::Key(0));
        assert_eq!(pool.cooling(now), 1);
        // Of many models at once it is left alone as a whole.
        for model in 0..=16 {
            pool.cool(0, Some(100 + model), time, now);
        }
        assert_eq!(choose(8, now), Chosen::AllCool(now.plus(time)));
        assert_eq!(pool.cooling(now), 1);
    }
}
