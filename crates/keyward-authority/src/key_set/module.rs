//! The seam to a module outside of the process that keys are made in and never leave.

use super::plan::Plan;
use super::succession;
use crate::Error;
use async_trait::async_trait;
use keyward_jose::{Algorithm, Key, Rotation, SignatureAlgorithm, Signer};
use keyward_model::{Clock, Timestamp};
use keyward_store::management::Author;
use keyward_store::{KeyPurpose, ModuleKeyRemains, NewKey, PrivatePart, Store};
use std::sync::Arc;

/// Where keys are made, used and destroyed: a PKCS#11 token. Keys are known there by references, which stand in the
/// store.
#[async_trait]
pub trait KeyModule: Send + Sync {
    /// A reference that no key has.
    ///
    /// # Errors
    /// [`Error::Internal`].
    fn new_reference(&self) -> Result<String, Error>;

    /// What references to keys of this module begin with, and no others.
    fn prefix(&self) -> String;

    /// Whether the module is there and makes keys for this algorithm, as far as it tells.
    ///
    /// # Errors
    /// [`Error::Module`]: nothing was made.
    async fn check(&self, algorithm: SignatureAlgorithm) -> Result<(), Error>;

    /// Whether a reference is to this module. It says nothing of whether the key is there.
    fn holds(&self, reference: &str) -> bool;

    /// Makes a key and gives its public part. `about` is for people who look into the module.
    ///
    /// # Errors
    /// [`Error::Module`]: there may be a key of this reference all the same.
    async fn make(
        &self,
        reference: &str,
        algorithm: SignatureAlgorithm,
        about: &str,
    ) -> Result<Key, Error>;

    /// What signs with a key. Whether the module has the key shows when something is to be signed.
    ///
    /// # Errors
    /// [`Error::Module`] for a key that can't sign so.
    fn signer(
        &self,
        reference: &str,
        public: &Key,
        algorithm: SignatureAlgorithm,
    ) -> Result<Arc<dyn Signer>, Error>;

    /// Whether the module has the private part of a key.
    ///
    /// # Errors
    /// [`Error::Module`].
    async fn has(&self, reference: &str) -> Result<bool, Error>;

    /// Destroys a key; whether it was there.
    ///
    /// # Errors
    /// [`Error::Module`].
    async fn destroy(&self, reference: &str) -> Result<bool, Error>;
}

/// The signer of a key that this node can't reach: it is known, shown and verified with, and signs nothing here.
pub(super) struct OutOfReach {
    pub(super) kid: String,
    pub(super) algorithm: SignatureAlgorithm,
    pub(super) why: String,
}

#[async_trait]
impl Signer for OutOfReach {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn kid(&self) -> Option<&str> {
        Some(&self.kid)
    }

    async fn sign(&self, _: &[u8]) -> Result<Vec<u8>, keyward_jose::Error> {
        Err(keyward_jose::Error::Signer(self.why.clone()))
    }
}

/// A key that a set wants.
pub(super) struct Wanted {
    pub(super) purpose: KeyPurpose,
    pub(super) algorithm: Algorithm,
    /// What it joins.
    pub(super) rotation: Rotation<String>,
}

/// Keys that were made now and are not stored.
#[derive(Default)]
pub(super) struct Made {
    pub(super) keys: Vec<NewKey>,
    /// Their references in the module.
    pub(super) announced: Vec<String>,
    /// Why others could not be made.
    pub(super) trouble: Option<Error>,
}

impl Made {
    /// Those that are stored have their rows by now; the others are to be destroyed. Where the store fails they are
    /// found by their age.
    pub(super) async fn settle(&self, store: &Store) {
        if self.announced.is_empty() {
            return;
        }
        if let Err(error) = store.give_up_module_keys(&self.announced).await {
            tracing::warn!(
                code = error.code(),
                "keys: {error}; what was made in the module for nothing is destroyed later"
            );
        }
    }
}

/// What makes keys: here, or in the module.
#[derive(Clone, Copy)]
pub(super) struct Workshop<'w> {
    pub(super) store: &'w Store,
    pub(super) clock: &'w dyn Clock,
    pub(super) module: Option<&'w Arc<dyn KeyModule>>,
}

impl<'w> Workshop<'w> {
    fn module_of(self, plan: &Plan) -> Result<&'w Arc<dyn KeyModule>, Error> {
        self.module.ok_or_else(|| Error::NoModule {
            set: plan.name.to_string(),
        })
    }

    /// Makes keys that are wanted, each where the plan says. What the module can't make now is left out, and told; of
    /// those that are `together` all are made or none.
    pub(super) async fn make(
        self,
        plan: &Plan,
        wanted: Vec<Wanted>,
        together: bool,
        now: Timestamp,
    ) -> Result<Made, Error> {
        let mut made = Made::default();
        let mut able = Vec::new();
        for one in wanted {
            let checked = match plan.in_module(one.purpose, one.algorithm) {
                // One that does not answer is not asked for each.
                Some(_) if made.trouble.as_ref().is_some_and(Error::is_of_all_keys) => continue,
                Some(signing) => self.check(plan, signing).await,
                None => Ok(()),
            };
            match checked {
                Ok(()) => able.push(one),
                Err(error) => {
                    made.trouble.get_or_insert(error);
                }
            }
        }
        for one in able {
            // Before anything is made that would be destroyed again.
            if together && made.trouble.is_some() {
                break;
            }
            let Wanted {
                purpose,
                algorithm,
                rotation,
            } = one;
            match plan.in_module(purpose, algorithm) {
                None => {
                    let key =
                        super::making(move || succession::generated(purpose, algorithm)).await?;
                    let private = succession::here(&key)?;
                    made.keys.push(succession::row_of(
                        &key, private, purpose, algorithm, rotation, now,
                    )?);
                }
                Some(_) if made.trouble.as_ref().is_some_and(Error::is_of_all_keys) => {}
                Some(signing) => match self
                    .make_in_module(plan, signing, &mut made.announced)
                    .await
                {
                    Ok((key, reference)) => {
                        let key = succession::dressed(key, purpose, algorithm)?;
                        let private = PrivatePart::InModule(reference);
                        made.keys.push(succession::row_of(
                            &key, private, purpose, algorithm, rotation, now,
                        )?);
                    }
                    Err(error @ Error::Store(_)) => return Err(error),
                    Err(error) => {
                        made.trouble.get_or_insert(error);
                    }
                },
            }
        }
        Ok(made)
    }

    async fn check(self, plan: &Plan, algorithm: SignatureAlgorithm) -> Result<(), Error> {
        self.module_of(plan)?.check(algorithm).await
    }

    async fn make_in_module(
        self,
        plan: &Plan,
        algorithm: SignatureAlgorithm,
        announced: &mut Vec<String>,
    ) -> Result<(Key, String), Error> {
        let module = self.module_of(plan)?;
        let reference = module.new_reference()?;
        // Before it is made: one that nobody knows of would stay there for good. It counts from now, however long those
        // before took.
        self.store
            .announce_module_keys(std::slice::from_ref(&reference), self.clock.now())
            .await?;
        announced.push(reference.clone());
        let about = format!("keyward {}/{} {algorithm}", plan.team_name, plan.name);
        let key = module.make(&reference, algorithm, &about).await?;
        Ok((key, reference))
    }

    /// Has the module destroy what is over and what came to nothing. A key that it does not destroy keeps none of the
    /// others.
    pub(super) async fn clear(self, author: Author<'_>) -> Result<(), Error> {
        let Some(module) = self.module else {
            return Ok(());
        };
        let prefix = module.prefix();
        let (mut after, mut first) = (String::new(), None);
        loop {
            let now = self.clock.now();
            let page = self.store.module_key_remains(&prefix, &after, now).await?;
            let Some(last) = page.last() else {
                return first.map_or(Ok(()), Err);
            };
            after.clone_from(&last.reference);
            for remains in &page {
                match self.cleared(module, remains, author).await {
                    Ok(()) => {}
                    Err(error @ Error::Store(_)) => return Err(error),
                    Err(error) if error.is_of_all_keys() => return Err(first.unwrap_or(error)),
                    Err(error) => {
                        first.get_or_insert(error);
                    }
                }
            }
        }
    }

    async fn cleared(
        self,
        module: &Arc<dyn KeyModule>,
        remains: &ModuleKeyRemains,
        author: Author<'_>,
    ) -> Result<(), Error> {
        // Its maker may have been slow, and may have stored it since the list was read.
        if !self
            .store
            .claim_module_key(remains, self.clock.now())
            .await?
        {
            return Ok(());
        }
        let found = module.destroy(&remains.reference).await?;
        let now = self.clock.now();
        self.store
            .forget_module_key(remains, found, author, now)
            .await?;
        Ok(())
    }
}
