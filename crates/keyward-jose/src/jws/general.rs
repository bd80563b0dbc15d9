//! The general JSON serialization: any number of signatures over one payload (RFC 7515, section 7.2.1).
//!
//! Which signatures must be good is for the caller to say: [`verify_any`] or [`verify_all`].

use super::compact::{Unsigned, check_signer};
use super::json_form::{
    Entry, Form, Signature, Signed, check_unprotected, decode_payload, encode_payload,
    signature_members, to_text,
};
use super::{Header, SIGNATURES_MAX};
use crate::{Error, LocalSigner, Signer, Verifiers};
use serde_json::{Map, Value};

/// A JWS in the general serialization, each of its signatures with what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneralJws {
    /// The signatures in their order: verified, or why not.
    pub signatures: Vec<Result<Signature, Error>>,
    /// The payload, decoded.
    pub payload: Vec<u8>,
}

impl GeneralJws {
    /// The signatures that are good.
    pub fn verified(&self) -> impl Iterator<Item = &Signature> {
        self.signatures
            .iter()
            .filter_map(|signature| signature.as_ref().ok())
    }
}

/// What is needed for one signature. The signer is a key in memory, or of any kind for the functions that
/// end in `_with`.
#[derive(Clone, Debug)]
pub struct Signing<'a, S: ?Sized = LocalSigner> {
    /// What the signature covers.
    pub header: Header,
    /// What it does not cover.
    pub unprotected: Map<String, Value>,
    /// The key.
    pub signer: &'a S,
}

/// Signs the payload with each of the signers.
///
/// # Errors
/// [`Error::KeyUnfit`] if a header names another algorithm than its signer's; [`Error::Header`] for a name
/// that stands in both headers, or may not be unprotected, or for a `b64` that is not the same in all;
/// [`Error::Serialization`] for an unencoded payload that is no text, and for no signer at all;
/// [`Error::TooLarge`] for too many.
pub fn sign(payload: &[u8], signings: &[Signing<'_>]) -> Result<String, Error> {
    let unencoded = check(signings)?;
    write(
        sign_each(payload, signings)?,
        Some(encode_payload(payload, unencoded)?),
    )
}

/// Signs the payload with each of the signers, which are of any kind, one after the other.
///
/// # Errors
/// As [`sign`], and what the signers return: then there is no signature at all.
pub async fn sign_with(
    payload: &[u8],
    signings: &[Signing<'_, dyn Signer + '_>],
) -> Result<String, Error> {
    let unencoded = check(signings)?;
    let encoded = encode_payload(payload, unencoded)?;
    write(sign_each_with(payload, signings).await?, Some(encoded))
}

/// Signs a payload that goes another way: there is no `payload`.
///
/// # Errors
/// As [`sign`].
pub fn sign_detached(payload: &[u8], signings: &[Signing<'_>]) -> Result<String, Error> {
    check(signings)?;
    write(sign_each(payload, signings)?, None)
}

/// Signs a payload that goes another way, with signers of any kind.
///
/// # Errors
/// As [`sign_with`].
pub async fn sign_detached_with(
    payload: &[u8],
    signings: &[Signing<'_, dyn Signer + '_>],
) -> Result<String, Error> {
    check(signings)?;
    write(sign_each_with(payload, signings).await?, None)
}

/// That there are neither none nor too many, and whether the payload stays unencoded.
fn check<S: ?Sized>(signings: &[Signing<'_, S>]) -> Result<bool, Error> {
    check_count(signings.len())?;
    let each = signings.iter().map(|signing| &signing.header);
    check_same_b64(each.map(Header::is_payload_unencoded))
}

fn sign_each(payload: &[u8], signings: &[Signing<'_>]) -> Result<Vec<Value>, Error> {
    let mut signatures = Vec::with_capacity(signings.len());
    for signing in signings {
        let unsigned = prepare(payload, signing, signing.signer)?;
        let signature = signing.signer.sign_now(unsigned.message())?;
        signatures.push(signed(signing, &unsigned, &signature)?);
    }
    Ok(signatures)
}

async fn sign_each_with(
    payload: &[u8],
    signings: &[Signing<'_, dyn Signer + '_>],
) -> Result<Vec<Value>, Error> {
    // All are checked before the first is signed: a signer elsewhere may count what it signs.
    let mut prepared = Vec::with_capacity(signings.len());
    for signing in signings {
        prepared.push((signing, prepare(payload, signing, signing.signer)?));
    }
    let mut signatures = Vec::with_capacity(signings.len());
    for (signing, unsigned) in prepared {
        let signature = signing.signer.sign(unsigned.message()).await?;
        signatures.push(signed(signing, &unsigned, &signature)?);
    }
    Ok(signatures)
}

fn prepare<S: ?Sized>(
    payload: &[u8],
    signing: &Signing<'_, S>,
    signer: &dyn Signer,
) -> Result<Unsigned, Error> {
    check_signer(&signing.header, signer)?;
    check_unprotected(&signing.header, &signing.unprotected)?;
    Unsigned::detached(&signing.header, payload)
}

fn signed<S: ?Sized>(
    signing: &Signing<'_, S>,
    unsigned: &Unsigned,
    signature: &[u8],
) -> Result<Value, Error> {
    let members = signature_members(unsigned.protected()?, &signing.unprotected, signature);
    Ok(Value::Object(members))
}

fn write(signatures: Vec<Value>, payload: Option<String>) -> Result<String, Error> {
    let mut members = Map::new();
    members.insert("signatures".to_owned(), Value::Array(signatures));
    if let Some(payload) = payload {
        members.insert("payload".to_owned(), payload.into());
    }
    to_text(&members)
}

/// Verifies a general JWS of which one signature at least must be good. The result tells which are, and
/// what is wrong with the others: a header that is malformed or has an unknown extension counts as a
/// signature that is not good (RFC 7515, section 5.2).
///
/// # Errors
/// [`Error::Serialization`] for any other text, and for one with parts of another serialization;
/// [`Error::Header`] if `b64` differs between the signatures; the first signature's error, if none is good.
pub fn verify_any(text: &str, verifiers: &Verifiers) -> Result<GeneralJws, Error> {
    one_at_least(verify_each(text, Payload::Inside, verifiers)?)
}

/// Verifies a general JWS of which every signature must be good: every one that is **there**. Whoever
/// passes a JWS on can take signatures out, and nothing in it tells. If certain keys must have signed, look
/// for theirs among the [`verified`](GeneralJws::verified) ones.
///
/// # Errors
/// As [`verify_any`]; the error of the first signature that is not good.
pub fn verify_all(text: &str, verifiers: &Verifiers) -> Result<GeneralJws, Error> {
    all(verify_each(text, Payload::Inside, verifiers)?)
}

/// [`verify_any`] with a payload that came another way.
///
/// # Errors
/// As [`verify_any`]; [`Error::Serialization`] if a payload is inside.
pub fn verify_any_detached(
    text: &str,
    payload: &[u8],
    verifiers: &Verifiers,
) -> Result<GeneralJws, Error> {
    one_at_least(verify_each(text, Payload::Detached(payload), verifiers)?)
}

/// [`verify_all`] with a payload that came another way.
///
/// # Errors
/// As [`verify_all`]; [`Error::Serialization`] if a payload is inside.
pub fn verify_all_detached(
    text: &str,
    payload: &[u8],
    verifiers: &Verifiers,
) -> Result<GeneralJws, Error> {
    all(verify_each(text, Payload::Detached(payload), verifiers)?)
}

enum Payload<'a> {
    Inside,
    Detached(&'a [u8]),
}

fn verify_each(
    text: &str,
    payload: Payload<'_>,
    verifiers: &Verifiers,
) -> Result<GeneralJws, Error> {
    let mut form = Form::read(text)?;
    if ["protected", "header", "signature"]
        .iter()
        .any(|name| form.has(name))
    {
        return Err(Error::Serialization(
            "this has a signature as the flattened serialization, and a general one was expected",
        ));
    }
    let inside = form.take_payload()?;
    let mut all_signed = Vec::new();
    for value in form.take_list("signatures")? {
        let Value::Object(members) = value else {
            return Err(Error::Serialization("a signature is not an object"));
        };
        all_signed.push(Entry::read(members)?.signed());
    }
    check_count(all_signed.len())?;
    let readable = all_signed.iter().filter_map(|signed| signed.as_ref().ok());
    let unencoded = check_same_b64(readable.map(Signed::is_payload_unencoded))?;
    let (signatures, payload) = match (payload, inside) {
        (Payload::Inside, Some(inside)) => (
            all_signed
                .into_iter()
                .map(|signed| signed?.verify(&inside, verifiers))
                .collect(),
            decode_payload(inside, unencoded)?,
        ),
        (Payload::Detached(payload), None) => (
            all_signed
                .into_iter()
                .map(|signed| signed?.verify_detached(payload, verifiers))
                .collect(),
            payload.to_vec(),
        ),
        (Payload::Inside, None) => {
            return Err(Error::Serialization("there is no payload inside"));
        }
        (Payload::Detached(_), Some(_)) => {
            return Err(Error::Serialization(
                "the payload is inside, and a detached one was given",
            ));
        }
    };
    Ok(GeneralJws {
        signatures,
        payload,
    })
}

fn one_at_least(jws: GeneralJws) -> Result<GeneralJws, Error> {
    match jws.signatures.first() {
        Some(Err(error)) if jws.verified().next().is_none() => Err(error.clone()),
        Some(_) | None => Ok(jws),
    }
}

fn all(jws: GeneralJws) -> Result<GeneralJws, Error> {
    match jws.signatures.iter().find_map(|one| one.as_ref().err()) {
        Some(error) => Err(error.clone()),
        None => Ok(jws),
    }
}

/// One signature at least: a text without any would be "verified" by each rule.
fn check_count(count: usize) -> Result<(), Error> {
    if count == 0 {
        Err(Error::Serialization("there is no signature"))
    } else if count > SIGNATURES_MAX {
        Err(Error::TooLarge {
            what: "the number of signatures",
            limit: SIGNATURES_MAX,
        })
    } else {
        Ok(())
    }
}

/// `b64` is the same in all signatures (RFC 7797, section 3): there is one payload.
fn check_same_b64(mut each: impl Iterator<Item = bool>) -> Result<bool, Error> {
    let first = each.next().unwrap_or_default();
    if each.all(|other| other == first) {
        Ok(first)
    } else {
        Err(Error::Header(
            "b64".to_owned(),
            "it differs between the signatures",
        ))
    }
}
