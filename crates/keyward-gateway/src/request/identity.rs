//! Telling the upstream who calls, in headers that nobody else can write.
//!
//! Upstreams that run behind CGI-like interfaces read `X_User`, `X-User` and `x-user` as one name. So
//! what a client sends is compared in that folded form, in the header section and in trailers, on open
//! routes as on guarded ones.

use super::headers;
use crate::message::Fields;
use hashbrown::HashSet;
use http::header::HeaderName;
use keyward_model::Caller;
use keyward_model::resource::IdentityHeaders;
use keyward_model::resource::api::IdentityField;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The identity headers of a route.
#[derive(Debug)]
pub(crate) struct IdentityPlan {
    headers: Vec<(HeaderName, IdentityField)>,
}

/// The names that no client may send, on whatever route: two routes may lead to one upstream, and it
/// believes the identity headers of both.
#[derive(Debug)]
pub(crate) struct ForgedNames {
    folded: HashSet<Box<str>>,
    /// A bit for each length that a name of the set has, so that most headers cost no look-up.
    lengths: u64,
}

impl IdentityPlan {
    /// The plan of what was declared; the error names a header that can't be.
    pub(crate) fn new(declared: &IdentityHeaders) -> Result<Self, String> {
        let headers = declared
            .headers
            .iter()
            .map(|(name, field)| {
                HeaderName::from_bytes(name.as_bytes())
                    .map(|name| (name, field.clone()))
                    .map_err(|_| format!("`{name}` is no header name"))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { headers })
    }

    /// The headers for one caller, to be set on each of its calls. What the caller has not is left out.
    pub(crate) fn headers_of(&self, caller: &Caller) -> Fields {
        let mut headers = Fields::with_room(BYTES_USUAL, self.headers.len());
        let mut room = String::new();
        for (name, field) in &self.headers {
            if let Some(value) = value_of(caller, field) {
                headers.append_named(name.as_str(), encode(&value, &mut room).as_bytes());
            }
        }
        headers
    }
}

/// Room for the identity headers of nearly every caller.
const BYTES_USUAL: usize = 128;

fn value_of<'a>(caller: &'a Caller, field: &IdentityField) -> Option<Cow<'a, str>> {
    match field {
        IdentityField::Issuer => caller.issuer.as_deref().map(Cow::Borrowed),
        IdentityField::Subject => caller.subject().map(Cow::Borrowed),
        IdentityField::Client => caller.client().map(Cow::Borrowed),
        IdentityField::Scopes => {
            let mut scopes = caller.scopes.iter();
            match (scopes.next(), scopes.next()) {
                (Some(only), None) => Some(Cow::Borrowed(only)),
                (None, _) => None,
                (Some(_), Some(_)) => {
                    let sorted: BTreeSet<&str> = caller.scopes.iter().collect();
                    let sorted: Vec<&str> = sorted.into_iter().collect();
                    Some(Cow::Owned(sorted.join(" ")))
                }
            }
        }
        IdentityField::Claim(name) => Some(Cow::Owned(match caller.claim(name)? {
            Value::String(text) => text,
            other @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_)) => other.to_string(),
        })),
    }
}

/// Percent-encodes what can't stand in a header: controls, everything but ASCII, and `%` itself, so that
/// decoding gives back just what the token said.
fn encode<'a>(text: &'a str, encoded: &'a mut String) -> &'a str {
    use std::fmt::Write as _;
    let last = text.len().saturating_sub(1);
    // A space at either end would be trimmed away on its way.
    let plain = |at: usize, byte: u8| {
        byte != b'%' && (byte.is_ascii_graphic() || (byte == b' ' && at != 0 && at != last))
    };
    if text.bytes().enumerate().all(|(at, byte)| plain(at, byte)) {
        return text;
    }
    encoded.clear();
    for (at, byte) in text.bytes().enumerate() {
        if plain(at, byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a text that grows does not fail.
            let _infallible = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// All names that begin so are ours, whether a route uses them or not.
const OWN_PREFIX: &[u8] = b"x-keyward-";

impl ForgedNames {
    /// The names of all routes' identity headers.
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let folded: HashSet<Box<str>> = names.map(fold).collect();
        let lengths = folded
            .iter()
            .fold(0, |bits, name| bits | length_bit(name.len()));
        Self { folded, lengths }
    }

    /// Takes every spelling of these names out of what a client sent, and every odd spelling of what this
    /// gateway itself reads or sets.
    pub(crate) fn strip(&self, fields: &mut Fields) {
        fields.retain(|field| !self.covers(field.name));
    }

    /// The same for trailers, of which what frames, routes or authenticates goes too (RFC 9110, section
    /// 6.5.1).
    pub(crate) fn strip_trailers(&self, trailers: &mut Fields) {
        self.strip(trailers);
        headers::strip_trailers(trailers);
    }

    /// Whether a name is one of these, in whatever spelling.
    pub(crate) fn covers(&self, name: &[u8]) -> bool {
        let plain = name.iter().fold(true, |plain, byte| {
            plain & (byte.is_ascii_alphanumeric() | (*byte == b'-'))
        });
        // Names are tokens, so ASCII.
        let text = || std::str::from_utf8(name).unwrap_or_default();
        if plain {
            name.starts_with(OWN_PREFIX)
                || (self.lengths & length_bit(name.len()) != 0 && self.folded.contains(text()))
        } else {
            let folded = fold(text());
            folded.as_bytes().starts_with(OWN_PREFIX)
                || self.folded.contains(&folded)
                || headers::is_ours(&folded)
        }
    }
}

fn length_bit(length: usize) -> u64 {
    1 << (length % 64)
}

/// A header's name as the most careless reader folds it: all but letters and digits are the same.
fn fold(name: &str) -> Box<str> {
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect::<String>()
        .into_boxed_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_model::caller::{TokenClaims, TokenFacts, TokenScopes};

    fn plan() -> IdentityPlan {
        IdentityPlan::new(&IdentityHeaders {
            headers: vec![
                ("x-keyward-subject".into(), IdentityField::Subject),
                ("x-tenant".into(), IdentityField::Claim("tenant".into())),
            ],
        })
        .unwrap()
    }

    #[test]
    fn every_spelling_of_an_identity_header_is_stripped() {
        let forged = ForgedNames::new(["x-keyward-subject", "x-tenant"].into_iter());
        for name in [
            "x-keyward-subject",
            "X-KEYWARD-Subject",
            "x_keyward_subject",
            "x-keyward_subject",
            "x.keyward.subject",
            "x-keyward-whatever",
            "x_forwarded_for",
            "Content_Length",
            "x_tenant",
        ] {
            let name = name.to_ascii_lowercase();
            let mut fields = Fields::from([(&*name, "a"), (&*name, "b"), ("x_other", "kept")]);
            forged.strip(&mut fields);
            assert_eq!(fields, Fields::from([("x_other", "kept")]), "{name}");
        }
    }

    #[test]
    fn values_are_encoded_so_that_no_header_can_be_smuggled_in() {
        for (text, encoded) in [
            ("alice", "alice"),
            ("a\r\nx-admin: 1", "a%0D%0Ax-admin: 1"),
            ("100%", "100%25"),
            (" a ", "%20a%20"),
            ("\u{5b89}", "%E5%AE%89"),
        ] {
            let caller = Caller::of_token(&TokenFacts {
                subject: Some(text),
                ..TokenFacts::default()
            })
            .unwrap();
            let headers = plan().headers_of(&caller);
            let value = headers.iter().next().map(|field| field.value);
            assert_eq!(value, Some(encoded.as_bytes()));
        }
    }

    #[test]
    fn scopes_are_told_in_order_and_once() {
        let plan = IdentityPlan::new(&IdentityHeaders {
            headers: vec![("x-scopes".into(), IdentityField::Scopes)],
        })
        .unwrap();
        for (scopes, told) in [
            ("", None),
            ("read", Some("read")),
            ("write read  write", Some("read write")),
        ] {
            let caller = Caller::of_token(&TokenFacts {
                scopes: TokenScopes::Spaced(scopes),
                ..TokenFacts::default()
            })
            .unwrap();
            let headers = plan.headers_of(&caller);
            let value = headers.iter().next().map(|field| field.value);
            assert_eq!(value, told.map(str::as_bytes));
        }
    }

    #[test]
    fn claims_that_are_no_strings_are_told_as_json() {
        let caller = Caller::of_token(&TokenFacts {
            claims: TokenClaims::Json(r#"{"tenant":["a",1]}"#),
            ..TokenFacts::default()
        })
        .unwrap();
        let headers = plan().headers_of(&caller);
        let value = headers.iter().next().map(|field| field.value);
        assert_eq!(value, Some(&b"[\"a\",1]"[..]));
    }
}
