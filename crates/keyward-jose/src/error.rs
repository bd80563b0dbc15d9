//! What can be wrong, with a stable code for each.

/// Everything that this crate refuses, and why.
///
/// [`code`](Error::code) is stable: programs may compare it. The texts are for people and may improve.
/// No text holds any part of a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not base64url without padding (RFC 4648, section 5; RFC 7515, section 2).
    #[error("{0}: not base64url: {1}")]
    Base64(&'static str, &'static str),
    /// Not JSON, or JSON that could be read in two ways.
    #[error("{0}: {1}")]
    Json(&'static str, String),
    /// Longer, deeper or more than the bound allows.
    #[error("{what} is over the bound of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The bound that it passes, in bytes unless `what` says otherwise.
        limit: usize,
    },
    /// Not the serialization that was asked for, or not a serialization at all.
    #[error("{0}")]
    Serialization(&'static str),
    /// A header parameter is missing, of the wrong type, or may not be there.
    #[error("header `{0}`: {1}")]
    Header(String, &'static str),
    /// `crit` names an extension that is not understood (RFC 7515, section 4.1.11).
    #[error("header `crit` names `{0}`, which is not understood here")]
    CriticalExtension(String),
    /// The algorithm is unknown, or not among those allowed here.
    #[error("algorithm `{0}` is not allowed here")]
    AlgorithmNotAllowed(String),
    /// A key's member is missing or malformed.
    #[error("key member `{0}`: {1}")]
    KeyMember(&'static str, String),
    /// The key can't be what it says it is.
    #[error("not a usable key: {0}")]
    KeyInvalid(String),
    /// The key's type, curve, `alg`, `use` or `key_ops` does not fit what it was asked to do.
    #[error("this key can't be used for that: {0}")]
    KeyUnfit(String),
    /// The private part is needed and not there.
    #[error("the key has no private part")]
    NoPrivateKey,
    /// The form (PEM, DER, JWK) can't carry this key, or its contents are none we know.
    #[error("{0}")]
    KeyForm(String),
    /// No key of the set fits the token's `kid` and algorithm.
    #[error("no key fits: {0}")]
    KeyUnknown(String),
    /// The signature does not belong to the message and the key.
    #[error("the signature does not match")]
    SignatureInvalid,
    /// Decryption failed. On purpose it does not say at which step.
    #[error("decryption failed")]
    DecryptionFailed,
    /// The cryptographic library refused an operation that should have worked.
    #[error("cryptographic operation failed: {0}")]
    Crypto(&'static str),
    /// A certificate or its chain is not to be trusted.
    #[error("certificate: {0}")]
    Certificate(String),
    /// A claim is missing.
    #[error("claim `{0}` is missing")]
    ClaimMissing(String),
    /// A claim has the wrong type or form.
    #[error("claim `{0}`: {1}")]
    ClaimMalformed(String, &'static str),
    /// `exp` is over.
    #[error("the token expired {0} s ago")]
    Expired(i64),
    /// `nbf` is ahead.
    #[error("the token is valid only in {0} s")]
    NotYetValid(i64),
    /// `iat` is ahead of now.
    #[error("the token was issued {0} s in the future")]
    IssuedInFuture(i64),
    /// `iat` is older than the profile takes.
    #[error("the token is older than {0} s")]
    TooOld(u64),
    /// `iss` is another.
    #[error("the token's issuer is not the one expected")]
    IssuerMismatch,
    /// `aud` holds none of those expected.
    #[error("the token is not meant for this audience")]
    AudienceMismatch,
    /// `typ` is another.
    #[error("the token's type is not the one expected")]
    TypeMismatch,
    /// A validation profile leaves open what it has to say.
    #[error("the profile is incomplete: {0}")]
    Profile(&'static str),
    /// A key's state does not allow this now.
    #[error("{0}")]
    Rotation(String),
    /// A signer outside the process failed.
    #[error("the signer failed: {0}")]
    Signer(String),
}

impl Error {
    /// The stable code, in snake case.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Base64(..) => "base64",
            Self::Json(..) => "json",
            Self::TooLarge { .. } => "too_large",
            Self::Serialization(_) => "serialization",
            Self::Header(..) => "header",
            Self::CriticalExtension(_) => "critical_extension",
            Self::AlgorithmNotAllowed(_) => "algorithm_not_allowed",
            Self::KeyMember(..) => "key_member",
            Self::KeyInvalid(_) => "key_invalid",
            Self::KeyUnfit(_) => "key_unfit",
            Self::NoPrivateKey => "no_private_key",
            Self::KeyForm(_) => "key_form",
            Self::KeyUnknown(_) => "key_unknown",
            Self::SignatureInvalid => "signature_invalid",
            Self::DecryptionFailed => "decryption_failed",
            Self::Crypto(_) => "crypto",
            Self::Certificate(_) => "certificate",
            Self::ClaimMissing(_) => "claim_missing",
            Self::ClaimMalformed(..) => "claim_malformed",
            Self::Expired(_) => "expired",
            Self::NotYetValid(_) => "not_yet_valid",
            Self::IssuedInFuture(_) => "issued_in_future",
            Self::TooOld(_) => "too_old",
            Self::IssuerMismatch => "issuer_mismatch",
            Self::AudienceMismatch => "audience_mismatch",
            Self::TypeMismatch => "type_mismatch",
            Self::Profile(_) => "profile",
            Self::Rotation(_) => "rotation",
            Self::Signer(_) => "signer",
        }
    }
}
