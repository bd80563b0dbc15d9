//! The PKCS#11 token as the authority asks for it.

use async_trait::async_trait;
use keyward_authority::Error;
use keyward_authority::key_set::KeyModule;
use keyward_jose::{Key, SignatureAlgorithm, Signer};
use keyward_pkcs11::{Reference, Token};
use std::sync::Arc;

/// Signing keys in a PKCS#11 token.
pub(crate) struct KeysInToken(pub(crate) Arc<Token>);

fn failed(error: keyward_pkcs11::Error) -> Error {
    Error::Module {
        why: error.to_string(),
        code: error.code(),
        of_all_keys: error.is_of_the_token(),
    }
}

fn read(reference: &str) -> Result<Reference, Error> {
    reference
        .parse()
        .map_err(|error| Error::Internal(format!("`{reference}`: {error}")))
}

#[async_trait]
impl KeyModule for KeysInToken {
    fn new_reference(&self) -> Result<String, Error> {
        let reference = self.0.reference_for_new().map_err(failed)?;
        Ok(reference.to_string())
    }

    fn prefix(&self) -> String {
        self.0.reference_prefix()
    }

    async fn check(&self, algorithm: SignatureAlgorithm) -> Result<(), Error> {
        self.0.check_makes(algorithm).await.map_err(failed)
    }

    fn holds(&self, reference: &str) -> bool {
        read(reference).is_ok_and(|reference| reference.token() == self.0.label())
    }

    async fn make(
        &self,
        reference: &str,
        algorithm: SignatureAlgorithm,
        about: &str,
    ) -> Result<Key, Error> {
        let reference = read(reference)?;
        let made = self.0.make_signing_key(&reference, algorithm, about).await;
        made.map_err(failed)
    }

    fn signer(
        &self,
        reference: &str,
        public: &Key,
        algorithm: SignatureAlgorithm,
    ) -> Result<Arc<dyn Signer>, Error> {
        let signer = self.0.signer(&read(reference)?, public, algorithm);
        Ok(Arc::new(signer.map_err(failed)?))
    }

    async fn has(&self, reference: &str) -> Result<bool, Error> {
        let found = self.0.has_signing_key(&read(reference)?).await;
        found.map_err(failed)
    }

    async fn destroy(&self, reference: &str) -> Result<bool, Error> {
        let destroyed = self.0.destroy_signing_key(&read(reference)?).await;
        destroyed.map_err(failed)
    }
}
