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
    /// Where new keys are made and kept. Keys that are there already stay where they are.
    pub keys_in: KeysIn,
}

/// Where the private parts of keys are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeysIn {
    /// In the database, sealed.
    #[default]
    Database,
    /// In the PKCS#11 token that nodes are configured with, which they never leave.
    Pkcs11,
}

impl KeysIn {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Database, Self::Pkcs11];

    /// As written in `keys_in`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Pkcs11 => "pkcs11",
        }
    }
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
    ($($(#[$about:meta])* $name:ident = $text:literal, $signs:literal, $in_token:literal;)*) => {
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

            /// Whether its keys can be in a PKCS#11 token: those that modules have in common, and that sign.
            #[must_use]
            pub const fn in_token(self) -> bool {
                match self { $(Self::$name => $in_token,)* }
            }
        }
    };
}

key_algorithms! {
    Es256 = "ES256", true, true;
    Es384 = "ES384", true, true;
    Es512 = "ES512", true, true;
    Es256k = "ES256K", true, false;
    Ed25519 = "Ed25519", true, true;
    EdDsa = "EdDSA", true, true;
    Rs256 = "RS256", true, true;
    Rs384 = "RS384", true, true;
    Rs512 = "RS512", true, true;
    Ps256 = "PS256", true, true;
    Ps384 = "PS384", true, true;
    Ps512 = "PS512", true, true;
    MlDsa44 = "ML-DSA-44", true, false;
    MlDsa65 = "ML-DSA-65", true, false;
    MlDsa87 = "ML-DSA-87", true, false;
    EcdhEs = "ECDH-ES", false, false;
    RsaOaep256 = "RSA-OAEP-256", false, false;
}
