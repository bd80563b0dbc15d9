//! What upstreams may not be pointed at by those who don't run this node.

use keyward_model::Origin;
use keyward_model::id::TeamId;
use keyward_model::network::{AllowRule, Refusal, refusal};
use keyward_model::resource::Resource;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Metadata services of clouds that are not at link-local addresses: what answers there gives away the
/// keys of the machine.
const METADATA: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Keeps tenants' upstreams away from this machine, its link, and this node's own listeners. Private
/// networks are open: upstreams stand there.
///
/// The operator's own are free: the team `default` in a node's own file may name what it likes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamGuard {
    /// What the operator opens all the same.
    pub allow: Vec<AllowRule>,
    /// Where this node listens. Only a rule that names the port opens them.
    pub own_listeners: Vec<SocketAddr>,
}

impl UpstreamGuard {
    /// Whether an upstream is looked after.
    pub(crate) fn is_for(resource: &Resource) -> bool {
        let operators = match resource.origin {
            Origin::File => resource.team == TeamId::DEFAULT,
            Origin::Database => false,
        };
        !operators
    }

    /// Why no connection may be made to `address`; asked of the very address that is dialled.
    pub(crate) fn refuses(&self, address: SocketAddr) -> Option<Refusal> {
        if self.is_own_listener(address) {
            return (!self.opens_port(address)).then_some(Refusal::OwnListener);
        }
        if self.allow.iter().any(|rule| rule.allows(address)) {
            return None;
        }
        if METADATA.contains(&address.ip().to_canonical()) {
            return Some(Refusal::CloudInternal);
        }
        refusal(address.ip()).filter(|refusal| match refusal {
            Refusal::Unspecified
            | Refusal::Loopback
            | Refusal::LinkLocal
            | Refusal::CloudInternal
            | Refusal::Multicast
            | Refusal::Reserved
            | Refusal::Transition
            | Refusal::OwnListener
            | Refusal::OwnMachine => true,
            Refusal::Private
            | Refusal::SharedSpace
            | Refusal::Documentation
            | Refusal::Benchmark => false,
        })
    }

    /// Why a connection from `local` to `peer` may not be used. One between two equal addresses has not
    /// left this machine, whatever the address looks like.
    pub(crate) fn refuses_connected(&self, local: IpAddr, peer: SocketAddr) -> Option<Refusal> {
        if local.to_canonical() != peer.ip().to_canonical() {
            return None;
        }
        let own_port = |listener: &SocketAddr| listener.port() == peer.port();
        if self.own_listeners.iter().any(own_port) {
            return (!self.opens_port(peer)).then_some(Refusal::OwnListener);
        }
        let opened = self.allow.iter().any(|rule| rule.allows(peer));
        (!opened).then_some(Refusal::OwnMachine)
    }

    fn opens_port(&self, address: SocketAddr) -> bool {
        let mut rules = self.allow.iter();
        rules.any(|rule| rule.names_port() && rule.allows(address))
    }

    fn is_own_listener(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        self.own_listeners.iter().any(|listener| {
            let bound = listener.ip().to_canonical();
            let here = ip.is_loopback() || ip.is_unspecified();
            listener.port() == address.port() && (bound == ip || (bound.is_unspecified() && here))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allow: &[&str]) -> UpstreamGuard {
        UpstreamGuard {
            allow: allow.iter().map(|rule| rule.parse().unwrap()).collect(),
            own_listeners: vec![
                "0.0.0.0:8080".parse().unwrap(),
                "10.0.0.5:9090".parse().unwrap(),
            ],
        }
    }

    #[test]
    fn tenants_reach_neither_this_machine_nor_its_link_nor_its_listeners() {
        for (allow, address, refused) in [
            (&[][..], "8.8.8.8:443", None),
            (&[], "10.0.0.7:80", None),
            (&[], "[fd12::7]:80", None),
            (&[], "100.64.0.7:80", None),
            (&[], "127.0.0.1:80", Some(Refusal::Loopback)),
            (&[], "[::1]:80", Some(Refusal::Loopback)),
            (&[], "[::ffff:127.0.0.1]:80", Some(Refusal::Loopback)),
            (&[], "0.0.0.0:80", Some(Refusal::Unspecified)),
            (&[], "169.254.169.254:80", Some(Refusal::LinkLocal)),
            (&[], "[fe80::1]:80", Some(Refusal::LinkLocal)),
            (&[], "[64:ff9b::a9fe:a9fe]:80", Some(Refusal::LinkLocal)),
            (&[], "168.63.129.16:80", Some(Refusal::CloudInternal)),
            (&[], "100.100.100.200:80", Some(Refusal::CloudInternal)),
            (&[], "[fd00:ec2::254]:80", Some(Refusal::CloudInternal)),
            (&[], "224.0.0.1:80", Some(Refusal::Multicast)),
            (&[], "[2002:7f00:1::]:80", Some(Refusal::Transition)),
            (&[], "127.0.0.1:8080", Some(Refusal::OwnListener)),
            (&[], "10.0.0.5:9090", Some(Refusal::OwnListener)),
            (&["127.0.0.0/8"], "127.0.0.1:80", None),
            // The machine is opened, the node's own listeners are not.
            (
                &["127.0.0.0/8"],
                "127.0.0.1:8080",
                Some(Refusal::OwnListener),
            ),
            (&["10.0.0.0/8"], "10.0.0.5:9090", Some(Refusal::OwnListener)),
            (&["127.0.0.1:8080"], "127.0.0.1:8080", None),
            (&["169.254.169.254"], "169.254.169.254:80", None),
        ] {
            assert_eq!(
                guard(allow).refuses(address.parse().unwrap()),
                refused,
                "{allow:?} {address}"
            );
        }
    }

    #[test]
    fn a_connection_that_has_not_left_the_machine_is_refused() {
        for (allow, local, peer, refused) in [
            (&[][..], "10.0.0.5", "10.0.0.7:80", None),
            (&[], "10.0.0.5", "10.0.0.5:80", Some(Refusal::OwnMachine)),
            (
                &[],
                "::ffff:10.0.0.5",
                "10.0.0.5:80",
                Some(Refusal::OwnMachine),
            ),
            (&["10.0.0.5"], "10.0.0.5", "10.0.0.5:80", None),
            (
                &["10.0.0.5"],
                "10.0.0.5",
                "10.0.0.5:8080",
                Some(Refusal::OwnListener),
            ),
            (&["10.0.0.5:8080"], "10.0.0.5", "10.0.0.5:8080", None),
        ] {
            let found =
                guard(allow).refuses_connected(local.parse().unwrap(), peer.parse().unwrap());
            assert_eq!(found, refused, "{allow:?} {local} {peer}");
        }
    }
}
