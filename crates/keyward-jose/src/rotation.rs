//! The life of signing keys: published, active, retiring, retired; or withdrawn.
//!
//! ```text
//! published ──ready and due──▶ active ──replaced──▶ retiring ──last token over──▶ retired
//!     └───────────────────────────┴───── withdraw ─────┴──────▶ withdrawn
//! ```
//!
//! Whoever verifies our tokens keeps a copy of our key set for some time. So a key must stand in the set
//! for as long as such a copy may live before it signs, and must stay there after its last signature until
//! the last token is over. This module is where that is kept; it knows no keys, only their ids, and no
//! clock.

use crate::{Error, NumericDate};
use std::fmt;

/// How long each stage lasts, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationPolicy {
    publish_before: u64,
    active_for: u64,
    retire_after: u64,
}

impl RotationPolicy {
    /// - `publish_before`: the longest time for which anybody may keep a copy of the key set (its
    ///   `max-age`, and what of it the network adds). No key signs earlier after its publication.
    /// - `active_for`: how long a key signs, if another is ready to take over then.
    /// - `retire_after`: the life of the longest token, with the leeway that verifiers grant. A key stays
    ///   in the set for so long after its last signature.
    ///
    /// # Errors
    /// [`Error::Rotation`] if keys would be active for a shorter time than their successors need to get
    /// ready.
    pub fn new(publish_before: u64, active_for: u64, retire_after: u64) -> Result<Self, Error> {
        if active_for == 0 || active_for < publish_before {
            return Err(Error::Rotation(format!(
                "keys that sign for {active_for} s can't be replaced in time, as a new key needs \
                 {publish_before} s to get known"
            )));
        }
        Ok(Self {
            publish_before,
            active_for,
            retire_after,
        })
    }
}

/// Where a key stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// In the set, waiting to sign.
    Published,
    /// In the set, signing.
    Active,
    /// In the set for the sake of tokens that it signed.
    Retiring,
    /// Out of the set: no token of it is left.
    Retired,
    /// Out of the set, whatever tokens of it are left.
    Withdrawn,
}

/// One key's life so far: plain data, to be kept in a database row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationEntry<Id> {
    /// The key.
    pub id: Id,
    /// When it came into the set.
    pub published_at: NumericDate,
    /// From when it may sign: nobody's copy of the set is without it then.
    pub ready_at: NumericDate,
    /// When it began to sign.
    pub activated_at: Option<NumericDate>,
    /// When it stopped.
    pub retiring_at: Option<NumericDate>,
    /// When it leaves the set: known from the moment it stopped to sign.
    pub retired_at: Option<NumericDate>,
    /// When it was withdrawn.
    pub withdrawn_at: Option<NumericDate>,
    /// The longest `retire_after` of the policies in force while it signed, in seconds: tokens that it
    /// signed may live for so long. 0 before it signs.
    pub retire_after: u64,
}

impl<Id> RotationEntry<Id> {
    /// Where it stands at this time.
    #[must_use]
    pub fn state(&self, now: NumericDate) -> KeyState {
        let over = |at: Option<NumericDate>| at.is_some_and(|at| at <= now);
        if self.withdrawn_at.is_some() {
            KeyState::Withdrawn
        } else if over(self.retired_at) {
            KeyState::Retired
        } else if self.retiring_at.is_some() {
            KeyState::Retiring
        } else if self.activated_at.is_some() {
            KeyState::Active
        } else {
            KeyState::Published
        }
    }
}

/// The keys of one set for one purpose (one algorithm, say), oldest first.
///
/// [`advance`](Self::advance) makes what is due happen; call it from time to time, and
/// [`publish`](Self::publish) a new key whenever [`wants_key`](Self::wants_key). That is right after a key
/// went active, so that the next one is ready long before its turn, also when its turn comes early. A node
/// that was off loses nothing but time: keys sign a little longer, never too early.
///
/// # The first key
/// The very first key of a set is active at once: before it there was no set that somebody could hold a
/// copy of. It counts that no key was ever there; keys that have been withdrawn or retired count as
/// earlier ones. Where a set has been published already, with the keys of another purpose, this doesn't
/// hold for a purpose that is added to it: that one starts with [`joining`](Self::joining).
///
/// # Emergency
/// A withdrawn key is out of the set and signs no more, at once and for good. The next key takes over in
/// the same moment if it is ready, even if the withdrawn key's time was not over. If it isn't ready,
/// **nothing signs** until it is: the promise that no verifier meets an unknown key is kept even then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation<Id> {
    policy: RotationPolicy,
    entries: Vec<RotationEntry<Id>>,
    /// Nobody can hold a copy of the set that these keys are in.
    set_is_new: bool,
}

impl<Id: Clone + PartialEq + fmt::Debug> Rotation<Id> {
    /// An empty set that was never published: its first key signs at once.
    #[must_use]
    pub fn new(policy: RotationPolicy) -> Self {
        Self {
            set_is_new: true,
            ..Self::joining(policy)
        }
    }

    /// No keys yet, in a set that has been published with others: the first key waits for `publish_before`
    /// like any.
    #[must_use]
    pub fn joining(policy: RotationPolicy) -> Self {
        Self {
            policy,
            entries: Vec::new(),
            set_is_new: false,
        }
    }

    /// A set as it was left. The policy may have changed; times that were fixed before stay, and what a key
    /// signed under a policy with longer tokens keeps its time. Without entries it is as
    /// [`joining`](Self::joining): nothing tells that the set is new.
    ///
    /// # Errors
    /// [`Error::Rotation`] if the entries can't be one set's: an id twice, two that sign, or times in an
    /// impossible order.
    pub fn restore(
        policy: RotationPolicy,
        mut entries: Vec<RotationEntry<Id>>,
    ) -> Result<Self, Error> {
        entries.sort_by_key(|entry| entry.published_at);
        for (at, entry) in entries.iter().enumerate() {
            check_order(entry)?;
            if entries.iter().take(at).any(|other| other.id == entry.id) {
                return Err(Error::Rotation(format!(
                    "key {:?} is there twice",
                    entry.id
                )));
            }
        }
        if entries.iter().filter(|entry| is_signing(entry)).count() > 1 {
            return Err(Error::Rotation("two keys are active at once".to_owned()));
        }
        for entry in &mut entries {
            if entry.activated_at.is_some() && entry.retired_at.is_none() {
                entry.retire_after = entry.retire_after.max(policy.retire_after);
            }
        }
        Ok(Self {
            entries,
            ..Self::joining(policy)
        })
    }

    /// All keys with their times, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[RotationEntry<Id>] {
        &self.entries
    }

    /// Puts a new key into the set.
    ///
    /// # Errors
    /// [`Error::Rotation`] if the id was there before.
    pub fn publish(&mut self, id: Id, now: NumericDate) -> Result<(), Error> {
        if self.entries.iter().any(|entry| entry.id == id) {
            return Err(Error::Rotation(format!(
                "key {id:?} was published before; make a new one"
            )));
        }
        let ready_at = if std::mem::take(&mut self.set_is_new) {
            now
        } else {
            now.plus(self.policy.publish_before)
        };
        self.entries.push(RotationEntry {
            id,
            published_at: now,
            ready_at,
            activated_at: None,
            retiring_at: None,
            retired_at: None,
            withdrawn_at: None,
            retire_after: 0,
        });
        self.advance(now);
        Ok(())
    }

    /// Lets a key that is ready take over, if the active one's time is over or there is none. Tells whether
    /// anything changed.
    pub fn advance(&mut self, now: NumericDate) -> bool {
        let due = self.active().and_then(|entry| entry.activated_at);
        if due.is_some_and(|since| now < since.plus(self.policy.active_for)) {
            return false;
        }
        let Some(next) = self.next_ready(now) else {
            return false;
        };
        self.hand_over(Some(next), now);
        true
    }

    /// Lets this key take over now, though the active one's time may not be over.
    ///
    /// # Errors
    /// [`Error::Rotation`] if it isn't one that waits, or if somebody may still have a copy of the set without it.
    pub fn activate(&mut self, id: &Id, now: NumericDate) -> Result<(), Error> {
        let at = self.entries.iter().position(|entry| entry.id == *id);
        let Some((at, entry)) = at.and_then(|at| Some((at, self.entries.get(at)?))) else {
            return Err(Error::Rotation(format!("there is no key {id:?}")));
        };
        if !is_waiting(entry) {
            return Err(Error::Rotation(format!(
                "key {id:?} isn't one that waits for its turn: it signs, or has signed, or was withdrawn"
            )));
        }
        if entry.ready_at > now {
            return Err(Error::Rotation(format!(
                "key {id:?} can't sign for {} s yet: until then somebody may have a copy of the set without it",
                entry.ready_at.seconds_since(now)
            )));
        }
        self.hand_over(Some(at), now);
        Ok(())
    }

    /// Lets the active key sign no more from now on, in favour of the next that is ready. What it signed stays good.
    ///
    /// # Errors
    /// [`Error::Rotation`] if it isn't the active key, or no other is ready.
    pub fn retire(&mut self, id: &Id, now: NumericDate) -> Result<(), Error> {
        if !self.active().is_some_and(|entry| entry.id == *id) {
            return Err(Error::Rotation(format!(
                "key {id:?} isn't the one that signs: there is nothing to retire; withdraw it if it must not count"
            )));
        }
        let Some(next) = self.next_ready(now) else {
            return Err(Error::Rotation(format!(
                "no other key is ready to take over from {id:?}: publish one, and wait until all copies of the set have it"
            )));
        };
        self.hand_over(Some(next), now);
        Ok(())
    }

    /// Ends all signing: the active key retires with none after it, and those that wait, which have signed nothing,
    /// are withdrawn. Tells whether anything changed.
    pub fn wind_down(&mut self, now: NumericDate) -> bool {
        let mut changed = self.active().is_some();
        self.hand_over(None, now);
        for entry in self.entries.iter_mut().filter(|entry| is_waiting(entry)) {
            entry.withdrawn_at = Some(now.max(entry.published_at));
            changed = true;
        }
        changed
    }

    fn next_ready(&self, now: NumericDate) -> Option<usize> {
        self.entries
            .iter()
            .position(|entry| is_waiting(entry) && entry.ready_at <= now)
    }

    fn hand_over(&mut self, next: Option<usize>, now: NumericDate) {
        for (at, entry) in self.entries.iter_mut().enumerate() {
            if Some(at) == next {
                entry.activated_at = Some(now);
                entry.retire_after = self.policy.retire_after;
            } else if is_signing(entry) {
                // A clock that went back must not leave times behind that can't be restored.
                let since = entry
                    .activated_at
                    .map_or(now, |activated| activated.max(now));
                entry.retiring_at = Some(since);
                entry.retired_at = Some(since.plus(entry.retire_after));
            }
        }
    }

    /// Takes a key out of the set at once, in an emergency, and lets the next one take over if it is ready.
    ///
    /// # Errors
    /// [`Error::Rotation`] if there is no such key, or it has been withdrawn.
    pub fn withdraw(&mut self, id: &Id, now: NumericDate) -> Result<(), Error> {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == *id) else {
            return Err(Error::Rotation(format!("there is no key {id:?}")));
        };
        if entry.withdrawn_at.is_some() {
            return Err(Error::Rotation(format!(
                "key {id:?} has been withdrawn already"
            )));
        }
        // A clock that went back must not leave times behind that can't be restored.
        let latest = [
            Some(now),
            Some(entry.published_at),
            entry.activated_at,
            entry.retiring_at,
        ];
        entry.withdrawn_at = latest.into_iter().flatten().max();
        self.advance(now);
        Ok(())
    }

    /// The key to sign with. `None` where no key was ever published, and after a withdrawal while the next
    /// key is not ready.
    #[must_use]
    pub fn signing_key(&self, now: NumericDate) -> Option<&Id> {
        // A clock that went back must not make a key sign before its time either.
        self.active()
            .filter(|entry| entry.ready_at <= now)
            .map(|entry| &entry.id)
    }

    /// The keys that the set shows.
    pub fn published(&self, now: NumericDate) -> impl Iterator<Item = &Id> {
        self.entries
            .iter()
            .filter(move |entry| match entry.state(now) {
                KeyState::Published | KeyState::Active | KeyState::Retiring => true,
                KeyState::Retired | KeyState::Withdrawn => false,
            })
            .map(|entry| &entry.id)
    }

    /// Whether a new key should be published: none is waiting.
    #[must_use]
    pub fn wants_key(&self) -> bool {
        !self.entries.iter().any(is_waiting)
    }

    /// When [`advance`](Self::advance) or the set as [`published`](Self::published) will change next, if
    /// nobody does anything before.
    #[must_use]
    pub fn next_change(&self, now: NumericDate) -> Option<NumericDate> {
        let due = self
            .active()
            .and_then(|entry| entry.activated_at)
            .map_or(now, |since| since.plus(self.policy.active_for));
        let takes_over = self
            .entries
            .iter()
            .filter(|entry| is_waiting(entry))
            .map(|entry| entry.ready_at.max(due))
            .min();
        let leaves = self
            .entries
            .iter()
            .filter(|entry| entry.withdrawn_at.is_none())
            .filter_map(|entry| entry.retired_at)
            .filter(|at| *at > now)
            .min();
        takes_over.into_iter().chain(leaves).min()
    }

    /// Forgets the keys that are retired, and those withdrawn so long ago that no token of them is left,
    /// and returns them: their private parts can be destroyed. The newest key is never forgotten, since it
    /// is the memory that this set is not new.
    pub fn forget_retired(&mut self, now: NumericDate) -> Vec<Id> {
        let newest = self.entries.len().saturating_sub(1);
        let mut at = 0;
        let mut forgotten = Vec::new();
        self.entries.retain(|entry| {
            let over = match entry.state(now) {
                KeyState::Retired => true,
                KeyState::Withdrawn => entry
                    .withdrawn_at
                    .is_some_and(|since| since.plus(entry.retire_after) <= now),
                KeyState::Published | KeyState::Active | KeyState::Retiring => false,
            };
            let keep = !over || at == newest;
            at += 1;
            if !keep {
                forgotten.push(entry.id.clone());
            }
            keep
        });
        forgotten
    }

    fn active(&self) -> Option<&RotationEntry<Id>> {
        self.entries.iter().find(|entry| is_signing(entry))
    }
}

fn is_signing<Id>(entry: &RotationEntry<Id>) -> bool {
    entry.activated_at.is_some() && entry.retiring_at.is_none() && entry.withdrawn_at.is_none()
}

fn is_waiting<Id>(entry: &RotationEntry<Id>) -> bool {
    entry.activated_at.is_none() && entry.withdrawn_at.is_none()
}

fn check_order<Id: fmt::Debug>(entry: &RotationEntry<Id>) -> Result<(), Error> {
    let times = [
        Some(entry.published_at),
        Some(entry.ready_at),
        entry.activated_at,
        entry.retiring_at,
        entry.retired_at,
    ];
    let complete = entry.retiring_at.is_some() == entry.retired_at.is_some()
        && (entry.activated_at.is_some() || entry.retiring_at.is_none());
    // A key can be withdrawn before it is ready, and after its end; not before what happened to it.
    let withdrawn_last = entry.withdrawn_at.is_none_or(|at| {
        entry.published_at <= at
            && entry.activated_at.is_none_or(|before| before <= at)
            && entry.retiring_at.is_none_or(|before| before <= at)
    });
    if complete && withdrawn_last && times.iter().flatten().is_sorted() {
        Ok(())
    } else {
        Err(Error::Rotation(format!(
            "the times of key {:?} are in an impossible order",
            entry.id
        )))
    }
}

#[cfg(test)]
mod tests;
