//! The header of a JWS, read strictly.

mod read;

use crate::json::plain;
use crate::{Error, SignatureAlgorithm, Signer};
use read::Read;
use serde_json::{Map, Value};

/// Names that specifications of JOSE register, which `crit` may not list (RFC 7515, section 4.1.11).
const REGISTERED: [&str; 20] = [
    "alg", "jku", "jwk", "kid", "x5u", "x5c", "x5t", "x5t#S256", "typ", "cty", "crit", "enc",
    "zip", "epk", "apu", "apv", "iv", "tag", "p2s", "p2c",
];

/// The one extension understood here: an unencoded payload (RFC 7797).
const B64: &str = "b64";

/// Room for the header of nearly every token, so that its text is written without being moved.
const TEXT_USUAL: usize = 128;

/// A JWS header (RFC 7515, section 4): the algorithm, the common parameters, and the others as they are.
///
/// `jwk`, `jku`, `x5u` and `x5c` are among the others: they can be shown, and no verification looks at them.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// The algorithm, or the name of one that is unknown.
    algorithm: Result<SignatureAlgorithm, Box<str>>,
    kid: Option<String>,
    typ: Option<String>,
    cty: Option<String>,
    /// `b64`, where it is there.
    b64: Option<bool>,
    /// Whether `crit` is there; if so, it lists `b64` and nothing else.
    critical: bool,
    others: Map<String, Value>,
}

impl Header {
    /// The header for what this signer will sign: its `alg` and its `kid`.
    #[must_use]
    pub fn for_signer(signer: &dyn Signer) -> Self {
        Self::of(signer.algorithm(), signer.kid())
    }

    pub(crate) fn of(algorithm: SignatureAlgorithm, kid: Option<&str>) -> Self {
        Self {
            algorithm: Ok(algorithm),
            kid: kid.map(str::to_owned),
            typ: None,
            cty: None,
            b64: None,
            critical: false,
            others: Map::new(),
        }
    }

    /// With this `typ` (RFC 7515, section 4.1.9).
    #[must_use]
    pub fn with_typ(mut self, typ: impl Into<String>) -> Self {
        self.typ = Some(typ.into());
        self
    }

    /// With this `cty` (RFC 7515, section 4.1.10).
    #[must_use]
    pub fn with_cty(mut self, cty: impl Into<String>) -> Self {
        self.cty = Some(cty.into());
        self
    }

    /// With this `kid`; `None` leaves it out.
    #[must_use]
    pub fn with_kid(mut self, kid: Option<String>) -> Self {
        self.kid = kid;
        self
    }

    /// With the payload signed as it is, not in base64url: `"b64":false` and `"crit":["b64"]` (RFC 7797).
    #[must_use]
    pub fn with_unencoded_payload(mut self) -> Self {
        self.b64 = Some(false);
        self.critical = true;
        self
    }

    /// With another parameter.
    ///
    /// # Errors
    /// [`Error::Header`] for a name that has a method of its own here, and for a value of the wrong type.
    pub fn with(mut self, name: &str, value: Value) -> Result<Self, Error> {
        if ["alg", "kid", "typ", "cty", "crit", B64].contains(&name) {
            return Err(Error::Header(
                name.to_owned(),
                "it is not set as a free parameter",
            ));
        }
        check_type(name, &value)?;
        self.others.insert(name.to_owned(), value);
        Ok(self)
    }

    /// The algorithm.
    ///
    /// # Errors
    /// [`Error::AlgorithmNotAllowed`] if it is none of those that exist here: `none` in every spelling
    /// among them.
    pub fn algorithm(&self) -> Result<SignatureAlgorithm, Error> {
        match &self.algorithm {
            Ok(algorithm) => Ok(*algorithm),
            Err(name) => Err(Error::AlgorithmNotAllowed(name.to_string())),
        }
    }

    /// The `kid`: what the token says, not which key verified it.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The `typ`, as it is written.
    #[must_use]
    pub fn typ(&self) -> Option<&str> {
        self.typ.as_deref()
    }

    /// The `cty`, as it is written.
    #[must_use]
    pub fn cty(&self) -> Option<&str> {
        self.cty.as_deref()
    }

    /// Whether the payload is signed as it is (`"b64":false`, RFC 7797).
    #[must_use]
    pub fn is_payload_unencoded(&self) -> bool {
        self.b64 == Some(false)
    }

    /// The other parameters.
    #[must_use]
    pub fn others(&self) -> &Map<String, Value> {
        &self.others
    }

    /// All parameters as JSON.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        let mut map = Map::new();
        let algorithm = match &self.algorithm {
            Ok(algorithm) => algorithm.as_str(),
            Err(name) => name,
        };
        map.insert("alg".to_owned(), algorithm.into());
        for (name, text) in [("typ", &self.typ), ("kid", &self.kid), ("cty", &self.cty)] {
            if let Some(text) = text {
                map.insert(name.to_owned(), text.as_str().into());
            }
        }
        if let Some(b64) = self.b64 {
            map.insert(B64.to_owned(), b64.into());
        }
        if self.critical {
            map.insert("crit".to_owned(), Value::from(vec![B64]));
        }
        for (name, value) in &self.others {
            map.insert(name.clone(), value.clone());
        }
        map
    }

    /// The header's text, for a new signature. Written member by member: a token is signed without a map
    /// being made for it.
    pub(crate) fn to_text(&self) -> Result<String, Error> {
        let failed = |error: serde_json::Error| Error::Json("header", error.to_string());
        let mut text = String::with_capacity(TEXT_USUAL);
        text.push_str("{\"alg\":\"");
        text.push_str(self.algorithm()?.as_str());
        text.push('"');
        for (name, value) in [("typ", &self.typ), ("kid", &self.kid), ("cty", &self.cty)] {
            let Some(value) = value else { continue };
            text.push_str(",\"");
            text.push_str(name);
            text.push_str("\":");
            if plain::is_text(value) {
                text.push('"');
                text.push_str(value);
                text.push('"');
            } else {
                text.push_str(&serde_json::to_string(value).map_err(failed)?);
            }
        }
        if let Some(b64) = self.b64 {
            text.push_str(if b64 {
                ",\"b64\":true"
            } else {
                ",\"b64\":false"
            });
        }
        if self.critical {
            text.push_str(",\"crit\":[\"b64\"]");
        }
        if self.others.is_empty() {
            text.push('}');
        } else {
            text.push(',');
            let others = serde_json::to_string(&self.others).map_err(failed)?;
            text.push_str(others.trim_start_matches('{'));
        }
        Ok(text)
    }

    /// Reads a protected header, with everything that RFC 7515 wants of `crit`.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Error> {
        let read = Read::text(text)?;
        for (name, value) in &read.others {
            check_type(name, value)?;
        }
        if let Some(names) = &read.crit {
            check_critical(names, &read)?;
        }
        if read.b64 == Some(false) && read.crit.is_none() {
            return Err(Error::Header(
                B64.to_owned(),
                "`false` takes effect only where `crit` lists it",
            ));
        }
        Ok(Self {
            algorithm: read
                .algorithm
                .ok_or_else(|| Error::Header("alg".to_owned(), "it is missing"))?,
            kid: read.kid,
            typ: read.typ,
            cty: read.cty,
            b64: read.b64,
            critical: read.crit.is_some(),
            others: read.others,
        })
    }
}

/// `crit` lists extensions that are there and understood, each once (RFC 7515, section 4.1.11).
fn check_critical(names: &[String], read: &Read) -> Result<(), Error> {
    let refuse = |why| Err(Error::Header("crit".to_owned(), why));
    if names.is_empty() {
        return refuse("it is empty");
    }
    for (at, name) in names.iter().enumerate() {
        if REGISTERED.contains(&name.as_str()) {
            return refuse("it lists a parameter that every implementation knows");
        }
        if names.iter().take(at).any(|earlier| earlier == name) {
            return refuse("it lists a name twice");
        }
        if name != B64 {
            return Err(Error::CriticalExtension(name.chars().take(60).collect()));
        }
        if read.b64.is_none() {
            return refuse("it lists a parameter that is not there");
        }
    }
    Ok(())
}

/// Registered parameters have their type, even those that nothing here looks at.
pub(crate) fn check_type(name: &str, value: &Value) -> Result<(), Error> {
    let (fits, why) = match name {
        "alg" | "kid" | "typ" | "cty" | "jku" | "x5u" | "x5t" | "x5t#S256" => {
            (value.is_string(), "a string is needed")
        }
        "jwk" => (value.is_object(), "an object is needed"),
        "x5c" => (
            value
                .as_array()
                .is_some_and(|list| !list.is_empty() && list.iter().all(Value::is_string)),
            "a list of strings is needed",
        ),
        _ => (true, ""),
    };
    if fits {
        Ok(())
    } else {
        Err(Error::Header(name.to_owned(), why))
    }
}
