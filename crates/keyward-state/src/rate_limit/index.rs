//! Where cells are found.

use super::cell::{Cell, Gcra};
use crate::Error;
use hashbrown::HashTable;
use keyward_model::Moment;
use keyward_model::id::TeamId;
use siphasher::sip128::{Hasher128 as _, SipHasher13};
use std::borrow::Cow;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How many cells a node keeps unless told otherwise: at most some 30 MB.
pub const CELLS_MAX_DEFAULT: NonZeroUsize = match NonZeroUsize::new(1 << 18) {
    Some(max) => max,
    None => NonZeroUsize::MIN,
};

/// Locks are split this many ways, so that workers seldom meet.
const SHARDS: usize = 64;

/// Shards smaller than this are not swept: there is nothing to gain.
const SWEEP_MIN: usize = 64;

/// A subject that rests for less than this will call again: dropping its cell while there is room would only
/// have it looked up and made anew.
const RESTED: Duration = Duration::from_secs(60);

/// How long a full shard waits between sweeps, so that a flood of new subjects can't make each of its
/// calls walk the whole shard.
const SWEEP_PAUSE: Duration = Duration::from_millis(100);

/// The part of an IPv6 address that one customer gets as a rule: who has it can use any address inside.
const IPV6_NETWORK: u128 = !0 << 64;

/// What a limit counts separately.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Counted<'a> {
    /// A caller, by issuer and subject.
    Subject {
        /// The token's `iss`.
        issuer: Cow<'a, str>,
        /// The token's `sub`.
        subject: Cow<'a, str>,
    },
    /// A client address, as [`address`](Self::address) makes it.
    Address(IpAddr),
    /// Everything together. Such cells are as many as routes have limits; they are let in even at the
    /// bound, and kept as long as someone holds them.
    Route,
}

impl Counted<'_> {
    /// A client's address: an IPv4 address alone (in IPv6's clothes too), of an IPv6 address the /64
    /// network, since whoever has one address there has all of them.
    #[must_use]
    pub fn address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::Address(IpAddr::V4(address)),
            IpAddr::V6(address) => Self::Address(IpAddr::V6(Ipv6Addr::from_bits(
                address.to_bits() & IPV6_NETWORK,
            ))),
        }
    }

    const fn is_route(&self) -> bool {
        match self {
            Self::Route => true,
            Self::Subject { .. } | Self::Address(_) => false,
        }
    }
}

/// Which limit of whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LimitKey<'a> {
    /// The team that owns the limit.
    pub team: TeamId,
    /// Names the limit within the team: the same after a reload, so that a reload forgives nobody.
    pub limit: &'a str,
    /// The limit itself: a changed one counts from the start, since an arrival time means another number
    /// of calls to it.
    pub rate: Gcra,
    /// Who is counted.
    pub counted: Counted<'a>,
}

impl LimitKey<'_> {
    /// What the index knows the key by: a hash of all of it under a secret of this process.
    ///
    /// Two of a node's subjects share one with a chance of less than 2⁻⁹⁰ (2¹⁸ of them, 128 bits), and nobody
    /// who can't see the secret can look for two that do. What has no fixed length says its length before, and
    /// each kind of what is counted has its own number, so that other keys are other bytes.
    fn digest(&self, secret: &SipHasher13) -> u128 {
        let mut hasher = *secret;
        hasher.write(&self.team.as_u128().to_ne_bytes());
        hasher.write(&self.rate.to_bytes());
        write(&mut hasher, self.limit);
        match &self.counted {
            Counted::Subject { issuer, subject } => {
                hasher.write_u8(0);
                write(&mut hasher, issuer);
                write(&mut hasher, subject);
            }
            Counted::Address(IpAddr::V4(address)) => {
                hasher.write_u8(4);
                hasher.write(&address.octets());
            }
            Counted::Address(IpAddr::V6(address)) => {
                hasher.write_u8(6);
                hasher.write(&address.octets());
            }
            Counted::Route => hasher.write_u8(1),
        }
        hasher.finish128().as_u128()
    }
}

fn write(hasher: &mut SipHasher13, text: &str) {
    hasher.write_usize(text.len());
    hasher.write(text.as_bytes());
}

/// There may be as many as there are callers, so each is small: its key takes no memory of its own.
#[derive(Debug)]
struct Slot {
    digest: u128,
    is_route: bool,
    cell: Arc<Cell>,
}

impl Slot {
    /// A route's cell stays while a worker or snapshot holds it: at the bound it could not come back.
    fn evict(&self, now: Moment) -> bool {
        let held = self.is_route && Arc::strong_count(&self.cell) > 1;
        !held && self.cell.evict_if_idle(now)
    }
}

/// The half of a digest by which the table inside a shard goes.
const fn table_hash(digest: u128) -> u64 {
    (digest & u64::MAX as u128) as u64
}

#[derive(Debug)]
struct Shard {
    slots: HashTable<Slot>,
    /// The length at which idle cells are looked for.
    sweep_at: usize,
    /// No sweep before this while the shard is full.
    not_before: Moment,
}

/// All cells of a node.
///
/// Bounded: cells of subjects that have their whole burst again (idle ones) are dropped as new ones come,
/// which changes nothing for anyone. When all are in use, a new subject is refused; those that have a
/// cell go on, and none is forgotten. The bound holds per shard, a 64th of it each; a hash with a secret
/// key spreads subjects over them.
#[derive(Debug)]
pub struct RateLimits {
    shards: Box<[Mutex<Shard>]>,
    shard_max: usize,
    secret: SipHasher13,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self::new(CELLS_MAX_DEFAULT)
    }
}

impl RateLimits {
    /// Room for `cells_max` cells, rounded up to a multiple of 64.
    #[must_use]
    pub fn new(cells_max: NonZeroUsize) -> Self {
        let shard = || {
            Mutex::new(Shard {
                slots: HashTable::new(),
                sweep_at: SWEEP_MIN,
                not_before: Moment::default(),
            })
        };
        // Seeded by the system's randomness.
        let random = RandomState::new();
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            shard_max: cells_max.get().div_ceil(SHARDS),
            secret: SipHasher13::new_with_keys(random.hash_one(0_u8), random.hash_one(1_u8)),
        }
    }

    /// The cell of `key`, made if there is none. Keep it, and take from it without coming back here until
    /// it says that it was evicted.
    ///
    /// # Errors
    /// [`Error::CellsExhausted`] when the bound is reached and no cell is idle.
    pub fn cell(&self, key: &LimitKey<'_>, now: Moment) -> Result<Arc<Cell>, Error> {
        let digest = key.digest(&self.secret);
        let exhausted = Error::CellsExhausted {
            limit: self.shard_max.saturating_mul(SHARDS),
        };
        let shard = usize::try_from((digest >> 64) % SHARDS as u128)
            .ok()
            .and_then(|index| self.shards.get(index))
            .ok_or(exhausted)?;
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let found = shard
            .slots
            .find(table_hash(digest), |slot| slot.digest == digest);
        if let Some(slot) = found {
            return Ok(Arc::clone(&slot.cell));
        }
        shard.make_room(self.shard_max, now);
        let is_route = key.counted.is_route();
        if shard.slots.len() >= self.shard_max && !is_route {
            return Err(exhausted);
        }
        let cell = Arc::new(Cell::idle());
        let slot = Slot {
            digest,
            is_route,
            cell: Arc::clone(&cell),
        };
        shard
            .slots
            .insert_unique(table_hash(digest), slot, |slot| table_hash(slot.digest));
        Ok(cell)
    }

    /// How many cells there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let len = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.slots.len()
        };
        self.shards.iter().map(len).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Shard {
    /// Drops cells that have long been idle once the shard has doubled since the last time, so that each new
    /// cell pays for a fixed number of looks; when it is full, all idle ones, at most once in [`SWEEP_PAUSE`].
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
        let idle_since = if full { now } else { now.minus(RESTED) };
        self.slots.retain(|slot| !slot.evict(idle_since));
        self.sweep_at = self.slots.len().saturating_mul(2).max(SWEEP_MIN);
        if full {
            self.not_before = now.plus(SWEEP_PAUSE);
        }
    }
}
