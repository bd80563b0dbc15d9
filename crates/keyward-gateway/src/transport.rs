//! A connection as the HTTP side sees it: in clear or inside TLS; and the way of a client's to there.

use crate::proxy_protocol;
use crate::settings::{Limits, ListenerSettings};
use crate::tls::{HTTP1, HTTP2, HandshakeFailure, PresentedCertificate};
use rustls::HandshakeKind;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// The bytes of a connection: a client's, or with the client's kind of TLS stream one to an upstream.
#[derive(Debug)]
pub(crate) enum Transport<S = TlsStream<TcpStream>> {
    Tcp(TcpStream),
    Tls(Box<S>),
}

/// Who is at the other end, as far as the connection tells.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The client's address: the one that a trusted balancer named, else the connection's.
    pub(crate) address: SocketAddr,
    /// What the connection says inside TLS; `None` in clear.
    pub(crate) tls: Option<Box<TlsPeer>>,
}

/// What a handshake told.
#[derive(Debug)]
pub(crate) struct TlsPeer {
    /// The certificate the client proved itself by.
    pub(crate) certificate: Option<PresentedCertificate>,
    /// The host that the client wants (RFC 6066, section 3), in lower case.
    pub(crate) server_name: Option<Box<str>>,
    /// Whether it took up the session of an earlier connection.
    pub(crate) resumed: bool,
    /// What was agreed upon to be spoken inside.
    pub(crate) protocol: Option<ApplicationProtocol>,
    /// Where else the same is served, as clients are told (RFC 7838).
    pub(crate) alternative: Option<Arc<str>>,
}

/// What is spoken inside TLS (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ApplicationProtocol {
    Http1,
    Http2,
    Http3,
}

/// Why a connection was closed before anything was served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcceptFailure {
    #[error("nothing was agreed upon within {0:?}")]
    Late(Duration),
    #[error("{0}")]
    ProxyProtocol(io::Error),
    #[error("no TLS handshake: {0}")]
    Handshake(HandshakeFailure),
}

/// Makes an accepted socket ready to be served: the PROXY protocol's header first, where its sender is
/// trusted, then the handshake, both within one bound of time.
///
/// # Errors
/// [`AcceptFailure`]; the connection is closed then.
pub(crate) async fn accept(
    limits: &Limits,
    listener: &ListenerSettings,
    socket: TcpStream,
    address: SocketAddr,
) -> Result<(Transport, Peer), AcceptFailure> {
    let expected = listener
        .proxy_protocol
        .as_ref()
        .is_some_and(|senders| senders.contain(address.ip()));
    if !expected && listener.tls.is_none() {
        // The common way of a plain listener costs no timer.
        return Ok((Transport::Tcp(socket), Peer { address, tls: None }));
    }
    let bound = limits.handshake_timeout;
    let prepared = Box::pin(prepare(limits, listener, socket, address, expected));
    match tokio::time::timeout(bound, prepared).await {
        Ok(prepared) => prepared,
        Err(_) => Err(AcceptFailure::Late(bound)),
    }
}

async fn prepare(
    limits: &Limits,
    listener: &ListenerSettings,
    mut socket: TcpStream,
    mut address: SocketAddr,
    expected: bool,
) -> Result<(Transport, Peer), AcceptFailure> {
    if expected {
        let header = proxy_protocol::take(&mut socket)
            .await
            .map_err(AcceptFailure::ProxyProtocol)?;
        address = header.source.unwrap_or(address);
    }
    let Some(server) = &listener.tls else {
        return Ok((Transport::Tcp(socket), Peer { address, tls: None }));
    };
    let handshake = server
        .handshake(socket, limits.handshakes)
        .await
        .map_err(AcceptFailure::Handshake)?;
    let (_, connection) = handshake.stream.get_ref();
    let peer = TlsPeer {
        certificate: handshake.client,
        server_name: connection.server_name().map(Into::into),
        resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        protocol: match connection.alpn_protocol() {
            Some(HTTP2) => Some(ApplicationProtocol::Http2),
            Some(HTTP1) => Some(ApplicationProtocol::Http1),
            Some(_) | None => None,
        },
        alternative: listener
            .http3
            .as_ref()
            .and_then(|http3| http3.alternative.clone()),
    };
    Ok((
        Transport::Tls(Box::new(handshake.stream)),
        Peer {
            address,
            tls: Some(Box::new(peer)),
        },
    ))
}

impl<S: AsyncRead + Unpin> AsyncRead for Transport<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
