//! What the two JSON serializations share: their members, and what a signature in them is.

use super::compact::signing_input;
use super::header::check_type;
use super::{Header, JWS_MAX, VerifiedBy};
use crate::{Error, Verifiers, base64url, json};
use serde_json::{Map, Value};

/// Members of an encrypted object (RFC 7516, section 7.2), which have no place in a signed one: a text that
/// is both is read in two ways by two programs.
const ENCRYPTED: [&str; 7] = [
    "ciphertext",
    "iv",
    "tag",
    "aad",
    "encrypted_key",
    "recipients",
    "unprotected",
];

/// One verified signature of a JWS.
#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    /// What the signature covers of the header.
    pub protected: Header,
    /// What it does not cover: anybody may have written it.
    pub unprotected: Map<String, Value>,
    /// The key that verified it.
    pub verified_by: VerifiedBy,
}

impl Signature {
    /// The `kid`, from wherever it stands: what the JWS says, not which key verified it.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        kid(&self.protected, &self.unprotected)
    }
}

fn kid<'a>(protected: &'a Header, unprotected: &'a Map<String, Value>) -> Option<&'a str> {
    protected.kid().or_else(|| unprotected.get("kid")?.as_str())
}

/// A JWS in JSON, its members told apart but nothing decoded.
pub(super) struct Form {
    members: Map<String, Value>,
}

impl Form {
    pub(super) fn read(text: &str) -> Result<Self, Error> {
        if !text.trim_start().starts_with('{') {
            return Err(Error::Serialization(
                "a JWS in JSON was expected, and this is none",
            ));
        }
        let members = json::object("JWS", text.as_bytes(), JWS_MAX)?;
        if ENCRYPTED.iter().any(|name| members.contains_key(*name)) {
            return Err(Error::Serialization(
                "this has members of an encrypted object (JWE), and a signed one (JWS) was expected",
            ));
        }
        Ok(Self { members })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// The payload, still encoded; `None` where it is detached.
    pub(super) fn take_payload(&mut self) -> Result<Option<String>, Error> {
        match self.members.remove("payload") {
            Some(Value::String(payload)) => Ok(Some(payload)),
            None => Ok(None),
            Some(
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_),
            ) => Err(Error::Serialization("`payload` is not a string")),
        }
    }

    pub(super) fn take_list(&mut self, name: &str) -> Result<Vec<Value>, Error> {
        match self.members.remove(name) {
            Some(Value::Array(list)) => Ok(list),
            Some(
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Object(_),
            )
            | None => Err(Error::Serialization("`signatures` is not a list")),
        }
    }

    pub(super) fn into_signed(self) -> Result<Signed, Error> {
        Entry::read(self.members)?.signed()
    }
}

/// The members of one signature, told apart but nothing decoded.
pub(super) struct Entry {
    protected: Option<String>,
    unprotected: Map<String, Value>,
    signature: String,
}

impl Entry {
    /// Members of the right types.
    pub(super) fn read(mut members: Map<String, Value>) -> Result<Self, Error> {
        let mut text = |name: &str, error| match members.remove(name) {
            Some(Value::String(text)) => Ok(Some(text)),
            None => Ok(None),
            Some(
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_),
            ) => Err(Error::Serialization(error)),
        };
        let protected = text("protected", "`protected` is no string")?;
        let signature = text("signature", "`signature` is no string")?
            .ok_or(Error::Serialization("`signature` is missing"))?;
        let unprotected = match members.remove("header") {
            Some(Value::Object(header)) => header,
            None => Map::new(),
            Some(
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_),
            ) => return Err(Error::Serialization("`header` is not an object")),
        };
        Ok(Self {
            protected,
            unprotected,
            signature,
        })
    }

    /// The signature with its headers, decoded and held against each other.
    pub(super) fn signed(self) -> Result<Signed, Error> {
        let text = self.protected.ok_or(Error::Serialization(
            "there is no `protected`, and `alg` has to stand there",
        ))?;
        let protected = Header::parse(&base64url::decode("header", &text)?)?;
        check_unprotected(&protected, &self.unprotected)?;
        Ok(Signed {
            text,
            protected,
            unprotected: self.unprotected,
            bytes: base64url::decode("signature", self.signature)?,
        })
    }
}

/// One signature, read and not yet verified.
pub(super) struct Signed {
    /// As it was signed, in base64url.
    text: String,
    protected: Header,
    unprotected: Map<String, Value>,
    bytes: Vec<u8>,
}

impl Signed {
    pub(super) fn is_payload_unencoded(&self) -> bool {
        self.protected.is_payload_unencoded()
    }

    /// Verifies this signature over a payload as it stands in the text.
    pub(super) fn verify(self, payload: &str, verifiers: &Verifiers) -> Result<Signature, Error> {
        let message = [self.text.as_bytes(), b".", payload.as_bytes()].concat();
        self.verify_message(&message, verifiers)
    }

    /// Verifies this signature over a payload that came another way.
    pub(super) fn verify_detached(
        self,
        payload: &[u8],
        verifiers: &Verifiers,
    ) -> Result<Signature, Error> {
        let message = signing_input(self.text.clone(), &self.protected, payload);
        self.verify_message(&message, verifiers)
    }

    fn verify_message(self, message: &[u8], verifiers: &Verifiers) -> Result<Signature, Error> {
        let algorithm = self.protected.algorithm()?;
        let kid = kid(&self.protected, &self.unprotected);
        let verifier = verifiers.verify(algorithm, kid, message, &self.bytes)?;
        Ok(Signature {
            verified_by: verifier.into(),
            protected: self.protected,
            unprotected: self.unprotected,
        })
    }
}

/// The payload's bytes, from how it stands in the text.
pub(super) fn decode_payload(payload: String, unencoded: bool) -> Result<Vec<u8>, Error> {
    if unencoded {
        Ok(payload.into_bytes())
    } else {
        base64url::decode("payload", payload)
    }
}

/// The payload as it stands in the text.
pub(super) fn encode_payload(payload: &[u8], unencoded: bool) -> Result<String, Error> {
    if unencoded {
        String::from_utf8(payload.to_vec()).map_err(|_| {
            Error::Serialization("an unencoded payload in JSON is text; detach this one")
        })
    } else {
        Ok(base64url::encode(payload))
    }
}

/// Nothing stands in both headers, and what decides how to verify stands in the protected one.
pub(super) fn check_unprotected(
    protected: &Header,
    unprotected: &Map<String, Value>,
) -> Result<(), Error> {
    let taken = protected.to_json();
    for (name, value) in unprotected {
        if ["alg", "crit", "b64"].contains(&name.as_str()) {
            return Err(Error::Header(
                name.clone(),
                "it has to stand in the protected header",
            ));
        }
        if taken.contains_key(name) {
            return Err(Error::Header(
                name.clone(),
                "it stands in both the protected and the unprotected header",
            ));
        }
        check_type(name, value)?;
    }
    Ok(())
}

/// The members of one new signature.
pub(super) fn signature_members(
    protected: &str,
    unprotected: &Map<String, Value>,
    signature: &[u8],
) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("protected".to_owned(), protected.into());
    if !unprotected.is_empty() {
        members.insert("header".to_owned(), Value::Object(unprotected.clone()));
    }
    members.insert("signature".to_owned(), base64url::encode(signature).into());
    members
}

pub(super) fn to_text(members: &Map<String, Value>) -> Result<String, Error> {
    serde_json::to_string(members).map_err(|error| Error::Json("JWS", error.to_string()))
}
