//! A prepared set of keys to decrypt with.

use super::decrypter::{Decrypted, Decrypter, open_any};
use super::header::Header;
use super::limits::{CANDIDATES_MAX, Limits};
use super::serialization::Parts;
use crate::Error;
use crate::algorithm::{ContentEncryption, KeyManagementAlgorithm};
use crate::key::Key;

/// Several keys, each prepared for every allowed algorithm that it fits. The header of a message picks
/// among these by `kid` and `alg`, and can do no more.
#[derive(Debug)]
pub struct Decrypters {
    decrypters: Vec<Decrypter>,
    skipped: Vec<SkippedKey>,
    limits: Limits,
}

/// A key that fits none of the allowed algorithms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedKey {
    /// Its place among the keys given.
    pub index: usize,
    /// Its `kid`.
    pub kid: Option<String>,
    /// Why it fits none: the refusal of the first algorithm.
    pub error: Error,
}

impl Decrypters {
    /// Prepares all `keys` for those of the allowed algorithms that each fits. Keys that fit none are
    /// left out and listed by [`skipped`](Self::skipped).
    pub fn new<'a>(
        keys: impl IntoIterator<Item = &'a Key>,
        algorithms: &[KeyManagementAlgorithm],
        encryptions: &[ContentEncryption],
    ) -> Self {
        let mut decrypters = Vec::new();
        let mut skipped = Vec::new();
        for (index, key) in keys.into_iter().enumerate() {
            let mut refusal = None;
            let before = decrypters.len();
            for algorithm in algorithms {
                match Decrypter::new(key, *algorithm) {
                    Ok(decrypter) => decrypters.push(decrypter.with_encryptions(encryptions)),
                    Err(error) => {
                        refusal.get_or_insert(error);
                    }
                }
            }
            if decrypters.len() == before {
                skipped.push(SkippedKey {
                    index,
                    kid: key.kid().map(str::to_owned),
                    error: refusal.unwrap_or_else(|| {
                        Error::KeyUnfit("no key management algorithm is allowed".to_owned())
                    }),
                });
            }
        }
        Self {
            decrypters,
            skipped,
            limits: Limits::default(),
        }
    }

    /// Replaces the bounds.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Whether no key was prepared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.decrypters.is_empty()
    }

    /// The keys that were left out.
    #[must_use]
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }

    /// Decrypts the compact serialization.
    ///
    /// # Errors
    /// [`Error::KeyUnknown`] if no key has the message's `kid` and `alg`, and what
    /// [`Decrypter::decrypt_compact`] refuses.
    pub fn decrypt_compact(&self, text: &str) -> Result<Decrypted, Error> {
        self.decrypt(Parts::compact(text, self.limits.serialized)?)
    }

    /// Decrypts the flattened JSON serialization.
    ///
    /// # Errors
    /// As [`decrypt_compact`](Self::decrypt_compact).
    pub fn decrypt_flattened(&self, text: &str) -> Result<Decrypted, Error> {
        self.decrypt(Parts::flattened(text, self.limits.serialized)?)
    }

    /// Decrypts the general JSON serialization: the first recipient that one of the keys opens.
    ///
    /// # Errors
    /// As [`decrypt_compact`](Self::decrypt_compact).
    pub fn decrypt_general(&self, text: &str) -> Result<Decrypted, Error> {
        self.decrypt(Parts::general(text, self.limits.serialized)?)
    }

    fn decrypt(&self, parts: Parts) -> Result<Decrypted, Error> {
        open_any(parts, &self.limits, |header| self.select(header))
    }

    /// With a `kid`, the keys that have it, or if none has, those without a name. Without one, all of the
    /// algorithm (and curve). Up to a bound.
    fn select(&self, header: &Header) -> Result<Vec<&Decrypter>, Error> {
        let algorithm = header.algorithm()?;
        let of_algorithm = || {
            self.decrypters
                .iter()
                .filter(|decrypter| decrypter.algorithm() == algorithm)
        };
        let fitting: Vec<&Decrypter> = match header.kid() {
            Some(kid) if self.decrypters.iter().any(|one| one.kid() == Some(kid)) => of_algorithm()
                .filter(|one| one.kid() == Some(kid))
                .collect(),
            Some(_) => of_algorithm()
                .filter(|one| one.kid().is_none() && one.could_open(header))
                .collect(),
            None => of_algorithm()
                .filter(|one| one.could_open(header))
                .collect(),
        };
        if fitting.is_empty() {
            return Err(Error::KeyUnknown(match header.kid() {
                Some(_) => format!("no {algorithm} key has the message's `kid`"),
                None => format!("there is no key for {algorithm}"),
            }));
        }
        if fitting.len() > CANDIDATES_MAX {
            return Err(Error::KeyUnknown(format!(
                "the message's `kid` picks none, and {} keys would have to be tried",
                fitting.len()
            )));
        }
        Ok(fitting)
    }
}
