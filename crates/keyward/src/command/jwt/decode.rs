//! `keyward jwt decode`.

use crate::command::input::Input;
use crate::command::{Failure, terminal};
use clap::{Args, ValueHint};
use keyward_jose::jwt::{TOKEN_MAX, peek};
use serde_json::{Value, json};

/// Show what a token says, without verifying it
///
/// Writes the header and the claims as JSON to standard output. Anybody can write a token: nothing of it
/// is to be believed.
#[derive(Args, Debug)]
pub(in crate::command) struct Decode {
    /// The token; `-` is standard input
    #[arg(default_value = "-", value_name = "TOKEN", value_hint = ValueHint::FilePath)]
    token: Input,
}

impl Decode {
    pub(super) fn run(self) -> Result<(), Failure> {
        const WHAT: &str = "jwt decode";
        let token = self.token.read_line(TOKEN_MAX)?;
        if token.split('.').count() == 5 {
            return Err(Failure::new(
                WHAT,
                "the token is encrypted: decrypt it first with `keyward jwe decrypt`",
                "serialization",
            ));
        }
        let peek = peek(&token).map_err(Failure::jose(WHAT))?;
        terminal::complain(
            "keyward: jwt decode: unverified: this is what the token says, and anybody can write one",
        );
        let shown = json!({
            "header": Value::Object(peek.header().to_json()),
            "claims": peek.claims().map(),
        });
        terminal::write_json(&shown)
    }
}
