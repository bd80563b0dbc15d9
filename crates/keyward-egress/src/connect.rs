//! From a URL to a connection, by way of the policy.

use crate::error::Error;
use crate::policy::{Policy, Verdict};
use crate::resolver::Resolve;
use crate::url::{Host, Scheme, Url};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How many of a name's addresses are tried: enough for both families of a large service, and a bound on
/// what an answer full of dead addresses costs.
const ADDRESSES_MAX: usize = 8;

/// A connection that the policy has let through.
pub(crate) enum Connection {
    Plain(TcpStream),
    Protected(Box<TlsStream<TcpStream>>),
}

/// Resolves, judges, dials, judges again, and shakes hands. Names are resolved once a hop, and the very
/// addresses that were judged are dialled, so that a name can't change between the look and the leap.
pub(crate) async fn connect(
    url: &Url,
    policy: &Policy,
    resolver: &dyn Resolve,
    tls: &Arc<ClientConfig>,
    timeout: Duration,
) -> Result<Connection, Error> {
    let addresses = resolve(url, resolver).await?;
    let mut failure = None;
    for ip in addresses {
        let address = SocketAddr::new(ip.to_canonical(), url.port());
        // A name may have a private address beside public ones (split horizons): the public ones serve.
        match allow(url, address, policy.judge(address, url.scheme())) {
            Ok(()) => {}
            Err(error) => {
                failure.get_or_insert(error);
                continue;
            }
        }
        match dial(url, address, timeout).await {
            Ok(stream) => {
                let local = stream
                    .local_addr()
                    .map_err(|error| unreachable_at(url, address, error.to_string()))?;
                allow(url, address, policy.judge_connected(local.ip(), address))?;
                return protect(url, stream, tls).await;
            }
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| Error::Resolve {
        host: url.host().to_string(),
        why: "the name has no address".to_owned(),
    }))
}

async fn resolve(url: &Url, resolver: &dyn Resolve) -> Result<Vec<IpAddr>, Error> {
    match url.host() {
        Host::V4(address) => Ok(vec![IpAddr::V4(*address)]),
        Host::V6(address) => Ok(vec![IpAddr::V6(*address)]),
        Host::Name(name) => {
            let mut addresses = resolver
                .resolve(name)
                .await
                .map_err(|error| Error::Resolve {
                    host: name.to_string(),
                    why: error.to_string(),
                })?;
            addresses.truncate(ADDRESSES_MAX);
            Ok(addresses)
        }
    }
}

fn allow(url: &Url, address: SocketAddr, verdict: Verdict) -> Result<(), Error> {
    let host = || url.host().to_string();
    match verdict {
        Verdict::Dial => Ok(()),
        Verdict::Refuse(refusal) => Err(Error::Refused {
            host: host(),
            address,
            refusal,
        }),
        Verdict::NeedsTls => Err(Error::Unprotected {
            host: host(),
            address,
        }),
    }
}

async fn dial(url: &Url, address: SocketAddr, timeout: Duration) -> Result<TcpStream, Error> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the egress: the address has been judged"
    )]
    let connecting = TcpStream::connect(address);
    match tokio::time::timeout(timeout, connecting).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(unreachable_at(url, address, error.to_string())),
        Err(_) => Err(unreachable_at(
            url,
            address,
            format!("no connection within {timeout:?}"),
        )),
    }
}

fn unreachable_at(url: &Url, address: SocketAddr, why: String) -> Error {
    Error::Connect {
        host: url.host().to_string(),
        address,
        why,
    }
}

async fn protect(
    url: &Url,
    stream: TcpStream,
    tls: &Arc<ClientConfig>,
) -> Result<Connection, Error> {
    match url.scheme() {
        Scheme::Http => Ok(Connection::Plain(stream)),
        Scheme::Https => {
            let failed = |why: String| Error::Tls {
                host: url.host().to_string(),
                why,
            };
            let name = match url.host() {
                Host::Name(name) => ServerName::try_from(name.to_string())
                    .map_err(|_| failed("the name can't stand in a certificate".to_owned()))?,
                Host::V4(address) => ServerName::from(IpAddr::V4(*address)),
                Host::V6(address) => ServerName::from(IpAddr::V6(*address)),
            };
            let stream = TlsConnector::from(Arc::clone(tls))
                .connect(name, stream)
                .await
                .map_err(|error| failed(error.to_string()))?;
            Ok(Connection::Protected(Box::new(stream)))
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Protected(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Protected(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Protected(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Protected(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
