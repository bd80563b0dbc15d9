//! The transport as the `h2` crate sees it: with what was read of it already, and counted.

use crate::transport::Transport;
use bytes::{Buf as _, Bytes};
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A client's transport, which its connection's task still has when `h2` is through with it.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    transport: Rc<RefCell<Transport>>,
    /// What was read before it was known to be HTTP/2.
    read_ahead: Bytes,
    traffic: Rc<Traffic>,
}

/// What has passed over a wire.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// Bytes that came.
    pub(super) read: Cell<u64>,
    /// Whether bytes went since this was last looked at.
    pub(super) wrote: Cell<bool>,
}

impl Wire {
    pub(super) fn new(transport: Transport, read_ahead: Bytes) -> Self {
        Self {
            transport: Rc::new(RefCell::new(transport)),
            read_ahead,
            traffic: Rc::default(),
        }
    }

    pub(super) fn traffic(&self) -> Rc<Traffic> {
        Rc::clone(&self.traffic)
    }

    /// The transport, for another use.
    pub(super) fn transport(&self) -> Rc<RefCell<Transport>> {
        Rc::clone(&self.transport)
    }

    fn count_read(&self, count: usize) {
        let read = &self.traffic.read;
        read.set(read.get().saturating_add(count as u64));
    }

    fn count_written(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.traffic.wrote.set(true);
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = if self.read_ahead.has_remaining() {
            let count = self.read_ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.read_ahead.split_to(count));
            Poll::Ready(Ok(()))
        } else {
            Pin::new(&mut *self.transport.borrow_mut()).poll_read(context, buffer)
        };
        self.count_read(buffer.filled().len().saturating_sub(before));
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.transport.borrow_mut()).poll_write(context, bytes);
        self.count_written(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut transport = self.transport.borrow_mut();
        let written = Pin::new(&mut *transport).poll_write_vectored(context, slices);
        self.count_written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.borrow().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.transport.borrow_mut()).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.transport.borrow_mut()).poll_shutdown(context)
    }
}
