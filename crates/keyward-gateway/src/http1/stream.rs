//! A client's connection with the strict reader of [`Framing`] in front of the HTTP library.

use super::framing::{Framing, HeadBounds};
use crate::idle_timer::IdleTimer;
use crate::transport::Transport;
use keyward_model::Fault;
use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What the one who drives the connection can see of it while the HTTP library owns the stream.
#[derive(Debug, Default)]
pub(crate) struct StreamView {
    fault: RefCell<Option<Fault>>,
    inside_message: Cell<bool>,
    unsent: Cell<bool>,
    /// The socket, once the HTTP library has let go of it.
    socket: RefCell<Option<Transport>>,
}

impl StreamView {
    /// Whether reading has ended with a framing fault.
    pub(crate) fn faulty(&self) -> bool {
        self.fault.borrow().is_some()
    }

    /// The framing fault that ended reading.
    pub(crate) fn take_fault(&self) -> Option<Fault> {
        self.fault.borrow_mut().take()
    }

    /// Whether a request has begun to arrive and is not whole.
    pub(crate) fn inside_message(&self) -> bool {
        self.inside_message.get()
    }

    /// The socket, for what is left to do with it after the HTTP library is done.
    pub(crate) fn take_socket(&self) -> Option<Transport> {
        self.socket.borrow_mut().take()
    }

    /// Whether the socket took less than it was last given, so that an answer may be cut.
    pub(crate) fn unsent(&self) -> bool {
        self.unsent.get()
    }
}

/// How long a client may take no byte of an answer before it is given up: it holds a connection, and the
/// upstream's with it.
const WRITE_STALL: Duration = Duration::from_secs(60);

/// Where the fault stood that ended reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// In a message that the HTTP library has seen no more of than a piece of its head. Whoever drives the
    /// connection ends it, once the calls before have their answers.
    Unseen,
    /// In a body that is being read, whose reader must hear of it.
    Body,
}

impl Refused {
    fn read(self) -> Poll<io::Result<()>> {
        match self {
            Self::Unseen => Poll::Pending,
            Self::Body => Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
        }
    }
}

/// The stream that the HTTP library reads and writes.
#[derive(Debug)]
pub(crate) struct GuardedStream {
    /// `None` only while being dropped.
    socket: Option<Transport>,
    framing: Framing,
    view: Rc<StreamView>,
    refused: Option<Refused>,
    stall: IdleTimer,
}

impl GuardedStream {
    pub(crate) fn new(socket: Transport, bounds: HeadBounds) -> (Self, Rc<StreamView>) {
        let view = Rc::new(StreamView::default());
        let framing = Framing::new(bounds);
        let socket = Some(socket);
        (
            Self {
                socket,
                framing,
                view: Rc::clone(&view),
                refused: None,
                stall: IdleTimer::new(WRITE_STALL),
            },
            view,
        )
    }

    fn socket(&mut self) -> io::Result<Pin<&mut Transport>> {
        self.socket
            .as_mut()
            .map(Pin::new)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Notes whether the socket took all that it was given, and gives up on a client that reads nothing.
    fn watch_write(
        &mut self,
        context: &mut Context<'_>,
        offered: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let all = matches!(&written, Poll::Ready(Ok(count)) if *count == offered);
        self.view.unsent.set(!all);
        match written {
            Poll::Pending => {
                ready!(self.stall.poll(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Ready(outcome) => {
                self.stall.moved();
                Poll::Ready(outcome)
            }
        }
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(refused) = this.refused {
            return refused.read();
        }
        let before = buffer.filled().len();
        ready!(this.socket()?.poll_read(context, buffer))?;
        let arrived = buffer.filled().get(before..).unwrap_or_default();
        let was_in_body = this.framing.inside_body();
        let outcome = this.framing.advance(arrived);
        this.view.inside_message.set(this.framing.inside_message());
        if let Err((sound, fault)) = outcome {
            // After a message that ended here, the faulty one is kept from the library as a whole.
            let refused = if was_in_body && sound == 0 {
                Refused::Body
            } else {
                Refused::Unseen
            };
            this.refused = Some(refused);
            *this.view.fault.borrow_mut() = Some(fault);
            if sound == 0 {
                buffer.set_filled(before);
                return refused.read();
            }
            buffer.set_filled(before + sound);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.socket()?.poll_write(context, bytes);
        this.watch_write(context, bytes.len(), written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.socket()?.poll_write_vectored(context, slices);
        let offered = slices.iter().map(|slice| slice.len()).sum();
        this.watch_write(context, offered, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().socket()?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().socket()?.poll_shutdown(context)
    }
}

impl Drop for GuardedStream {
    fn drop(&mut self) {
        *self.view.socket.borrow_mut() = self.socket.take();
    }
}
