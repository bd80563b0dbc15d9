//! JWK, JWK sets, JWS, JWE and JWT.

pub mod algorithm;
mod base64url;
mod error;
mod json;
pub mod key;

pub use algorithm::{Algorithm, ContentEncryption, KeyManagementAlgorithm, SignatureAlgorithm};
pub use error::Error;
pub use key::Key;
