//! JSON Web Encryption (RFC 7516) with the algorithms of RFC 7518, RFC 8037 and the later registrations
//! of RSA-OAEP.
//!
//! An [`Encrypter`] is one key with one `alg` and one `enc`; a [`Decrypter`] is one key with one `alg`.
//! [`Decrypters`] holds several and picks by `kid` and `alg`. The caller names the serialization: text
//! in another one is refused, so that no text can mean two things.
//!
//! After the headers have been read, everything that goes wrong is
//! [`Error::DecryptionFailed`](crate::Error::DecryptionFailed), whether the wrapped key, the tag or the
//! padding was bad.
//!
//! `jwk`, `jku`, `x5c` and `x5u` of a message are never looked at: a message can't bring its own key.
//!
//! ```
//! use keyward_jose::jwe::{Decrypter, Encrypter, Message};
//! use keyward_jose::{Algorithm, ContentEncryption, Key, KeyManagementAlgorithm};
//!
//! let algorithm = KeyManagementAlgorithm::EcdhEsA256Kw;
//! let key = Key::generate(Algorithm::KeyManagement(algorithm), None)?;
//!
//! let encrypter = Encrypter::new(&key.public()?, algorithm, ContentEncryption::A256Gcm)?;
//! let token = encrypter.encrypt_compact(&Message::new(b"attack at dawn"))?;
//!
//! let decrypter = Decrypter::new(&key, algorithm)?;
//! assert_eq!(decrypter.decrypt_compact(&token)?.plaintext.as_slice(), b"attack at dawn");
//! # Ok::<(), keyward_jose::Error>(())
//! ```

mod compression;
mod content;
mod decrypter;
mod decrypters;
mod encrypter;
mod header;
mod key_management;
mod limits;
mod message;
mod serialization;
#[cfg(test)]
mod tests;

pub use decrypter::{Decrypted, Decrypter};
pub use decrypters::{Decrypters, SkippedKey};
pub use encrypter::{Encrypter, encrypt_general};
pub use header::Header;
pub use limits::{
    ATTEMPTS_MAX, INFLATED_MAX, Limits, PBES2_COUNT_MAX, PBES2_COUNT_MIN, SERIALIZED_MAX,
};
pub use message::Message;
