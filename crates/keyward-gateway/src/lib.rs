//! See the crate description.

pub mod issuer;
