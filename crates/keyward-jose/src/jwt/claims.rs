//! The claims of a token.

#[cfg(test)]
mod tests;
mod unbuilt;

use crate::json::plain;
use crate::{Error, NumericDate, json};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;
use unbuilt::Unbuilt;

/// Claims whose registered names have their type: once this exists, `aud` is a text or a list of texts,
/// `exp` is a time, and so on; there is nothing to confuse (RFC 7519, section 4.1; RFC 8693, section 4.2
/// for `scope`, which may be a list of texts too).
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
#[derive(Clone)]
pub struct Claims(Form);

#[derive(Clone)]
enum Form {
    /// Put together here, or read from a text that is not plain.
    Built(Map<String, Value>),
    /// Read from a plain text. Most tokens are checked and passed on, and nobody asks for all claims.
    Unbuilt(Unbuilt),
}

impl Claims {
    /// No claims yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Form::Built(Map::new()))
    }

    /// These claims, if the registered ones have their type.
    ///
    /// # Errors
    /// [`Error::ClaimMalformed`] if one has another.
    pub fn from_map(map: Map<String, Value>) -> Result<Self, Error> {
        for (name, value) in &map {
            check_type(name, value)?;
        }
        Ok(Self(Form::Built(map)))
    }

    /// Reads a JSON object of at most `limit` bytes, strictly: no member twice, at any depth.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::TooLarge`], [`Error::ClaimMalformed`].
    pub fn parse(text: &[u8], limit: usize) -> Result<Self, Error> {
        Self::read(text.to_vec(), limit)
    }

    /// As [`parse`](Self::parse), and keeps the text.
    pub(crate) fn read(text: Vec<u8>, limit: usize) -> Result<Self, Error> {
        if text.len() > limit {
            return Err(Error::TooLarge {
                what: "claims",
                limit,
            });
        }
        match Unbuilt::walk(text) {
            Ok(unbuilt) => Ok(Self(Form::Unbuilt(unbuilt))),
            Err(text) => Self::read_strictly(&text, limit),
        }
    }

    fn read_strictly(text: &[u8], limit: usize) -> Result<Self, Error> {
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

    fn put(self, name: &str, value: Value) -> Self {
        let mut map = self.into_map();
        map.insert(name.to_owned(), value);
        Self(Form::Built(map))
    }

    /// `iss`.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.registered_text("iss")
    }

    /// `sub`.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.registered_text("sub")
    }

    /// `aud`, one or many; empty where it is missing.
    pub fn audiences(&self) -> Texts<'_> {
        self.texts_of("aud").unwrap_or_default()
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
        self.registered_text("jti")
    }

    /// The scopes of `scope`, none where it is missing: of one text, which spaces divide, or of a list, in
    /// which each is an element, as Spring and IdentityServer4 write them.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        let (text, values, plain): (&str, &[Value], &str) = match &self.0 {
            Form::Built(map) => match map.get("scope") {
                Some(Value::String(text)) => (text, &[], ""),
                Some(Value::Array(list)) => ("", list, ""),
                Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
                    ("", &[], "")
                }
            },
            Form::Unbuilt(unbuilt) => match unbuilt.scope().unwrap_or_default() {
                list if list.starts_with('[') => ("", &[], list),
                quoted => (plain::texts(quoted).next().unwrap_or_default(), &[], ""),
            },
        };
        text.split(' ')
            .chain(values.iter().filter_map(Value::as_str))
            .chain(plain::texts(plain))
            .filter(|scope| !scope.is_empty())
    }

    /// Whether `scope` holds this one.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes().any(|held| held == scope)
    }

    /// Any claim that is a text, if it is there. No map is built for it.
    ///
    /// ```
    /// use keyward_jose::jwt::Claims;
    /// let claims = Claims::parse(br#"{"client_id":"app-1","level":3}"#, 100)?;
    /// assert_eq!(claims.text("client_id")?, Some("app-1"));
    /// assert_eq!(claims.text("azp")?, None);
    /// assert!(claims.text("level").is_err());
    /// # Ok::<(), keyward_jose::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ClaimMalformed`] if it is something else.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Error> {
        let text = match &self.0 {
            Form::Built(map) => map.get(name).and_then(Value::as_str),
            Form::Unbuilt(unbuilt) => unbuilt
                .text_or_texts(name)
                .filter(|plain| plain.starts_with('"'))
                .and_then(|plain| plain::texts(plain).next()),
        };
        if text.is_none() && self.has(name) {
            return Err(Error::ClaimMalformed(name.to_owned(), "a string is needed"));
        }
        Ok(text)
    }

    /// Any claim that is a text or a list of texts, if it is there: a text is a list of one. No map is built
    /// for it.
    ///
    /// ```
    /// use keyward_jose::jwt::Claims;
    /// let claims = Claims::parse(br#"{"roles":["reader","writer"],"levels":[3]}"#, 100)?;
    /// let roles = claims.texts("roles")?.unwrap();
    /// assert_eq!(roles.iter().collect::<Vec<_>>(), ["reader", "writer"]);
    /// assert!(claims.texts("groups")?.is_none());
    /// assert!(claims.texts("levels").is_err());
    /// # Ok::<(), keyward_jose::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ClaimMalformed`] if it is something else.
    pub fn texts(&self, name: &str) -> Result<Option<Texts<'_>>, Error> {
        let texts = self.texts_of(name);
        if texts.is_none() && self.has(name) {
            let why = "a string or a list of strings is needed";
            return Err(Error::ClaimMalformed(name.to_owned(), why));
        }
        Ok(texts)
    }

    fn texts_of(&self, name: &str) -> Option<Texts<'_>> {
        match &self.0 {
            Form::Built(map) => {
                let values = match map.get(name)? {
                    Value::Array(list) => list,
                    one @ (Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::String(_)
                    | Value::Object(_)) => std::slice::from_ref(one),
                };
                let plain = "";
                values
                    .iter()
                    .all(Value::is_string)
                    .then_some(Texts { values, plain })
            }
            Form::Unbuilt(unbuilt) => unbuilt
                .text_or_texts(name)
                .map(|plain| Texts { values: &[], plain }),
        }
    }

    /// The JSON that these claims were read from, byte by byte, where it is kept: that of nearly every
    /// token, whose text has no white space, no escapes and no numbers but whole ones. Claims that were put
    /// together here or read from another text have a [`map`](Self::map) alone.
    ///
    /// What it says was checked: it is an object with no member twice. [`text`](Self::text),
    /// [`texts`](Self::texts), [`issuer`](Self::issuer) and the like then give parts of this very text.
    ///
    /// ```
    /// use keyward_jose::jwt::Claims;
    /// let text = r#"{"sub":"alice","team":"blue"}"#;
    /// assert_eq!(Claims::parse(text.as_bytes(), 100)?.as_text(), Some(text));
    /// assert_eq!(Claims::new().with_subject("alice").as_text(), None);
    /// # Ok::<(), keyward_jose::Error>(())
    /// ```
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.0 {
            Form::Built(_) => None,
            Form::Unbuilt(unbuilt) => Some(unbuilt.as_text()),
        }
    }

    /// Any claim, as it is. The first call for one that is there builds the map.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        // Most who ask, ask for what a token hardly ever has.
        if self.has(name) {
            self.map().get(name)
        } else {
            None
        }
    }

    /// Whether this claim is there, whatever its value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        match &self.0 {
            Form::Built(map) => map.contains_key(name),
            Form::Unbuilt(unbuilt) => unbuilt.has(name),
        }
    }

    /// All claims. The first call for a token that was read builds the map.
    #[must_use]
    pub fn map(&self) -> &Map<String, Value> {
        match &self.0 {
            Form::Built(map) => map,
            Form::Unbuilt(unbuilt) => unbuilt.map(),
        }
    }

    /// All claims.
    #[must_use]
    pub fn into_map(self) -> Map<String, Value> {
        match self.0 {
            Form::Built(map) => map,
            Form::Unbuilt(unbuilt) => unbuilt.into_map(),
        }
    }

    /// The JSON text: the one that was read, where one was.
    pub(crate) fn to_text(&self) -> Result<Cow<'_, str>, Error> {
        match &self.0 {
            Form::Built(map) => serde_json::to_string(map)
                .map(Cow::Owned)
                .map_err(|error| Error::Json("claims", error.to_string())),
            Form::Unbuilt(unbuilt) => Ok(Cow::Borrowed(unbuilt.as_text())),
        }
    }

    fn registered_text(&self, name: &str) -> Option<&str> {
        match &self.0 {
            Form::Built(map) => map.get(name)?.as_str(),
            Form::Unbuilt(unbuilt) => unbuilt.text(name),
        }
    }

    fn date(&self, name: &str) -> Option<NumericDate> {
        match &self.0 {
            Form::Built(map) => map.get(name).and_then(NumericDate::from_json),
            Form::Unbuilt(unbuilt) => unbuilt.date(name),
        }
    }
}

impl Default for Claims {
    fn default() -> Self {
        Self::new()
    }
}

/// By what is claimed, whether it was read or put together.
impl PartialEq for Claims {
    fn eq(&self, other: &Self) -> bool {
        self.map() == other.map()
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claims").field(self.map()).finish()
    }
}

/// A claim that is a text or a list of texts, such as `aud`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Texts<'a> {
    /// From built claims; else empty.
    values: &'a [Value],
    /// From claims that are not built: a plain text in quotes or a plain list of texts; else empty.
    plain: &'a str,
}

impl<'a> Texts<'a> {
    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        let built = self.values.iter().filter_map(Value::as_str);
        built.chain(plain::texts(self.plain))
    }

    /// Whether this one is among them, compared exactly.
    #[must_use]
    pub fn contains(self, text: &str) -> bool {
        self.iter().any(|one| one == text)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }
}

/// The claims that mean something here have their one type. A value of another is never taken for
/// "absent": that is how checks get skipped (CVE-2026-25537).
fn check_type(name: &str, value: &Value) -> Result<(), Error> {
    let (fits, why) = match name {
        "iss" | "sub" | "jti" => (value.is_string(), "a string is needed"),
        "aud" | "scope" => (
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
