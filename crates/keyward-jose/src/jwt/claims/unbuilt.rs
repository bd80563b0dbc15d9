//! Claims whose text was walked, and of which no map was built yet.

use crate::NumericDate;
use crate::json::{self, plain};
use plain::{Member, Place, Value as Plain};
use serde_json::{Map, Value};
use std::sync::OnceLock;

/// The text of plain claims, where in it they stand, and a map of it once somebody asks.
///
/// Whatever is asked is answered from the one text that is kept here.
#[derive(Clone)]
pub(super) struct Unbuilt {
    text: String,
    registered: Registered,
    /// Those that are not registered: the place of the name, and the value.
    others: Vec<(Place, Plain)>,
    built: OnceLock<Map<String, Value>>,
}

/// How many claims that are not registered a token has room for at first.
const OTHERS_USUAL: usize = 4;

#[derive(Clone, Copy, Default)]
struct Registered {
    issuer: Option<Place>,
    subject: Option<Place>,
    /// With its quotes or brackets.
    audience: Option<Place>,
    token_id: Option<Place>,
    /// With its quotes or brackets.
    scope: Option<Place>,
    expiry: Option<NumericDate>,
    not_before: Option<NumericDate>,
    issued_at: Option<NumericDate>,
}

impl Registered {
    /// Keeps a claim here if it is registered, else in `others`. `None` if it has another type
    /// than it must: the strict reading knows what to say to that.
    fn take(&mut self, member: Member<'_>, others: &mut Vec<(Place, Plain)>) -> Option<()> {
        let value = member.value;
        match member.name {
            "iss" => self.issuer = Some(text(value)?),
            "sub" => self.subject = Some(text(value)?),
            "aud" => self.audience = Some(text_or_texts(value)?),
            "exp" => self.expiry = Some(date(value)?),
            "nbf" => self.not_before = Some(date(value)?),
            "iat" => self.issued_at = Some(date(value)?),
            "jti" => self.token_id = Some(text(value)?),
            "scope" => self.scope = Some(text_or_texts(value)?),
            _ => {
                if others.is_empty() {
                    others.reserve(OTHERS_USUAL);
                }
                others.push((member.place, value));
            }
        }
        Some(())
    }
}

fn text(value: Plain) -> Option<Place> {
    match value {
        Plain::Text(place) => Some(place),
        Plain::Texts(_) | Plain::Integer(_) | Plain::Other => None,
    }
}

fn text_or_texts(value: Plain) -> Option<Place> {
    match value {
        Plain::Text(place) => Some(place.with_quotes()),
        Plain::Texts(place) => Some(place),
        Plain::Integer(_) | Plain::Other => None,
    }
}

fn date(value: Plain) -> Option<NumericDate> {
    match value {
        Plain::Integer(seconds) => NumericDate::in_bounds(seconds),
        Plain::Text(_) | Plain::Texts(_) | Plain::Other => None,
    }
}

impl Unbuilt {
    /// Walks the claims. What can't be walked comes back for the strict reading.
    pub(super) fn walk(text: Vec<u8>) -> Result<Self, Vec<u8>> {
        let text = String::from_utf8(text).map_err(std::string::FromUtf8Error::into_bytes)?;
        let mut registered = Registered::default();
        let mut others = Vec::new();
        match plain::object(&text, |member| registered.take(member, &mut others)) {
            Some(()) => Ok(Self {
                text,
                registered,
                others,
                built: OnceLock::new(),
            }),
            None => Err(text.into_bytes()),
        }
    }

    /// The whole text.
    pub(super) fn as_text(&self) -> &str {
        &self.text
    }

    /// A registered claim that is a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let place = match name {
            "iss" => self.registered.issuer,
            "sub" => self.registered.subject,
            "jti" => self.registered.token_id,
            _ => None,
        };
        place.map(|place| place.of(&self.text))
    }

    /// A registered claim that is a time.
    pub(super) fn date(&self, name: &str) -> Option<NumericDate> {
        match name {
            "exp" => self.registered.expiry,
            "nbf" => self.registered.not_before,
            "iat" => self.registered.issued_at,
            _ => None,
        }
    }

    /// `scope`, for [`plain::texts`].
    pub(super) fn scope(&self) -> Option<&str> {
        self.registered.scope.map(|place| place.of(&self.text))
    }

    /// Whether the claim is there.
    pub(super) fn has(&self, name: &str) -> bool {
        match name {
            "aud" => self.registered.audience.is_some(),
            "scope" => self.registered.scope.is_some(),
            "iss" | "sub" | "jti" => self.text(name).is_some(),
            "exp" | "nbf" | "iat" => self.date(name).is_some(),
            _ => self.other(name).is_some(),
        }
    }

    /// A claim that is a text or a list of texts, for [`plain::texts`]: with its quotes or brackets.
    /// `None` where it is missing or something else.
    pub(super) fn text_or_texts(&self, name: &str) -> Option<&str> {
        let place = match name {
            "aud" => self.registered.audience,
            "scope" => self.registered.scope,
            "iss" => self.registered.issuer.map(Place::with_quotes),
            "sub" => self.registered.subject.map(Place::with_quotes),
            "jti" => self.registered.token_id.map(Place::with_quotes),
            "exp" | "nbf" | "iat" => None,
            _ => self.other(name).and_then(text_or_texts),
        };
        place.map(|place| place.of(&self.text))
    }

    fn other(&self, name: &str) -> Option<Plain> {
        let mut others = self.others.iter();
        others
            .find(|(place, _)| place.of(&self.text) == name)
            .map(|(_, value)| *value)
    }

    pub(super) fn map(&self) -> &Map<String, Value> {
        self.built.get_or_init(|| build(&self.text))
    }

    pub(super) fn into_map(self) -> Map<String, Value> {
        let Self { text, built, .. } = self;
        built.into_inner().unwrap_or_else(|| build(&text))
    }
}

/// The strict reading takes everything that is plain; a test holds the two against each other. If it ever
/// did not, no claim would be there, and who needs one would refuse the token.
fn build(text: &str) -> Map<String, Value> {
    json::object("claims", text.as_bytes(), text.len()).unwrap_or_default()
}
