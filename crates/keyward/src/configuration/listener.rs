//! Where a node listens, and for what.

use keyward_model::resource::raw::{Field, Fields, Problems};
use std::net::SocketAddr;

/// An address to listen at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    /// Address and port.
    pub(crate) address: SocketAddr,
    /// What is served there.
    pub(crate) serves: ListenerRole,
}

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ListenerRole {
    /// Published APIs and key sets.
    Gateway,
    /// The authority and the pages. Nothing is served there in this version.
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

/// Reads `listeners`.
pub(super) fn listeners(fields: &Fields<'_>, problems: &mut Problems) -> Vec<Listener> {
    let Some(field) = fields.optional("listeners") else {
        return default_listeners();
    };
    let mut listeners: Vec<Listener> = Vec::new();
    for member in field.filled_list(problems).unwrap_or_default() {
        let Some(listener) = listener(member, problems) else {
            continue;
        };
        if listener.serves == ListenerRole::Site {
            problems.warning(
                member.place(),
                "not_served",
                format!(
                    "`listeners`: nothing is served at {} yet: the site comes with a later version",
                    listener.address
                ),
            );
        }
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
        listeners.push(listener);
    }
    let read = listeners.len();
    if read > 0
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
    listeners
}

pub(super) fn default_listeners() -> Vec<Listener> {
    [
        (8080, ListenerRole::Gateway),
        (9090, ListenerRole::Operations),
    ]
    .map(|(port, serves)| Listener {
        address: SocketAddr::from(([127, 0, 0, 1], port)),
        serves,
    })
    .to_vec()
}

fn listener(field: Field<'_>, problems: &mut Problems) -> Option<Listener> {
    let fields = field.fields(&["address", "serves"], problems)?;
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
    Some(Listener {
        address: address?,
        serves: serves?,
    })
}
