//! The three serializations (RFC 7516, section 7), taken apart and put together.

use super::content::Sealed;
use super::header::{Header, refused};
use super::limits::RECIPIENTS_MAX;
use crate::{Error, base64url, json};
use serde_json::{Map, Value};

/// A message taken apart.
pub(super) struct Parts {
    pub(super) recipients: Vec<Recipient>,
    pub(super) iv: Vec<u8>,
    pub(super) ciphertext: Vec<u8>,
    pub(super) tag: Vec<u8>,
    /// What the sender sent beside the plaintext, in the clear.
    pub(super) aad: Option<Vec<u8>>,
    /// What the tag covers beside the ciphertext (RFC 7516, section 5.1, step 14).
    pub(super) authenticated: Vec<u8>,
}

/// What one recipient needs.
pub(super) struct Recipient {
    pub(super) header: Header,
    pub(super) encrypted_key: Vec<u8>,
}

/// Members that make an object something else than the serialization that was asked for.
const SIGNATURE_MEMBERS: &[&str] = &["payload", "signature", "signatures"];

impl Parts {
    /// Reads the compact serialization (section 7.1): exactly five parts.
    pub(super) fn compact(text: &str, limit: usize) -> Result<Self, Error> {
        bounded(text, limit)?;
        let mut parts = text.split('.');
        let mut next = || {
            parts
                .next()
                .ok_or(Error::Serialization("a compact JWE has five parts"))
        };
        let (protected, encrypted_key, iv, ciphertext, tag) =
            (next()?, next()?, next()?, next()?, next()?);
        if parts.next().is_some() {
            return Err(Error::Serialization("a compact JWE has five parts"));
        }
        if protected.is_empty() {
            return Err(Error::Serialization(
                "a compact JWE needs a protected header",
            ));
        }
        Ok(Self {
            recipients: vec![Recipient {
                header: Header::parse(protected, Map::new(), Map::new())?,
                encrypted_key: base64url::decode("JWE encrypted key", encrypted_key)?,
            }],
            iv: base64url::decode("JWE initialization vector", iv)?,
            ciphertext: base64url::decode("JWE ciphertext", ciphertext)?,
            tag: base64url::decode("JWE authentication tag", tag)?,
            aad: None,
            authenticated: protected.as_bytes().to_vec(),
        })
    }

    /// Reads the flattened JSON serialization (section 7.2.2).
    pub(super) fn flattened(text: &str, limit: usize) -> Result<Self, Error> {
        let mut object = object(text, limit)?;
        if object.contains_key("recipients") {
            return Err(Error::Serialization(
                "a flattened JWE was expected, and this one has `recipients`",
            ));
        }
        let recipient = (headers(&mut object, "header")?, encrypted_key(&mut object)?);
        Self::json(object, vec![recipient])
    }

    /// Reads the general JSON serialization (section 7.2.1).
    pub(super) fn general(text: &str, limit: usize) -> Result<Self, Error> {
        let mut object = object(text, limit)?;
        if object.contains_key("encrypted_key") || object.contains_key("header") {
            return Err(Error::Serialization(
                "a general JWE was expected, and this one is flattened",
            ));
        }
        let Some(Value::Array(entries)) = object.remove("recipients") else {
            return Err(Error::Serialization("a general JWE needs `recipients`"));
        };
        if entries.is_empty() {
            return Err(Error::Serialization("`recipients` is empty"));
        }
        if entries.len() > RECIPIENTS_MAX {
            return Err(Error::TooLarge {
                what: "number of JWE recipients",
                limit: RECIPIENTS_MAX,
            });
        }
        let mut recipients = Vec::with_capacity(entries.len());
        for entry in entries {
            let Value::Object(mut entry) = entry else {
                return Err(Error::Serialization("each recipient must be an object"));
            };
            recipients.push((headers(&mut entry, "header")?, encrypted_key(&mut entry)?));
        }
        Self::json(object, recipients)
    }

    fn json(
        mut object: Map<String, Value>,
        recipients: Vec<(Map<String, Value>, Vec<u8>)>,
    ) -> Result<Self, Error> {
        let protected = match text(&mut object, "protected")? {
            Some(text) if text.is_empty() => {
                return Err(refused("protected", "it is left out when it is empty"));
            }
            Some(text) => text,
            None => String::new(),
        };
        let unprotected = headers(&mut object, "unprotected")?;
        let aad_text = text(&mut object, "aad")?;
        if aad_text.as_deref() == Some("") {
            return Err(refused("aad", "it is left out when it is empty"));
        }
        let mut authenticated = protected.clone().into_bytes();
        if let Some(aad) = &aad_text {
            authenticated.push(b'.');
            authenticated.extend_from_slice(aad.as_bytes());
        }
        let mut needed = |name: &'static str, what: &'static str| -> Result<Vec<u8>, Error> {
            let text = text(&mut object, name)?.ok_or_else(|| refused(name, "it is missing"))?;
            base64url::decode(what, text)
        };
        Ok(Self {
            iv: needed("iv", "JWE initialization vector")?,
            ciphertext: needed("ciphertext", "JWE ciphertext")?,
            tag: needed("tag", "JWE authentication tag")?,
            aad: aad_text
                .map(|text| base64url::decode("JWE AAD", text))
                .transpose()?,
            authenticated,
            recipients: recipients
                .into_iter()
                .map(|(header, encrypted_key)| {
                    Ok(Recipient {
                        header: Header::parse(&protected, unprotected.clone(), header)?,
                        encrypted_key,
                    })
                })
                .collect::<Result<_, Error>>()?,
        })
    }
}

fn bounded(text: &str, limit: usize) -> Result<(), Error> {
    if text.len() > limit {
        return Err(Error::TooLarge { what: "JWE", limit });
    }
    Ok(())
}

fn object(text: &str, limit: usize) -> Result<Map<String, Value>, Error> {
    bounded(text, limit)?;
    let object = json::object("JWE", text.as_bytes(), limit)?;
    if SIGNATURE_MEMBERS
        .iter()
        .any(|name| object.contains_key(*name))
    {
        return Err(Error::Serialization(
            "a JWE was expected, and this one has members of a JWS",
        ));
    }
    Ok(object)
}

fn text(object: &mut Map<String, Value>, name: &'static str) -> Result<Option<String>, Error> {
    match object.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(refused(name, "a string is needed")),
    }
}

fn headers(
    object: &mut Map<String, Value>,
    name: &'static str,
) -> Result<Map<String, Value>, Error> {
    match object.remove(name) {
        None => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map),
        Some(_) => Err(refused(name, "an object is needed")),
    }
}

fn encrypted_key(object: &mut Map<String, Value>) -> Result<Vec<u8>, Error> {
    match text(object, "encrypted_key")? {
        None => Ok(Vec::new()),
        Some(text) if text.is_empty() => {
            Err(refused("encrypted_key", "it is left out when it is empty"))
        }
        Some(text) => base64url::decode("JWE encrypted key", text),
    }
}

/// Writes the compact serialization.
pub(super) fn write_compact(protected: &str, encrypted_key: &[u8], sealed: &Sealed) -> String {
    let mut out = String::with_capacity(
        protected.len()
            + (encrypted_key.len() + sealed.iv.len() + sealed.ciphertext.len() + sealed.tag.len())
                / 3
                * 4
            + 20,
    );
    out.push_str(protected);
    for part in [encrypted_key, &sealed.iv, &sealed.ciphertext, &sealed.tag] {
        out.push('.');
        base64url::encode_into(part, &mut out);
    }
    out
}

/// The members that both JSON serializations share.
pub(super) fn write_json(
    protected: String,
    unprotected: Map<String, Value>,
    aad: Option<&[u8]>,
    sealed: &Sealed,
) -> Map<String, Value> {
    let mut object = Map::new();
    if !protected.is_empty() {
        object.insert("protected".to_owned(), protected.into());
    }
    if !unprotected.is_empty() {
        object.insert("unprotected".to_owned(), unprotected.into());
    }
    if let Some(aad) = aad {
        object.insert("aad".to_owned(), base64url::encode(aad).into());
    }
    for (name, bytes) in [
        ("iv", &sealed.iv),
        ("ciphertext", &sealed.ciphertext),
        ("tag", &sealed.tag),
    ] {
        object.insert(name.to_owned(), base64url::encode(bytes).into());
    }
    object
}
