//! Clocks for tests.

use keyward_model::{Clock, Moment, Timestamp};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct FakeClock {
    micros: AtomicI64,
    nanos: AtomicU64,
    /// Held while both are moved, so that they move together.
    moving: Mutex<()>,
}

impl FakeClock {
    /// A clock that shows `now`; its [`Moment`] begins at one hour, so that tests can look back.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        const HOUR_NANOS: u64 = 3_600_000_000_000;
        Self {
            micros: AtomicI64::new(now.as_micros()),
            nanos: AtomicU64::new(HOUR_NANOS),
            moving: Mutex::new(()),
        }
    }

    /// Moves civil and monotonic time on.
    pub fn advance(&self, by: Duration) {
        let _held = self.moving.lock().expect("no holder panics");
        let later = self.now().plus(by);
        self.micros.store(later.as_micros(), Ordering::SeqCst);
        let later = self.moment().plus(by);
        self.nanos.store(later.as_nanos(), Ordering::SeqCst);
    }

    /// Sets civil time alone, forth or back, as an administrator can.
    pub fn set(&self, now: Timestamp) {
        self.micros.store(now.as_micros(), Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.micros.load(Ordering::SeqCst))
    }

    fn moment(&self) -> Moment {
        Moment::from_nanos(self.nanos.load(Ordering::SeqCst))
    }
}

/// A clock that follows Tokio's time, so that it stands still and leaps with it where a test has paused
/// that (`#[tokio::test(start_paused = true)]`).
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    start: tokio::time::Instant,
    civil_start: Timestamp,
}

impl TokioClock {
    /// A clock that shows `now` now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is a clock that others ask")]
    pub fn starting_at(now: Timestamp) -> Self {
        Self {
            start: tokio::time::Instant::now(),
            civil_start: now,
        }
    }

    #[expect(clippy::disallowed_methods, reason = "this is a clock that others ask")]
    fn elapsed(&self) -> Duration {
        tokio::time::Instant::now().saturating_duration_since(self.start)
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.civil_start.plus(self.elapsed())
    }

    fn moment(&self) -> Moment {
        Moment::default().plus(self.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fake_clock_moves_only_when_moved() {
        let clock = FakeClock::at(Timestamp::from_seconds(1000));
        let before = clock.moment();
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.now(), Timestamp::from_seconds(1005));
        assert_eq!(clock.moment().since(before), Duration::from_secs(5));
        clock.set(Timestamp::from_seconds(1));
        assert_eq!(clock.now(), Timestamp::from_seconds(1));
        assert_eq!(clock.moment().since(before), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_tokio_clock_follows_paused_time() {
        let clock = TokioClock::starting_at(Timestamp::from_seconds(1000));
        tokio::time::sleep(Duration::from_secs(7)).await;
        assert_eq!(clock.now(), Timestamp::from_seconds(1007));
    }
}
