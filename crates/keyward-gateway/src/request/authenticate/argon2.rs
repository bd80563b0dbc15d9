//! Passwords that somebody made up, hashed by argon2id (RFC 9106).
//!
//! A check costs tens of milliseconds and megabytes by design, and whoever calls makes us do it. So a worker never
//! does it itself, only so many are done at once, only so many wait, and the limit of failed attempts counts each
//! ten times.

use ::argon2::{Argon2, PasswordHash, PasswordVerifier as _};
use keyward_model::{Code, Fault};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Checks at once, over all workers: the calls that need none keep the other cores. With 64 MiB each, the most
/// that a hash may ask for, 128 MiB.
const AT_ONCE: usize = 2;
/// Checks that wait, over all workers: at 50 ms each, for less than a second.
const WAITING: usize = 32;

/// Where passwords are checked.
#[derive(Debug)]
pub(crate) struct PasswordChecks {
    runtime: Handle,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl PasswordChecks {
    pub(crate) fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            places: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: AtomicUsize::new(0),
        }
    }
}

/// One that waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Something that is done at the end, unless it was taken back.
struct UnlessTaken<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> UnlessTaken<F> {
    fn take(mut self) {
        self.0 = None;
    }
}

impl<F: FnOnce()> Drop for UnlessTaken<F> {
    fn drop(&mut self) {
        if let Some(at_the_end) = self.0.take() {
            at_the_end();
        }
    }
}

impl PasswordChecks {
    /// Whether the password is the one that was hashed. `wrong` is called when it is not, and when the client leaves
    /// before that is known: who leaves in the middle has tried all the same, and has held a place. Whose password was
    /// good and who left during the check has done nothing wrong.
    ///
    /// # Errors
    /// [`Code::Overloaded`] when too many wait. Nothing was tried then.
    pub(super) async fn is_password(
        &self,
        hash: &str,
        password: &str,
        wrong: impl FnOnce() + Send + 'static,
    ) -> Result<bool, Fault> {
        let busy = || {
            Fault::new(
                Code::Overloaded,
                "Too many passwords are being checked just now; try again in a moment",
            )
        };
        let waiting = Waiting(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING {
            return Err(busy());
        }
        let wrong = UnlessTaken(Some(wrong));
        let places = Arc::clone(&self.places);
        let place = places.acquire_owned().await.map_err(|_closed| busy())?;
        let (hash, password) = (hash.to_owned(), Zeroizing::new(password.to_owned()));
        let check = move || {
            // Given back when the check is done, and not when the client leaves: else who asks and leaves could
            // have any number of checks done at once.
            let _place = place;
            // Its own costs are taken, which the configuration has bounded.
            let good = PasswordHash::new(&hash).is_ok_and(|hash| {
                let argon2 = Argon2::default();
                argon2.verify_password(password.as_bytes(), &hash).is_ok()
            });
            // Counted here, where nobody has to be waiting for the answer.
            if good {
                wrong.take();
            } else {
                drop(wrong);
            }
            good
        };
        let good = self.runtime.spawn_blocking(check).await;
        drop(waiting);
        good.map_err(|error| Fault::new(Code::Internal, "Something went wrong here").because(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::argon2::password_hash::{PasswordHasher as _, SaltString};
    use ::argon2::{Algorithm, Params, Version};
    use keyward_testkit::until;

    /// A hash of `password` that takes a while to check.
    fn slow_hash(password: &str) -> String {
        let params = Params::new(8 * 1024, 20, 1, None).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let salt = SaltString::encode_b64(&[7; 16]).unwrap();
        let hash = argon2.hash_password(password.as_bytes(), &salt).unwrap();
        hash.to_string()
    }

    /// Asks, and leaves as soon as that is waited for.
    async fn ask_and_leave(
        checks: &PasswordChecks,
        hash: &str,
        password: &str,
        counted: &Arc<AtomicUsize>,
    ) {
        let asked = checks.is_password(hash, password, one_more(counted));
        tokio::select! {
            biased;
            _ = asked => panic!("it is checked elsewhere"),
            () = std::future::ready(()) => {}
        }
    }

    fn one_more(counted: &Arc<AtomicUsize>) -> impl FnOnce() + Send + 'static {
        let counted = Arc::clone(counted);
        move || {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    }

    async fn until_done(checks: &PasswordChecks) {
        until("the checks are done", async || {
            checks.places.available_permits() == AT_ONCE
        })
        .await;
    }

    #[tokio::test]
    async fn a_client_that_leaves_makes_no_room_for_another_check() {
        let checks = PasswordChecks::new(Handle::current());
        let hash = slow_hash("correct");
        let counted = Arc::default();
        for _ in 0..AT_ONCE {
            ask_and_leave(&checks, &hash, "correct", &counted).await;
        }
        assert_eq!(checks.places.available_permits(), 0);
        assert_eq!(checks.waiting.load(Ordering::Relaxed), 0);
        until_done(&checks).await;
        // Who left had the right one.
        assert_eq!(counted.load(Ordering::SeqCst), 0);
        for (password, good, failures) in [("correct", true, 0), ("wrong", false, 1)] {
            let found = checks.is_password(&hash, password, one_more(&counted));
            assert_eq!(found.await, Ok(good));
            assert_eq!(counted.load(Ordering::SeqCst), failures, "{password}");
        }
    }

    #[tokio::test]
    async fn who_leaves_in_the_middle_has_tried_all_the_same() {
        let checks = PasswordChecks::new(Handle::current());
        let hash = slow_hash("correct");
        let counted = Arc::default();
        for _ in 0..AT_ONCE {
            ask_and_leave(&checks, &hash, "wrong", &counted).await;
        }
        // These leave while they wait for a place: they have held up others, whatever their password.
        for password in ["wrong", "correct"] {
            ask_and_leave(&checks, &hash, password, &counted).await;
        }
        until_done(&checks).await;
        assert_eq!(counted.load(Ordering::SeqCst), AT_ONCE + 2);
    }
}
