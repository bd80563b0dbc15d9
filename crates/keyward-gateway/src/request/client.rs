//! The other end of a connection.

use crate::tls::ClientCertificate;
use crate::transport::TlsPeer;
use http::HeaderValue;
use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// Who is connected, as far as the network tells.
#[derive(Debug)]
pub(crate) struct Client {
    address: IpAddr,
    address_value: HeaderValue,
    answering: Rc<Cell<u32>>,
    tls: Option<Box<TlsPeer>>,
}

impl Client {
    pub(crate) fn new(peer: SocketAddr) -> Self {
        let address = peer.ip().to_canonical();
        // Digits, dots and colons: this can't fail.
        let address_value = HeaderValue::from_str(&address.to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        Self {
            address,
            address_value,
            answering: Rc::default(),
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

    /// The certificate that the client proved itself by.
    #[expect(
        dead_code,
        reason = "read by authentication once it takes certificates"
    )]
    pub(crate) fn certificate(&self) -> Option<&ClientCertificate> {
        self.tls.as_ref()?.certificate.as_ref()
    }

    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// The address as a header's value, made once per connection.
    pub(crate) fn address_value(&self) -> &HeaderValue {
        &self.address_value
    }

    /// Whether a call has not been answered to its end.
    pub(crate) fn answering(&self) -> bool {
        self.answering.get() > 0
    }

    pub(crate) fn begin_answer(&self) -> Answering {
        self.answering.set(self.answering.get() + 1);
        Answering(Rc::clone(&self.answering))
    }
}

/// A call is being answered as long as this lives.
#[derive(Debug)]
pub(crate) struct Answering(Rc<Cell<u32>>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}
