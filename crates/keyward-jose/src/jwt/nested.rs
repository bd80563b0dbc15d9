//! Signed, then encrypted tokens (RFC 7519, section 5.2 and appendix A.2).

use super::{Claims, Profile, Verified, sign, sign_with, verify};
use crate::jwe::{Decrypters, Encrypter, Message};
use crate::{Error, LocalSigner, NumericDate, Signer, Verifiers};

/// What `cty` says of the content of a nested token.
const CONTENT_TYPE: &str = "JWT";

/// Decrypts a token and verifies the signed token inside, which is held to everything that
/// [`verify`](super::verify) checks. An encrypted token without a signed one inside is refused: whoever has
/// the public key could have made it.
///
/// # Errors
/// [`Error::Serialization`] for a token that is not encrypted; [`Error::Header`] if the protected `cty` is
/// not `JWT`; [`Error::DecryptionFailed`] and the other errors of
/// [`Decrypters::decrypt_compact`](crate::jwe::Decrypters::decrypt_compact); those of
/// [`verify`](super::verify).
pub fn verify_encrypted(
    token: &str,
    decrypters: &Decrypters,
    verifiers: &Verifiers,
    profile: &Profile,
    now: NumericDate,
) -> Result<Verified, Error> {
    let limit = profile.size_max();
    if token.len() > limit {
        return Err(Error::TooLarge {
            what: "the token",
            limit,
        });
    }
    let decrypted = decrypters.decrypt_compact(token)?;
    let nested = decrypted
        .header
        .protected("cty")
        .and_then(|cty| cty.as_str())
        .is_some_and(|cty| cty.eq_ignore_ascii_case(CONTENT_TYPE));
    if !nested {
        return Err(Error::Header(
            "cty".to_owned(),
            "it has to be `JWT`, for a signed token inside",
        ));
    }
    let inside = std::str::from_utf8(&decrypted.plaintext)
        .map_err(|_| Error::Serialization("what was encrypted is no signed token"))?;
    verify(inside, verifiers, profile, now)
}

/// Signs the claims and encrypts the signed token.
///
/// # Errors
/// Those of [`sign`](super::sign) and of
/// [`Encrypter::encrypt_compact`](crate::jwe::Encrypter::encrypt_compact).
pub fn sign_and_encrypt(
    claims: &Claims,
    signer: &LocalSigner,
    typ: &str,
    encrypter: &Encrypter,
) -> Result<String, Error> {
    encrypt(&sign(claims, signer, typ)?, encrypter)
}

/// Signs the claims with a signer of any kind and encrypts the signed token.
///
/// # Errors
/// As [`sign_and_encrypt`], and what the signer returns.
pub async fn sign_with_and_encrypt(
    claims: &Claims,
    signer: &dyn Signer,
    typ: &str,
    encrypter: &Encrypter,
) -> Result<String, Error> {
    encrypt(&sign_with(claims, signer, typ).await?, encrypter)
}

fn encrypt(signed: &str, encrypter: &Encrypter) -> Result<String, Error> {
    let message = Message::new(signed.as_bytes()).with_protected("cty", CONTENT_TYPE);
    encrypter.encrypt_compact(&message)
}
