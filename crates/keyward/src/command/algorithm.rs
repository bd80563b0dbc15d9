//! Algorithms as arguments.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use keyward_jose::{Algorithm, ContentEncryption, KeyManagementAlgorithm, SignatureAlgorithm};

/// An algorithm of a JWS.
pub(super) fn signature() -> impl TypedValueParser<Value = SignatureAlgorithm> {
    let names = SignatureAlgorithm::ALL.iter().map(|one| one.as_str());
    PossibleValuesParser::new(names).try_map(|name| name.parse::<SignatureAlgorithm>())
}

/// A key management algorithm of a JWE.
pub(super) fn key_management() -> impl TypedValueParser<Value = KeyManagementAlgorithm> {
    let names = KeyManagementAlgorithm::ALL.iter().map(|one| one.as_str());
    PossibleValuesParser::new(names).try_map(|name| name.parse::<KeyManagementAlgorithm>())
}

/// A content encryption algorithm of a JWE.
pub(super) fn content_encryption() -> impl TypedValueParser<Value = ContentEncryption> {
    let names = ContentEncryption::ALL.iter().map(|one| one.as_str());
    PossibleValuesParser::new(names).try_map(|name| name.parse::<ContentEncryption>())
}

/// Any algorithm that a key can be for.
pub(super) fn any() -> impl TypedValueParser<Value = Algorithm> {
    let names = Algorithm::all().map(Algorithm::as_str);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Algorithm>())
}
