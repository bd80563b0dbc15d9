//! What is refused before anyone asks who calls.

use super::{Client, forwarded, headers};
use crate::body::RequestBody;
use crate::message::{Fields, Header, RequestHead};
use crate::snapshot::Route;
use crate::worker::Worker;
use keyward_model::id::RequestId;
use keyward_model::{Code, Fault};
use std::net::IpAddr;

/// Where a call comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallOrigin {
    /// The client's address: the peer's, or what a trusted proxy says of it.
    pub(crate) address: IpAddr,
    /// Whether the peer is a trusted proxy.
    pub(crate) trusted_proxy: bool,
}

/// Bounds and forged headers. A body that says it is too large is refused unread.
pub(crate) fn screen(
    worker: &Worker,
    route: &Route,
    client: &Client,
    head: &mut RequestHead,
    body: &RequestBody,
) -> Result<CallOrigin, Fault> {
    if let Some(authority) = head.authority() {
        // RFC 9112, section 3.2.2: with a target in absolute form, `Host` is ignored.
        let host = authority.rsplit('@').next().unwrap_or_default().to_owned();
        head.fields.set(Header::Host, host.as_bytes());
    }
    if let Some(expectation) = head.fields.get(Header::Expect)
        && !expectation.eq_ignore_ascii_case(b"100-continue")
    {
        return Err(Fault::new(
            Code::ExpectationFailed,
            "`Expect` may be `100-continue` alone",
        ));
    }
    let declared = body.left().unwrap_or_default();
    if let Some(bound) = route.max_body_bytes.filter(|bound| declared > *bound) {
        return Err(Fault::new(
            Code::BodyTooLarge,
            format!("The body has {declared} bytes; this API takes {bound}"),
        ));
    }
    // On open routes too: what an upstream believes about callers comes from us alone.
    route.forged.strip(&mut head.fields);
    headers::strip_connection_options(&mut head.fields);
    Ok(origin(worker, client, &head.fields))
}

/// The id that a trusted proxy has given the call already, so that one id stands in its log and in ours.
/// One that is not written as ours are is not taken over: it would not fit in what is recorded.
pub(crate) fn believed_request_id(
    worker: &Worker,
    client: &Client,
    fields: &Fields,
) -> Option<RequestId> {
    let mut given = fields.all(Header::RequestId);
    let (only, None) = (given.next()?, given.next()) else {
        return None;
    };
    let id = std::str::from_utf8(only).ok()?.parse().ok()?;
    is_trusted(worker, client.address()).then_some(id)
}

/// Whether the address is a trusted proxy's.
pub(crate) fn is_trusted(worker: &Worker, address: IpAddr) -> bool {
    let networks = &worker.settings.trusted_proxies;
    networks.iter().any(|network| network.contains(address))
}

fn origin(worker: &Worker, client: &Client, fields: &Fields) -> CallOrigin {
    let peer = client.address();
    let told = fields.all(Header::XForwardedFor);
    CallOrigin {
        // What `Forwarded` says stands there too by now.
        address: forwarded::walk(peer, told, &worker.settings.trusted_proxies),
        trusted_proxy: is_trusted(worker, peer),
    }
}
