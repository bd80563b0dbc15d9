//! A client's connection with the strict reader of [`Framing`] in front of the HTTP library.

use super::framing::{Framing, HeadBounds};
use keyward_model::Fault;
use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What the one who drives the connection can see of it while the HTTP library owns the stream.
#[derive(Debug, Default)]
pub(crate) struct StreamView {
    fault: RefCell<Option<Fault>>,
    inside_message: Cell<bool>,
    unsent: Cell<bool>,
    /// The socket, once the HTTP library has let go of it.
    socket: RefCell<Option<TcpStream>>,
}

impl StreamView {
    /// The framing fault that ended reading.
    pub(crate) fn take_fault(&self) -> Option<Fault> {
        self.fault.borrow_mut().take()
    }

    /// Whether a request has begun to arrive and is not whole.
    pub(crate) fn inside_message(&self) -> bool {
        self.inside_message.get()
    }

    /// The socket, for what is left to do with it after the HTTP library is done.
    pub(crate) fn take_socket(&self) -> Option<TcpStream> {
        self.socket.borrow_mut().take()
    }

    /// Whether the socket took less than it was last given, so that an answer may be cut.
    pub(crate) fn unsent(&self) -> bool {
        self.unsent.get()
    }
}

/// The stream that the HTTP library reads and writes.
#[derive(Debug)]
pub(crate) struct GuardedStream {
    /// `None` only while being dropped.
    socket: Option<TcpStream>,
    framing: Framing,
    view: Rc<StreamView>,
    refused: bool,
}

impl GuardedStream {
    pub(crate) fn new(socket: TcpStream, bounds: HeadBounds) -> (Self, Rc<StreamView>) {
        let view = Rc::new(StreamView::default());
        let framing = Framing::new(bounds);
        let socket = Some(socket);
        (
            Self {
                socket,
                framing,
                view: Rc::clone(&view),
                refused: false,
            },
            view,
        )
    }

    fn socket(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.socket
            .as_mut()
            .map(Pin::new)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn note_write(&self, offered: usize, written: &Poll<io::Result<usize>>) {
        let all = matches!(written, Poll::Ready(Ok(count)) if *count == offered);
        self.view.unsent.set(!all);
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.refused {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        let before = buffer.filled().len();
        ready!(this.socket()?.poll_read(context, buffer))?;
        let arrived = buffer.filled().get(before..).unwrap_or_default();
        let outcome = this.framing.advance(arrived);
        this.view.inside_message.set(this.framing.inside_message());
        if let Err((sound, fault)) = outcome {
            this.refused = true;
            *this.view.fault.borrow_mut() = Some(fault);
            if sound == 0 {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
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
        this.note_write(bytes.len(), &written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.socket()?.poll_write_vectored(context, slices);
        this.note_write(slices.iter().map(|slice| slice.len()).sum(), &written);
        written
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
