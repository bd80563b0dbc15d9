//! What PKCS#11 calls an algorithm of JOSE, and what goes in and comes out.

use aws_lc_rs::digest;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::Attribute;
use keyward_jose::SignatureAlgorithm;

/// As keys that are made outside of tokens have.
const RSA_BITS: u64 = 2048;
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];

/// A curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
    Ed25519,
}

impl Curve {
    /// As in a JWK.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
            Self::Ed25519 => "Ed25519",
        }
    }

    /// The length of a number.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::P256 | Self::Ed25519 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// `CKA_EC_PARAMS`: its object identifier in DER (RFC 5480, section 2.1.1.1; RFC 8410, section 3).
    fn parameters(self) -> &'static [u8] {
        match self {
            Self::P256 => &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7],
            Self::P384 => &[0x06, 5, 0x2b, 0x81, 4, 0, 0x22],
            Self::P521 => &[0x06, 5, 0x2b, 0x81, 4, 0, 0x23],
            Self::Ed25519 => &[0x06, 3, 0x2b, 0x65, 0x70],
        }
    }
}

/// What a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Rsa,
    Curve(Curve),
}

impl Kind {
    /// What makes it.
    pub(super) fn generation(self) -> Mechanism<'static> {
        match self {
            Self::Rsa => Mechanism::RsaPkcsKeyPairGen,
            Self::Curve(Curve::Ed25519) => Mechanism::EccEdwardsKeyPairGen,
            Self::Curve(Curve::P256 | Curve::P384 | Curve::P521) => Mechanism::EccKeyPairGen,
        }
    }

    /// What is said of it beside that.
    pub(super) fn parameters(self) -> Vec<Attribute> {
        match self {
            Self::Rsa => vec![
                Attribute::ModulusBits(RSA_BITS.into()),
                Attribute::PublicExponent(RSA_EXPONENT.to_vec()),
            ],
            Self::Curve(curve) => vec![Attribute::EcParams(curve.parameters().to_vec())],
        }
    }
}

/// SHA-2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn of(self, message: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, message).as_ref().to_vec()
    }

    /// What stands before the hash in PKCS#1's `DigestInfo` (RFC 8017, section 9.2, note 1).
    fn prefix(self) -> &'static [u8] {
        match self {
            Self::Sha256 => {
                b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"
            }
            Self::Sha384 => {
                b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30"
            }
            Self::Sha512 => {
                b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40"
            }
        }
    }

    /// JOSE's PSS: the mask by the same hash, the salt as long as the hash (RFC 7518, section 3.5).
    fn pss(self) -> PkcsPssParams {
        let (hash_alg, mgf, length) = match self {
            Self::Sha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, 32_u64),
            Self::Sha384 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384, 48),
            Self::Sha512 => (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512, 64),
        };
        PkcsPssParams {
            hash_alg,
            mgf,
            s_len: length.into(),
        }
    }
}

/// How an algorithm is done by a token. What can be hashed is hashed here: a token behind a network is sent no more
/// than it needs, and every module has these mechanisms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signing {
    RsaPkcs1(Hash),
    RsaPss(Hash),
    Ecdsa(Hash, Curve),
    EdDsa,
}

const DONE: &[(SignatureAlgorithm, Signing)] = &[
    (SignatureAlgorithm::Rs256, Signing::RsaPkcs1(Hash::Sha256)),
    (SignatureAlgorithm::Rs384, Signing::RsaPkcs1(Hash::Sha384)),
    (SignatureAlgorithm::Rs512, Signing::RsaPkcs1(Hash::Sha512)),
    (SignatureAlgorithm::Ps256, Signing::RsaPss(Hash::Sha256)),
    (SignatureAlgorithm::Ps384, Signing::RsaPss(Hash::Sha384)),
    (SignatureAlgorithm::Ps512, Signing::RsaPss(Hash::Sha512)),
    (
        SignatureAlgorithm::Es256,
        Signing::Ecdsa(Hash::Sha256, Curve::P256),
    ),
    (
        SignatureAlgorithm::Es384,
        Signing::Ecdsa(Hash::Sha384, Curve::P384),
    ),
    (
        SignatureAlgorithm::Es512,
        Signing::Ecdsa(Hash::Sha512, Curve::P521),
    ),
    (SignatureAlgorithm::EdDsa, Signing::EdDsa),
    (SignatureAlgorithm::Ed25519, Signing::EdDsa),
];

impl Signing {
    /// `None` for what is done in no token.
    pub(super) fn with(algorithm: SignatureAlgorithm) -> Option<Self> {
        let known = DONE.iter().find(|(known, _)| *known == algorithm);
        known.map(|(_, signing)| *signing)
    }

    pub(super) fn kind(self) -> Kind {
        match self {
            Self::RsaPkcs1(_) | Self::RsaPss(_) => Kind::Rsa,
            Self::Ecdsa(_, curve) => Kind::Curve(curve),
            Self::EdDsa => Kind::Curve(Curve::Ed25519),
        }
    }

    pub(super) fn mechanism(self) -> Mechanism<'static> {
        match self {
            Self::RsaPkcs1(_) => Mechanism::RsaPkcs,
            Self::RsaPss(hash) => Mechanism::RsaPkcsPss(hash.pss()),
            Self::Ecdsa(..) => Mechanism::Ecdsa,
            Self::EdDsa => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519)),
        }
    }

    /// What the token signs of a message.
    pub(super) fn input(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::RsaPkcs1(hash) => [hash.prefix(), &hash.of(message)].concat(),
            Self::RsaPss(hash) | Self::Ecdsa(hash, _) => hash.of(message),
            Self::EdDsa => message.to_vec(),
        }
    }

    /// The signature as JWS wants it. ECDSA's two numbers come one after the other already, in some modules without the
    /// zeros that they begin with, but always as long as each other (PKCS#11, section 6.3.1). `None` for what has
    /// another length.
    pub(super) fn output(self, signature: Vec<u8>) -> Option<Vec<u8>> {
        let Self::Ecdsa(_, curve) = self else {
            return Some(signature);
        };
        let size = curve.bytes();
        let half = signature.len() / 2;
        if !signature.len().is_multiple_of(2) || half == 0 || half > size {
            return None;
        }
        let zeros = vec![0; size - half];
        let (r, s) = signature.split_at(half);
        Some([&zeros, r, &zeros, s].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecdsas_numbers_have_their_full_length() {
        let es256 = Signing::Ecdsa(Hash::Sha256, Curve::P256);
        let whole = [[1; 32], [2; 32]].concat();
        assert_eq!(es256.output(whole.clone()), Some(whole));
        let short = [[1; 31], [2; 31]].concat();
        let filled = [&[0][..], &[1; 31], &[0], &[2; 31]].concat();
        assert_eq!(es256.output(short), Some(filled));
        for length in [0, 1, 63, 66] {
            assert_eq!(es256.output(vec![7; length]), None, "{length}");
        }
        assert_eq!(Signing::EdDsa.output(vec![7; 3]), Some(vec![7; 3]));
    }

    #[test]
    fn a_digest_info_says_its_own_length() {
        for (hash, size) in [(Hash::Sha256, 32), (Hash::Sha384, 48), (Hash::Sha512, 64)] {
            let input = Signing::RsaPkcs1(hash).input(b"message");
            assert_eq!(input.len(), 19 + size);
            assert_eq!(usize::from(input[1]), input.len() - 2);
            assert_eq!(usize::from(input[18]), size);
            assert!(input.ends_with(&hash.of(b"message")));
        }
    }

    #[test]
    fn every_algorithm_but_the_named_ones_is_done_in_tokens() {
        let missing: Vec<&str> = SignatureAlgorithm::ALL
            .iter()
            .filter(|algorithm| Signing::with(**algorithm).is_none())
            .map(|algorithm| algorithm.as_str())
            .collect();
        assert_eq!(
            missing,
            [
                "HS256",
                "HS384",
                "HS512",
                "ES256K",
                "ML-DSA-44",
                "ML-DSA-65",
                "ML-DSA-87"
            ]
        );
    }
}
