//! `keyward jwt`: tokens (RFC 7519).

mod decode;
mod discovery;
mod sign;
mod verify;

use super::Failure;
use super::time::now;
use clap::Subcommand;

/// Make, verify and read tokens (JWT)
#[derive(Debug, Subcommand)]
pub(super) enum Jwt {
    Sign(sign::Sign),
    Verify(verify::Verify),
    Decode(decode::Decode),
}

impl Jwt {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Sign(command) => command.run(now()),
            Self::Verify(command) => command.run(now()),
            Self::Decode(command) => command.run(),
        }
    }
}
