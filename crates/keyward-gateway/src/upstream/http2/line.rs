//! The bytes of a shared connection, and what is known of them.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What the calls on a connection and the task that drives it know in common.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// How often bytes have come.
    heard: Cell<u64>,
    /// Calls on it.
    calls: Cell<u32>,
    closed: Cell<bool>,
    /// Whether someone wants to know if the target is there.
    question: Cell<bool>,
    /// Of the task that drives the connection.
    driver: RefCell<Option<Waker>>,
}

impl Line {
    /// Another number whenever bytes have come.
    pub(crate) fn heard(&self) -> u64 {
        self.heard.get()
    }

    pub(crate) fn calls(&self) -> u32 {
        self.calls.get()
    }

    pub(super) fn call_begins(&self) {
        self.calls.set(self.calls.get().saturating_add(1));
    }

    pub(super) fn call_ends(&self) {
        self.calls.set(self.calls.get().saturating_sub(1));
    }

    /// Wants the target to be asked whether it is there.
    pub(super) fn ask(&self) {
        self.question.set(true);
        if let Some(driver) = &*self.driver.borrow() {
            driver.wake_by_ref();
        }
    }

    /// Whether it is to be asked; `context` is the driver's.
    pub(super) fn take_question(&self, context: &Context<'_>) -> bool {
        let mut driver = self.driver.borrow_mut();
        if driver.is_none() {
            *driver = Some(context.waker().clone());
        }
        self.question.take()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    pub(super) fn close(&self) {
        self.closed.set(true);
    }
}

/// A transport that tells its line whenever bytes have come.
#[derive(Debug)]
pub(crate) struct Heard<T> {
    transport: T,
    line: Rc<Line>,
}

impl<T> Heard<T> {
    pub(crate) fn new(transport: T, line: Rc<Line>) -> Self {
        Self { transport, line }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Heard<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.transport).poll_read(context, buffer);
        if buffer.filled().len() > before {
            this.line.heard.set(this.line.heard.get().wrapping_add(1));
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Heard<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().transport).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().transport).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_shutdown(context)
    }
}
