//! How much a client may ask of a connection without making anything of it. HTTP/3 counts by it too, with the
//! bytes of its streams.
//!
//! The `h2` crate bounds what grows: header blocks and their continuations, streams that are reset before they
//! are looked at, tiny pieces of bodies, answers to `SETTINGS` and `PING` (it reads on only when those are
//! written). Two things it leaves: frames that cost time and lead to nothing, and calls that are begun only to
//! be broken off.

use keyward_model::Moment;
use std::cell::Cell;
use std::time::Duration;

/// What may be read without a call or a piece of a body among it, beside bodies that wait: room for any header
/// block that is allowed, and for hours of keep-alive `PING`s.
const ALLOWANCE: u64 = 256 * 1024;

/// What of the allowance comes back in a second: 60 frames of `PING`, of which one in ten seconds is usual.
const ALLOWANCE_PER_SECOND: u64 = 1024;

/// What a piece of a body, either way, gives back beside its own bytes: its frame's head, and what clients send
/// for a piece: two `WINDOW_UPDATE`s, and a `PING` by which some measure the path.
const PER_PIECE: u64 = 64;

/// Calls that a client may break off beyond those that it lets be answered (CVE-2023-44487). A browser that
/// leaves a page breaks off what was loading, which is less.
const BROKEN_OFF_MAX: u32 = 200;

/// One connection's restraint.
#[derive(Debug)]
pub(crate) struct Restraint {
    full: u64,
    allowance: Cell<u64>,
    /// Bytes that were read when this was last looked at.
    read: Cell<u64>,
    refilled: Cell<Moment>,
    broken_off: Cell<u32>,
}

/// Why a client has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Excess {
    #[error("it sent many frames that lead to nothing")]
    Idle,
    #[error("it broke off more calls than it let be answered")]
    BrokenOff,
}

impl Restraint {
    /// `window` bytes of bodies may come that no call has looked at yet. Their frames' heads are less than that:
    /// `h2` bounds the small ones.
    pub(crate) fn new(window: u32, now: Moment) -> Self {
        let full = ALLOWANCE + 2 * u64::from(window);
        Self {
            full,
            allowance: Cell::new(full),
            read: Cell::new(0),
            refilled: Cell::new(now),
            broken_off: Cell::new(0),
        }
    }

    /// A call has come.
    pub(crate) fn call(&self) {
        self.allowance.set(self.full);
    }

    /// A piece of a body has come, or was given to the client.
    pub(crate) fn piece(&self, bytes: usize) {
        self.give(PER_PIECE.saturating_add(bytes as u64));
    }

    /// A call was answered to its end.
    pub(crate) fn answered(&self) {
        self.broken_off.set(self.broken_off.get().saturating_sub(1));
    }

    /// The client has broken a call off.
    pub(crate) fn broken_off(&self) {
        self.broken_off.set(self.broken_off.get().saturating_add(1));
    }

    fn give(&self, bytes: u64) {
        let allowance = self.allowance.get().saturating_add(bytes);
        self.allowance.set(allowance.min(self.full));
    }

    /// Looks at it, now that so many bytes have been read in all.
    pub(crate) fn check(&self, read: u64, now: Moment) -> Result<(), Excess> {
        if self.broken_off.get() > BROKEN_OFF_MAX {
            return Err(Excess::BrokenOff);
        }
        let seconds = now.since(self.refilled.get()).as_secs();
        if seconds > 0 {
            self.give(seconds.saturating_mul(ALLOWANCE_PER_SECOND));
            self.refilled
                .set(self.refilled.get().plus(Duration::from_secs(seconds)));
        }
        let new = read.saturating_sub(self.read.replace(read));
        match self.allowance.get().checked_sub(new) {
            Some(left) => self.allowance.set(left),
            None => return Err(Excess::Idle),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Moment {
        Moment::from_nanos(1_000_000_000)
    }

    #[test]
    fn frames_that_lead_to_nothing_use_the_allowance_up() {
        let restraint = Restraint::new(0, start());
        assert_eq!(restraint.check(ALLOWANCE, start()), Ok(()));
        assert_eq!(restraint.check(ALLOWANCE + 1, start()), Err(Excess::Idle));
    }

    #[test]
    fn calls_and_bodies_give_it_back() {
        let restraint = Restraint::new(0, start());
        let mut read = 0;
        for _ in 0..10 {
            read += ALLOWANCE;
            assert_eq!(restraint.check(read, start()), Ok(()));
            restraint.call();
        }
        // Small pieces of a long stream, each with its frame's head and what is sent for it.
        for _ in 0..100_000 {
            read += 9 + 5 + 13 + 13 + 17;
            restraint.piece(5);
            assert_eq!(restraint.check(read, start()), Ok(()));
        }
    }

    #[test]
    fn a_connection_that_is_kept_alive_may_last() {
        let restraint = Restraint::new(0, start());
        let (mut read, mut now) = (0, start());
        for _ in 0..10_000 {
            read += 170;
            now = now.plus(Duration::from_secs(1));
            assert_eq!(restraint.check(read, now), Ok(()));
        }
    }

    #[test]
    fn who_breaks_off_more_than_is_answered_has_to_go() {
        let restraint = Restraint::new(0, start());
        for _ in 0..10 * BROKEN_OFF_MAX {
            restraint.broken_off();
            restraint.answered();
        }
        assert_eq!(restraint.check(0, start()), Ok(()));
        for _ in 0..BROKEN_OFF_MAX {
            restraint.broken_off();
        }
        assert_eq!(restraint.check(0, start()), Ok(()));
        restraint.broken_off();
        assert_eq!(restraint.check(0, start()), Err(Excess::BrokenOff));
    }
}
