//! A call as endpoints see it: its parts read strictly, each mistake told with the part at fault.

use crate::problem::{Problem, ProblemKind};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName};
use keyward_access::management::{ManagementPermit, Manager};
use keyward_store::management::Author;
use serde_json::Value;
use std::net::IpAddr;

/// The header that makes a creation known again.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header that says why something is changed.
pub(crate) const CHANGE_REASON: HeaderName = HeaderName::from_static("change-reason");

/// The longest key of a creation.
const KEY_MAX: usize = 128;
/// The longest reason.
const REASON_MAX: usize = 500;

/// The body's media types.
pub(crate) const JSON: &str = "application/json";
pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";

/// A call whose endpoint is known.
#[derive(Debug)]
pub(crate) struct Call {
    /// The values of the address's parameters, in order.
    pub(crate) path: Vec<(&'static str, String)>,
    /// The query, decoded; each name once.
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) address: IpAddr,
    pub(crate) request_id: String,
}

impl Call {
    /// A parameter of the address.
    pub(crate) fn path(&self, name: &str) -> &str {
        let mut values = self.path.iter();
        let found = values.find(|(known, _)| *known == name);
        found.map_or("", |(_, value)| value)
    }

    /// A parameter of the query.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        let mut values = self.query.iter();
        let found = values.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// `true` or `false` in the query; `false` where it is not there.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.query(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(bad_query(name, "it is `true` or `false`")),
        }
    }

    /// A whole number in the query.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.query(name) else {
            return Ok(None);
        };
        let plain = text.bytes().all(|b| b.is_ascii_digit());
        let number = plain.then(|| text.parse().ok()).flatten();
        let number = number.ok_or_else(|| bad_query(name, "it is a whole number"))?;
        Ok(Some(number))
    }

    /// A header that comes once at most.
    pub(crate) fn header(&self, name: &HeaderName) -> Result<Option<&str>, Problem> {
        let mut values = self.headers.get_all(name).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        let why = if values.next().is_some() {
            "it comes once"
        } else {
            match value.to_str() {
                Ok(text) => return Ok(Some(text.trim())),
                Err(_) => "it has printable ASCII alone",
            }
        };
        Err(bad_header(name, why))
    }

    /// The key that makes this creation known again.
    pub(crate) fn idempotency_key(&self) -> Result<Option<&str>, Problem> {
        let Some(key) = self.header(&IDEMPOTENCY_KEY)? else {
            return Ok(None);
        };
        if key.is_empty() || key.len() > KEY_MAX || !key.bytes().all(|b| b.is_ascii_graphic()) {
            let why = "it has 1 to 128 characters of printable ASCII without spaces";
            return Err(bad_header(&IDEMPOTENCY_KEY, why));
        }
        Ok(Some(key))
    }

    /// Why the caller makes this change, as they say.
    pub(crate) fn reason(&self) -> Result<&str, Problem> {
        let reason = self.header(&CHANGE_REASON)?.unwrap_or_default();
        if reason.len() > REASON_MAX {
            return Err(bad_header(&CHANGE_REASON, "it has 500 characters at most"));
        }
        Ok(reason)
    }

    /// Who changes something by this call, and by which policy they may. `address` is the call's own, as text.
    pub(crate) fn author<'a>(
        &'a self,
        permit: &'a ManagementPermit,
        address: &'a str,
    ) -> Author<'a> {
        Author {
            policy: permit.policy(),
            ..self.author_of(permit.manager(), address)
        }
    }

    /// The same, where each change brings a permit of its own.
    pub(crate) fn author_of<'a>(&'a self, manager: &'a Manager, address: &'a str) -> Author<'a> {
        Author {
            name: &manager.name,
            address,
            request_id: &self.request_id,
            team: Some(manager.team),
            token: &manager.token,
            policy: "",
        }
    }

    /// What the caller has read, for a change of what is there.
    pub(crate) fn if_match(&self) -> Result<Option<Tags<'_>>, Problem> {
        self.header(&IF_MATCH)?
            .map(|text| Tags::read(&IF_MATCH, text))
            .transpose()
    }

    /// What the caller knows, for a look at what is there or a creation.
    pub(crate) fn if_none_match(&self) -> Result<Option<Tags<'_>>, Problem> {
        self.header(&IF_NONE_MATCH)?
            .map(|text| Tags::read(&IF_NONE_MATCH, text))
            .transpose()
    }

    /// The same as [`json`](Self::json) on a thread of its own: a large body takes a second.
    pub(crate) async fn json_apart(&self, media_type: &str) -> Result<Value, Problem> {
        self.is_of(media_type)?;
        let body = self.body.clone();
        let reading = tokio::task::spawn_blocking(move || read_json(&body));
        reading.await.map_err(|error| {
            Problem::new(ProblemKind::Internal, "Something went wrong here").because(error)
        })?
    }

    /// The body as JSON of this media type.
    pub(crate) fn json(&self, media_type: &str) -> Result<Value, Problem> {
        self.is_of(media_type)?;
        read_json(&self.body)
    }

    fn is_of(&self, media_type: &str) -> Result<(), Problem> {
        let named = self.header(&CONTENT_TYPE)?.unwrap_or_default();
        let named = named.split(';').next().unwrap_or_default().trim();
        if !named.eq_ignore_ascii_case(media_type) {
            return Err(Problem::of_member(
                ProblemKind::MediaType,
                "header:content-type",
                "media_type",
                format!("The body is read as `{media_type}` alone"),
            ));
        }
        Ok(())
    }
}

fn read_json(body: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        Problem::of_member(
            ProblemKind::Malformed,
            "",
            "json",
            format!(
                "The body is no JSON: line {}, column {}",
                error.line(),
                error.column()
            ),
        )
    })
}

/// Entity tags of a precondition (RFC 9110, section 13.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tags<'c> {
    /// `*`: whatever is there.
    Any,
    /// One of these.
    These(Vec<&'c str>),
}

impl<'c> Tags<'c> {
    fn read(header: &HeaderName, text: &'c str) -> Result<Self, Problem> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let tags: Vec<&str> = text.split(',').map(str::trim).collect();
        let quoted = |tag: &&str| {
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            let inner = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            inner.is_some_and(|inner| !inner.contains('"'))
        };
        if !tags.iter().all(quoted) {
            return Err(bad_header(header, "it has entity tags in quotes, or `*`"));
        }
        Ok(Self::These(tags))
    }

    /// Whether what has this tag is meant. Weak tags are never strong enough for a change.
    pub(crate) fn has(&self, tag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => tags.contains(&tag),
        }
    }
}

pub(crate) fn bad_query(name: &str, why: &str) -> Problem {
    Problem::of_member(
        ProblemKind::Malformed,
        format!("query:{name}"),
        "parameter",
        format!("`{name}`: {why}"),
    )
}

fn bad_header(name: &HeaderName, why: &str) -> Problem {
    Problem::of_member(
        ProblemKind::Malformed,
        format!("header:{name}"),
        "header",
        format!("`{name}`: {why}"),
    )
}

/// Text with percent signs undone (RFC 3986, section 2.1); `None` where it is no text. `plus` is a space in queries
/// of forms.
pub(crate) fn decoded(text: &str, plus: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            b'+' if plus => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_signs_are_undone_or_refused() {
        for (text, plus, expected) in [
            ("a%20b", false, Some("a b")),
            ("a+b", true, Some("a b")),
            ("a+b", false, Some("a+b")),
            ("%C3%A4", false, Some("ä")),
            ("%C3", false, None),
            ("%", false, None),
            ("%4", false, None),
            ("%zz", false, None),
        ] {
            assert_eq!(decoded(text, plus).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn entity_tags_are_quoted() {
        let name = IF_MATCH;
        for (text, tag, expected) in [
            ("*", "\"1\"", Some(true)),
            ("\"1\"", "\"1\"", Some(true)),
            ("\"0\", \"1\"", "\"1\"", Some(true)),
            ("W/\"1\"", "\"1\"", Some(false)),
            ("\"2\"", "\"1\"", Some(false)),
            ("1", "\"1\"", None),
            ("", "\"1\"", None),
            ("\"", "\"1\"", None),
        ] {
            let read = Tags::read(&name, text).ok().map(|tags| tags.has(tag));
            assert_eq!(read, expected, "{text}");
        }
    }
}
