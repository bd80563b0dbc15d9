//! The site's connections.

mod neighbours;
mod patience;

use crate::Site;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use neighbours::Neighbours;
use patience::Patient;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// People and machines that manage are few: more connections are an attack, and leave the gateway its descriptors.
const CONNECTIONS_MAX: u32 = 1_024;
/// How long a request's head may take to arrive, and a connection may stay idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest head.
const HEAD_MAX: usize = 32 * 1024;
/// The most headers.
const HEADERS_MAX: usize = 100;
/// How long is waited after a connection could not be taken, such as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// How long an answer may take to be read: thirty megabytes over a slow line.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// How long calls that run may take to end when the process does.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Where the site stands in its life, told to all its connections.
#[derive(Clone, Debug)]
pub struct Closing(watch::Sender<bool>);

impl Default for Closing {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Closing {
    /// No more connections, and no more calls on those that there are.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }
}

/// Serves until it is told to close, and then until the calls that run have their answers, with a bound.
pub async fn serve(site: Arc<Site>, listener: TcpListener, closing: Closing) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
    let neighbours = Arc::new(Neighbours::default());
    let mut closed = closing.0.subscribe();
    {
        let mut closed = pin!(closed.wait_for(|closed| *closed));
        loop {
            let next = next(&listener, &seats);
            let (stream, peer, seat) = tokio::select! {
                _ = &mut closed => break,
                next = next => match next {
                    Some(next) => next,
                    None => continue,
                },
            };
            let ip = peer.ip().to_canonical();
            // Whoever stands behind a proxy shares its address with all others there.
            let near = if site.is_trusted_proxy(ip) {
                None
            } else {
                match neighbours.let_in(ip) {
                    Some(near) => Some(near),
                    None => continue,
                }
            };
            let site = Arc::clone(&site);
            let closed = closing.0.subscribe();
            tokio::spawn(async move {
                let _near = near;
                connection(site, stream, peer, Arc::new(seat), closed).await;
            });
        }
    }
    drop(listener);
    let all = seats.acquire_many(CONNECTIONS_MAX);
    if tokio::time::timeout(DRAIN_TIMEOUT, all).await.is_err() {
        tracing::warn!("site: calls still run, and are given up");
    }
}

async fn next(
    listener: &TcpListener,
    seats: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let seat = Arc::clone(seats).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, seat)),
        Err(error) => {
            tracing::warn!(%error, "site: a connection could not be taken");
            tokio::time::sleep(PAUSE).await;
            None
        }
    }
}

async fn connection(
    site: Arc<Site>,
    stream: TcpStream,
    peer: SocketAddr,
    seat: Arc<OwnedSemaphorePermit>,
    mut closed: watch::Receiver<bool>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let site = Arc::clone(&site);
        // A call goes on when its client has left, and has its seat until it ends.
        let seat = Arc::clone(&seat);
        async move {
            let answered = site.answer(request, peer.ip().to_canonical(), seat);
            Ok::<_, Infallible>(answered.await)
        }
    });
    // Else the second of two small writes waits for the client's acknowledgement of the first, for 40 ms.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "site: a connection ended before it began");
        return;
    }
    let stream = Patient::new(TokioIo::new(stream), ANSWER_TIMEOUT);
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(stream, service)
    );
    let closing = async { closed.wait_for(|closed| *closed).await.map(drop) };
    let served = tokio::select! {
        served = &mut connection => Some(served),
        _ = closing => None,
    };
    let served = match served {
        Some(served) => served,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "site: a connection ended badly");
    }
}
