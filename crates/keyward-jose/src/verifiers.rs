//! A key set made ready to verify, and the choice that a token's header has among it.

use crate::signature::is_secret;
use crate::{Error, Key, SignatureAlgorithm, Verifier};
use std::collections::HashMap;

/// How many keys are tried for one token that does not name its key: a public key operation for each is
/// what a stranger can make us spend.
const TRIED_MAX: usize = 8;

/// Prepared verifiers: every key of a set with every algorithm that fits it and is allowed.
///
/// A token's header picks among these and can do no more: `jwk`, `jku`, `x5u` and `x5c` are never
/// followed, `kid` is compared and nothing else (RFC 8725, sections 3.1 and 3.10).
///
/// # Which algorithms
/// `allowed` names them. A key whose `alg` is set is prepared for that one alone; another key for all of
/// its type and curve that are allowed. An **empty** list stands for "what the keys are made for", within
/// one family: if all keys are shared secrets, the HMAC algorithms; if any key is a public one, the
/// signature algorithms, and the shared secrets are left out. So a secret slips into a set of public keys
/// only where the list names HMAC; and never can a public key serve as a secret, since an HMAC verifier is
/// made from an `oct` key alone (CVE-2015-9235).
///
/// # Which key
/// A token with a `kid` is verified with the keys of that `kid`; if there are none, with the keys that
/// have no `kid` at all (nothing contradicts there), and if those don't fit either it is
/// [`Error::KeyUnknown`]: time to fetch the set again. A token without a `kid` is tried with every key of
/// its algorithm, eight at most.
#[derive(Clone, Debug, Default)]
pub struct Verifiers {
    verifiers: Vec<Verifier>,
    /// Positions by `kid`.
    by_kid: HashMap<Box<str>, Vec<usize>>,
    /// Positions of those without one.
    nameless: Vec<usize>,
    allowed: Vec<SignatureAlgorithm>,
    left_out: Vec<LeftOut>,
}

/// A key that no verifier was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its place in the set.
    pub index: usize,
    /// Its `kid`.
    pub kid: Option<String>,
    /// Why.
    pub error: Error,
}

impl Verifiers {
    /// Prepares the keys. Those that don't fit are left out and listed; an empty result is no error, it
    /// knows no key.
    #[must_use]
    pub fn new(keys: &[Key], allowed: &[SignatureAlgorithm]) -> Self {
        let mut set = Self {
            allowed: if allowed.is_empty() {
                one_family(keys)
            } else {
                allowed.to_vec()
            },
            ..Self::default()
        };
        for (index, key) in keys.iter().enumerate() {
            if let Err(error) = set.add(index, key) {
                set.left_out.push(LeftOut {
                    index,
                    kid: key.kid().map(str::to_owned),
                    error,
                });
            }
        }
        set
    }

    fn add(&mut self, index: usize, key: &Key) -> Result<(), Error> {
        let mut refusal = None;
        let mut added = false;
        for algorithm in key.signature_algorithms() {
            if !self.allowed.contains(algorithm) {
                continue;
            }
            match Verifier::new(key, *algorithm) {
                Ok(verifier) => {
                    self.push(verifier.at(index));
                    added = true;
                }
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        match refusal {
            _ if added => Ok(()),
            Some(error) => Err(error),
            None => Err(Error::KeyUnfit(
                "no algorithm of its type is allowed here".to_owned(),
            )),
        }
    }

    fn push(&mut self, verifier: Verifier) {
        let positions = match verifier.kid() {
            Some(kid) => self.by_kid.entry(kid.into()).or_default(),
            None => &mut self.nameless,
        };
        positions.push(self.verifiers.len());
        self.verifiers.push(verifier);
    }

    /// The keys that no verifier was made from, and why.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// The algorithms that tokens may name.
    #[must_use]
    pub fn allowed(&self) -> &[SignatureAlgorithm] {
        &self.allowed
    }

    /// Whether no key is here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.verifiers.is_empty()
    }

    /// Each key with each of its algorithms.
    pub fn iter(&self) -> impl Iterator<Item = &Verifier> {
        self.verifiers.iter()
    }

    /// Whether a key of this `kid` is here, with whatever algorithm.
    #[must_use]
    pub fn knows(&self, kid: &str) -> bool {
        self.by_kid.contains_key(kid)
    }

    /// Verifies the signature over `message` by the key that the header's `alg` and `kid` pick, and tells
    /// which it was.
    ///
    /// # Errors
    /// [`Error::AlgorithmNotAllowed`], [`Error::KeyUnknown`], [`Error::SignatureInvalid`].
    pub fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        kid: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<&Verifier, Error> {
        if !self.allowed.contains(&algorithm) {
            return Err(Error::AlgorithmNotAllowed(algorithm.to_string()));
        }
        let Some(kid) = kid else {
            let all = self.verifiers.iter().filter(of(algorithm));
            return try_each(all, message, signature)?
                .ok_or_else(|| Error::KeyUnknown(format!("there is no key for {algorithm}")));
        };
        if let Some(named) = self.by_kid.get(kid) {
            return try_each(self.at(named).filter(of(algorithm)), message, signature)?.ok_or_else(
                || {
                    Error::AlgorithmNotAllowed(format!(
                        "{algorithm} with the key of the token's `kid`"
                    ))
                },
            );
        }
        let nameless = self.at(&self.nameless).filter(of(algorithm));
        match try_each(nameless, message, signature) {
            Ok(Some(verifier)) => Ok(verifier),
            // The key with this `kid` may simply not have been fetched yet.
            Ok(None) | Err(Error::SignatureInvalid) => Err(Error::KeyUnknown(format!(
                "the set has none with the `kid` {:?}",
                kid.chars().take(60).collect::<String>()
            ))),
            Err(error) => Err(error),
        }
    }

    fn at<'a>(&'a self, positions: &'a [usize]) -> impl Iterator<Item = &'a Verifier> {
        positions.iter().filter_map(|at| self.verifiers.get(*at))
    }
}

impl From<Verifier> for Verifiers {
    /// A set of this one.
    fn from(verifier: Verifier) -> Self {
        let mut set = Self {
            allowed: vec![verifier.algorithm()],
            ..Self::default()
        };
        set.push(verifier);
        set
    }
}

fn one_family(keys: &[Key]) -> Vec<SignatureAlgorithm> {
    use SignatureAlgorithm as A;
    const HMAC: [SignatureAlgorithm; 3] = [A::Hs256, A::Hs384, A::Hs512];
    let secrets_only = !keys.is_empty() && keys.iter().all(is_secret);
    A::ALL
        .iter()
        .copied()
        .filter(|algorithm| HMAC.contains(algorithm) == secrets_only)
        .collect()
}

fn of(algorithm: SignatureAlgorithm) -> impl Fn(&&Verifier) -> bool {
    move |verifier| verifier.algorithm() == algorithm
}

/// The first whose signature it is; `None` if there was nothing to try.
fn try_each<'a>(
    candidates: impl Iterator<Item = &'a Verifier>,
    message: &[u8],
    signature: &[u8],
) -> Result<Option<&'a Verifier>, Error> {
    let mut tried = 0;
    for verifier in candidates {
        if tried == TRIED_MAX {
            return Err(Error::KeyUnknown(format!(
                "the token does not say which of more than {TRIED_MAX} keys is meant"
            )));
        }
        tried += 1;
        if verifier.verify(message, signature).is_ok() {
            return Ok(Some(verifier));
        }
    }
    if tried == 0 {
        Ok(None)
    } else {
        Err(Error::SignatureInvalid)
    }
}
