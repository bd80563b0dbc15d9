//! The task behind a shared connection: it reads and writes for all its calls, and asks a target that has
//! been silent for long whether it is still there.

use super::line::{Heard, Line};
use crate::upstream::limit::ConnectionPlace;
use crate::upstream::state::OpenConnection;
use crate::upstream::tls::UpstreamTransport;
use bytes::Bytes;
use h2::client::Connection;
use h2::{Ping, PingPong};
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
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
pub(crate) async fn drive(
    mut connection: Box<Connection<Heard<UpstreamTransport>, Bytes>>,
    line: Rc<Line>,
    ping_interval: Duration,
    counted: OpenConnection,
    place: Option<ConnectionPlace>,
) {
    let pings = connection.ping_pong();
    let mut watch = SilenceWatch {
        pings,
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
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if watch.is_dead(&line, timer.as_mut(), context) {
                return Poll::Ready(Ended::Silent);
            }
        }
    })
    .await;
    line.close();
    tracing::debug!("an HTTP/2 connection to an upstream has ended: {ended}");
    // Its calls learn of it by this.
    drop(connection);
    drop((counted, place));
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
    /// Looks when the timer is over, and sets it anew. An idle connection is not asked: nobody waits on it.
    fn is_dead(
        &mut self,
        line: &Line,
        mut timer: Pin<&mut Sleep>,
        context: &mut Context<'_>,
    ) -> bool {
        let silent = line.heard() == self.heard && line.calls() > 0;
        if silent && self.asked {
            return true;
        }
        self.heard = line.heard();
        self.asked = false;
        if let Some(pings) = &mut self.pings {
            // Takes the answer to the question before, so that another may follow.
            let _answered = pings.poll_pong(context);
            if silent {
                self.asked = pings.send_ping(Ping::opaque()).is_ok();
            }
        }
        let wait = if self.asked {
            PING_TIMEOUT
        } else {
            self.interval
        };
        timer.set(tokio::time::sleep(wait));
        false
    }
}
