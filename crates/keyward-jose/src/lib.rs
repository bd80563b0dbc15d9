//! JWK, JWK sets, JWS, JWE and JWT: every algorithm in use, strict by default, on the safe API of aws-lc-rs, without I/O.
//!
//! | what | where | algorithms |
//! |---|---|---|
//! | keys | [`Key`] | RSA (2048 to 8192 bits), EC (P-256, P-384, P-521, secp256k1), OKP (Ed25519, X25519), AKP (ML-DSA-44, -65, -87), oct; as JWK, PEM, DER, X.509 |
//! | key sets | [`JwkSet`], [`Rotation`] | |
//! | signatures | [`jws`], [`Verifiers`], [`Signer`] | HS256 to HS512; RS and PS 256 to 512; ES256, ES384, ES512, ES256K; EdDSA, Ed25519; ML-DSA-44, -65, -87 |
//! | encryption | [`jwe`] | RSA-OAEP, -256, -384, -512; ECDH-ES, alone and with A128KW to A256KW (P-256, P-384, P-521, X25519); A128KW to A256KW; A128GCMKW to A256GCMKW; PBES2 (three); dir; all six `enc` |
//! | tokens | [`jwt`] | those of signatures, and encrypted around them |
//! | certificates | [`x509`] | requests, self-signed ones, chains against given roots |
//!
//! There is no `none` and no RSA1_5, as an option neither. A [`Verifiers`] is made of keys *and* the algorithms that each may
//! serve; a token's header picks among these and can do no more. Names that come twice, padding, white space, stray bits,
//! unknown `crit` and what is over a bound are refused.
//!
//! # A key, a token, and whether it holds
//!
//! ```
//! use keyward_jose::jwt::{self, Claims, Profile};
//! use keyward_jose::{Algorithm, Key, LocalSigner, NumericDate, SignatureAlgorithm, Verifiers};
//!
//! let algorithm = SignatureAlgorithm::Es256;
//! let key = Key::generate(Algorithm::Signature(algorithm), None)?;
//!
//! // Time is an argument: whoever tests an expiry need not wait for it.
//! let now = NumericDate(1_800_000_000);
//! let claims = Claims::new()
//!     .with_issuer("https://issuer.example")
//!     .with_subject("alice")
//!     .with_audience(["orders"])
//!     .with_expiry(NumericDate(now.0 + 600));
//! let signer = LocalSigner::new(&key, algorithm)?;
//! let token = jwt::sign(&claims, &signer, "at+jwt")?;
//!
//! let verifiers = Verifiers::new(&[key.public()?], &[algorithm]);
//! let profile = Profile::builder()
//!     .issuer("https://issuer.example")
//!     .audience("orders")
//!     .typ("at+jwt")
//!     .build()?;
//! let verified = jwt::verify(&token, &verifiers, &profile, now)?;
//! assert_eq!(verified.claims.subject(), Some("alice"));
//!
//! // An hour later, and for somebody else, it does not hold.
//! assert!(jwt::verify(&token, &verifiers, &profile, NumericDate(now.0 + 3_600)).is_err());
//! let other = Profile::builder().issuer("https://issuer.example").audience("billing").build()?;
//! assert!(jwt::verify(&token, &verifiers, &other, now).is_err());
//! # Ok::<(), keyward_jose::Error>(())
//! ```
//!
//! # A published key set
//!
//! What can't be used is skipped and told, and the rest serves.
//!
//! ```
//! use keyward_jose::{Algorithm, JwkSet, Key, SignatureAlgorithm};
//! use keyward_jose::key::Part;
//!
//! let key = Key::generate(Algorithm::Signature(SignatureAlgorithm::Ed25519), None)?;
//! let published = JwkSet::from_keys([key.public()?])?.to_json(Part::Public)?;
//! let with_a_stranger = published.replace("[", r#"[{"kty":"new"},"#);
//!
//! let set = JwkSet::parse_public(with_a_stranger.as_bytes())?;
//! assert_eq!((set.keys().len(), set.skipped().len()), (1, 1));
//! # Ok::<(), keyward_jose::Error>(())
//! ```
//!
//! # A detached signature
//!
//! ```
//! use keyward_jose::jws::{Header, compact};
//! use keyward_jose::{Algorithm, Key, LocalSigner, SignatureAlgorithm, Verifiers};
//!
//! let algorithm = SignatureAlgorithm::Hs256;
//! let key = Key::generate(Algorithm::Signature(algorithm), None)?;
//! let signer = LocalSigner::new(&key, algorithm)?;
//! let header = Header::for_signer(&signer).with_unencoded_payload();
//! let signature = compact::sign_detached(b"$.02", &header, &signer)?;
//!
//! let verifiers = Verifiers::new(&[key], &[algorithm]);
//! assert!(compact::verify_detached(&signature, b"$.02", &verifiers).is_ok());
//! assert!(compact::verify_detached(&signature, b"$.20", &verifiers).is_err());
//! # Ok::<(), keyward_jose::Error>(())
//! ```
//!
//! # A signer elsewhere
//!
//! An HSM or a key service implements [`Signer`]; [`jwt::sign_with`] and the JWS functions take it.
//!
//! # A key that rotates
//!
//! [`Rotation`] takes a key from published to active, retiring and retired, and never signs with one that caches may not
//! have yet; its page has an example.

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
