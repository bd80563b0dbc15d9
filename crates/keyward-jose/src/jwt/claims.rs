//! The claims of a token.

use crate::{Error, NumericDate, json};
use serde_json::{Map, Value};

/// Claims whose registered names have their type: once this exists, `aud` is a text or a list of texts,
/// `exp` is a time, and so on; there is nothing to confuse (RFC 7519, section 4.1; RFC 8693, section 4.2
/// for `scope`).
///
/// ```
/// use keyward_jose::{NumericDate, jwt::Claims};
/// let claims = Claims::new()
///     .with_issuer("https://issuer.example")
///     .with_audience(["https://api.example"])
///     .with_expiry(NumericDate(1_700_000_000))
///     .with("team", "blue".into())?;
/// assert_eq!(claims.issuer(), Some("https://issuer.example"));
/// assert!(claims.with("exp", "soon".into()).is_err());
/// # Ok::<(), keyward_jose::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims {
    map: Map<String, Value>,
}

impl Claims {
    /// No claims yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// These claims, if the registered ones have their type.
    ///
    /// # Errors
    /// [`Error::ClaimMalformed`] if one has another.
    pub fn from_map(map: Map<String, Value>) -> Result<Self, Error> {
        for (name, value) in &map {
            check_type(name, value)?;
        }
        Ok(Self { map })
    }

    /// Reads a JSON object of at most `limit` bytes, strictly: no member twice, at any depth.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::TooLarge`], [`Error::ClaimMalformed`].
    pub fn parse(text: &[u8], limit: usize) -> Result<Self, Error> {
        Self::from_map(json::object("claims", text, limit)?)
    }

    /// With this `iss`.
    #[must_use]
    pub fn with_issuer(self, issuer: impl Into<String>) -> Self {
        self.put("iss", Value::String(issuer.into()))
    }

    /// With this `sub`.
    #[must_use]
    pub fn with_subject(self, subject: impl Into<String>) -> Self {
        self.put("sub", Value::String(subject.into()))
    }

    /// With these audiences as `aud`: a text if it is one, else a list.
    #[must_use]
    pub fn with_audience<T: Into<String>>(self, audience: impl IntoIterator<Item = T>) -> Self {
        let mut list: Vec<Value> = audience
            .into_iter()
            .map(|one| Value::String(one.into()))
            .collect();
        let value = match (list.len(), list.pop()) {
            (1, Some(only)) => only,
            (_, last) => {
                list.extend(last);
                Value::Array(list)
            }
        };
        self.put("aud", value)
    }

    /// With this `exp`: the token is over from then on.
    #[must_use]
    pub fn with_expiry(self, at: NumericDate) -> Self {
        self.put("exp", at.into())
    }

    /// With this `nbf`: the token is good from then on.
    #[must_use]
    pub fn with_not_before(self, at: NumericDate) -> Self {
        self.put("nbf", at.into())
    }

    /// With this `iat`.
    #[must_use]
    pub fn with_issued_at(self, at: NumericDate) -> Self {
        self.put("iat", at.into())
    }

    /// With this `jti`.
    #[must_use]
    pub fn with_token_id(self, id: impl Into<String>) -> Self {
        self.put("jti", Value::String(id.into()))
    }

    /// With these scopes as `scope`.
    #[must_use]
    pub fn with_scopes<T: AsRef<str>>(self, scopes: impl IntoIterator<Item = T>) -> Self {
        let mut text = String::new();
        for scope in scopes {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(scope.as_ref());
        }
        self.put("scope", Value::String(text))
    }

    /// With any claim, which replaces one of the same name.
    ///
    /// # Errors
    /// [`Error::ClaimMalformed`] for a registered claim with a value of the wrong type.
    pub fn with(self, name: &str, value: Value) -> Result<Self, Error> {
        check_type(name, &value)?;
        Ok(self.put(name, value))
    }

    fn put(mut self, name: &str, value: Value) -> Self {
        self.map.insert(name.to_owned(), value);
        self
    }

    /// `iss`.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.text("iss")
    }

    /// `sub`.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.text("sub")
    }

    /// `aud`, one or many; empty where it is missing.
    pub fn audiences(&self) -> Audiences<'_> {
        Audiences(match self.map.get("aud") {
            Some(Value::Array(list)) => list,
            Some(one) => std::slice::from_ref(one),
            None => &[],
        })
    }

    /// `exp`.
    #[must_use]
    pub fn expiry(&self) -> Option<NumericDate> {
        self.date("exp")
    }

    /// `nbf`.
    #[must_use]
    pub fn not_before(&self) -> Option<NumericDate> {
        self.date("nbf")
    }

    /// `iat`.
    #[must_use]
    pub fn issued_at(&self) -> Option<NumericDate> {
        self.date("iat")
    }

    /// `jti`.
    #[must_use]
    pub fn token_id(&self) -> Option<&str> {
        self.text("jti")
    }

    /// The scopes of `scope`; none where it is missing.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.text("scope")
            .unwrap_or_default()
            .split(' ')
            .filter(|scope| !scope.is_empty())
    }

    /// Whether `scope` holds this one.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes().any(|held| held == scope)
    }

    /// Any claim, as it is.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.map.get(name)
    }

    /// All claims.
    #[must_use]
    pub fn map(&self) -> &Map<String, Value> {
        &self.map
    }

    /// All claims.
    #[must_use]
    pub fn into_map(self) -> Map<String, Value> {
        self.map
    }

    /// The JSON text.
    pub(crate) fn to_text(&self) -> Result<String, Error> {
        serde_json::to_string(&self.map).map_err(|error| Error::Json("claims", error.to_string()))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.map.get(name)?.as_str()
    }

    fn date(&self, name: &str) -> Option<NumericDate> {
        self.map.get(name).and_then(NumericDate::from_json)
    }
}

/// The texts of `aud`.
#[derive(Clone, Copy, Debug)]
pub struct Audiences<'a>(&'a [Value]);

impl<'a> Audiences<'a> {
    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter_map(Value::as_str)
    }

    /// Whether this one is among them, compared exactly.
    #[must_use]
    pub fn contains(self, audience: &str) -> bool {
        self.iter().any(|one| one == audience)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

/// The claims that mean something here have their one type. A value of another is never taken for
/// "absent": that is how checks get skipped (CVE-2026-25537).
fn check_type(name: &str, value: &Value) -> Result<(), Error> {
    let (fits, why) = match name {
        "iss" | "sub" | "jti" | "scope" => (value.is_string(), "a string is needed"),
        "aud" => (
            match value {
                Value::String(_) => true,
                Value::Array(list) => list.iter().all(Value::is_string),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
            },
            "a string or a list of strings is needed",
        ),
        "exp" | "nbf" | "iat" => (
            NumericDate::from_json(value).is_some(),
            "seconds since 1970 are needed, as a number",
        ),
        _ => (true, ""),
    };
    if fits {
        Ok(())
    } else {
        Err(Error::ClaimMalformed(name.to_owned(), why))
    }
}
