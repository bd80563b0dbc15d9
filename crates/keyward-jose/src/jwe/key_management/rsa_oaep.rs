//! RSAES-OAEP (RFC 7518, section 4.3; RFC 8017, section 7.1).
//!
//! RFC 7516, section 11.5 asks that a failed decryption of the content key be indistinguishable from a
//! failed decryption of the content. With RSA1_5 that needs a random stand-in key, since an attacker can
//! make ciphertexts whose padding is right by trying some thousands. OAEP has a hash in its padding:
//! nobody can make a ciphertext that passes without knowing what is in it, aws-lc does not tell by error
//! or time why one did not pass, and this crate answers both failures with one error. A stand-in would
//! hide nothing more.

use crate::Error;
use crate::algorithm::KeyManagementAlgorithm;
use crate::key::{Key, Material, Rsa};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{
    KeyPair, KeyPairComponents, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384,
    OAEP_SHA512_MGF1SHA512, OaepAlgorithm, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
    PrivateDecryptingKey, PublicEncryptingKey, PublicKeyComponents,
};
use zeroize::Zeroizing;

/// A prepared public key.
pub(in crate::jwe) struct OaepSender {
    key: OaepPublicEncryptingKey,
    algorithm: &'static OaepAlgorithm,
}

impl OaepSender {
    pub(super) fn new(key: &Key, algorithm: KeyManagementAlgorithm) -> Result<Self, Error> {
        let rsa = material(key)?;
        let public: PublicEncryptingKey = components(rsa)
            .try_into()
            .map_err(|_| Error::KeyInvalid("aws-lc refuses this RSA public key".to_owned()))?;
        let key = OaepPublicEncryptingKey::new(public)
            .map_err(|_| Error::KeyInvalid("aws-lc refuses this RSA public key".to_owned()))?;
        Ok(Self {
            key,
            algorithm: oaep(algorithm),
        })
    }

    pub(super) fn wrap(&self, key: &[u8]) -> Result<Vec<u8>, Error> {
        let mut wrapped = vec![0; self.key.ciphertext_size()];
        let length = self
            .key
            .encrypt(self.algorithm, key, &mut wrapped, None)
            .map_err(|_| Error::Crypto("RSA-OAEP encryption"))?
            .len();
        wrapped.truncate(length);
        Ok(wrapped)
    }
}

/// A prepared private key.
pub(in crate::jwe) struct OaepReceiver {
    key: OaepPrivateDecryptingKey,
    algorithm: &'static OaepAlgorithm,
}

impl OaepReceiver {
    pub(super) fn new(key: &Key, algorithm: KeyManagementAlgorithm) -> Result<Self, Error> {
        let rsa = material(key)?;
        let private = rsa.private.as_ref().ok_or(Error::NoPrivateKey)?;
        let refused = || {
            Error::KeyInvalid(
                "the values of this RSA private key do not belong together".to_owned(),
            )
        };
        let pair = KeyPair::from_components(&KeyPairComponents {
            public_key: components(rsa),
            d: private.d.as_slice(),
            p: private.p.as_slice(),
            q: private.q.as_slice(),
            dP: private.dp.as_slice(),
            dQ: private.dq.as_slice(),
            qInv: private.qi.as_slice(),
        })
        .map_err(|_| refused())?;
        let pkcs8: Pkcs8V1Der<'_> = pair
            .as_der()
            .map_err(|_| Error::Crypto("writing an RSA key"))?;
        let private = PrivateDecryptingKey::from_pkcs8(pkcs8.as_ref()).map_err(|_| refused())?;
        let key = OaepPrivateDecryptingKey::new(private).map_err(|_| refused())?;
        Ok(Self {
            key,
            algorithm: oaep(algorithm),
        })
    }

    pub(super) fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut key = Zeroizing::new(vec![0; self.key.min_output_size()]);
        let length = self
            .key
            .decrypt(self.algorithm, wrapped, &mut key, None)
            .map_err(|_| Error::DecryptionFailed)?
            .len();
        key.truncate(length);
        Ok(key)
    }
}

fn material(key: &Key) -> Result<&Rsa, Error> {
    match &key.material {
        Material::Rsa(rsa) => Ok(rsa),
        Material::Ec(_) | Material::Okp(_) | Material::Oct(_) | Material::Akp(_) => {
            Err(Error::KeyUnfit("an RSA key is needed".to_owned()))
        }
    }
}

fn components(rsa: &Rsa) -> PublicKeyComponents<&[u8]> {
    PublicKeyComponents {
        n: rsa.n.as_slice(),
        e: rsa.e.as_slice(),
    }
}

/// `algorithm` is one of the OAEP family. SHA-1 is what RFC 7518 registered as `RSA-OAEP`; OAEP needs no
/// collision resistance, so it stands.
fn oaep(algorithm: KeyManagementAlgorithm) -> &'static OaepAlgorithm {
    if algorithm == KeyManagementAlgorithm::RsaOaep {
        &OAEP_SHA1_MGF1SHA1
    } else if algorithm == KeyManagementAlgorithm::RsaOaep256 {
        &OAEP_SHA256_MGF1SHA256
    } else if algorithm == KeyManagementAlgorithm::RsaOaep384 {
        &OAEP_SHA384_MGF1SHA384
    } else {
        &OAEP_SHA512_MGF1SHA512
    }
}
