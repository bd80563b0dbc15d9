//! Certificate requests for keys whose private part is not here.

use super::issue::{Subject, unfit, unwritable};
use crate::key::{Curve, Material, der};
use crate::{Error, Key, SignatureAlgorithm as A, Signer};
use rcgen::{PublicKeyData, SignatureAlgorithm, SigningKey};
use std::sync::{Mutex, PoisonError};

impl Key {
    /// What a signer of this key signs certificate requests with: RSA keys with RS256, whatever else they sign with.
    /// `None` for keys that can have no request made with
    /// [`certificate_request_with`](Self::certificate_request_with).
    #[must_use]
    pub fn certificate_algorithm(&self) -> Option<A> {
        match &self.material {
            Material::Rsa(_) => Some(A::Rs256),
            Material::Ec(key) => match key.curve {
                Curve::P256 => Some(A::Es256),
                Curve::P384 => Some(A::Es384),
                Curve::P521 => Some(A::Es512),
                Curve::Secp256k1 | Curve::Ed25519 | Curve::X25519 => None,
            },
            Material::Okp(key) => (key.curve == Curve::Ed25519).then_some(A::Ed25519),
            Material::Oct(_) | Material::Akp(_) => None,
        }
    }

    /// A certificate request for this key in DER, signed by `signer`, whose key's public part it is. The signer's
    /// algorithm is the key's [`certificate_algorithm`](Self::certificate_algorithm).
    ///
    /// # Errors
    /// [`Error::KeyUnfit`] for keys that can have none and a signer with another algorithm; [`Error::Certificate`] when
    /// the subject can't be written; what the signer returns.
    pub async fn certificate_request_with(
        &self,
        subject: &Subject,
        signer: &dyn Signer,
    ) -> Result<Vec<u8>, Error> {
        let algorithm = self.certificate_algorithm().ok_or_else(|| unfit(self))?;
        if signer.algorithm() != algorithm {
            return Err(Error::KeyUnfit(format!(
                "its certificate requests are signed with {algorithm}, and the signer signs with {}",
                signer.algorithm()
            )));
        }
        // The library signs while it writes, and a signer outside takes its time. So it writes twice: once to learn what
        // is to be signed, and once with the signature.
        let draft = Draft::new(self, None)?;
        self.written(subject, &draft)?;
        let message = draft.message();
        let signature = signer.sign(&message).await?;
        let signed = Draft::new(self, Some(in_der(algorithm, signature)))?;
        let request = self.written(subject, &signed)?;
        if signed.message() == message {
            Ok(request)
        } else {
            Err(Error::Crypto("writing a certificate request twice"))
        }
    }

    fn written(&self, subject: &Subject, draft: &Draft) -> Result<Vec<u8>, Error> {
        let request = subject
            .parameters(self)?
            .serialize_request(draft)
            .map_err(|error| unwritable(&error))?;
        Ok(request.der().to_vec())
    }
}

/// ECDSA's two numbers as X.509 has them (RFC 5480, section 2.2.3); others are the same in JWS and X.509.
fn in_der(algorithm: A, signature: Vec<u8>) -> Vec<u8> {
    if !matches!(algorithm, A::Es256 | A::Es384 | A::Es512) {
        return signature;
    }
    let (r, s) = signature.split_at(signature.len() / 2);
    der::write(
        der::tag::SEQUENCE,
        &[
            &der::write_unsigned(significant(r)),
            &der::write_unsigned(significant(s)),
        ],
    )
    .to_vec()
}

/// A number of JWS's full length without the zeros that it begins with: DER has one way to write it.
fn significant(number: &[u8]) -> &[u8] {
    let first = number.iter().position(|byte| *byte != 0);
    let first = first.unwrap_or(number.len().saturating_sub(1));
    number.get(first..).unwrap_or_default()
}

/// A request that notes what is to be signed, with the signature once that is known.
struct Draft {
    public: Vec<u8>,
    algorithm: &'static SignatureAlgorithm,
    message: Mutex<Vec<u8>>,
    signature: Option<Vec<u8>>,
}

impl Draft {
    fn new(key: &Key, signature: Option<Vec<u8>>) -> Result<Self, Error> {
        let (public, algorithm) = match &key.material {
            Material::Rsa(own) => (
                der::write(
                    der::tag::SEQUENCE,
                    &[&der::write_unsigned(&own.n), &der::write_unsigned(&own.e)],
                )
                .to_vec(),
                &rcgen::PKCS_RSA_SHA256,
            ),
            Material::Ec(own) => {
                let algorithm = match own.curve {
                    Curve::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
                    Curve::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
                    Curve::P521 => &rcgen::PKCS_ECDSA_P521_SHA512,
                    Curve::Secp256k1 | Curve::Ed25519 | Curve::X25519 => return Err(unfit(key)),
                };
                (own.point(), algorithm)
            }
            Material::Okp(own) => (own.x.clone(), &rcgen::PKCS_ED25519),
            Material::Oct(_) | Material::Akp(_) => return Err(unfit(key)),
        };
        Ok(Self {
            public,
            algorithm,
            message: Mutex::default(),
            signature,
        })
    }

    fn message(&self) -> Vec<u8> {
        let message = self.message.lock().unwrap_or_else(PoisonError::into_inner);
        message.clone()
    }
}

impl PublicKeyData for Draft {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

impl SigningKey for Draft {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let mut noted = self.message.lock().unwrap_or_else(PoisonError::into_inner);
        *noted = message.to_vec();
        Ok(self.signature.clone().unwrap_or_default())
    }
}
