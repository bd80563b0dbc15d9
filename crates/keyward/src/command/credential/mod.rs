//! `keyward credential`: API keys and passwords.

mod check;
mod generate;
mod hash;

use super::Failure;
use super::input::Input;
use clap::Subcommand;
use zeroize::Zeroizing;

/// API keys and passwords for `kind: credential`
#[derive(Debug, Subcommand)]
pub(super) enum Credential {
    Generate(generate::Generate),
    Hash(hash::Hash),
    Check(check::Check),
}

impl Credential {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Generate(command) => command.run(),
            Self::Hash(command) => command.run(),
            Self::Check(command) => command.run(),
        }
    }
}

/// A secret is no longer.
const SECRET_MAX: usize = 512;

/// A secret as it stands in a file or comes from a pipe, without the line break at its end.
fn secret(input: &Input) -> Result<Zeroizing<String>, Failure> {
    let bytes = input.read(SECRET_MAX + 2)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Failure::new("secret", "it is not UTF-8", "input"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(Failure::new("secret", "nothing was given", "input"));
    }
    Ok(Zeroizing::new(text.to_owned()))
}
