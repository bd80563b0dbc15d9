//! Key sets: keys of our own that one issuer signs with, or that others encrypt to.

use std::fmt;
use std::time::Duration;

/// Keys that are made here, published as one JWK set, and follow on one another.
///
/// A set holds the keys of one issuer alone. What a key is at a time is told by its rows, not by the declaration: the
/// declaration says how keys are to follow on one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet {
    /// What the keys are for.
    pub purpose: KeySetPurpose,
    /// The `iss` of what they sign; none for [`Encryption`](KeySetPurpose::Encryption).
    pub issuer: Option<Box<str>>,
    /// The algorithms, each with a succession of keys of its own. Never empty, none twice.
    pub algorithms: Vec<KeyAlgorithm>,
    /// When keys follow on one another.
    pub schedule: Schedule,
    /// How long before it is used a key stands in the set: nobody's copy of the set may be older. Default a day,
    /// since libraries that keep sets as they like come back within one.
    pub publish_before: Duration,
    /// How long what a key signs may be good, at most. Default a day.
    pub token_life: Duration,
    /// How long a copy of the set may be kept (`Cache-Control`). Default 15 minutes.
    pub max_age: Duration,
}

/// What the keys of a set are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeySetPurpose {
    /// They sign access tokens.
    Tokens,
    /// They sign ID tokens.
    IdTokens,
    /// Others encrypt to them.
    Encryption,
    /// They sign what is told to others' addresses.
    Webhooks,
}

impl KeySetPurpose {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Tokens,
        Self::IdTokens,
        Self::Encryption,
        Self::Webhooks,
    ];

    /// As written in `purpose`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::IdTokens => "id_tokens",
            Self::Encryption => "encryption",
            Self::Webhooks => "webhooks",
        }
    }

    /// Whether its keys sign.
    #[must_use]
    pub const fn signs(self) -> bool {
        match self {
            Self::Tokens | Self::IdTokens | Self::Webhooks => true,
            Self::Encryption => false,
        }
    }
}

impl fmt::Display for KeySetPurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// When keys follow on one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// By themselves: each signs for this long. Default 90 days.
    Every(Duration),
    /// When somebody says so.
    Manual,
}

macro_rules! key_algorithms {
    ($($(#[$about:meta])* $name:ident = $text:literal, $signs:literal;)*) => {
        /// An algorithm that keys are made for: those of RFC 7518 and RFC 8037 that have a public key, and ML-DSA
        /// (RFC 9964).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum KeyAlgorithm {
            $(#[doc = $text] $name,)*
        }

        impl KeyAlgorithm {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// As in JOSE.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Whether its keys sign; else others encrypt to them.
            #[must_use]
            pub const fn signs(self) -> bool {
                match self { $(Self::$name => $signs,)* }
            }
        }
    };
}

key_algorithms! {
    Es256 = "ES256", true;
    Es384 = "ES384", true;
    Es512 = "ES512", true;
    Es256k = "ES256K", true;
    Ed25519 = "Ed25519", true;
    EdDsa = "EdDSA", true;
    Rs256 = "RS256", true;
    Rs384 = "RS384", true;
    Rs512 = "RS512", true;
    Ps256 = "PS256", true;
    Ps384 = "PS384", true;
    Ps512 = "PS512", true;
    MlDsa44 = "ML-DSA-44", true;
    MlDsa65 = "ML-DSA-65", true;
    MlDsa87 = "ML-DSA-87", true;
    EcdhEs = "ECDH-ES", false;
    RsaOaep256 = "RSA-OAEP-256", false;
}
