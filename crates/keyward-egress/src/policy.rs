//! What an operator allows beyond the public network.

use crate::url::Scheme;
use keyward_model::network::{AllowRule, Refusal, refusal};
use rustls_pki_types::CertificateDer;
use std::net::{IpAddr, SocketAddr};

/// Where the egress may go, and whom it believes.
///
/// The public network over TLS is open; everything else needs a rule in [`allow`](Self::allow).
#[derive(Clone, Debug)]
pub struct Policy {
    /// Addresses that may be dialled although they are not public, and over `http:` too.
    pub allow: Vec<AllowRule>,
    /// Addresses that this node listens at. Only a rule that names the port opens them: `127.0.0.0/8`
    /// means other services on this machine, hardly our own console.
    pub own_listeners: Vec<SocketAddr>,
    /// Roots (DER) believed beside the system's, for private authorities.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Whether the system's roots are believed. Without them only `extra_roots` are.
    pub system_roots: bool,
}

impl Default for Policy {
    /// The public network over TLS with the system's roots, nothing else.
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            own_listeners: Vec::new(),
            extra_roots: Vec::new(),
            system_roots: true,
        }
    }
}

/// What the policy says of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Dial it.
    Dial,
    /// Never.
    Refuse(Refusal),
    /// Only with TLS.
    NeedsTls,
}

impl Policy {
    /// What to do with `address` before it is dialled.
    pub(crate) fn judge(&self, address: SocketAddr, scheme: Scheme) -> Verdict {
        if self.is_own_listener(address) && !self.allowed_with_port(address) {
            return Verdict::Refuse(Refusal::OwnListener);
        }
        if self.allow.iter().any(|rule| rule.allows(address)) {
            return Verdict::Dial;
        }
        match (refusal(address.ip()), scheme) {
            (Some(refusal), Scheme::Http | Scheme::Https) => Verdict::Refuse(refusal),
            (None, Scheme::Http) => Verdict::NeedsTls,
            (None, Scheme::Https) => Verdict::Dial,
        }
    }

    /// What to do with a connection from `local` to `peer` before a byte is sent on it. A connection
    /// between two equal addresses has not left this machine, whatever the address looks like.
    pub(crate) fn judge_connected(&self, local: IpAddr, peer: SocketAddr) -> Verdict {
        if local.to_canonical() != peer.ip().to_canonical() {
            return Verdict::Dial;
        }
        let own_port = self
            .own_listeners
            .iter()
            .any(|listener| listener.port() == peer.port());
        if own_port && !self.allowed_with_port(peer) {
            return Verdict::Refuse(Refusal::OwnListener);
        }
        if self.allow.iter().any(|rule| rule.allows(peer)) {
            Verdict::Dial
        } else {
            Verdict::Refuse(Refusal::OwnMachine)
        }
    }

    fn allowed_with_port(&self, address: SocketAddr) -> bool {
        self.allow
            .iter()
            .any(|rule| rule.names_port() && rule.allows(address))
    }

    fn is_own_listener(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        self.own_listeners.iter().any(|listener| {
            let bound = listener.ip().to_canonical();
            listener.port() == address.port()
                && (bound == ip
                    || (bound.is_unspecified() && (ip.is_loopback() || ip.is_unspecified())))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allow: &[&str], own: &[&str]) -> Policy {
        Policy {
            allow: allow.iter().map(|rule| rule.parse().unwrap()).collect(),
            own_listeners: own.iter().map(|address| address.parse().unwrap()).collect(),
            ..Policy::default()
        }
    }

    #[test]
    fn the_policy_opens_what_its_rules_name() {
        use Verdict::{Dial, NeedsTls, Refuse};
        let loopback = policy(&["127.0.0.0/8"], &["127.0.0.1:8090"]);
        let port = policy(&["127.0.0.1:8090", "10.0.0.1:443"], &["0.0.0.0:8090"]);
        for (policy, address, scheme, expected) in [
            (&Policy::default(), "8.8.8.8:443", Scheme::Https, Dial),
            (&Policy::default(), "8.8.8.8:80", Scheme::Http, NeedsTls),
            (
                &Policy::default(),
                "127.0.0.1:443",
                Scheme::Https,
                Refuse(Refusal::Loopback),
            ),
            (
                &Policy::default(),
                "[::1]:443",
                Scheme::Https,
                Refuse(Refusal::Loopback),
            ),
            (&loopback, "127.0.0.1:9000", Scheme::Http, Dial),
            (&loopback, "[::ffff:127.0.0.1]:9000", Scheme::Http, Dial),
            (
                &loopback,
                "127.0.0.1:8090",
                Scheme::Http,
                Refuse(Refusal::OwnListener),
            ),
            (
                &loopback,
                "10.0.0.1:443",
                Scheme::Https,
                Refuse(Refusal::Private),
            ),
            (&port, "127.0.0.1:8090", Scheme::Http, Dial),
            (
                &port,
                "127.0.0.2:8090",
                Scheme::Http,
                Refuse(Refusal::OwnListener),
            ),
            (&port, "10.0.0.1:443", Scheme::Https, Dial),
            (
                &port,
                "10.0.0.1:444",
                Scheme::Https,
                Refuse(Refusal::Private),
            ),
        ] {
            assert_eq!(
                policy.judge(address.parse().unwrap(), scheme),
                expected,
                "{address}"
            );
        }
    }

    #[test]
    fn a_connection_that_stays_on_this_machine_needs_a_rule() {
        use Verdict::{Dial, Refuse};
        for (allow, own, local, peer, expected) in [
            (
                &[] as &[&str],
                &[] as &[&str],
                "8.8.8.8",
                "8.8.4.4:443",
                Dial,
            ),
            (
                &[],
                &[],
                "8.8.8.8",
                "8.8.8.8:443",
                Refuse(Refusal::OwnMachine),
            ),
            (&["8.8.8.8"], &[], "8.8.8.8", "8.8.8.8:443", Dial),
            (
                &["8.8.8.8"],
                &["0.0.0.0:443"],
                "8.8.8.8",
                "8.8.8.8:443",
                Refuse(Refusal::OwnListener),
            ),
            (
                &["8.8.8.8:443"],
                &["0.0.0.0:443"],
                "8.8.8.8",
                "8.8.8.8:443",
                Dial,
            ),
        ] {
            let verdict =
                policy(allow, own).judge_connected(local.parse().unwrap(), peer.parse().unwrap());
            assert_eq!(verdict, expected, "{allow:?} {local} {peer}");
        }
    }
}
