//! `--key` and `--jwks`.

use super::input::Input;
use super::{Failure, terminal};
use crate::key_file::{self, KEY_FILE_MAX_BYTES};
use clap::{Args, ValueHint};
use keyward_jose::{Error, JwkSet, Key, LocalSigner, SignatureAlgorithm, Verifier, Verifiers};

/// One key, or a set of them.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(super) struct Keys {
    /// The key: a JWK, PEM or DER (public, private or symmetric)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    key: Option<Input>,

    /// The keys: a JWK set, of which `kid` and algorithm choose
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    jwks: Option<Input>,
}

/// What was read.
pub(super) enum KeyMaterial {
    /// The key that the caller chose: a `kid` is not compared.
    One(Box<Key>),
    /// A set to choose from.
    Set(JwkSet),
}

impl Keys {
    /// The files, for [`check_one_standard`](super::input::check_one_standard).
    pub(super) fn inputs(&self) -> impl Iterator<Item = &Input> {
        self.key.iter().chain(&self.jwks)
    }

    /// The keys.
    pub(super) fn read(&self) -> Result<KeyMaterial, Failure> {
        match (&self.key, &self.jwks) {
            (Some(key), _) => read_key(key).map(|key| KeyMaterial::One(Box::new(key))),
            (None, Some(set)) => read_set(set).map(KeyMaterial::Set),
            (None, None) => Err(Failure::usage("arguments", "give --key or --jwks")),
        }
    }
}

/// The one key in a file.
pub(super) fn read_key(input: &Input) -> Result<Key, Failure> {
    let bytes = input.read(key_bytes_max())?;
    if key_file::is_set(&bytes) {
        return Err(Failure::new(
            input.to_string(),
            "this is a set of keys, and one key is needed here (where a set is taken, it is --jwks)",
            "key_form",
        ));
    }
    let (key, _) = Key::parse(&bytes).map_err(Failure::jose(input.to_string()))?;
    Ok(key)
}

/// The set in a file. Keys that are left out of it are told of.
pub(super) fn read_set(input: &Input) -> Result<JwkSet, Failure> {
    let bytes = input.read(key_bytes_max())?;
    let set = JwkSet::parse(&bytes).map_err(Failure::jose(input.to_string()))?;
    for skipped in set.skipped() {
        terminal::complain(&format!(
            "keyward: {input}: key {} is left out: {} [{}]",
            skipped.index + 1,
            terminal::visible(&skipped.error.to_string()),
            skipped.error.code()
        ));
    }
    Ok(set)
}

/// The most bytes that are read as keys.
pub(super) fn key_bytes_max() -> usize {
    usize::try_from(KEY_FILE_MAX_BYTES).unwrap_or(usize::MAX)
}

impl KeyMaterial {
    /// What verifies with these keys and, where some are named, these algorithms alone.
    pub(super) fn verifiers(
        &self,
        what: &str,
        named: &[SignatureAlgorithm],
    ) -> Result<Verifiers, Failure> {
        match self {
            Self::Set(set) => {
                let verifiers = Verifiers::new(set.keys(), named);
                if verifiers.is_empty() {
                    let why = verifiers.left_out().first().map_or_else(
                        || "there is no key in the set".to_owned(),
                        |left_out| left_out.error.to_string(),
                    );
                    return Err(Failure::new(what, why, "key_unfit"));
                }
                Ok(verifiers)
            }
            Self::One(key) => {
                let mut fitting = Vec::new();
                let mut refusal = None;
                for algorithm in key.signature_algorithms() {
                    if !named.is_empty() && !named.contains(algorithm) {
                        continue;
                    }
                    match Verifier::new(key, *algorithm) {
                        Ok(_) => fitting.push(*algorithm),
                        Err(error) => refusal = refusal.or(Some(error)),
                    }
                }
                if fitting.is_empty() {
                    let error = refusal.unwrap_or_else(|| unfit(key, named));
                    return Err(Failure::jose(what)(error));
                }
                let nameless = key.as_ref().clone().with_kid(None);
                let nameless = nameless.map_err(Failure::jose(what))?;
                Ok(Verifiers::new(&[nameless], &fitting))
            }
        }
    }

    /// The error as this choice of keys has it: with one key that the caller chose, "no key has this
    /// `kid`" means that the signature is not that key's.
    pub(super) fn refusal(&self, error: Error) -> Error {
        match (self, error) {
            (Self::One(_), Error::KeyUnknown(_)) => Error::SignatureInvalid,
            (Self::One(_) | Self::Set(_), error) => error,
        }
    }
}

fn unfit(key: &Key, named: &[SignatureAlgorithm]) -> Error {
    let named: Vec<&str> = named.iter().map(|one| one.as_str()).collect();
    Error::KeyUnfit(if named.is_empty() {
        format!("{} makes no signatures", key.description())
    } else {
        format!("{} does not fit {}", key.description(), named.join(", "))
    })
}

/// A signer for the key: with the algorithm named, or the key's own, or the only one that fits.
pub(super) fn signer(
    what: &str,
    key: &Key,
    named: Option<SignatureAlgorithm>,
) -> Result<LocalSigner, Failure> {
    let algorithm = match named.or_else(|| own_algorithm(key)) {
        Some(algorithm) => algorithm,
        None => only_algorithm(key).map_err(Failure::jose(what))?,
    };
    LocalSigner::new(key, algorithm).map_err(Failure::jose(what))
}

fn own_algorithm(key: &Key) -> Option<SignatureAlgorithm> {
    match key.algorithm()? {
        keyward_jose::Algorithm::Signature(algorithm) => Some(algorithm),
        keyward_jose::Algorithm::KeyManagement(_)
        | keyward_jose::Algorithm::ContentEncryption(_) => None,
    }
}

/// What a key without `alg` signs with when nothing else is said. Ed25519 has two names for one thing;
/// the one that everybody reads is taken.
fn only_algorithm(key: &Key) -> Result<SignatureAlgorithm, Error> {
    let fitting: Vec<SignatureAlgorithm> = key
        .signature_algorithms()
        .iter()
        .copied()
        .filter(|algorithm| key.fits(keyward_jose::Algorithm::Signature(*algorithm)))
        .collect();
    match fitting.as_slice() {
        [] => Err(unfit(key, &[])),
        [only] => Ok(*only),
        [SignatureAlgorithm::EdDsa, ..] => Ok(SignatureAlgorithm::EdDsa),
        several => {
            let names: Vec<&str> = several.iter().map(|one| one.as_str()).collect();
            Err(Error::KeyUnfit(format!(
                "{} without `alg` could sign with {}: choose with --alg",
                key.description(),
                names.join(", ")
            )))
        }
    }
}
