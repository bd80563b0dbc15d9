//! `keyward jwk generate`.

use crate::command::{Failure, algorithm, terminal};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use keyward_jose::key::{Curve, KeyType, KeyUse, Part};
use keyward_jose::{Algorithm, Key};

/// Make a key
///
/// Writes a new private (or symmetric) key as a JWK to standard output. Its `kid` is its thumbprint
/// (RFC 7638) unless --kid says otherwise. Keep it where only you can read it.
#[derive(Args, Debug)]
pub(in crate::command) struct Generate {
    /// What the key is for: a signature, key management or content encryption algorithm
    #[arg(long, value_parser = algorithm::any(), value_name = "ALG")]
    alg: Algorithm,

    /// The key's name in tokens and sets
    #[arg(long, value_name = "KID")]
    kid: Option<String>,

    /// What the key may be used for, beside what `alg` says already
    #[arg(long = "use", value_name = "USE")]
    key_use: Option<Use>,

    /// The length of an RSA key (2048, 3072, 4096 or 8192; 2048 without this option) or of a secret, in
    /// bits
    #[arg(long, value_name = "BITS")]
    bits: Option<usize>,

    /// The curve of a key for ECDH-ES (P-256 without this option)
    #[arg(long, value_parser = curves(), value_name = "CURVE", conflicts_with = "bits")]
    curve: Option<Curve>,
}

/// `use` (RFC 7517, section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Use {
    /// Signatures
    Sig,
    /// Encryption
    Enc,
}

fn curves() -> impl TypedValueParser<Value = Curve> {
    let names = Curve::ALL.iter().map(|curve| curve.as_str());
    PossibleValuesParser::new(names).try_map(|name| {
        let mut all = Curve::ALL.iter().copied();
        all.find(|curve| curve.as_str() == name)
            .ok_or("there is no such curve")
    })
}

impl Generate {
    pub(super) fn run(self) -> Result<(), Failure> {
        const WHAT: &str = "jwk generate";
        let key = match self.curve {
            Some(curve) => Key::generate_type(KeyType::Curve(curve))
                .and_then(|key| key.with_algorithm(Some(self.alg))),
            None => Key::generate(self.alg, self.bits),
        };
        let mut key = key.map_err(Failure::jose(WHAT))?;
        if let Some(kid) = self.kid {
            key = key.with_kid(Some(kid)).map_err(Failure::jose(WHAT))?;
        }
        if let Some(key_use) = self.key_use {
            let key_use = match key_use {
                Use::Sig => KeyUse::Signature,
                Use::Enc => KeyUse::Encryption,
            };
            key = key.with_use(Some(key_use)).map_err(Failure::jose(WHAT))?;
        }
        let jwk = key.to_jwk(Part::Private).map_err(Failure::jose(WHAT))?;
        terminal::write_line(&jwk)
    }
}
