//! HTTP/2 to targets (RFC 9113): one connection carries many calls of a worker at the same time.
//!
//! The frames are the `h2` crate's business. What is ours: which call goes on which connection, when a
//! connection takes no more calls, what may be sent a second time, and that nobody's slowness stops another.

mod call;
mod connection;
mod driver;
mod head;
mod line;
mod opening;
mod question;
mod shared;
#[cfg(test)]
mod tests;

pub(crate) use call::Http2Call;
pub(super) use connection::SharedConnection;
pub(super) use driver::drive;
pub(crate) use head::RequestParts;
pub(super) use line::{Heard, Line};
pub(super) use opening::Opening;
pub(super) use question::Question;
pub(super) use shared::SharedConnections;
pub(crate) use shared::Terms;

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncWrite};

/// Calls on one connection at most, where the target allows more. Beyond it, another connection carries
/// them: one lost segment holds up all that share a connection.
const STREAMS_MAX: u32 = 100;
/// What a target may send of one answer before the client has taken it: as much waits in memory for each
/// client that reads slowly.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same of all answers on a connection: as much as its calls have together, so that slow clients never use
/// up what others need.
const CONNECTION_WINDOW: u32 = STREAMS_MAX * STREAM_WINDOW;
/// The largest frame a target may send: one piece of an answer's body.
const FRAME_MAX: u32 = 64 * 1024;
/// What may wait to be sent of one request.
const SEND_BUFFER: usize = 64 * 1024;
/// The header section of an answer, as RFC 9113 counts it (section 6.5.2): as wide as in HTTP/1.1.
const HEAD_MAX: u32 = 64 * 1024;
/// What small frames may cost that wait for their calls' turn, by the measure of `h2`: 256 bytes less their own
/// for each. It ends the connection, so this is more than what comes at once while a worker does something
/// else; each call takes out what is its own (`Http2Call::absorb`).
const SMALL_FRAMES_COST: usize = 64 << 20;
/// Calls that were broken off, of which the target may still send what was on its way: as many as there are on
/// a connection, for all of their clients may leave at once.
const RESETS_REMEMBERED: usize = STREAMS_MAX as usize;
/// What stands for the number of streams until the target has told it: no number of 32 bits.
const UNSETTLED: usize = usize::MAX - 1;

/// Agrees with a target on HTTP/2: sends our preface and waits for the target's (RFC 9113, section 3.4), so
/// that the first call knows how many may follow, and one who speaks something else is found out before any
/// request is sent. The caller sets the bound of time.
///
/// # Errors
/// When the connection ends, or what comes is no HTTP/2.
pub(super) async fn agree<T: AsyncRead + AsyncWrite + Unpin>(
    transport: T,
) -> io::Result<(SendRequest<Bytes>, Connection<T, Bytes>)> {
    let (sender, mut connection) = Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_MAX)
        .max_header_list_size(HEAD_MAX)
        .max_send_buffer_size(SEND_BUFFER)
        .initial_max_send_streams(UNSETTLED)
        .data_frame_budget(SMALL_FRAMES_COST)
        .max_concurrent_reset_streams(RESETS_REMEMBERED)
        // It would end the connection, and all its calls, after so many faults of single answers as come in
        // weeks. A target can't make us reset more streams than we open.
        .max_local_error_reset_streams(None)
        .enable_push(false)
        .handshake(transport)
        .await
        .map_err(no_agreement)?;
    poll_fn(|context| {
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(context) {
            return Poll::Ready(Err(match ended {
                Ok(()) => io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "it closed the connection before it said anything in HTTP/2",
                ),
                Err(error) => no_agreement(error),
            }));
        }
        match sender.current_max_send_streams() {
            UNSETTLED => Poll::Pending,
            // It would be waited for, and another one made, for every call.
            0 => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::ConnectionRefused,
                "it takes no calls (SETTINGS_MAX_CONCURRENT_STREAMS is 0)",
            ))),
            _some => Poll::Ready(Ok(())),
        }
    })
    .await?;
    Ok((sender, connection))
}

fn no_agreement(error: h2::Error) -> io::Error {
    let kind = error
        .get_io()
        .map_or(io::ErrorKind::InvalidData, io::Error::kind);
    io::Error::new(
        kind,
        format!("it does not speak HTTP/2 here (`protocol` of the upstream): {error}"),
    )
}
