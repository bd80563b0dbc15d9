//! The keys that a node remembers: one place, shared by all workers.
//!
//! It is bounded, and at the bound it refuses: a key that were forgotten before its time would let a call be done
//! twice, which is what its client was promised not to happen. Room for the largest answer is set aside before a call
//! goes on, so that the answer to what was done can be kept.

use super::key::{Digest, Named};
use crate::message::Fields;
use crate::policy::memory::{Memory, Reservation};
use bytes::Bytes;
use http::StatusCode;
use keyward_model::{Fault, Moment};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So many locks, each for the callers that fall to it.
const SHARDS: usize = 64;
/// What a key takes beside its answer, in bytes: hashes, places in maps, what their tables leave empty.
pub(super) const OVERHEAD: usize = 512;
/// One caller may take this part of the memory, so that nobody can have all others refused alone.
const CALLER_SHARE: usize = 2;

/// All keys.
#[derive(Debug)]
pub(crate) struct KeyMemory {
    shards: [Mutex<Shard>; SHARDS],
    memory: Arc<Memory>,
    keys: AtomicUsize,
}

#[derive(Debug, Default)]
struct Shard {
    callers: HashMap<Digest, Account>,
    /// When keys are forgotten, in order. The number tells those apart that end in the same moment.
    ends: BTreeMap<(Moment, u64), Place>,
    next: u64,
}

/// The keys of one caller.
#[derive(Debug, Default)]
struct Account {
    slots: HashMap<Digest, Slot>,
    bytes: usize,
}

#[derive(Debug)]
struct Slot {
    request: Digest,
    /// `None`: the first call is under way.
    outcome: Option<Arc<Outcome>>,
    /// What it counts for in the caller's account.
    size: usize,
    /// The memory of all but the answer's body, which counts by itself.
    _memory: Option<Reservation>,
}

/// Caller and key.
#[derive(Clone, Copy, Debug)]
struct Place {
    caller: Digest,
    key: Digest,
}

/// What became of the first call with a key.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The upstream answered.
    Answer {
        status: StatusCode,
        fields: Fields,
        body: Bytes,
    },
    /// The upstream had the call, and gave no answer: what its client was told.
    Failed(Fault),
    /// It was done, or may have been, and there is no answer to give again; the status, if there was one.
    Lost(Option<StatusCode>),
}

/// What a call with a key finds.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing: it is the first, and goes on.
    First(UnderWay),
    Outcome(Arc<Outcome>),
    /// The first is not answered yet.
    UnderWay,
    /// The key was used for another request.
    OtherRequest,
    /// The caller has as many keys as one may.
    TooMany,
    /// There is no memory.
    Full,
}

/// The duty to say what became of the first call with a key.
#[derive(Debug)]
pub(super) struct UnderWay {
    keys: Arc<KeyMemory>,
    place: Place,
    room: Option<Reservation>,
    keep: Duration,
    release_unknown: bool,
    /// When what is left unsaid is forgotten.
    unsaid_until: Moment,
}

/// How a route keeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) keep: Duration,
    /// The largest answer, in bytes.
    pub(super) answer: usize,
    pub(super) release_unknown: bool,
}

/// What is remembered of idempotency keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyCounts {
    /// Keys, those of calls under way among them.
    pub keys: u64,
    /// The memory they and the answers to their calls take, in bytes, with what is set aside for calls under way.
    pub bytes: u64,
    /// The most that they may take.
    pub max_bytes: u64,
}

impl KeyMemory {
    /// `most` is in bytes.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            memory: Memory::new(most),
            keys: AtomicUsize::new(0),
        })
    }

    pub(crate) fn counts(&self) -> KeyCounts {
        KeyCounts {
            keys: self.keys.load(Ordering::Relaxed) as u64,
            bytes: self.memory.used() as u64,
            max_bytes: self.memory.most() as u64,
        }
    }

    fn shard(&self, caller: &Digest) -> Option<MutexGuard<'_, Shard>> {
        let first = caller.first().copied().unwrap_or_default();
        self.shards.get(usize::from(first) % SHARDS).map(locked)
    }

    /// Looks the key up, and takes it if nobody has.
    pub(super) fn begin(self: &Arc<Self>, named: &Named, terms: Terms, now: Moment) -> Found {
        let Some(mut shard) = self.shard(&named.caller) else {
            return Found::Full;
        };
        self.forget(&mut shard, now);
        if let Some(found) = shard.find(named) {
            return found;
        }
        let size = OVERHEAD + terms.answer;
        if self.is_too_much(&shard, &named.caller, size) {
            return Found::TooMany;
        }
        // Making room takes other locks.
        drop(shard);
        let mut room = self.memory.nothing();
        if !room.resize(size, || self.sweep(now)) {
            return Found::Full;
        }
        let Some(mut shard) = self.shard(&named.caller) else {
            return Found::Full;
        };
        // Another call may have been quicker.
        if let Some(found) = shard.find(named) {
            return found;
        }
        if self.is_too_much(&shard, &named.caller, size) {
            return Found::TooMany;
        }
        let account = shard.callers.entry(named.caller).or_default();
        account.bytes += size;
        account.slots.insert(
            named.key,
            Slot {
                request: named.request,
                outcome: None,
                size,
                _memory: None,
            },
        );
        drop(shard);
        self.keys.fetch_add(1, Ordering::Relaxed);
        Found::First(UnderWay {
            keys: Arc::clone(self),
            place: Place {
                caller: named.caller,
                key: named.key,
            },
            room: Some(room),
            keep: terms.keep,
            release_unknown: terms.release_unknown,
            unsaid_until: now.plus(terms.keep),
        })
    }

    /// Whether a key of this size is more than the caller may have.
    fn is_too_much(&self, shard: &Shard, caller: &Digest, size: usize) -> bool {
        let taken = shard.callers.get(caller).map_or(0, |account| account.bytes);
        taken + size > self.memory.most() / CALLER_SHARE
    }

    /// Forgets the keys of this shard whose time is over. Whether there were any.
    fn forget(&self, shard: &mut Shard, now: Moment) -> bool {
        let mut any = false;
        while let Some(end) = shard.ends.first_entry() {
            if end.key().0 > now {
                break;
            }
            let place = end.remove();
            any |= shard.remove(&place);
            self.keys.fetch_sub(1, Ordering::Relaxed);
        }
        any
    }

    /// Forgets what is over in any shard. Whether there was anything.
    fn sweep(&self, now: Moment) -> bool {
        let mut any = false;
        for shard in &self.shards {
            any |= self.forget(&mut locked(shard), now);
        }
        any
    }

    fn free(&self, place: &Place) {
        if let Some(mut shard) = self.shard(&place.caller)
            && shard.remove(place)
        {
            self.keys.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// `size` is that of the whole, `memory` what is not counted by the outcome itself.
    fn settle(
        &self,
        place: &Place,
        outcome: Outcome,
        (size, memory): (usize, Option<Reservation>),
        until: Moment,
    ) {
        let Some(mut shard) = self.shard(&place.caller) else {
            return;
        };
        let Some(account) = shard.callers.get_mut(&place.caller) else {
            return;
        };
        let Some(slot) = account.slots.get_mut(&place.key) else {
            return;
        };
        account.bytes = (account.bytes - slot.size) + size;
        slot.size = size;
        slot._memory = memory;
        slot.outcome = Some(Arc::new(outcome));
        let number = shard.next;
        shard.next += 1;
        shard.ends.insert((until, number), *place);
    }
}

fn locked(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    fn find(&self, named: &Named) -> Option<Found> {
        let slot = self.callers.get(&named.caller)?.slots.get(&named.key)?;
        Some(match &slot.outcome {
            _ if slot.request != named.request => Found::OtherRequest,
            Some(outcome) => Found::Outcome(Arc::clone(outcome)),
            None => Found::UnderWay,
        })
    }

    fn remove(&mut self, place: &Place) -> bool {
        let Some(account) = self.callers.get_mut(&place.caller) else {
            return false;
        };
        let Some(slot) = account.slots.remove(&place.key) else {
            return false;
        };
        account.bytes -= slot.size;
        if account.slots.is_empty() {
            self.callers.remove(&place.caller);
        }
        true
    }
}

impl UnderWay {
    /// The part of the room that is set aside which an answer's body may take whose head takes `head` bytes.
    pub(super) fn room_for_body(&mut self, head: usize) -> Option<Reservation> {
        let room = self.room.as_mut()?;
        let left = room.bytes().checked_sub(OVERHEAD + head)?;
        Some(room.split(left))
    }

    /// The call was not done: who comes next is the first.
    pub(super) fn release(mut self) {
        if self.room.take().is_some() {
            self.keys.free(&self.place);
        }
    }

    /// Whether the call was done is not known. Whether the key is free again now.
    pub(super) fn unknown(self, outcome: Outcome, now: Moment) -> bool {
        let releases = self.release_unknown;
        if releases {
            self.release();
        } else {
            self.settle(outcome, now);
        }
        releases
    }

    /// What became of the call.
    pub(super) fn settle(mut self, outcome: Outcome, now: Moment) {
        let until = now.plus(self.keep);
        self.end(outcome, until);
    }

    fn end(&mut self, outcome: Outcome, until: Moment) {
        let Some(mut room) = self.room.take() else {
            return;
        };
        let (rest, body) = match &outcome {
            Outcome::Answer { fields, body, .. } => (fields.footprint(), body.len()),
            Outcome::Failed(fault) => (fault.detail().len(), 0),
            Outcome::Lost(_) => (0, 0),
        };
        // It only shrinks: what does not fit into the room is not kept.
        room.resize(OVERHEAD + rest, || false);
        let size = OVERHEAD + rest + body;
        self.keys
            .settle(&self.place, outcome, (size, Some(room)), until);
    }
}

impl Drop for UnderWay {
    /// Nobody said what became of it.
    fn drop(&mut self) {
        if self.release_unknown && self.room.take().is_some() {
            self.keys.free(&self.place);
        } else {
            self.end(Outcome::Lost(None), self.unsaid_until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_model::{Clock as _, SystemClock};

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn terms(answer: usize) -> Terms {
        Terms {
            keep: DAY,
            answer,
            release_unknown: false,
        }
    }

    fn digest(number: usize) -> Digest {
        let mut digest = Digest::default();
        for (to, from) in digest.iter_mut().zip(number.to_le_bytes()) {
            *to = from;
        }
        digest
    }

    fn named(caller: usize, key: usize, request: usize) -> Named {
        Named {
            caller: digest(caller),
            key: digest(key),
            request: digest(request),
        }
    }

    #[track_caller]
    fn first(found: Found) -> UnderWay {
        let Found::First(under_way) = found else {
            panic!("it is the first, not {found:?}");
        };
        under_way
    }

    #[track_caller]
    fn outcome(found: Found) -> Arc<Outcome> {
        let Found::Outcome(outcome) = found else {
            panic!("there is an outcome, not {found:?}");
        };
        outcome
    }

    fn answer(mut under_way: UnderWay, body: &[u8], now: Moment) {
        drop(under_way.room_for_body(0));
        let outcome = Outcome::Answer {
            status: StatusCode::CREATED,
            fields: Fields::new(),
            body: Bytes::copy_from_slice(body),
        };
        under_way.settle(outcome, now);
    }

    #[test]
    fn a_key_is_its_callers_and_its_requests() {
        let (keys, now) = (KeyMemory::new(1 << 20), SystemClock::new().moment());
        let begin =
            |caller, key, request| keys.begin(&named(caller, key, request), terms(100), now);
        let under_way = first(begin(1, 1, 1));
        assert!(matches!(begin(1, 1, 1), Found::UnderWay));
        assert!(matches!(begin(1, 1, 2), Found::OtherRequest));
        answer(under_way, b"done", now);
        assert!(matches!(begin(1, 1, 2), Found::OtherRequest));
        let kept = outcome(begin(1, 1, 1));
        assert!(
            matches!(&*kept, Outcome::Answer { body, .. } if &**body == b"done"),
            "{kept:?}"
        );
        first(begin(2, 1, 1)).release();
        first(begin(2, 1, 3)).release();
        first(begin(1, 2, 1)).release();
        assert_eq!(keys.counts().keys, 1);
    }

    #[test]
    fn what_is_kept_goes_when_its_time_is_over_and_not_before() {
        let (keys, now) = (KeyMemory::new(1 << 20), SystemClock::new().moment());
        let at = |moment| keys.begin(&named(1, 1, 1), terms(100), moment);
        let done = now.plus(Duration::from_secs(60));
        answer(first(at(now)), b"done", done);
        let last = now.plus(DAY + Duration::from_secs(59));
        assert!(matches!(at(last), Found::Outcome(_)));
        let over = done.plus(DAY);
        first(at(over)).release();
        assert_eq!(
            keys.counts(),
            KeyCounts {
                keys: 0,
                bytes: 0,
                max_bytes: 1 << 20
            }
        );
    }

    #[test]
    fn at_the_bound_it_refuses_and_forgets_nothing() {
        let most = 16 * (OVERHEAD + 100);
        let (keys, now) = (KeyMemory::new(most), SystemClock::new().moment());
        let begin = |caller, key, now| keys.begin(&named(caller, key, 1), terms(100), now);
        for key in 0..8 {
            answer(first(begin(1, key, now)), &[7; 100], now);
        }
        assert!(
            matches!(begin(1, 8, now), Found::TooMany),
            "half is the most for one"
        );
        for key in 0..8 {
            answer(first(begin(2, key, now)), &[7; 100], now);
        }
        // Their bodies are not counted here: what holds them would be.
        let rest: Vec<_> = (0..16).map(|key| begin(3, key, now)).collect();
        let taken = rest.iter().filter(|found| matches!(found, Found::First(_)));
        let taken = taken.count();
        assert!((1..8).contains(&taken), "{taken}");
        assert!(matches!(rest.last(), Some(Found::Full)), "{rest:?}");
        for key in 0..8 {
            assert!(matches!(begin(1, key, now), Found::Outcome(_)));
        }
        // What is over makes room, in whatever shard it is.
        let later = now.plus(DAY);
        drop(first(begin(4, 1, later)));
        assert!(keys.counts().keys <= 9, "{:?}", keys.counts());
    }

    #[test]
    fn what_is_left_unsaid_is_not_done_again_unless_that_is_wanted() {
        let (keys, now) = (KeyMemory::new(1 << 20), SystemClock::new().moment());
        drop(first(keys.begin(&named(1, 1, 1), terms(100), now)));
        let unsaid = outcome(keys.begin(&named(1, 1, 1), terms(100), now));
        assert!(matches!(*unsaid, Outcome::Lost(None)), "{unsaid:?}");
        let releasing = Terms {
            release_unknown: true,
            ..terms(100)
        };
        drop(first(keys.begin(&named(1, 2, 1), releasing, now)));
        let again = first(keys.begin(&named(1, 2, 1), releasing, now));
        assert!(again.unknown(Outcome::Lost(None), now));
        first(keys.begin(&named(1, 2, 1), releasing, now)).release();
    }

    #[test]
    fn of_many_threads_one_is_the_first() {
        let (keys, now) = (KeyMemory::new(1 << 20), SystemClock::new().moment());
        let firsts: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| keys.begin(&named(1, 1, 1), terms(100), now)))
                .collect();
            let found: Vec<_> = threads.into_iter().map(|one| one.join().unwrap()).collect();
            found
                .iter()
                .filter(|found| matches!(found, Found::First(_)))
                .count()
        });
        assert_eq!(firsts, 1);
    }
}
