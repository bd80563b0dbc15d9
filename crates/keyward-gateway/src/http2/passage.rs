//! A stream as a transport: what a tunnel over HTTP/2 passes through (RFC 8441).

use super::exchange::{Exchange, poll_room};
use bytes::Bytes;
use h2::SendStream;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Both directions of a stream whose answer's head was sent.
pub(super) struct Passage<'a> {
    exchange: &'a Exchange,
    stream: SendStream<Bytes>,
    shut: bool,
}

impl<'a> Passage<'a> {
    pub(super) fn new(exchange: &'a Exchange, stream: SendStream<Bytes>) -> Self {
        Self {
            exchange,
            stream,
            shut: false,
        }
    }
}

impl AsyncRead for Passage<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = ready!(self.exchange.poll_body(context))
            .map_err(|_| io::Error::from(io::ErrorKind::ConnectionReset))?;
        let count = count.min(buffer.remaining());
        self.exchange
            .use_body(count, |piece| buffer.put_slice(piece));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Passage<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let room = ready!(poll_room(&mut self.stream, bytes.len(), context)).ok_or_else(gone)?;
        let count = room.min(bytes.len());
        let piece = Bytes::copy_from_slice(bytes.get(..count).unwrap_or_default());
        self.exchange.passed(count);
        self.stream.send_data(piece, false).map_err(|_| gone())?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut {
            self.shut = true;
            self.stream
                .send_data(Bytes::new(), true)
                .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        }
        Poll::Ready(Ok(()))
    }
}
