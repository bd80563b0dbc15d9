//! The algorithms, by their registered names.
//!
//! There is no `none` and no RSA1_5: what does not exist can't be chosen.

use std::fmt;
use std::str::FromStr;

use crate::Error;

macro_rules! algorithms {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The registered name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl FromStr for $name {
            type Err = Error;
            /// By the registered name, letter case included.
            fn from_str(text: &str) -> Result<Self, Error> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(Error::AlgorithmNotAllowed(text.chars().take(40).collect())),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

algorithms! {
    /// Signature and MAC algorithms: `alg` of a JWS (RFC 7518, section 3.1; RFC 8037; RFC 8812; RFC 9864;
    /// RFC 9964).
    SignatureAlgorithm {
        /// HMAC with SHA-256.
        Hs256 = "HS256",
        /// HMAC with SHA-384.
        Hs384 = "HS384",
        /// HMAC with SHA-512.
        Hs512 = "HS512",
        /// RSASSA-PKCS1-v1_5 with SHA-256.
        Rs256 = "RS256",
        /// RSASSA-PKCS1-v1_5 with SHA-384.
        Rs384 = "RS384",
        /// RSASSA-PKCS1-v1_5 with SHA-512.
        Rs512 = "RS512",
        /// RSASSA-PSS with SHA-256 and a salt as long as the hash.
        Ps256 = "PS256",
        /// RSASSA-PSS with SHA-384.
        Ps384 = "PS384",
        /// RSASSA-PSS with SHA-512.
        Ps512 = "PS512",
        /// ECDSA on P-256 with SHA-256.
        Es256 = "ES256",
        /// ECDSA on P-384 with SHA-384.
        Es384 = "ES384",
        /// ECDSA on P-521 with SHA-512.
        Es512 = "ES512",
        /// ECDSA on secp256k1 with SHA-256.
        Es256k = "ES256K",
        /// Edwards-curve signatures; here always Ed25519.
        EdDsa = "EdDSA",
        /// Ed25519 by its own name (RFC 9864).
        Ed25519 = "Ed25519",
        /// ML-DSA-44 (RFC 9964).
        MlDsa44 = "ML-DSA-44",
        /// ML-DSA-65.
        MlDsa65 = "ML-DSA-65",
        /// ML-DSA-87.
        MlDsa87 = "ML-DSA-87",
    }
}

algorithms! {
    /// Key management algorithms: `alg` of a JWE (RFC 7518, section 4.1).
    KeyManagementAlgorithm {
        /// RSAES-OAEP with SHA-1 (as RFC 7518 registered it).
        RsaOaep = "RSA-OAEP",
        /// RSAES-OAEP with SHA-256.
        RsaOaep256 = "RSA-OAEP-256",
        /// RSAES-OAEP with SHA-384.
        RsaOaep384 = "RSA-OAEP-384",
        /// RSAES-OAEP with SHA-512.
        RsaOaep512 = "RSA-OAEP-512",
        /// Ephemeral-static Diffie-Hellman; the agreed key encrypts the content.
        EcdhEs = "ECDH-ES",
        /// The agreed key wraps the content key with AES-128.
        EcdhEsA128Kw = "ECDH-ES+A128KW",
        /// The agreed key wraps the content key with AES-192.
        EcdhEsA192Kw = "ECDH-ES+A192KW",
        /// The agreed key wraps the content key with AES-256.
        EcdhEsA256Kw = "ECDH-ES+A256KW",
        /// AES key wrap (RFC 3394) with a 128-bit key.
        A128Kw = "A128KW",
        /// AES key wrap with a 192-bit key.
        A192Kw = "A192KW",
        /// AES key wrap with a 256-bit key.
        A256Kw = "A256KW",
        /// Key wrap with AES-128-GCM.
        A128GcmKw = "A128GCMKW",
        /// Key wrap with AES-192-GCM.
        A192GcmKw = "A192GCMKW",
        /// Key wrap with AES-256-GCM.
        A256GcmKw = "A256GCMKW",
        /// PBES2 with HMAC-SHA-256 and AES-128 key wrap.
        Pbes2Hs256A128Kw = "PBES2-HS256+A128KW",
        /// PBES2 with HMAC-SHA-384 and AES-192 key wrap.
        Pbes2Hs384A192Kw = "PBES2-HS384+A192KW",
        /// PBES2 with HMAC-SHA-512 and AES-256 key wrap.
        Pbes2Hs512A256Kw = "PBES2-HS512+A256KW",
        /// The shared key is the content key.
        Dir = "dir",
    }
}

algorithms! {
    /// Content encryption: `enc` of a JWE (RFC 7518, section 5.1).
    ContentEncryption {
        /// AES-128-CBC with HMAC-SHA-256, truncated to 128 bits.
        A128CbcHs256 = "A128CBC-HS256",
        /// AES-192-CBC with HMAC-SHA-384, truncated to 192 bits.
        A192CbcHs384 = "A192CBC-HS384",
        /// AES-256-CBC with HMAC-SHA-512, truncated to 256 bits.
        A256CbcHs512 = "A256CBC-HS512",
        /// AES-128-GCM.
        A128Gcm = "A128GCM",
        /// AES-192-GCM.
        A192Gcm = "A192GCM",
        /// AES-256-GCM.
        A256Gcm = "A256GCM",
    }
}

/// Any algorithm that a key's `alg` member may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// For signing.
    Signature(SignatureAlgorithm),
    /// For wrapping or agreeing on content keys.
    KeyManagement(KeyManagementAlgorithm),
    /// For encrypting content with the key itself.
    ContentEncryption(ContentEncryption),
}

impl Algorithm {
    /// The registered name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signature(algorithm) => algorithm.as_str(),
            Self::KeyManagement(algorithm) => algorithm.as_str(),
            Self::ContentEncryption(algorithm) => algorithm.as_str(),
        }
    }
}

impl FromStr for Algorithm {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        text.parse()
            .map(Self::Signature)
            .or_else(|_| text.parse().map(Self::KeyManagement))
            .or_else(|_| text.parse().map(Self::ContentEncryption))
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
