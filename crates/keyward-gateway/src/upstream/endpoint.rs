//! Where a target is, and how it is connected to.

use super::guard::UpstreamGuard;
use super::state::TargetState;
use super::tls::{HTTP_2, UpstreamTls, UpstreamTransport, protect};
use crate::transport::Transport;
use keyward_model::Clock;
use keyward_model::network::Refusal;
use keyward_model::resource::upstream::Protocol;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// A target as connections see it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
    pub(crate) tls: Option<Arc<UpstreamTls>>,
    pub(crate) protocol: Protocol,
    /// What it may not be; `None` where the operator has named it.
    pub(crate) guard: Option<Arc<UpstreamGuard>>,
    pub(crate) state: Arc<TargetState>,
}

/// A connection that was made.
pub(super) struct Reached {
    pub(super) transport: UpstreamTransport,
    /// Whether HTTP/2 is spoken on it.
    pub(super) shared: bool,
    pub(super) address: IpAddr,
    /// Of the addresses, when it was made.
    pub(super) generation: u32,
}

impl Endpoint {
    /// Connects within this time: to one address after the other, each judged before it is dialled and
    /// again when it is connected to.
    pub(super) async fn connect(&self, within: Duration, clock: &dyn Clock) -> io::Result<Reached> {
        match tokio::time::timeout(within, Box::pin(self.reach(within, clock))).await {
            Ok(reached) => reached,
            Err(_) => Err(late(within)),
        }
    }

    async fn reach(&self, within: Duration, clock: &dyn Clock) -> io::Result<Reached> {
        let addresses = &self.state.addresses;
        let generation = addresses.generation();
        let begun = clock.moment();
        let mut ips = addresses.in_turn(&self.host, begun).await?.into_iter();
        let mut failure = None;
        while let Some(ip) = ips.next() {
            let address = SocketAddr::new(ip, self.port);
            // One that does not answer leaves time for the next.
            let left = within.saturating_sub(clock.moment().since(begun));
            let share = if ips.len() == 0 { left } else { left / 2 };
            let dialled = tokio::time::timeout(share, self.dial(address)).await;
            match dialled.unwrap_or_else(|_| Err(late(share))) {
                Ok(socket) => {
                    let transport = protect(socket, self.tls.as_deref(), &self.host).await?;
                    return Ok(Reached {
                        shared: speaks_http2(self.protocol, &transport)?,
                        transport,
                        address: ip,
                        generation,
                    });
                }
                Err(error) => {
                    addresses.failed(ip, clock.moment());
                    failure = Some(io::Error::new(error.kind(), format!("{address}: {error}")));
                }
            }
        }
        Err(failure.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
    }

    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let guard = self.guard.as_deref();
        allow(guard.and_then(|guard| guard.refuses(address)))?;
        #[expect(
            clippy::disallowed_methods,
            reason = "the gateway's upstreams are a way out"
        )]
        let socket = TcpStream::connect(address).await?;
        if let Some(guard) = guard {
            allow(guard.refuses_connected(socket.local_addr()?.ip(), address))?;
        }
        socket.set_nodelay(true)?;
        Ok(socket)
    }
}

/// Which of the two protocols is spoken on a new connection.
fn speaks_http2(protocol: Protocol, transport: &UpstreamTransport) -> io::Result<bool> {
    let chosen = match transport {
        Transport::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(HTTP_2),
        // There is nobody to ask in clear.
        Transport::Tcp(_) => protocol == Protocol::Http2,
    };
    match protocol {
        Protocol::Http1 => Ok(false),
        Protocol::Auto => Ok(chosen),
        Protocol::Http2 if chosen => Ok(true),
        Protocol::Http2 => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "it does not agree to HTTP/2 in the TLS handshake (`protocol` of the upstream)",
        )),
    }
}

fn allow(refused: Option<Refusal>) -> io::Result<()> {
    match refused {
        None => Ok(()),
        Some(refusal) => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "{refusal} is not for this team's upstreams: an operator opens it by `network: {{ upstreams_allow: [ … ] }}`"
            ),
        )),
    }
}

fn late(within: Duration) -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("no connection within {within:?}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::plan::UpstreamPlan;
    use crate::upstream::state::UpstreamState;
    use keyward_model::id::TeamId;
    use keyward_model::resource::raw::{Node, Problems, read_resource};
    use keyward_model::resource::{Resource, Spec};
    use keyward_model::{Origin, SystemClock};
    use serde_json::json;
    use tokio::net::TcpListener;

    const SOON: Duration = Duration::from_secs(5);

    /// Connects to the first target of an upstream that is declared so, and tells what went wrong.
    async fn connect(
        url: &str,
        origin: Origin,
        team: TeamId,
        guard: &UpstreamGuard,
    ) -> Option<io::Error> {
        let json = json!({ "kind": "upstream", "name": "u", "targets": [ { "url": url } ] });
        let mut problems = Problems::new();
        let read = read_resource(Node::from_json(&json), origin, &mut problems);
        let mut resource: Resource = read.unwrap_or_else(|| panic!("{problems:?}")).resource;
        resource.team = team;
        let Spec::Upstream(declared) = &resource.spec else {
            panic!("no upstream")
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let guard = Arc::new(guard.clone());
        let mut state = UpstreamState::default();
        let plan = UpstreamPlan::new(&resource, declared, &mut state, &guard, &clock, None);
        let endpoint = Arc::clone(&plan.unwrap().targets[0].endpoint);
        endpoint.connect(SOON, clock.as_ref()).await.err()
    }

    #[test]
    fn what_a_team_says_as_the_operator_did_leads_no_further_than_a_team_may() {
        let json = json!({ "kind": "upstream", "name": "u", "targets": [{ "url": "http://127.0.0.1:1" }] });
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let guard = Arc::new(UpstreamGuard::default());
        let mut state = UpstreamState::default();
        let mut before = None;
        for (origin, guarded) in [
            (Origin::File, false),
            (Origin::Database, true),
            (Origin::File, false),
        ] {
            let mut problems = Problems::new();
            let read = read_resource(Node::from_json(&json), origin, &mut problems);
            let resource = read.unwrap().resource;
            let Spec::Upstream(declared) = &resource.spec else {
                panic!("no upstream")
            };
            let made = UpstreamPlan::new(
                &resource,
                declared,
                &mut state,
                &guard,
                &clock,
                before.as_ref(),
            );
            let made = made.unwrap();
            assert_eq!(made.targets[0].endpoint.guard.is_some(), guarded);
            before = Some(made);
        }
    }

    #[tokio::test]
    async fn only_the_operator_reaches_this_machine() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let other = TeamId::from_u128(7);
        let closed = UpstreamGuard::default();
        let open = UpstreamGuard {
            allow: vec!["127.0.0.0/8".parse().unwrap()],
            ..UpstreamGuard::default()
        };
        let own = UpstreamGuard {
            own_listeners: vec![address],
            ..open.clone()
        };
        let named = UpstreamGuard {
            allow: vec![address.to_string().parse().unwrap()],
            ..own.clone()
        };
        // By its address, and by a name that leads there.
        for url in [
            format!("http://{address}"),
            format!("http://localhost:{}", address.port()),
        ] {
            for (origin, team, guard, passes) in [
                (Origin::File, TeamId::DEFAULT, &closed, true),
                (Origin::File, TeamId::DEFAULT, &own, true),
                (Origin::Database, TeamId::DEFAULT, &closed, false),
                (Origin::File, other, &closed, false),
                (Origin::Database, other, &closed, false),
                (Origin::Database, other, &own, false),
                (Origin::Database, other, &named, true),
                (Origin::Database, TeamId::DEFAULT, &named, true),
            ] {
                let failure = connect(&url, origin, team, guard).await;
                let told = format!("{url} {origin:?} {team:?} {guard:?}: {failure:?}");
                assert_eq!(failure.is_none(), passes, "{told}");
                if !passes {
                    assert!(told.contains("upstreams_allow"), "{told}");
                }
            }
        }
        assert!(
            connect(&format!("http://{address}"), Origin::Database, other, &open)
                .await
                .is_none()
        );
    }

    #[tokio::test]
    async fn a_name_that_nobody_knows_is_told() {
        let url = "http://nowhere.invalid:80";
        let guard = UpstreamGuard::default();
        let failure = connect(url, Origin::File, TeamId::DEFAULT, &guard).await;
        assert!(failure.is_some());
    }
}
