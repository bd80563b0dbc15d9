//! Identifiers of rows: 128 bits that sort by the time they were made (the layout of a UUID of
//! version 7, RFC 9562, section 5.7), written as 32 hexadecimal digits.

use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What is not an identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no identifier: it has 32 hexadecimal digits in lower case")]
pub struct NoId(String);

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(u128);

        impl $name {
            /// An identifier made at `now` with `random` bits of a secure generator.
            #[must_use]
            pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
                Self(version_7(now, random))
            }

            /// The identifier with this value, as stored.
            #[must_use]
            pub const fn from_u128(value: u128) -> Self {
                Self(value)
            }

            /// The value.
            #[must_use]
            pub const fn as_u128(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:032x})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = NoId;
            fn from_str(text: &str) -> Result<Self, NoId> {
                parse(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NoId;
            fn try_from(text: String) -> Result<Self, NoId> {
                parse(&text).map(Self)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    )+};
}

ids! {
    /// A team: the owner of resources.
    TeamId,
    /// One process of Keyward in a deployment.
    NodeId,
    /// A resource, whatever its kind.
    ResourceId,
    /// A key of ours in the store.
    KeyId,
    /// A data key of the key hierarchy, which encrypts fields or keys hashes for one purpose.
    DataKeyId,
    /// A consumer's application.
    ApplicationId,
    /// A credential (API key, client secret, certificate) of an application.
    CredentialId,
    /// A token of a machine that manages.
    MachineTokenId,
    /// A revocation row.
    RevocationId,
    /// An entry of the audit log.
    AuditEventId,
    /// One request, as told in `request-id`.
    RequestId,
}

impl TeamId {
    /// The team that exists from the first start and owns what names no team.
    pub const DEFAULT: Self = Self(1);
}

fn version_7(now: Timestamp, random: [u8; 10]) -> u128 {
    let millis = u128::from(u64::try_from(now.as_micros() / 1000).unwrap_or(0)) & 0xffff_ffff_ffff;
    let mut low = 0u128;
    for byte in random {
        low = (low << 8) | u128::from(byte);
    }
    let rand_a = (low >> 62) & 0xfff;
    let rand_b = low & ((1 << 62) - 1);
    (millis << 80) | (0x7 << 76) | (rand_a << 64) | (0b10 << 62) | rand_b
}

fn parse(text: &str) -> Result<u128, NoId> {
    let well_formed =
        text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !well_formed {
        return Err(NoId(text.chars().take(64).collect()));
    }
    u128::from_str_radix(text, 16).map_err(|_| NoId(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_carry_version_and_variant() {
        let early = KeyId::new(Timestamp::from_seconds(1), [0xff; 10]);
        let late = KeyId::new(Timestamp::from_seconds(2), [0; 10]);
        assert!(early < late);
        let text = late.to_string();
        assert_eq!(&text[12..13], "7");
        assert_eq!(&text[16..17], "8");
        assert_eq!(text.parse::<KeyId>(), Ok(late));
    }

    #[test]
    fn ids_are_read_in_one_spelling_only() {
        for bad in [
            "",
            "0",
            "0000000000000000000000000000000G",
            "+0000000000000000000000000000001",
        ] {
            assert!(bad.parse::<TeamId>().is_err(), "{bad}");
        }
        assert!(
            "0000000000000000000000000000000A"
                .parse::<TeamId>()
                .is_err()
        );
    }
}
