//! JWK, JWK sets, JWS, JWE and JWT.

pub mod algorithm;
mod base64url;
mod error;
mod json;
pub mod jws;
pub mod jwt;
pub mod key;
mod numeric_date;
mod signature;
mod verifiers;

pub use algorithm::{Algorithm, ContentEncryption, KeyManagementAlgorithm, SignatureAlgorithm};
pub use error::Error;
pub use key::Key;
pub use numeric_date::NumericDate;
pub use signature::{LocalSigner, Signer, Verifier};
pub use verifiers::{LeftOut, Verifiers};
