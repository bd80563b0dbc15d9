//! One connection to a target, driven by the task of the call that uses it.
//!
//! There is no task of its own behind it: no wake-ups between tasks, and when the call is dropped, so is
//! the connection, which cancels the call at the upstream.

use super::pool::Pool;
use super::tls::{UpstreamTransport, protect};
use crate::body::UploadBody;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;

/// What may be read ahead of a slow client, per connection.
const BUFFER_MAX: usize = 64 * 1024;
/// Header fields of an answer.
const FIELDS_MAX: usize = 128;

/// A connection that carries one call at a time.
pub(crate) struct UpstreamConnection {
    sender: SendRequest<UploadBody>,
    driver: Pin<Box<Connection<TokioIo<UpstreamTransport>, UploadBody>>>,
    closed: bool,
}

/// Why no answer came.
#[derive(Debug)]
pub(crate) enum SendFailure {
    /// The connection was gone before anything was sent; the request is untouched.
    NotSent(Box<Request<UploadBody>>),
    /// It may have been sent.
    Failed(hyper::Error),
}

impl UpstreamConnection {
    /// Connects and prepares to send.
    pub(crate) async fn connect(pool: &Pool, within: Duration) -> io::Result<Self> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the gateway's upstreams are a way out"
        )]
        let connecting = TcpStream::connect((&*pool.host, pool.port));
        let connected = async {
            let socket = connecting.await?;
            socket.set_nodelay(true)?;
            protect(socket, pool.tls.as_deref(), &pool.host).await
        };
        let transport = tokio::time::timeout(within, Box::pin(connected)).await??;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER_MAX)
            .max_headers(FIELDS_MAX)
            .handshake(TokioIo::new(transport))
            .await
            .map_err(io::Error::other)?;
        Ok(Self {
            sender,
            driver: Box::pin(connection),
            closed: false,
        })
    }

    /// Moves bytes both ways. Call it whenever the call's task is polled.
    pub(crate) fn drive(&mut self, context: &mut Context<'_>) {
        if !self.closed && self.driver.as_mut().poll(context).is_ready() {
            self.closed = true;
        }
    }

    /// Whether another call can be sent now; looks at the socket first.
    pub(crate) fn is_reusable(&mut self, context: &mut Context<'_>) -> bool {
        self.drive(context);
        !self.closed && matches!(self.sender.poll_ready(context), Poll::Ready(Ok(())))
    }

    /// Waits until a new connection can take its first call.
    pub(crate) async fn ready(&mut self) -> bool {
        poll_fn(|context| {
            self.drive(context);
            if self.closed {
                return Poll::Ready(false);
            }
            self.sender
                .poll_ready(context)
                .map(|outcome| outcome.is_ok())
        })
        .await
    }

    /// Sends the call and waits for the head of its answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<UploadBody>,
    ) -> Result<Response<Incoming>, SendFailure> {
        let answer = self.sender.try_send_request(request);
        let mut answer = pin!(answer);
        let (driver, closed) = (&mut self.driver, &mut self.closed);
        let outcome = poll_fn(|context| {
            if !*closed && driver.as_mut().poll(context).is_ready() {
                *closed = true;
            }
            answer.as_mut().poll(context)
        })
        .await;
        outcome.map_err(|mut error| match error.take_message() {
            Some(request) => SendFailure::NotSent(Box::new(request)),
            None => SendFailure::Failed(error.into_error()),
        })
    }
}

impl std::fmt::Debug for UpstreamConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamConnection")
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}
