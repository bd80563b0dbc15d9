//! ML-DSA keys (FIPS 204) as RFC 9964 describes them: key type AKP.

use super::{Akp, MlDsa};
use crate::{Error, SignatureAlgorithm};
use aws_lc_rs::encoding::AsRawBytes as _;
use aws_lc_rs::signature::{
    KeyPair as _, ML_DSA_44_SIGNING, ML_DSA_65_SIGNING, ML_DSA_87_SIGNING, PqdsaKeyPair,
    PqdsaSigningAlgorithm,
};
use zeroize::Zeroizing;

/// The seed ξ of FIPS 204.
pub(crate) const SEED_BYTES: usize = 32;

impl MlDsa {
    /// All of them.
    pub const ALL: &[Self] = &[Self::MlDsa44, Self::MlDsa65, Self::MlDsa87];

    /// The registered name: `alg` of a JWK.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.algorithm().as_str()
    }

    /// The one algorithm of this parameter set.
    #[must_use]
    pub const fn algorithm(self) -> SignatureAlgorithm {
        match self {
            Self::MlDsa44 => SignatureAlgorithm::MlDsa44,
            Self::MlDsa65 => SignatureAlgorithm::MlDsa65,
            Self::MlDsa87 => SignatureAlgorithm::MlDsa87,
        }
    }

    /// The library's algorithm.
    pub(crate) fn signing(self) -> &'static PqdsaSigningAlgorithm {
        match self {
            Self::MlDsa44 => &ML_DSA_44_SIGNING,
            Self::MlDsa65 => &ML_DSA_65_SIGNING,
            Self::MlDsa87 => &ML_DSA_87_SIGNING,
        }
    }
}

impl Akp {
    /// A public key: every string of the right length is one.
    pub(crate) fn public(parameter_set: MlDsa, public: Vec<u8>) -> Result<Self, Error> {
        let length = parameter_set.signing().public_key_len();
        if public.len() != length {
            return Err(Error::KeyMember(
                "pub",
                format!(
                    "it has {} bytes; {} has {length}",
                    public.len(),
                    parameter_set.as_str()
                ),
            ));
        }
        Ok(Self {
            parameter_set,
            public,
            seed: None,
        })
    }

    /// A private key, whose public key must belong to it.
    pub(crate) fn private(
        parameter_set: MlDsa,
        public: Vec<u8>,
        seed: Zeroizing<Vec<u8>>,
    ) -> Result<Self, Error> {
        let given = Self::public(parameter_set, public)?;
        let key = Self::from_seed(parameter_set, seed)?;
        if key.public == given.public {
            Ok(key)
        } else {
            Err(Error::KeyInvalid(
                "the private key does not belong to the public key".to_owned(),
            ))
        }
    }

    /// A private key whose public key is computed.
    pub(crate) fn from_seed(parameter_set: MlDsa, seed: Zeroizing<Vec<u8>>) -> Result<Self, Error> {
        let public = pair(parameter_set, &seed)?.public_key().as_ref().to_vec();
        Ok(Self {
            parameter_set,
            public,
            seed: Some(seed),
        })
    }

    /// Whether `expanded` is the expanded private key of the seed (RFC 9881, section 6).
    pub(crate) fn expands_to(&self, expanded: &[u8]) -> Result<bool, Error> {
        let seed = self.seed.as_ref().ok_or(Error::NoPrivateKey)?;
        let own = pair(self.parameter_set, seed)?;
        let own = own
            .private_key()
            .as_raw_bytes()
            .map_err(|_| Error::Crypto("ML-DSA private key"))?;
        Ok(aws_lc_rs::constant_time::verify_slices_are_equal(own.as_ref(), expanded).is_ok())
    }
}

fn pair(parameter_set: MlDsa, seed: &[u8]) -> Result<PqdsaKeyPair, Error> {
    if seed.len() != SEED_BYTES {
        return Err(Error::KeyMember(
            "priv",
            format!("it has {} bytes; a seed has {SEED_BYTES}", seed.len()),
        ));
    }
    PqdsaKeyPair::from_seed(parameter_set.signing(), seed)
        .map_err(|_| Error::KeyInvalid("the seed is not sound".to_owned()))
}
