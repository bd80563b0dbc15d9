//! Waiting for what another process brings about: looked at again and again, with a bound.

use std::fmt::Display;
use std::time::Duration;

/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long anything may take on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many looks in a row see the same of what has come to rest.
const SAME_LOOKS: u32 = 20;

/// Waits until something holds.
///
/// # Panics
/// When it does not within a minute: `what` is in the message.
#[track_caller]
pub fn until(what: impl Display, mut holds: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let waiting = async {
            while !holds().await {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(
            waited.is_ok(),
            "{what}: not within {PATIENCE:?}, at {place}"
        );
    }
}

/// Waits until a number that has moved moves no more.
///
/// # Panics
/// When it moves on for a minute.
pub async fn until_at_rest(what: impl Display, mut number: impl FnMut() -> u64) {
    let (mut last, mut same) = (0, 0);
    let rests = async || {
        let now = number();
        same = if now > 0 && now == last { same + 1 } else { 0 };
        last = now;
        same >= SAME_LOOKS
    };
    until(what, rests).await;
}
