//! What the fuzz targets share: keys, and texts edited as the fuzzer says.

mod duplicates;
mod edit;
mod keys;

pub use duplicates::has_no_member_twice;
pub use edit::{Chosen, edited};
pub use keys::{bound, ec, ed25519, oct, rsa, sealed_by_secret, secret, vectors};
