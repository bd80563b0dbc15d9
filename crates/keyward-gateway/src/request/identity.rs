//! Telling the upstream who calls, in headers that nobody else can write.
//!
//! Upstreams that run behind CGI-like interfaces read `X_User`, `X-User` and `x-user` as one name. So
//! what a client sends is compared in that folded form, in the header section and in trailers, on open
//! routes as on guarded ones.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use keyward_model::Caller;
use keyward_model::resource::IdentityHeaders;
use keyward_model::resource::api::IdentityField;
use serde_json::Value;
use std::collections::HashSet;

/// The identity headers of a route.
#[derive(Debug)]
pub(crate) struct IdentityPlan {
    headers: Vec<(HeaderName, IdentityField)>,
}

/// The names that a client may not send on a route, folded.
#[derive(Debug)]
pub(crate) struct ForgedNames {
    exact: Vec<HeaderName>,
    folded: HashSet<Box<str>>,
}

/// A header that is set on every call of one caller.
pub(crate) type IdentityHeader = (HeaderName, HeaderValue);

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

    /// What no client may send where this plan holds.
    pub(crate) fn forged(&self) -> ForgedNames {
        ForgedNames {
            exact: self.headers.iter().map(|(name, _)| name.clone()).collect(),
            folded: self
                .headers
                .iter()
                .map(|(name, _)| fold(name.as_str()))
                .collect(),
        }
    }

    /// The headers for one caller. What the caller has not is left out.
    pub(crate) fn headers_of(&self, caller: &Caller) -> Vec<IdentityHeader> {
        self.headers
            .iter()
            .filter_map(|(name, field)| {
                let text = value_of(caller, field)?;
                HeaderValue::from_str(&encode(&text))
                    .ok()
                    .map(|value| (name.clone(), value))
            })
            .collect()
    }
}

fn value_of(caller: &Caller, field: &IdentityField) -> Option<String> {
    match field {
        IdentityField::Issuer => caller.issuer.clone(),
        IdentityField::Subject => caller.subject.clone(),
        IdentityField::Client => caller.client.clone(),
        IdentityField::Scopes if caller.scopes.is_empty() => None,
        IdentityField::Scopes => Some(
            caller
                .scopes
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(" "),
        ),
        IdentityField::Claim(name) => match caller.claims.get(name.as_ref())? {
            Value::String(text) => Some(text.clone()),
            other @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_)) => Some(other.to_string()),
        },
    }
}

/// Percent-encodes what can't stand in a header: controls, everything but ASCII, and `%` itself, so that
/// decoding gives back just what the token said.
fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    let last = text.len().saturating_sub(1);
    for (at, byte) in text.bytes().enumerate() {
        // A space at either end would be trimmed away on its way.
        let plain = byte.is_ascii_graphic() || (byte == b' ' && at != 0 && at != last);
        if plain && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _infallible = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

impl ForgedNames {
    /// Takes every spelling of these names out of what a client sent.
    pub(crate) fn strip(&self, headers: &mut HeaderMap) {
        for name in &self.exact {
            headers.remove(name);
        }
        let odd = |name: &&HeaderName| {
            !name
                .as_str()
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if headers.keys().any(|name| odd(&name)) {
            let spelled: Vec<HeaderName> = headers
                .keys()
                .filter(odd)
                .filter(|name| self.covers(name.as_str()))
                .cloned()
                .collect();
            for name in spelled {
                headers.remove(name);
            }
        }
    }

    /// The same for trailers, of which what frames, routes or authenticates goes too (RFC 9110, section
    /// 6.5.1).
    pub(crate) fn strip_trailers(&self, trailers: &mut HeaderMap) {
        self.strip(trailers);
        for name in super::headers::NOT_IN_TRAILERS {
            trailers.remove(name);
        }
    }

    fn covers(&self, name: &str) -> bool {
        self.folded.contains(&fold(name))
    }
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
        let forged = plan().forged();
        for name in [
            "x-keyward-subject",
            "X-KEYWARD-Subject",
            "x_keyward_subject",
            "x-keyward_subject",
            "x.keyward.subject",
            "x_tenant",
        ] {
            let mut headers = HeaderMap::new();
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_static("a"),
            );
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_static("b"),
            );
            headers.insert("x_other", HeaderValue::from_static("kept"));
            forged.strip(&mut headers);
            assert_eq!(headers.len(), 1, "{name}");
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
            let caller = Caller {
                subject: Some(text.to_owned()),
                ..Caller::anonymous()
            };
            let headers = plan().headers_of(&caller);
            assert_eq!(
                headers.first().map(|(_, value)| value.to_str().unwrap()),
                Some(encoded)
            );
        }
    }

    #[test]
    fn claims_that_are_no_strings_are_told_as_json() {
        let mut caller = Caller::anonymous();
        caller
            .claims
            .insert("tenant".to_owned(), serde_json::json!(["a", 1]));
        assert_eq!(plan().headers_of(&caller)[0].1, "[\"a\",1]");
    }
}
