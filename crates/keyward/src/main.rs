//! The Keyward binary.

mod command;
mod configuration;
mod environment;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::run()
}
