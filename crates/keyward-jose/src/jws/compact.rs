//! The compact serialization: three parts in base64url, joined by full stops (RFC 7515, section 7.1).

use super::{Header, JWS_MAX, Jws, Signature};
use crate::base64url;
use crate::{Error, LocalSigner, Signer, Verifiers};
use memchr::memchr;
use serde_json::Map;

/// What a signature covers: the protected header's text and the payload's, joined by a full stop
/// (RFC 7515, section 5.1), until the signature is there.
///
/// [`sign`], [`sign_with`] and their detached sisters do it in one step; this is for signers that are
/// neither.
#[derive(Clone, Debug)]
pub struct Unsigned {
    message: Vec<u8>,
    /// Where the full stop after the header stands.
    header_end: usize,
    detached: bool,
}

/// Room for two full stops and a signature on a curve, 64 bytes in base64url: a token with one is written
/// without being moved.
const SIGNATURE_USUAL: usize = 96;

impl Unsigned {
    /// The payload goes with the signature.
    ///
    /// # Errors
    /// [`Error::Serialization`] if the header asks for an unencoded payload that can't stand in the
    /// compact form: one with a full stop or with anything but printable ASCII (RFC 7797, section 5.2).
    pub fn attached(header: &Header, payload: &[u8]) -> Result<Self, Error> {
        if header.is_payload_unencoded() {
            check_plain(payload)?;
        }
        Self::new(header, payload, false)
    }

    /// The payload goes another way (RFC 7515, appendix F).
    ///
    /// # Errors
    /// [`Error::Json`] if the header can't be written, which no header of [`Header`]'s making does.
    pub fn detached(header: &Header, payload: &[u8]) -> Result<Self, Error> {
        Self::new(header, payload, true)
    }

    fn new(header: &Header, payload: &[u8], detached: bool) -> Result<Self, Error> {
        let text = header.to_text()?;
        let encoded = text
            .len()
            .saturating_add(payload.len())
            .div_ceil(3)
            .saturating_mul(4);
        let mut message = String::with_capacity(encoded.saturating_add(SIGNATURE_USUAL));
        base64url::encode_into(text, &mut message);
        let header_end = message.len();
        Ok(Self {
            message: signing_input(message, header, payload),
            header_end,
            detached,
        })
    }

    /// The bytes to sign.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// The protected header's text.
    pub(super) fn protected(&self) -> Result<&str, Error> {
        self.message
            .get(..self.header_end)
            .and_then(|text| std::str::from_utf8(text).ok())
            .ok_or(Error::Serialization("the header is no text"))
    }

    /// The JWS with this signature over [`message`](Self::message).
    ///
    /// # Errors
    /// [`Error::Serialization`] never in practice: what is attached was checked to be text.
    pub fn finish(self, signature: &[u8]) -> Result<String, Error> {
        let Self {
            mut message,
            header_end,
            detached,
        } = self;
        if detached {
            message.truncate(header_end);
            message.push(b'.');
        }
        let mut token = String::from_utf8(message)
            .map_err(|_| Error::Serialization("the payload is no text"))?;
        token.reserve(1 + signature.len().div_ceil(3) * 4);
        token.push('.');
        base64url::encode_into(signature, &mut token);
        Ok(token)
    }
}

/// Appends the payload to the header's text as the header wants it.
pub(super) fn signing_input(mut protected: String, header: &Header, payload: &[u8]) -> Vec<u8> {
    protected.push('.');
    if header.is_payload_unencoded() {
        let mut message = protected.into_bytes();
        message.extend_from_slice(payload);
        message
    } else {
        base64url::encode_into(payload, &mut protected);
        protected.into_bytes()
    }
}

fn check_plain(payload: &[u8]) -> Result<(), Error> {
    let plain = |byte: &u8| (0x20..=0x7e).contains(byte) && *byte != b'.';
    if payload.iter().all(plain) {
        Ok(())
    } else {
        Err(Error::Serialization(
            "an unencoded payload in the compact form is printable ASCII without full stops; \
             detach this one",
        ))
    }
}

/// Signs the payload.
///
/// # Errors
/// [`Error::KeyUnfit`] if the header names another algorithm than the signer's; what [`Unsigned::attached`]
/// and the signer return.
pub fn sign(payload: &[u8], header: &Header, signer: &LocalSigner) -> Result<String, Error> {
    check_signer(header, signer)?;
    let unsigned = Unsigned::attached(header, payload)?;
    let signature = signer.sign_now(unsigned.message())?;
    unsigned.finish(&signature)
}

/// Signs the payload with a signer of any kind.
///
/// # Errors
/// As [`sign`].
pub async fn sign_with(
    payload: &[u8],
    header: &Header,
    signer: &dyn Signer,
) -> Result<String, Error> {
    check_signer(header, signer)?;
    let unsigned = Unsigned::attached(header, payload)?;
    let signature = signer.sign(unsigned.message()).await?;
    unsigned.finish(&signature)
}

/// Signs a payload that goes another way: the middle part stays empty.
///
/// # Errors
/// As [`sign`].
pub fn sign_detached(
    payload: &[u8],
    header: &Header,
    signer: &LocalSigner,
) -> Result<String, Error> {
    check_signer(header, signer)?;
    let unsigned = Unsigned::detached(header, payload)?;
    let signature = signer.sign_now(unsigned.message())?;
    unsigned.finish(&signature)
}

/// Signs a payload that goes another way, with a signer of any kind.
///
/// # Errors
/// As [`sign`], and what the signer returns.
pub async fn sign_detached_with(
    payload: &[u8],
    header: &Header,
    signer: &dyn Signer,
) -> Result<String, Error> {
    check_signer(header, signer)?;
    let unsigned = Unsigned::detached(header, payload)?;
    let signature = signer.sign(unsigned.message()).await?;
    unsigned.finish(&signature)
}

/// The header says what the signer does.
pub(super) fn check_signer(header: &Header, signer: &dyn Signer) -> Result<(), Error> {
    let named = header.algorithm()?;
    if named == signer.algorithm() {
        Ok(())
    } else {
        Err(Error::KeyUnfit(format!(
            "the header says {named}, and the signer signs with {}",
            signer.algorithm()
        )))
    }
}

/// Verifies a compact JWS and returns its payload.
///
/// # Errors
/// [`Error::Serialization`], [`Error::TooLarge`], [`Error::Base64`], [`Error::Json`], [`Error::Header`],
/// [`Error::CriticalExtension`] where it is malformed; what [`Verifiers::verify`] returns.
pub fn verify(token: &str, verifiers: &Verifiers) -> Result<Jws, Error> {
    let parts = Parts::split(token, JWS_MAX)?;
    let header = parts.header()?;
    let algorithm = header.algorithm()?;
    let signature = parts.signature()?;
    let verifier = verifiers.verify(
        algorithm,
        header.kid(),
        parts.message.as_bytes(),
        &signature,
    )?;
    let verified_by = verifier.into();
    let payload = if header.is_payload_unencoded() {
        check_plain(parts.payload.as_bytes())?;
        parts.payload.as_bytes().to_vec()
    } else {
        base64url::decode("payload", parts.payload)?
    };
    Ok(Jws {
        header,
        verified_by,
        payload,
    })
}

/// Verifies a compact JWS whose payload came another way. Nothing of the header is unprotected.
///
/// # Errors
/// As [`verify`]; [`Error::Serialization`] if a payload is inside.
pub fn verify_detached(
    token: &str,
    payload: &[u8],
    verifiers: &Verifiers,
) -> Result<Signature, Error> {
    let parts = Parts::split(token, JWS_MAX)?;
    if !parts.payload.is_empty() {
        return Err(Error::Serialization(
            "the payload is inside, and a detached one was given",
        ));
    }
    let header = parts.header()?;
    let algorithm = header.algorithm()?;
    let signature = parts.signature()?;
    let message = signing_input(parts.header.to_owned(), &header, payload);
    let verifier = verifiers.verify(algorithm, header.kid(), &message, &signature)?;
    Ok(Signature {
        verified_by: verifier.into(),
        protected: header,
        unprotected: Map::new(),
    })
}

/// The parts of a compact JWS, still encoded.
pub(crate) struct Parts<'a> {
    pub(crate) header: &'a str,
    pub(crate) payload: &'a str,
    signature: &'a str,
    /// Header and payload: what the signature covers.
    pub(crate) message: &'a str,
}

impl<'a> Parts<'a> {
    pub(crate) fn split(token: &'a str, limit: usize) -> Result<Self, Error> {
        if token.len() > limit {
            return Err(Error::TooLarge {
                what: "the token",
                limit,
            });
        }
        let three = || {
            if token.starts_with('{') {
                return None;
            }
            let (header, rest) = at_full_stop(token)?;
            let (payload, signature) = at_full_stop(rest)?;
            let message = token.get(..header.len() + 1 + payload.len())?;
            let is_compact = !header.is_empty() && memchr(b'.', signature.as_bytes()).is_none();
            is_compact.then_some(Self {
                header,
                payload,
                signature,
                message,
            })
        };
        three().ok_or_else(|| Error::Serialization(not_compact(token)))
    }

    pub(crate) fn header(&self) -> Result<Header, Error> {
        base64url::decode_for("header", self.header, Header::parse)
    }

    pub(crate) fn signature(&self) -> Result<Vec<u8>, Error> {
        base64url::decode("signature", self.signature)
    }
}

/// What stands before the first full stop, and what behind.
fn at_full_stop(text: &str) -> Option<(&str, &str)> {
    let at = memchr(b'.', text.as_bytes())?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

fn not_compact(token: &str) -> &'static str {
    if token.trim_start().starts_with('{') {
        "this is JSON, and a compact JWS was expected"
    } else if token.matches('.').count() == 4 {
        "this has the five parts of an encrypted token (JWE), and a signed one (JWS) was expected"
    } else {
        "a compact JWS has three parts, joined by full stops"
    }
}
