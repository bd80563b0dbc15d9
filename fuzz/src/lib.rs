//! What the fuzz targets share: keys, and texts edited as the fuzzer says.

mod edit;
mod keys;

pub use edit::{Chosen, edited};
pub use keys::{bound, ec, ed25519, oct, rsa, sealed_by_secret, secret, vectors};
