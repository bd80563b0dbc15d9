//! Replay memory: what may be used once and was.
//!
//! For identifiers that whoever presents them has chosen and signed, with a time in them: the `jti` of a DPoP
//! proof (RFC 9449, section 11.1), of a client's assertion (RFC 7523, section 3). Such a thing is taken for a
//! short while only, so that its identifier need not be remembered for longer than that.

#[cfg(test)]
mod tests;

use crate::Error;
use hashbrown::{HashMap, HashTable};
use keyward_model::{Moment, Timestamp};
use siphasher::sip128::{Hasher128 as _, SipHasher13};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many identifiers a node keeps unless told otherwise: some 60 MB. With proofs that are good for a
/// minute that is enough for 8,000 calls a second, each with a proof of its own; of one holder, for a quarter of it.
pub const IDENTIFIERS_MAX_DEFAULT: NonZeroUsize = match NonZeroUsize::new(1 << 20) {
    Some(max) => max,
    None => NonZeroUsize::MIN,
};

/// A holder may have one identifier for so many that are free: a quarter of all who is the only one.
const FREE_FOR_EACH: usize = 3;

/// So many bits of what an identifier is known by tell its holder.
const HOLDER_BITS: u32 = 32;

/// Locks are split this many ways, so that workers seldom meet.
const SHARDS: usize = 64;

/// What the memory says of an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It had not been used. From now on it has.
    First,
    /// It was used before.
    Again,
}

/// The identifiers that were used lately, shared by all workers of a node.
///
/// **Two buckets.** An identifier goes into the younger one. When that is as old as the window, the older one
/// is emptied and takes its place. So each is remembered for at least the window and at most two, and nothing
/// is ever sorted or swept.
///
/// **A hard cap.** At the bound a new identifier is refused ([`Error::ReplayMemoryFull`]): forgetting an older
/// one would let that be used a second time. The bound holds per shard and bucket, a 128th of it each; a hash
/// with a secret key spreads identifiers over shards, so that nobody can aim at one.
///
/// **A share for each holder.** Whoever has a key can use as many identifiers as they like. A holder gets another
/// one while it has less than a third as many as there is room left: a quarter of all at most
/// ([`Error::ReplayShareFull`]). So who floods the memory is refused alone.
///
/// **A restart forgets.** What was used before it can't be known; whoever asks must therefore refuse what was
/// made before [`remembers_since`](Self::remembers_since).
///
/// ```
/// use keyward_model::{Moment, Timestamp};
/// use keyward_state::replay::{ReplayMemory, Use};
/// use std::time::Duration;
///
/// let memory = ReplayMemory::new(Duration::from_secs(60), Timestamp::from_seconds(1_795_000_000));
/// let now = Moment::from_nanos(0);
/// assert_eq!(memory.first_use(b"thumbprint", b"jti", now), Ok(Use::First));
/// assert_eq!(memory.first_use(b"thumbprint", b"jti", now), Ok(Use::Again));
/// // Another's is another one, even where they are the same bytes in a row.
/// assert_eq!(memory.first_use(b"thumbprintjti", b"", now), Ok(Use::First));
/// ```
#[derive(Debug)]
pub struct ReplayMemory {
    shards: Box<[Mutex<Shard>]>,
    window: Duration,
    since: Timestamp,
    bucket_max: usize,
    identifiers_max: usize,
    secret: SipHasher13,
}

#[derive(Debug, Default)]
struct Shard {
    young: Bucket,
    old: Bucket,
    /// When the young one was begun.
    begun: Moment,
}

#[derive(Debug, Default)]
struct Bucket {
    digests: HashTable<u128>,
    /// How many each holder has, by the holder's part of the digest.
    shares: HashMap<u32, usize>,
}

impl ReplayMemory {
    /// A memory that remembers each identifier for at least `window`, and nothing from before `since`, which is
    /// now.
    #[must_use]
    pub fn new(window: Duration, since: Timestamp) -> Self {
        Self::with_room(window, since, IDENTIFIERS_MAX_DEFAULT)
    }

    /// The same with room for `identifiers_max` identifiers, rounded up to a multiple of 128.
    #[must_use]
    pub fn with_room(window: Duration, since: Timestamp, identifiers_max: NonZeroUsize) -> Self {
        // Seeded by the system's randomness.
        let random = RandomState::new();
        let bucket_max = identifiers_max.get().div_ceil(2 * SHARDS);
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            window,
            since,
            bucket_max,
            identifiers_max: bucket_max.saturating_mul(2 * SHARDS),
            secret: SipHasher13::new_with_keys(random.hash_one(0_u8), random.hash_one(1_u8)),
        }
    }

    /// How long an identifier is remembered at least.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.window
    }

    /// The time before which nothing is known: what was made earlier may have been used already.
    #[must_use]
    pub fn remembers_since(&self) -> Timestamp {
        self.since
    }

    /// Whether this holder uses the identifier for the first time. Looks and remembers in one step: of two
    /// workers that ask at once, one is told [`Use::First`].
    ///
    /// Two identifiers of a holder are taken for one with a chance of less than 2⁻⁵⁷ among a million, and nobody
    /// can look for two that are: they are compared by 96 bits of a hash under a secret of this process.
    ///
    /// # Errors
    /// [`Error::ReplayMemoryFull`] and [`Error::ReplayShareFull`] at the bounds. The identifier must then be
    /// refused.
    pub fn first_use(&self, holder: &[u8], identifier: &[u8], now: Moment) -> Result<Use, Error> {
        let digest = self.digest(holder, identifier);
        let full = Error::ReplayMemoryFull {
            limit: self.identifiers_max,
        };
        let shard = usize::try_from((digest >> 64) % SHARDS as u128)
            .ok()
            .and_then(|index| self.shards.get(index))
            .ok_or(full)?;
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard.turn(now, self.window);
        if shard.knows(digest) {
            return Ok(Use::Again);
        }
        let free = self.bucket_max.saturating_sub(shard.young.len());
        if free == 0 {
            return Err(full);
        }
        if shard.young.share(digest).saturating_mul(FREE_FOR_EACH) >= free {
            return Err(Error::ReplayShareFull {
                limit: self.identifiers_max,
            });
        }
        shard.young.insert(digest);
        Ok(Use::First)
    }

    /// How many identifiers are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        let len = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.young.len() + shard.old.len()
        };
        self.shards.iter().map(len).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each part with its length before it, so that other parts are other bytes; the upper bits are the holder's
    /// alone.
    fn digest(&self, holder: &[u8], identifier: &[u8]) -> u128 {
        let mut hasher = self.secret;
        hasher.write_usize(holder.len());
        hasher.write(holder);
        let of_holder = hasher.finish128().as_u128();
        hasher.write_usize(identifier.len());
        hasher.write(identifier);
        let of_both = hasher.finish128().as_u128();
        (of_holder << (u128::BITS - HOLDER_BITS)) | (of_both & (u128::MAX >> HOLDER_BITS))
    }
}

impl Shard {
    /// Begins a new bucket when the young one has served its time. Both are over when nobody came for two
    /// windows.
    fn turn(&mut self, now: Moment, window: Duration) {
        let age = now.since(self.begun);
        if age < window {
            return;
        }
        self.old = std::mem::take(&mut self.young);
        if age >= window.saturating_mul(2) {
            self.old = Bucket::default();
        }
        self.begun = now;
    }

    fn knows(&self, digest: u128) -> bool {
        self.young.has(digest) || self.old.has(digest)
    }
}

impl Bucket {
    fn len(&self) -> usize {
        self.digests.len()
    }

    fn has(&self, digest: u128) -> bool {
        let found = self
            .digests
            .find(table_hash(digest), |known| *known == digest);
        found.is_some()
    }

    /// How many its holder has.
    fn share(&self, digest: u128) -> usize {
        let share = self.shares.get(&holder_of(digest));
        share.copied().unwrap_or_default()
    }

    fn insert(&mut self, digest: u128) {
        *self.shares.entry(holder_of(digest)).or_default() += 1;
        self.digests
            .insert_unique(table_hash(digest), digest, |digest| table_hash(*digest));
    }
}

/// The part of a digest that tells the holder.
const fn holder_of(digest: u128) -> u32 {
    (digest >> (u128::BITS - HOLDER_BITS)) as u32
}

/// The half of a digest by which the table inside a shard goes.
const fn table_hash(digest: u128) -> u64 {
    (digest & u64::MAX as u128) as u64
}
