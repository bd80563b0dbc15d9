//! The Keyward binary.

mod acme;
mod command;
mod configuration;
mod environment;
mod key_file;
mod own_keys;
mod serve;

use std::process::ExitCode;

/// A call makes and frees some thirty small things; this allocator halves what that costs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    command::run()
}
