//! `keyward jwk public`.

use super::Held;
use crate::command::input::Input;
use crate::command::{Failure, terminal};
use clap::{Args, ValueHint};
use keyward_jose::JwkSet;
use keyward_jose::key::Part;

/// Take the private parts out of a key or a set
///
/// Reads a JWK, a JWK set, PEM or DER and writes what everyone may see: a JWK, or a JWK set. Symmetric
/// keys have no such part and are refused.
#[derive(Args, Debug)]
pub(in crate::command) struct Public {
    /// Write a set, even of one key: what an issuer publishes
    #[arg(long)]
    set: bool,

    /// The key or the set; `-` is standard input
    #[arg(default_value = "-", value_name = "FILE", value_hint = ValueHint::FilePath)]
    input: Input,
}

impl Public {
    pub(super) fn run(self) -> Result<(), Failure> {
        const WHAT: &str = "jwk public";
        let held = Held::read_whole(&self.input)?;
        let text = match held {
            Held::One(key, _) if self.set => {
                JwkSet::from_keys([*key]).and_then(|set| set.to_json(Part::Public))
            }
            Held::One(key, _) => key.to_jwk(Part::Public),
            Held::Set(set) => set.to_json(Part::Public),
        };
        terminal::write_line(&text.map_err(Failure::jose(WHAT))?)
    }
}
