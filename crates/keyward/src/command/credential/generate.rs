//! `keyward credential generate`.

use crate::command::{Failure, terminal};
use aws_lc_rs::rand;
use clap::Args;
use keyward_model::ApiKey;
use zeroize::Zeroizing;

/// Make an API key
///
/// It has 256 random bits, begins with `kwk_`, so that scanners of code and logs find it, and ends with a check,
/// so that one that was cut is known to be none.
#[derive(Args, Debug)]
pub(in crate::command) struct Generate {}

impl Generate {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut random = Zeroizing::new([0; 32]);
        rand::fill(&mut *random)
            .map_err(|_| Failure::new("key", "the system's random generator failed", "random"))?;
        terminal::write_line(ApiKey::from_random(&random).reveal())
    }
}
