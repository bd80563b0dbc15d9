//! JWK, JWK sets, JWS, JWE and JWT.

pub mod algorithm;
mod base64url;
mod error;
mod json;
pub mod jwe;
pub mod jws;
pub mod jwt;
pub mod key;
mod key_set;
mod numeric_date;
mod rotation;
mod signature;
mod verifiers;
pub mod x509;

pub use algorithm::{Algorithm, ContentEncryption, KeyManagementAlgorithm, SignatureAlgorithm};
pub use error::Error;
pub use key::Key;
pub use key_set::{JwkSet, Skipped};
pub use numeric_date::NumericDate;
pub use rotation::{KeyState, Rotation, RotationEntry, RotationPolicy};
pub use signature::{LocalSigner, Signer, Verifier};
pub use verifiers::{LeftOut, Verifiers};
