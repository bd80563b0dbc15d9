//! The flattened JSON serialization: one signature (RFC 7515, section 7.2.2).

use super::compact::check_signer;
use super::json_form::{
    Form, Signature, check_unprotected, decode_payload, encode_payload, signature_members, to_text,
};
use super::{Header, compact::Unsigned};
use crate::{Error, LocalSigner, Signer, Verifiers};
use serde_json::{Map, Value};

/// A verified JWS in the flattened serialization.
#[derive(Clone, Debug, PartialEq)]
pub struct FlattenedJws {
    /// The signature's headers.
    pub signature: Signature,
    /// The payload, decoded.
    pub payload: Vec<u8>,
}

/// Signs the payload; `unprotected` is added without being covered by the signature.
///
/// # Errors
/// [`Error::KeyUnfit`] if the header names another algorithm than the signer's; [`Error::Header`] for a
/// name that stands in both headers, or may not be unprotected; [`Error::Serialization`] for an unencoded
/// payload that is no text.
pub fn sign(
    payload: &[u8],
    header: &Header,
    unprotected: &Map<String, Value>,
    signer: &LocalSigner,
) -> Result<String, Error> {
    let unsigned = prepare(payload, header, unprotected, signer)?;
    let signature = signer.sign_now(unsigned.message())?;
    let payload = encode_payload(payload, header.is_payload_unencoded())?;
    write(&unsigned, unprotected, &signature, Some(payload))
}

/// Signs the payload with a signer of any kind.
///
/// # Errors
/// As [`sign`], and what the signer returns.
pub async fn sign_with(
    payload: &[u8],
    header: &Header,
    unprotected: &Map<String, Value>,
    signer: &dyn Signer,
) -> Result<String, Error> {
    let unsigned = prepare(payload, header, unprotected, signer)?;
    let signature = signer.sign(unsigned.message()).await?;
    let payload = encode_payload(payload, header.is_payload_unencoded())?;
    write(&unsigned, unprotected, &signature, Some(payload))
}

/// Signs a payload that goes another way: there is no `payload`.
///
/// # Errors
/// As [`sign`].
pub fn sign_detached(
    payload: &[u8],
    header: &Header,
    unprotected: &Map<String, Value>,
    signer: &LocalSigner,
) -> Result<String, Error> {
    let unsigned = prepare(payload, header, unprotected, signer)?;
    let signature = signer.sign_now(unsigned.message())?;
    write(&unsigned, unprotected, &signature, None)
}

/// Signs a payload that goes another way, with a signer of any kind.
///
/// # Errors
/// As [`sign`], and what the signer returns.
pub async fn sign_detached_with(
    payload: &[u8],
    header: &Header,
    unprotected: &Map<String, Value>,
    signer: &dyn Signer,
) -> Result<String, Error> {
    let unsigned = prepare(payload, header, unprotected, signer)?;
    let signature = signer.sign(unsigned.message()).await?;
    write(&unsigned, unprotected, &signature, None)
}

/// Verifies a flattened JWS.
///
/// # Errors
/// [`Error::Serialization`] for any other text, and for one with parts of another serialization; those of
/// the header; those of [`Verifiers::verify`].
pub fn verify(text: &str, verifiers: &Verifiers) -> Result<FlattenedJws, Error> {
    let mut form = read(text)?;
    let payload = form
        .take_payload()?
        .ok_or(Error::Serialization("there is no payload inside"))?;
    let signed = form.into_signed()?;
    let unencoded = signed.is_payload_unencoded();
    let signature = signed.verify(&payload, verifiers)?;
    Ok(FlattenedJws {
        signature,
        payload: decode_payload(payload, unencoded)?,
    })
}

/// Verifies a flattened JWS whose payload came another way.
///
/// # Errors
/// As [`verify`]; [`Error::Serialization`] if a payload is inside.
pub fn verify_detached(
    text: &str,
    payload: &[u8],
    verifiers: &Verifiers,
) -> Result<Signature, Error> {
    let form = read(text)?;
    if form.has("payload") {
        return Err(Error::Serialization(
            "the payload is inside, and a detached one was given",
        ));
    }
    form.into_signed()?.verify_detached(payload, verifiers)
}

fn read(text: &str) -> Result<Form, Error> {
    let form = Form::read(text)?;
    if form.has("signatures") {
        return Err(Error::Serialization(
            "this has `signatures` as the general serialization, and a flattened one was expected",
        ));
    }
    Ok(form)
}

fn prepare(
    payload: &[u8],
    header: &Header,
    unprotected: &Map<String, Value>,
    signer: &dyn Signer,
) -> Result<Unsigned, Error> {
    check_signer(header, signer)?;
    check_unprotected(header, unprotected)?;
    Unsigned::detached(header, payload)
}

fn write(
    unsigned: &Unsigned,
    unprotected: &Map<String, Value>,
    signature: &[u8],
    payload: Option<String>,
) -> Result<String, Error> {
    let mut members = signature_members(unsigned.protected()?, unprotected, signature);
    if let Some(payload) = payload {
        members.insert("payload".to_owned(), payload.into());
    }
    to_text(&members)
}
