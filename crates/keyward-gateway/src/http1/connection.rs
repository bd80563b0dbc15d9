//! One client's connection, from accept to close.

use super::framing::HeadBounds;
use super::stream::{GuardedStream, StreamView};
use crate::drain::Subscription;
use crate::problem;
use crate::request::{Client, serve_call};
use crate::worker::Worker;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use keyward_model::{Code, Fault};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a refused client may take to read the answer before the connection is cut.
const LINGER: Duration = Duration::from_secs(2);
/// How much of what a refused client still sends is read and thrown away, so that the answer is not
/// lost to a reset (RFC 9112, section 9.6).
const LINGER_BYTES: usize = 256 * 1024;
/// The HTTP library's buffer for one connection: what may be read ahead and not yet forwarded.
const BUFFER_MAX: usize = 64 * 1024;

/// Serves the connection until it closes.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    socket: TcpStream,
    peer: SocketAddr,
    drain: &mut Subscription,
) {
    let limits = &worker.settings.limits;
    let bounds = HeadBounds {
        line: limits.request_line_bytes,
        head: limits.head_bytes,
        fields: limits.header_fields,
    };
    let (stream, view) = GuardedStream::new(socket, bounds);
    let client = Rc::new(Client::new(peer));
    let served = drive(&worker, &client, &view, stream, drain).await;
    let late = served.err().and_then(|error| late_head(&error, &view));
    let refusal = view.take_fault().or(late);
    let Some(socket) = view.take_socket() else {
        return;
    };
    match refusal {
        Some(fault) => refuse(&worker, &client, &view, socket, fault).await,
        None if view.inside_message() => linger(socket).await,
        None => {}
    }
}

async fn drive(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    view: &StreamView,
    stream: GuardedStream,
    drain: &mut Subscription,
) -> Result<(), hyper::Error> {
    let limits = &worker.settings.limits;
    let service = service_fn(|request| {
        let (worker, client) = (Rc::clone(worker), Rc::clone(client));
        async move { Ok::<_, Infallible>(serve_call(worker, client, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(BUFFER_MAX.max(limits.head_bytes + limits.request_line_bytes))
        .max_headers(limits.header_fields)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    std::future::poll_fn(|context| {
        if drain.poll(context, client.answering() || view.inside_message()) {
            connection.as_mut().graceful_shutdown();
        }
        let mut outcome = connection.as_mut().poll(context);
        // The call that just began is the last one here.
        if outcome.is_pending() && drain.poll(context, client.answering()) {
            connection.as_mut().graceful_shutdown();
            outcome = connection.as_mut().poll(context);
        }
        // What was answered before the fault has been sent by now, unless the socket is full.
        let faulty = view.faulty() && !client.answering() && !view.unsent();
        if outcome.is_pending() && (faulty || worker.drain.cut()) {
            return Poll::Ready(Ok(()));
        }
        outcome
    })
    .await
}

/// A head that began and did not end in time deserves an answer; an idle connection just closes.
fn late_head(error: &hyper::Error, view: &StreamView) -> Option<Fault> {
    (error.is_timeout() && view.inside_message()).then(|| {
        Fault::new(
            Code::RequestTimeout,
            "The request's head did not arrive in time; send it again",
        )
    })
}

async fn refuse(
    worker: &Rc<Worker>,
    client: &Client,
    view: &StreamView,
    mut socket: TcpStream,
    fault: Fault,
) {
    let request_id = worker.request_id();
    worker.record_unreadable(client, request_id, &fault);
    // In the middle of another answer these bytes would be taken for a part of it.
    if client.answering() || view.unsent() {
        return;
    }
    let answer = problem::raw_answer(&fault, request_id);
    let sent = tokio::time::timeout(LINGER, socket.write_all(&answer)).await;
    if matches!(sent, Ok(Ok(()))) {
        linger(socket).await;
    }
}

async fn linger(mut socket: TcpStream) {
    let discard = async {
        socket.shutdown().await.ok()?;
        let mut scratch = [0u8; 4096];
        let mut discarded = 0;
        while discarded < LINGER_BYTES {
            match socket.read(&mut scratch).await {
                Ok(0) | Err(_) => break,
                Ok(count) => discarded += count,
            }
        }
        Some(())
    };
    // However it ends, the socket closes now.
    let _elapsed_or_done = tokio::time::timeout(LINGER, discard).await;
}
