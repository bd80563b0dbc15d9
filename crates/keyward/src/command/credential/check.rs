//! `keyward credential check`.

use super::secret;
use crate::command::input::Input;
use crate::command::{Failure, terminal};
use clap::{Args, ValueHint};
use keyward_model::api_key;

/// Tell whether a text can be an API key, without asking any node
#[derive(Args, Debug)]
pub(in crate::command) struct Check {
    /// The key; `-` is standard input
    #[arg(default_value = "-", value_name = "FILE", value_hint = ValueHint::FilePath)]
    input: Input,
}

impl Check {
    pub(super) fn run(self) -> Result<(), Failure> {
        let text = secret(&self.input)?;
        api_key::check(text.as_bytes())
            .map_err(|error| Failure::new("API key", error.to_string(), "api_key_invalid"))?;
        terminal::write_line(if api_key::is_ours(text.as_bytes()) {
            "a key of Keyward's: its check is right"
        } else {
            "a key that was made elsewhere: its length and characters can be taken"
        })
    }
}
