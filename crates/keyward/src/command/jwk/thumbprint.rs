//! `keyward jwk thumbprint`.

use super::Held;
use crate::command::input::Input;
use crate::command::{Failure, terminal};
use clap::{Args, ValueHint};

/// Tell the thumbprint of a key (RFC 7638, SHA-256)
///
/// Of a set, one line for each key. It is the same for the private and the public key.
#[derive(Args, Debug)]
pub(in crate::command) struct Thumbprint {
    /// As a URI (RFC 9278)
    #[arg(long)]
    uri: bool,

    /// The key or the set; `-` is standard input
    #[arg(default_value = "-", value_name = "FILE", value_hint = ValueHint::FilePath)]
    input: Input,
}

impl Thumbprint {
    pub(super) fn run(self) -> Result<(), Failure> {
        for key in Held::read_whole(&self.input)?.keys() {
            terminal::write_line(&if self.uri {
                key.thumbprint_uri()
            } else {
                key.thumbprint_base64url()
            })?;
        }
        Ok(())
    }
}
