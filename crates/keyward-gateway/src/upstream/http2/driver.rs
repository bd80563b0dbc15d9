//! The task behind a shared connection: it reads and writes for all its calls, and asks a target that has
//! been silent for long whether it is still there.

use super::line::{Heard, Line};
use crate::upstream::limit::ConnectionPlace;
use crate::upstream::state::OpenConnection;
use bytes::Bytes;
use h2::client::Connection;
use h2::{Ping, PingPong};
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;

/// How long a target that is asked may take to say anything: what gRPC's clients have.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("it was closed")]
    Closed,
    #[error("{0}")]
    Failed(h2::Error),
    #[error("the target said nothing within {PING_TIMEOUT:?} though it was asked")]
    Silent,
}

/// Drives a connection until it ends. The place and the count are given back then.
pub(crate) async fn drive<T: AsyncRead + AsyncWrite + Unpin>(
    mut connection: Box<Connection<Heard<T>, Bytes>>,
    line: Rc<Line>,
    ping_interval: Duration,
    held: (OpenConnection, Option<ConnectionPlace>),
) {
    let mut watch = SilenceWatch {
        pings: connection.ping_pong(),
        heard: line.heard(),
        asked: false,
        interval: ping_interval,
    };
    let mut timer = pin!(tokio::time::sleep(ping_interval));
    let ended = poll_fn(|context| {
        loop {
            if let Poll::Ready(ended) = Pin::new(&mut *connection).poll(context) {
                return Poll::Ready(match ended {
                    Ok(()) => Ended::Closed,
                    Err(error) => Ended::Failed(error),
                });
            }
            if line.take_question(context) {
                watch.ask(timer.as_mut());
                continue;
            }
            if watch.is_answered(context) {
                watch.wait(timer.as_mut());
            }
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if watch.is_dead(&line, timer.as_mut()) {
                return Poll::Ready(Ended::Silent);
            }
        }
    })
    .await;
    line.close();
    tracing::debug!("an HTTP/2 connection to an upstream has ended: {ended}");
    // Its calls learn of it by this.
    drop(connection);
    drop(held);
}

/// Whether a target is still there.
struct SilenceWatch {
    pings: Option<PingPong>,
    /// What the line had heard when it was last looked at.
    heard: u64,
    asked: bool,
    interval: Duration,
}

impl SilenceWatch {
    /// Asks the target, unless it has been asked already.
    fn ask(&mut self, timer: Pin<&mut Sleep>) {
        if !self.asked
            && let Some(pings) = &mut self.pings
        {
            self.asked = pings.send_ping(Ping::opaque()).is_ok();
            self.wait(timer);
        }
    }

    /// Whether it has answered the question.
    fn is_answered(&mut self, context: &mut Context<'_>) -> bool {
        let answered = self.asked
            && self
                .pings
                .as_mut()
                .is_some_and(|pings| pings.poll_pong(context).is_ready());
        self.asked &= !answered;
        answered
    }

    /// Sets the timer anew.
    fn wait(&self, mut timer: Pin<&mut Sleep>) {
        let wait = if self.asked {
            PING_TIMEOUT
        } else {
            self.interval
        };
        timer.set(tokio::time::sleep(wait));
    }

    /// Looks when the timer is over. An idle connection is not asked: nobody waits on it.
    fn is_dead(&mut self, line: &Line, timer: Pin<&mut Sleep>) -> bool {
        let silent = line.heard() == std::mem::replace(&mut self.heard, line.heard());
        if self.asked && silent {
            return true;
        }
        if silent && line.calls() > 0 {
            self.ask(timer);
        } else {
            self.wait(timer);
        }
        false
    }
}
