//! The Keyward binary.

mod command;
mod configuration;
mod environment;
mod key_file;
mod own_keys;
mod serve;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::run()
}
