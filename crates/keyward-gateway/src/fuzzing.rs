//! For fuzz targets: what callers show of themselves and ask for, and what issuers say of them, read.

use crate::http1;
use crate::issuer::read_introspection;
use crate::message::Header;
pub use crate::policy::validation::Described;
use crate::public_url::PublicUrl;
use crate::request::authenticate::{bearer, read_basic, read_proof};
use crate::request::{client_address, client_certificate};
use keyward_jose::SignatureAlgorithm;
use keyward_model::Network;
use std::net::{IpAddr, Ipv4Addr};

/// A request that came whole: its head is read as HTTP/1.1, and then all that policies read in heads: the cookie
/// `session`, where it comes from by way of the proxies of `trusted`, and what a description says of it.
///
/// # Panics
/// When a cookie that was taken out is still there, or a peer that is no trusted proxy is believed.
pub fn read_request(bytes: &[u8], trusted: &[Network], described: &Described) {
    let Some((head, body)) = http1::read_whole(bytes) else {
        return;
    };
    let mut fields = head.fields.clone();
    let token = bearer::from_cookie("session", &mut fields);
    bearer::remove_cookie("session", &mut fields);
    if token.is_ok() {
        assert!(bearer::from_cookie("session", &mut fields).is_err());
    }
    let stranger = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
    let of = |peer| {
        let (told, chain) = (
            fields.all(Header::Forwarded),
            fields.all(Header::XForwardedFor),
        );
        client_address(peer, told, chain, trusted)
    };
    assert_eq!(of(stranger), stranger);
    let _whoever = of(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
    if let Some(authority) = head
        .fields
        .get(Header::Host)
        .and_then(|host| std::str::from_utf8(host).ok())
    {
        let _address = PublicUrl::parse(&format!("https://{authority}{}", head.path()));
    }
    let _fits = described.takes(&head, body);
}

/// Whether a proof of possession is read and its signature good.
#[must_use]
pub fn is_proof(text: &str, algorithms: &[SignatureAlgorithm]) -> bool {
    read_proof(text, algorithms).is_ok()
}

/// The name and the password behind `Basic`.
#[must_use]
pub fn name_and_password(text: &[u8]) -> Option<(String, String)> {
    let presented = read_basic(text).ok()?;
    let (name, password) = (presented.username(), presented.password());
    Some((name.to_owned(), password.to_owned()))
}

/// Whether an issuer's answer says that the token is active; `None` when it can't be read.
#[must_use]
pub fn is_active(answer: &[u8]) -> Option<bool> {
    read_introspection(answer)
        .ok()
        .map(|claims| claims.is_some())
}

/// Whether a certificate is read from what a proxy says.
#[must_use]
pub fn is_certificate(certificate: &[u8], chain: &[u8]) -> bool {
    client_certificate::is_read(certificate, chain)
}
