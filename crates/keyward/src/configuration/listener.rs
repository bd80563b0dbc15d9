//! Where a node listens, and for what.

use super::listener_tls::{self, ListenerTls};
use crate::acme::AcmeChallenge;
use keyward_gateway::proxy_protocol::TrustedSenders;
use keyward_gateway::{Http3Settings, Protocols};
use keyward_model::resource::raw::{Field, Fields, Problems};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;

/// An address to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    /// Address and port.
    pub(crate) address: SocketAddr,
    /// What is served there.
    pub(crate) serves: ListenerRole,
    /// How it speaks TLS; `None` in clear.
    pub(crate) tls: Option<ListenerTls>,
    /// Who must begin with a header of the PROXY protocol.
    pub(crate) proxy_protocol: Option<TrustedSenders>,
    /// The versions of HTTP that are spoken.
    pub(crate) protocols: Protocols,
    /// How HTTP/3 is offered beside them; `None`: it is not.
    pub(crate) http3: Option<Http3Settings>,
}

impl Listener {
    /// A listener in clear.
    fn plain(address: SocketAddr, serves: ListenerRole) -> Self {
        Self {
            address,
            serves,
            tls: None,
            proxy_protocol: None,
            protocols: Protocols::HTTP1,
            http3: None,
        }
    }

    /// As `check --json` tells it.
    pub(super) fn to_json(&self) -> Value {
        let senders = self.proxy_protocol.as_ref();
        json!({
            "address": self.address,
            "serves": self.serves.as_str(),
            "protocols": protocols_json(self.protocols),
            "http3": self.http3.as_ref().map(|http3| {
                json!({ "advertised_port": http3.advertised_port.unwrap_or(self.address.port()) })
            }),
            "tls": self.tls.as_ref().map(listener_tls::to_json),
            "proxy_protocol": senders.map(|senders| {
                let from: Vec<_> = senders.from.iter().map(ToString::to_string).collect();
                json!({ "from": from })
            }),
        })
    }
}

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ListenerRole {
    /// Published APIs and key sets.
    Gateway,
    /// The management API.
    Site,
    /// Health, readiness, metrics.
    Operations,
}

impl ListenerRole {
    /// As written in `serves`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Site => "site",
            Self::Operations => "operations",
        }
    }
}

/// Reads `listeners`. Relative paths are taken from `directory`.
pub(super) fn listeners(
    fields: &Fields<'_>,
    directory: &Path,
    problems: &mut Problems,
) -> Vec<Listener> {
    let Some(field) = fields.optional("listeners") else {
        return default_listeners();
    };
    let mut listeners: Vec<Listener> = Vec::new();
    let mut all_read = true;
    for member in field.filled_list(problems).unwrap_or_default() {
        let Some(listener) = listener(member, directory, problems) else {
            all_read = false;
            continue;
        };
        if listeners
            .iter()
            .any(|other| other.address == listener.address)
        {
            problems.error(
                member.place(),
                "duplicate_address",
                format!(
                    "`listeners`: two of them share {}: each has its own address",
                    listener.address
                ),
            );
        }
        // The site itself speaks no TLS.
        if listener.serves == ListenerRole::Site && !listener.address.ip().is_loopback() {
            problems.warning(
                member.place(),
                "clear_site",
                format!(
                    "`listeners`: the site at {} is reached from other machines in clear, and tokens and secrets are sent to it: give it an address of this machine alone, with what speaks TLS before it",
                    listener.address
                ),
            );
        }
        listeners.push(listener);
    }
    // One that could not be read may be the gateway's: what is wrong with it is told, and comes first.
    let read = listeners.len();
    if all_read
        && read > 0
        && !listeners
            .iter()
            .any(|listener| listener.serves == ListenerRole::Gateway)
    {
        problems.error(
            field.place(),
            "missing_key",
            "`listeners`: none serves the gateway: add `{ address: 127.0.0.1:8080, serves: gateway }`",
        );
    }
    let gateway = || {
        let all = listeners.iter();
        all.filter(|listener| listener.serves == ListenerRole::Gateway)
    };
    let asked_in_clear = gateway()
        .flat_map(|listener| &listener.tls)
        .flat_map(|tls| &tls.acme)
        .any(|declaration| declaration.challenge == AcmeChallenge::Http01);
    let can_be_asked = |listener: &Listener| listener.tls.is_none() && listener.protocols.http1;
    if asked_in_clear && !gateway().any(can_be_asked) {
        problems.warning(
            field.place(),
            "acme",
            "`listeners`: no listener serves the gateway in clear by HTTP/1.1, and `challenge: http-01` is asked there, at port 80: add one, or write `challenge: tls-alpn-01`",
        );
    }
    listeners
}

pub(super) fn default_listeners() -> Vec<Listener> {
    [
        (8080, ListenerRole::Gateway),
        (9090, ListenerRole::Operations),
    ]
    .map(|(port, serves)| Listener::plain(SocketAddr::from(([127, 0, 0, 1], port)), serves))
    .to_vec()
}

fn listener(field: Field<'_>, directory: &Path, problems: &mut Problems) -> Option<Listener> {
    let fields = field.fields(
        &[
            "address",
            "serves",
            "protocols",
            "tls",
            "http3",
            "proxy_protocol",
        ],
        problems,
    )?;
    let address = fields
        .required("address", "write an address and a port, such as 127.0.0.1:8080", problems)
        .and_then(|field| {
            field.parsed(
                |text| text.parse().ok(),
                "is no address: write an IP address and a port, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080",
                problems,
            )
        });
    let serves = fields
        .required(
            "serves",
            "write `gateway`, `site` or `operations`",
            problems,
        )
        .and_then(|field| {
            field.one_of(
                &[
                    ("gateway", ListenerRole::Gateway),
                    ("site", ListenerRole::Site),
                    ("operations", ListenerRole::Operations),
                ],
                problems,
            )
        });
    let (tls, proxy_protocol) = (fields.optional("tls"), fields.optional("proxy_protocol"));
    let spoken = fields.optional("protocols");
    let offered = fields.optional("http3");
    for field in [&tls, &proxy_protocol, &spoken, &offered]
        .into_iter()
        .flatten()
    {
        if serves.is_some_and(|serves| serves != ListenerRole::Gateway) {
            field.refuse("is for listeners that serve the gateway alone", problems);
        }
    }
    let protocols = match spoken {
        Some(field) => protocols(field, problems)?,
        // In clear, HTTP/2 is for clients that know of it beforehand: whoever has some says so.
        None if tls.is_none() => Protocols::HTTP1,
        None => Protocols::BOTH,
    };
    let http3 = match offered {
        Some(field) => http3(field, tls.is_some(), proxy_protocol.is_some(), problems)?,
        None => None,
    };
    let tls = match tls {
        Some(field) => Some(listener_tls::tls(
            field,
            (protocols, http3.is_some()),
            directory,
            problems,
        )?),
        None => None,
    };
    let proxy_protocol = match proxy_protocol {
        Some(field) => Some(listener_tls::proxy_protocol(field, problems)?),
        None => None,
    };
    Some(Listener {
        tls,
        proxy_protocol,
        protocols,
        http3,
        ..Listener::plain(address?, serves?)
    })
}

/// Reads `http3` of a listener: `true`, or the port that clients reach it at.
#[expect(
    clippy::option_option,
    reason = "the outer is whether it could be read, as everywhere here"
)]
fn http3(
    field: Field<'_>,
    has_tls: bool,
    has_proxy_protocol: bool,
    problems: &mut Problems,
) -> Option<Option<Http3Settings>> {
    let advertised_port = match field.as_boolean() {
        Some(false) => return Some(None),
        Some(true) => None,
        None => {
            let fields = field.fields(&["advertised_port"], problems)?;
            let port = fields
                .required(
                    "advertised_port",
                    "write the UDP port that clients reach this listener at, or `http3: true` where it is the address's own",
                    problems,
                )?
                .whole(1..=u64::from(u16::MAX), problems)?;
            u16::try_from(port).ok()
        }
    };
    if !has_tls {
        field.refuse(
            "needs `tls`: HTTP/3 is spoken inside TLS alone (RFC 9001)",
            problems,
        );
        return None;
    }
    if has_proxy_protocol {
        field.refuse(
            "can't stand beside `proxy_protocol`: QUIC's packets carry no such header, so that every client would have the balancer's address; give HTTP/3 a listener of its own",
            problems,
        );
        return None;
    }
    Some(Some(Http3Settings::at(advertised_port)))
}

/// Reads `protocols` of a listener.
fn protocols(field: Field<'_>, problems: &mut Problems) -> Option<Protocols> {
    #[derive(Clone, Copy)]
    enum Spoken {
        Http1,
        Http2,
    }
    let mut protocols = Protocols {
        http1: false,
        http2: false,
    };
    for member in field.filled_list(problems)? {
        let words = [("http1", Spoken::Http1), ("http2", Spoken::Http2)];
        match member.one_of(&words, problems)? {
            Spoken::Http1 => protocols.http1 = true,
            Spoken::Http2 => protocols.http2 = true,
        }
    }
    Some(protocols)
}

fn protocols_json(protocols: Protocols) -> Vec<&'static str> {
    [(protocols.http1, "http1"), (protocols.http2, "http2")]
        .into_iter()
        .filter_map(|(spoken, name)| spoken.then_some(name))
        .collect()
}
