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

impl PasswordChecks {
    /// Whether the password is the one that was hashed.
    ///
    /// # Errors
    /// [`Code::Overloaded`] when too many wait.
    pub(super) async fn is_password(&self, hash: &str, password: &str) -> Result<bool, Fault> {
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
        let places = Arc::clone(&self.places);
        let place = places.acquire_owned().await.map_err(|_closed| busy())?;
        let (hash, password) = (hash.to_owned(), Zeroizing::new(password.to_owned()));
        let check = move || {
            // Given back when the check is done, and not when the client leaves: else who asks and leaves could
            // have any number of checks done at once.
            let _place = place;
            let Ok(hash) = PasswordHash::new(&hash) else {
                return false;
            };
            // Its own costs are taken, which the configuration has bounded.
            Argon2::default()
                .verify_password(password.as_bytes(), &hash)
                .is_ok()
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

    #[tokio::test]
    async fn a_client_that_leaves_makes_no_room_for_another_check() {
        let checks = PasswordChecks::new(Handle::current());
        let hash = slow_hash("correct");
        for _ in 0..AT_ONCE {
            let asked = checks.is_password(&hash, "correct");
            // It begins, and the client leaves.
            tokio::select! {
                biased;
                _ = asked => panic!("it is checked elsewhere"),
                () = std::future::ready(()) => {}
            }
        }
        assert_eq!(checks.places.available_permits(), 0);
        assert_eq!(checks.waiting.load(Ordering::Relaxed), 0);
        until("the checks are done", async || {
            checks.places.available_permits() == AT_ONCE
        })
        .await;
        assert_eq!(checks.is_password(&hash, "correct").await, Ok(true));
        assert_eq!(checks.is_password(&hash, "wrong").await, Ok(false));
    }
}
