//! The Keyward binary.

mod command;
mod configuration;
mod environment;
mod key_file;
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "`serve` opens the store and the keys when it starts"
    )
)]
mod own_keys;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::run()
}
