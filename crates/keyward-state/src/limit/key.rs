//! Which limit of whom.

use super::cell::Rule;
use super::spending::Spending;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_model::id::{CredentialId, TeamId};
use siphasher::sip128::{Hasher128 as _, SipHasher13};
use std::fmt;
use std::hash::Hasher as _;
use std::net::{IpAddr, Ipv6Addr};

/// The part of an IPv6 address that one customer gets as a rule: who has it can use any address inside.
const IPV6_NETWORK: u128 = !0 << 64;

/// So many bits of a digest tell the limit: two of 10,000 limits have the same, and then share a share, with a
/// chance of one in a hundred.
const LIMIT_BITS: u32 = 32;

/// The others tell the subject.
const SUBJECT_BITS: u32 = u128::BITS - LIMIT_BITS;

/// The part of a digest that tells the limit.
pub(super) const fn limit_of(digest: u128) -> u32 {
    (digest >> SUBJECT_BITS) as u32
}

/// What a limit counts separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counted<'a> {
    /// A client address, as [`address`](Self::address) makes it.
    Address(IpAddr),
    /// A caller.
    Subject {
        /// The token's `iss`.
        issuer: &'a str,
        /// The token's `sub`.
        subject: &'a str,
    },
    /// An OAuth client.
    Client {
        /// The token's `iss`.
        issuer: &'a str,
        /// The token's `client_id`.
        client: &'a str,
    },
    /// Whoever a team vouches for.
    Team(TeamId),
    /// Whoever an issuer vouches for.
    Issuer(&'a str),
    /// A key that was given out here.
    Key(CredentialId),
    /// A value of a claim.
    Claim {
        /// The token's `iss`: what one issuer says means nothing at another.
        issuer: &'a str,
        /// The claim.
        name: &'a str,
        /// Its value: a string as it is, anything else as JSON.
        value: &'a str,
    },
    /// A value of a header.
    Header {
        /// Its name in lower case.
        name: &'a str,
        /// Its value.
        value: &'a [u8],
    },
    /// A model that callers ask for.
    Model(&'a str),
    /// A provider's key, by a hash of it.
    ProviderKey(&'a [u8; 32]),
    /// Everything that goes to a route. Cells that count nothing but this and [`Api`](Self::Api) are as many
    /// as routes have limits; they are let in even at the bound, and kept as long as someone holds them.
    Route(&'a str),
    /// Everything that goes to an API version.
    Api,
}

impl Counted<'_> {
    /// A client's address: an IPv4 address alone (in IPv6's clothes too), of an IPv6 address the /64
    /// network, since whoever has one address there has all of them.
    #[must_use]
    pub fn address(address: IpAddr) -> Self {
        Self::Address(customer(address))
    }

    /// Hands the parts to `write`, each kind with a number of its own.
    fn write(&self, mut write: impl FnMut(u8, &[&[u8]])) {
        match self {
            Self::Subject { issuer, subject } => {
                write(0, &[issuer.as_bytes(), subject.as_bytes()]);
            }
            Self::Route(route) => write(1, &[route.as_bytes()]),
            Self::Api => write(2, &[]),
            Self::Client { issuer, client } => write(3, &[issuer.as_bytes(), client.as_bytes()]),
            Self::Address(IpAddr::V4(address)) => write(4, &[&address.octets()]),
            Self::Team(team) => write(5, &[&team.as_u128().to_be_bytes()]),
            Self::Address(IpAddr::V6(address)) => write(6, &[&address.octets()]),
            Self::Issuer(issuer) => write(7, &[issuer.as_bytes()]),
            Self::Key(key) => write(8, &[&key.as_u128().to_be_bytes()]),
            Self::Claim {
                issuer,
                name,
                value,
            } => write(9, &[issuer.as_bytes(), name.as_bytes(), value.as_bytes()]),
            Self::Header { name, value } => write(10, &[name.as_bytes(), value]),
            Self::Model(model) => write(11, &[model.as_bytes()]),
            Self::ProviderKey(hash) => write(12, &[hash.as_slice()]),
        }
    }
}

/// What one customer of a network has as a rule: an IPv4 address (in IPv6's clothes too), of an IPv6 address
/// the /64 network.
pub(crate) fn customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & IPV6_NETWORK)),
    }
}

/// A limit in the terms of its algorithm, as keys tell it from others.
pub trait Limited: Copy + fmt::Display {
    /// What tells it from others of the same name: a limit that means something else counts from the start.
    fn to_bytes(self) -> [u8; 17];
}

impl Limited for Rule {
    fn to_bytes(self) -> [u8; 17] {
        Self::to_bytes(self)
    }
}

impl Limited for Spending {
    fn to_bytes(self) -> [u8; 17] {
        Self::to_bytes(self)
    }
}

/// Which limit of whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LimitKey<'a, R = Rule> {
    /// The team that owns the limit.
    pub team: TeamId,
    /// That team's name.
    pub team_name: &'a str,
    /// Names the limit within the team: the same after a reload, so that a reload forgives nobody.
    pub limit: &'a str,
    /// The limit itself.
    pub rule: R,
    /// Who is counted, by all of these together.
    pub counted: &'a [Counted<'a>],
}

impl<R: Limited> LimitKey<'_, R> {
    /// What the index knows the key by: a hash of all of it under a secret, of which the upper [`LIMIT_BITS`]
    /// are a hash of the limit alone, so that what is kept of a subject says whose share it takes.
    ///
    /// Two subjects of a limit share one with a chance of less than 2⁻⁵⁷ (2²⁰ of them, 96 bits), and nobody
    /// who can't see the secret can look for two that do. What has no fixed length says its length before, and
    /// each kind of what is counted has its own number, so that other keys are other bytes.
    pub(super) fn digest(&self, secret: &SipHasher13) -> u128 {
        let mut hasher = *secret;
        self.write_limit(&mut |bytes| hasher.write(bytes));
        let limit = hasher.finish128().as_u128();
        self.write_counted(&mut |bytes| hasher.write(bytes));
        let subject = hasher.finish128().as_u128();
        (limit << SUBJECT_BITS) | (subject & (u128::MAX >> LIMIT_BITS))
    }

    /// What several nodes call it, whatever machines and versions they are: the team and the limit to read,
    /// and who is counted as a hash, so that a shared store tells nobody's name. All limits of one team are
    /// in one slot of a cluster, so that one script may touch those of a call.
    pub(super) fn shared_name(&self, prefix: &str) -> Box<str> {
        let mut context = digest::Context::new(&digest::SHA256);
        self.write(&mut |bytes| context.update(bytes));
        let digest = context.finish();
        let short = digest.as_ref().get(..16).unwrap_or_default();
        let counted = URL_SAFE_NO_PAD.encode(short);
        let (team, limit) = (self.team_name, self.limit);
        format!("{prefix}:{{{team}}}:{limit}:{}:{counted}", self.rule).into()
    }

    fn write(&self, to: &mut impl FnMut(&[u8])) {
        self.write_limit(to);
        self.write_counted(to);
    }

    fn write_limit(&self, to: &mut impl FnMut(&[u8])) {
        to(&self.team.as_u128().to_be_bytes());
        to(&self.rule.to_bytes());
        of_any_length(to, self.limit.as_bytes());
    }

    fn write_counted(&self, to: &mut impl FnMut(&[u8])) {
        for counted in self.counted {
            counted.write(|kind, parts| {
                to(&[kind]);
                for part in parts {
                    of_any_length(to, part);
                }
            });
        }
    }

    pub(super) fn is_of_api(&self) -> bool {
        self.counted.iter().all(|counted| match counted {
            Counted::Route(_) | Counted::Api => true,
            Counted::Address(_)
            | Counted::Subject { .. }
            | Counted::Client { .. }
            | Counted::Team(_)
            | Counted::Issuer(_)
            | Counted::Key(_)
            | Counted::Claim { .. }
            | Counted::Header { .. }
            | Counted::Model(_)
            | Counted::ProviderKey(_) => false,
        })
    }
}

fn of_any_length(to: &mut impl FnMut(&[u8]), bytes: &[u8]) {
    to(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
    to(bytes);
}
