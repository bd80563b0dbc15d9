//! Passwords that somebody made up, hashed by argon2id (RFC 9106).
//!
//! A check costs tens of milliseconds and megabytes by design, and whoever calls makes us do it. So a worker never
//! does it itself, only so many are done at once, only so many wait, and the limit of failed attempts counts each
//! ten times.

use super::Attempt;
use ::argon2::{Argon2, PasswordHash, PasswordVerifier as _};
use keyward_model::{Code, Fault};
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
    places: Semaphore,
    waiting: AtomicUsize,
}

impl PasswordChecks {
    pub(crate) fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            places: Semaphore::new(AT_ONCE),
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

/// Whether the password is the one that was hashed.
pub(super) async fn is_password(
    attempt: &Attempt<'_>,
    hash: &str,
    password: &str,
) -> Result<bool, Fault> {
    let checks = &attempt.worker.shared.passwords;
    let busy = || {
        Fault::new(
            Code::Overloaded,
            "Too many passwords are being checked just now; try again in a moment",
        )
    };
    let waiting = Waiting(&checks.waiting);
    if checks.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING {
        return Err(busy());
    }
    let _place = checks.places.acquire().await.map_err(|_closed| busy())?;
    let (hash, password) = (hash.to_owned(), Zeroizing::new(password.to_owned()));
    let check = move || {
        let Ok(hash) = PasswordHash::new(&hash) else {
            return false;
        };
        // Its own costs are taken, which the configuration has bounded.
        Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok()
    };
    let good = checks.runtime.spawn_blocking(check).await;
    drop(waiting);
    good.map_err(|error| Fault::new(Code::Internal, "Something went wrong here").because(error))
}
