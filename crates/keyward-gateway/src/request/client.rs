//! The other end of a connection.

use super::client_certificate::KnownCertificate;
use crate::message::{Fields, Header, Version};
use crate::tls::PresentedCertificate;
use crate::transport::TlsPeer;
use std::cell::OnceCell;
use std::net::{IpAddr, SocketAddr};

/// Who is connected, as far as the network tells.
#[derive(Debug)]
pub(crate) struct Client {
    address: IpAddr,
    address_text: Box<str>,
    /// What upstreams are told of it, with the version that it speaks.
    told: OnceCell<(Version, Fields)>,
    tls: Option<Box<TlsPeer>>,
    /// What the connection's certificate means to the APIs that were called over it.
    pub(super) known_certificate: KnownCertificate,
}

impl Client {
    pub(crate) fn new(peer: SocketAddr) -> Self {
        let address = peer.ip().to_canonical();
        Self {
            address,
            address_text: address.to_string().into_boxed_str(),
            told: OnceCell::new(),
            tls: None,
            known_certificate: KnownCertificate::default(),
        }
    }

    /// The same, with what its TLS handshake told.
    pub(crate) fn with_tls(self, tls: Option<Box<TlsPeer>>) -> Self {
        Self { tls, ..self }
    }

    /// Whether its address is this one.
    pub(crate) fn is_at(&self, peer: SocketAddr) -> bool {
        peer.ip().to_canonical() == self.address
    }

    /// Where else the same is served, for `Alt-Svc`.
    pub(crate) fn alternative(&self) -> Option<&str> {
        self.tls.as_ref()?.alternative.as_deref()
    }

    /// `http` or `https`, as the client speaks to us.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.is_protected() { "https" } else { "http" }
    }

    /// Whether the client speaks TLS with us.
    pub(crate) fn is_protected(&self) -> bool {
        self.tls.is_some()
    }

    /// The certificate that the connection was made with.
    pub(crate) fn certificate(&self) -> Option<&PresentedCertificate> {
        self.tls.as_ref()?.certificate.as_ref()
    }

    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// Tells an upstream who calls, where no trusted proxy has told it already: made once per connection, which
    /// speaks one version on all but odd ones.
    pub(crate) fn tell(&self, version: Version, fields: &mut Fields) {
        let make = || {
            let mut told = Fields::with_room(80, 3);
            told.append(Header::XForwardedFor, self.address_text());
            told.append(Header::XForwardedProto, self.scheme().as_bytes());
            told.append(Header::Via, version.of_via());
            told
        };
        let (known, told) = self.told.get_or_init(|| (version, make()));
        if *known == version {
            fields.append_all(told);
        } else {
            fields.append_all(&make());
        }
    }

    /// The address as a header's value, made once per connection.
    pub(crate) fn address_text(&self) -> &[u8] {
        self.address_text.as_bytes()
    }
}
