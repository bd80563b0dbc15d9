//! The other end of a connection.

use crate::transport::TlsPeer;
use std::net::{IpAddr, SocketAddr};

/// Who is connected, as far as the network tells.
#[derive(Debug)]
pub(crate) struct Client {
    address: IpAddr,
    address_text: Box<str>,
    tls: Option<Box<TlsPeer>>,
}

impl Client {
    pub(crate) fn new(peer: SocketAddr) -> Self {
        let address = peer.ip().to_canonical();
        Self {
            address,
            address_text: address.to_string().into_boxed_str(),
            tls: None,
        }
    }

    /// The same, with what its TLS handshake told.
    pub(crate) fn with_tls(self, tls: Option<Box<TlsPeer>>) -> Self {
        Self { tls, ..self }
    }

    /// `http` or `https`, as the client speaks to us.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// The address as a header's value, made once per connection.
    pub(crate) fn address_text(&self) -> &[u8] {
        self.address_text.as_bytes()
    }
}
