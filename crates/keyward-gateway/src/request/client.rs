//! The other end of a connection.

use std::net::{IpAddr, SocketAddr};

/// Who is connected, as far as the network tells.
#[derive(Debug)]
pub(crate) struct Client {
    address: IpAddr,
    address_text: Box<str>,
}

impl Client {
    pub(crate) fn new(peer: SocketAddr) -> Self {
        let address = peer.ip().to_canonical();
        Self {
            address,
            address_text: address.to_string().into_boxed_str(),
        }
    }

    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// The address as a header's value, made once per connection.
    pub(crate) fn address_text(&self) -> &[u8] {
        self.address_text.as_bytes()
    }
}
