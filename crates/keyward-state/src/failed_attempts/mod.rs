//! Failed attempts: how often somebody at an address has shown a credential that is not good.
//!
//! Asked before any cryptography, so that a flood of wrong credentials costs a look-up each.

#[cfg(test)]
mod tests;

use crate::limit::customer;
use hashbrown::HashTable;
use keyward_model::Moment;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many addresses are counted unless told otherwise: at most some 10 MB.
pub const ADDRESSES_MAX_DEFAULT: NonZeroUsize = match NonZeroUsize::new(1 << 17) {
    Some(max) => max,
    None => NonZeroUsize::MIN,
};

/// Locks are split this many ways.
const SHARDS: usize = 64;

/// Shards smaller than this are not swept.
const SWEEP_MIN: usize = 64;

/// How long a full shard waits between sweeps, so that a flood of new addresses can't make each of its calls
/// walk the whole shard.
const SWEEP_PAUSE: Duration = Duration::from_millis(100);

/// How many attempts may fail in how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// That many at once, and as many again in each `per`.
    pub attempts: NonZeroUsize,
    /// In this time all of them are given back, one after the other.
    pub per: Duration,
}

impl Allowance {
    /// After how long one attempt is given back.
    fn interval(&self) -> Duration {
        let attempts = u32::try_from(self.attempts.get()).unwrap_or(u32::MAX);
        (self.per / attempts).max(Duration::from_nanos(1))
    }
}

/// The failed attempts of each address that has any; of an IPv6 address, of its /64 network.
///
/// An address has an allowance of failures, which comes back evenly. Only failures use it up: what passes costs
/// nothing and gives nothing back, so that a good credential between wrong ones hides nothing, and who is
/// refused for having none left uses none up either, so that the way back is never longer than `per`.
///
/// Bounded: addresses whose allowance is whole again are dropped as new ones come. When all are in use a new
/// address is not counted ([`uncounted`](Self::uncounted) tells how often): whoever has a hundred thousand
/// addresses is not held up by a count for each, and refusing the addresses that come new would bar everybody
/// else.
#[derive(Debug)]
pub struct FailedAttempts {
    shards: Box<[Mutex<Shard>]>,
    shard_max: usize,
    per: Duration,
    interval: Duration,
    hash: RandomState,
    uncounted: AtomicU64,
}

#[derive(Debug)]
struct Shard {
    slots: HashTable<Slot>,
    sweep_at: usize,
    not_before: Moment,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    address: IpAddr,
    /// When its allowance is whole again.
    whole_at: Moment,
}

impl FailedAttempts {
    /// None yet.
    #[must_use]
    pub fn new(allowance: Allowance) -> Self {
        Self::with_room(allowance, ADDRESSES_MAX_DEFAULT)
    }

    /// The same with room for `addresses_max` addresses, rounded up to a multiple of 64.
    #[must_use]
    pub fn with_room(allowance: Allowance, addresses_max: NonZeroUsize) -> Self {
        let shard = || {
            Mutex::new(Shard {
                slots: HashTable::new(),
                sweep_at: SWEEP_MIN,
                not_before: Moment::default(),
            })
        };
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            shard_max: addresses_max.get().div_ceil(SHARDS),
            per: allowance.per,
            interval: allowance.interval(),
            hash: RandomState::new(),
            uncounted: AtomicU64::new(0),
        }
    }

    /// Whether somebody at this address may try.
    ///
    /// # Errors
    /// After how long they may again.
    pub fn check(&self, address: IpAddr, now: Moment) -> Result<(), Duration> {
        let address = network(address);
        let Some((shard, hash)) = self.shard(address) else {
            return Ok(());
        };
        let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let found = shard.slots.find(hash, |slot| slot.address == address);
        let used = found.map_or(Duration::ZERO, |slot| slot.whole_at.since(now));
        // One more failure has to fit.
        let wait = (used + self.interval).saturating_sub(self.per);
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    /// An attempt from this address has failed, which counts as much as `weight` of them: a password that is
    /// guessed, a hundred times as dear to check as a token, may count more than once.
    pub fn failed(&self, address: IpAddr, weight: u32, now: Moment) {
        let address = network(address);
        let Some((shard, hash)) = self.shard(address) else {
            return;
        };
        let cost = self.interval.saturating_mul(weight);
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = shard.slots.find_mut(hash, |slot| slot.address == address) {
            // Never further away than `per`: it is the longest that anybody waits.
            slot.whole_at = slot.whole_at.max(now).plus(cost).min(now.plus(self.per));
            return;
        }
        shard.make_room(self.shard_max, now);
        if shard.slots.len() >= self.shard_max {
            self.uncounted.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let slot = Slot {
            address,
            whole_at: now.plus(cost.min(self.per)),
        };
        let hasher = &self.hash;
        shard
            .slots
            .insert_unique(hash, slot, |slot| hasher.hash_one(slot.address));
    }

    /// How many addresses are counted.
    #[must_use]
    pub fn len(&self) -> usize {
        let len = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.slots.len()
        };
        self.shards.iter().map(len).sum()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Failures that were not counted for want of room.
    #[must_use]
    pub fn uncounted(&self) -> u64 {
        self.uncounted.load(Ordering::Relaxed)
    }

    /// The address's shard, and its hash.
    fn shard(&self, address: IpAddr) -> Option<(&Mutex<Shard>, u64)> {
        let hash = self.hash.hash_one(address);
        // The table goes by the lowest and the highest bits.
        let index = usize::try_from((hash >> 32) % SHARDS as u64).ok()?;
        Some((self.shards.get(index)?, hash))
    }
}

/// What is counted as one address.
fn network(address: IpAddr) -> IpAddr {
    customer(address)
}

impl Shard {
    /// Drops addresses whose allowance is whole, once the shard has doubled since the last time; when it is
    /// full, at most once in [`SWEEP_PAUSE`].
    fn make_room(&mut self, max: usize, now: Moment) {
        let full = self.slots.len() >= max;
        let due = if full {
            now >= self.not_before
        } else {
            self.slots.len() >= self.sweep_at
        };
        if !due {
            return;
        }
        self.slots.retain(|slot| slot.whole_at > now);
        self.sweep_at = self.slots.len().saturating_mul(2).max(SWEEP_MIN);
        if full {
            self.not_before = now.plus(SWEEP_PAUSE);
        }
    }
}
