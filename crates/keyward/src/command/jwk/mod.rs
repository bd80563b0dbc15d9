//! `keyward jwk`: keys (RFC 7517).

mod certificate;
mod convert;
mod generate;
mod inspect;
mod public;
mod thumbprint;

use super::Failure;
use super::input::Input;
use super::key_arguments::key_bytes_max;
use crate::key_file;
use clap::Subcommand;
use keyward_jose::key::KeyForm;
use keyward_jose::{JwkSet, Key};

/// Make, convert and inspect keys (JWK)
#[derive(Debug, Subcommand)]
pub(super) enum Jwk {
    Generate(generate::Generate),
    Public(public::Public),
    Thumbprint(thumbprint::Thumbprint),
    Inspect(inspect::Inspect),
    Convert(convert::Convert),
    CertificateRequest(certificate::Request),
    SelfSign(certificate::SelfSign),
}

impl Jwk {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Generate(command) => command.run(),
            Self::Public(command) => command.run(),
            Self::Thumbprint(command) => command.run(),
            Self::Inspect(command) => command.run(),
            Self::Convert(command) => command.run(),
            Self::CertificateRequest(command) => command.run(),
            Self::SelfSign(command) => command.run(),
        }
    }
}

/// What a file holds.
enum Held {
    One(Box<Key>, KeyForm),
    Set(JwkSet),
}

impl Held {
    fn read(input: &Input) -> Result<Self, Failure> {
        let bytes = input.read(key_bytes_max())?;
        if key_file::is_set(&bytes) {
            let set = JwkSet::parse(&bytes).map_err(Failure::jose(input.to_string()))?;
            return Ok(Self::Set(set));
        }
        let (key, form) = Key::parse(&bytes).map_err(Failure::jose(input.to_string()))?;
        Ok(Self::One(Box::new(key), form))
    }

    /// Reads a file of which nothing may be lost: a set with a key that can't be used is refused.
    fn read_whole(input: &Input) -> Result<Self, Failure> {
        let held = Self::read(input)?;
        if let Self::Set(set) = &held
            && let Some(skipped) = set.skipped().first()
        {
            return Err(Failure::new(
                input.to_string(),
                format!("key {} can't be read: {}", skipped.index + 1, skipped.error),
                skipped.error.code(),
            ));
        }
        Ok(held)
    }

    fn keys(&self) -> &[Key] {
        match self {
            Self::One(key, _) => std::slice::from_ref(key),
            Self::Set(set) => set.keys(),
        }
    }
}
