//! Noticing that something has not moved for too long.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// Fires when nothing has moved for `idle` to twice that. It costs a timer only once something has to
/// wait, and no re-arming while it flows.
#[derive(Debug)]
pub(crate) struct IdleTimer {
    idle: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    moved: bool,
}

impl IdleTimer {
    pub(crate) fn new(idle: Duration) -> Self {
        Self {
            idle,
            sleep: None,
            moved: false,
        }
    }

    /// Something moved.
    pub(crate) fn moved(&mut self) {
        self.moved = true;
    }

    /// Asked whenever something has to wait: ready when it has waited for too long.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let timer = self.sleep.get_or_insert_with(|| {
                self.moved = false;
                Box::pin(sleep(self.idle))
            });
            ready!(timer.as_mut().poll(context));
            self.sleep = None;
            if !self.moved {
                return Poll::Ready(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test(start_paused = true)]
    async fn what_does_not_move_is_noticed_and_what_moves_is_not() {
        let idle = Duration::from_secs(10);
        let mut timer = IdleTimer::new(idle);
        let waiting = |timer: &mut IdleTimer, context: &mut Context<'_>| timer.poll(context);
        for _ in 0..5 {
            let fired = tokio::time::timeout(
                Duration::from_secs(7),
                poll_fn(|context| waiting(&mut timer, context)),
            );
            assert!(fired.await.is_err());
            timer.moved();
        }
        let fired = tokio::time::timeout(idle * 2, poll_fn(|context| waiting(&mut timer, context)));
        assert!(fired.await.is_ok());
    }
}
