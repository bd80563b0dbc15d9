//! The revocation index: what is refused although its signature holds.
//!
//! Rows come from the store; this is their index in memory. Readers hold an immutable
//! [`RevocationIndex`] and compare its epoch, so that a cache of verified tokens asks again after every
//! change and never in between.

use crate::Error;
use arc_swap::{ArcSwap, Guard};
use hashbrown::{Equivalent, HashMap};
use keyward_model::id::TeamId;
use keyward_model::revocation::{Revocation, RevocationKind};
use keyward_model::{Caller, Timestamp};
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How many revocations a node keeps unless told otherwise: some 200 MB with values of usual length.
pub const REVOCATIONS_MAX_DEFAULT: NonZeroUsize = match NonZeroUsize::new(1 << 20) {
    Some(max) => max,
    None => NonZeroUsize::MIN,
};

/// The index is split this many ways and a change copies one part: with 100,000 revocations some 400
/// entries.
const PARTS: usize = 256;

/// What a token says about itself that a revocation may name.
#[derive(Clone, Copy, Debug)]
pub struct TokenIdentity<'a> {
    /// The team whose issuer vouched for the token: one team's revocations touch no other's callers.
    pub team: TeamId,
    /// `iss`.
    pub issuer: &'a str,
    /// `jti`.
    pub token_id: Option<&'a str>,
    /// `sid`.
    pub session: Option<&'a str>,
    /// `sub`.
    pub subject: Option<&'a str>,
    /// `client_id` or `azp`.
    pub client: Option<&'a str>,
    /// The refresh family.
    pub family: Option<&'a str>,
    /// `iat`.
    pub issued_at: Option<Timestamp>,
}

impl<'a> TokenIdentity<'a> {
    /// What `caller` showed; `None` for one without an issuer, whom no revocation names.
    #[must_use]
    pub fn of(caller: &'a Caller) -> Option<Self> {
        Some(Self {
            team: caller.team?,
            issuer: caller.issuer.as_deref()?,
            token_id: caller.token_id(),
            session: caller.session(),
            subject: caller.subject(),
            client: caller.client(),
            family: caller.family(),
            issued_at: caller.issued_at,
        })
    }

    const fn value(&self, kind: RevocationKind) -> Option<&'a str> {
        match kind {
            RevocationKind::TokenId => self.token_id,
            RevocationKind::Session => self.session,
            RevocationKind::Subject => self.subject,
            RevocationKind::Client => self.client,
            RevocationKind::Family => self.family,
        }
    }
}

/// The revocations in force, as of one change. Immutable.
#[derive(Clone, Debug)]
pub struct RevocationIndex {
    epoch: u64,
    len: usize,
    parts: Box<[Arc<Part>]>,
    hash: RandomState,
}

type Part = HashMap<Revoked, Reach>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Revoked {
    team: TeamId,
    issuer: Arc<str>,
    kind: RevocationKind,
    value: Arc<str>,
}

#[derive(PartialEq, Eq, Hash)]
struct Named<'a> {
    team: TeamId,
    issuer: &'a str,
    kind: RevocationKind,
    value: &'a str,
}

impl Equivalent<Revoked> for Named<'_> {
    fn equivalent(&self, revoked: &Revoked) -> bool {
        self.team == revoked.team
            && self.kind == revoked.kind
            && *self.value == *revoked.value
            && *self.issuer == *revoked.issuer
    }
}

#[derive(Clone, Copy, Debug)]
struct Reach {
    not_before: Timestamp,
    expires: Timestamp,
}

impl RevocationIndex {
    fn empty() -> Self {
        let none = Arc::new(Part::default());
        Self {
            epoch: 0,
            len: 0,
            parts: (0..PARTS).map(|_| Arc::clone(&none)).collect(),
            hash: RandomState::new(),
        }
    }

    /// Which change this is. A cache keeps it with what it found here.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How many revocations there are, some of which may have expired.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the token is revoked at `now`, and by what it was named.
    #[must_use]
    pub fn covers(&self, token: &TokenIdentity<'_>, now: Timestamp) -> Option<RevocationKind> {
        if self.is_empty() {
            return None;
        }
        RevocationKind::ALL.into_iter().find(|kind| {
            token.value(*kind).is_some_and(|value| {
                let named = Named {
                    team: token.team,
                    issuer: token.issuer,
                    kind: *kind,
                    value,
                };
                self.reach(&named).is_some_and(|reach| {
                    now < reach.expires
                        && (!kind.spares_later()
                            || token
                                .issued_at
                                .is_none_or(|issued| issued < reach.not_before))
                })
            })
        })
    }

    fn reach(&self, named: &Named<'_>) -> Option<&Reach> {
        self.parts.get(self.part_of(named))?.get(named)
    }

    fn part_of(&self, named: &Named<'_>) -> usize {
        usize::try_from(self.hash.hash_one(named) % PARTS as u64).unwrap_or(0)
    }

    /// Of two revocations of the same value the later times count, which covers what either covers. The time
    /// this takes does not grow with what is there already, unless readers hold the part that it goes to.
    fn insert(&mut self, revocation: &Revocation) {
        let named = Named {
            team: revocation.team,
            issuer: &revocation.issuer,
            kind: revocation.kind,
            value: &revocation.value,
        };
        let index = self.part_of(&named);
        let Some(part) = self.parts.get_mut(index) else {
            return;
        };
        let part = Arc::make_mut(part);
        let before = part.len();
        match part.get_mut(&named) {
            Some(reach) => {
                reach.not_before = reach.not_before.max(revocation.not_before);
                reach.expires = reach.expires.max(revocation.expires);
            }
            None => {
                part.insert(
                    Revoked {
                        team: named.team,
                        issuer: named.issuer.into(),
                        kind: named.kind,
                        value: named.value.into(),
                    },
                    Reach {
                        not_before: revocation.not_before,
                        expires: revocation.expires,
                    },
                );
            }
        }
        self.len = self.len + part.len() - before;
    }

    fn drop_expired(&mut self, now: Timestamp) {
        for part in &mut self.parts {
            if part.values().any(|reach| reach.expires <= now) {
                Arc::make_mut(part).retain(|_, reach| now < reach.expires);
            }
        }
        self.len = self.parts.iter().map(|part| part.len()).sum();
    }
}

/// The node's revocations: one index that readers load, and an epoch they compare.
///
/// What is revoked while a token is being checked is not missed: the new index is there before the epoch
/// is raised, and a reader keeps the epoch of the index that it asked.
///
/// ```
/// use keyward_model::{Timestamp, id::{RevocationId, TeamId}};
/// use keyward_model::revocation::{Revocation, RevocationKind};
/// use keyward_state::revocation::{Revocations, TokenIdentity};
///
/// let revocations = Revocations::default();
/// let token = TokenIdentity {
///     team: TeamId::DEFAULT,
///     issuer: "https://issuer.example",
///     token_id: Some("t-1"),
///     session: None,
///     subject: Some("alice"),
///     client: None,
///     family: None,
///     issued_at: Some(Timestamp::from_seconds(100)),
/// };
/// let now = Timestamp::from_seconds(200);
/// let index = revocations.load();
/// assert_eq!(index.covers(&token, now), None);
/// let kept = index.epoch();
///
/// revocations.insert(&Revocation {
///     id: RevocationId::from_u128(1),
///     team: TeamId::DEFAULT,
///     issuer: "https://issuer.example".to_owned(),
///     kind: RevocationKind::Subject,
///     value: "alice".to_owned(),
///     not_before: now,
///     expires: Timestamp::from_seconds(4_000),
/// }, now).unwrap();
/// assert_ne!(revocations.epoch(), kept);
/// assert_eq!(revocations.load().covers(&token, now), Some(RevocationKind::Subject));
/// ```
#[derive(Debug)]
pub struct Revocations {
    index: ArcSwap<RevocationIndex>,
    epoch: AtomicU64,
    max: usize,
    /// Held while an index is made from the one before; readers never wait for it.
    change: Mutex<()>,
}

impl Default for Revocations {
    fn default() -> Self {
        Self::new(REVOCATIONS_MAX_DEFAULT)
    }
}

impl Revocations {
    /// None, with room for `max`.
    #[must_use]
    pub fn new(max: NonZeroUsize) -> Self {
        Self {
            index: ArcSwap::from_pointee(RevocationIndex::empty()),
            epoch: AtomicU64::new(0),
            max: max.get(),
            change: Mutex::new(()),
        }
    }

    /// The epoch of the newest index. What was found in an index of another epoch must be asked again.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The newest index.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<RevocationIndex>> {
        self.index.load()
    }

    /// Takes one in.
    ///
    /// # Errors
    /// [`Error::RevocationsExhausted`] when the bound is reached and none has expired: the index is then
    /// as it was.
    pub fn insert(&self, revocation: &Revocation, now: Timestamp) -> Result<(), Error> {
        self.change(|index| {
            index.insert(revocation);
            if index.len > self.max {
                index.drop_expired(now);
            }
        })
    }

    /// Puts these in the place of all there were: what the store holds.
    ///
    /// # Errors
    /// [`Error::RevocationsExhausted`] when they are more than the bound: the index is then as it was.
    pub fn replace<'a>(
        &self,
        revocations: impl IntoIterator<Item = &'a Revocation>,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.change(|index| {
            let (epoch, fresh) = (index.epoch, RevocationIndex::empty());
            *index = RevocationIndex { epoch, ..fresh };
            for revocation in revocations {
                if now < revocation.expires {
                    index.insert(revocation);
                }
                if index.len > self.max {
                    break;
                }
            }
        })
    }

    /// Forgets those whose time is over at `now`. Each is of no consequence any more, so that nothing has to be
    /// asked again.
    pub fn drop_expired(&self, now: Timestamp) {
        let _held = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut index = RevocationIndex::clone(&self.index.load());
        index.drop_expired(now);
        self.index.store(Arc::new(index));
    }

    fn change(&self, change: impl FnOnce(&mut RevocationIndex)) -> Result<(), Error> {
        let _held = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut index = RevocationIndex::clone(&self.index.load());
        change(&mut index);
        if index.len > self.max {
            return Err(Error::RevocationsExhausted { limit: self.max });
        }
        index.epoch += 1;
        let epoch = index.epoch;
        self.index.store(Arc::new(index));
        self.epoch.store(epoch, Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
