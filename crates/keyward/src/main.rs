//! The Keyward binary.

mod command;
mod configuration;
mod environment;
mod key_file;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::run()
}
