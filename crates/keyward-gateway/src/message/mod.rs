//! Messages as the request's way sees them, whatever protocol carries them.

pub(crate) mod fields;
pub(crate) mod header;
mod header_map;

pub(crate) use fields::{Fields, Span};
pub(crate) use header::{Class, Header};

use crate::snapshot::decodes_to;
use http::{Method, StatusCode};
use keyward_model::usage::HttpVersion;
use memchr::memchr;
use std::borrow::Cow;

/// The protocol that a message came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    Http10,
    Http11,
    Http2,
    Http3,
}

impl Version {
    /// The same for records.
    pub(crate) const fn of_usage(self) -> HttpVersion {
        match self {
            Self::Http10 => HttpVersion::Http10,
            Self::Http11 => HttpVersion::Http11,
            Self::Http2 => HttpVersion::Http2,
            Self::Http3 => HttpVersion::Http3,
        }
    }

    /// The same as `Via` has it (RFC 9110, section 7.6.3).
    pub(crate) const fn of_via(self) -> &'static [u8] {
        match self {
            Self::Http10 => b"1.0 keyward",
            Self::Http11 => b"1.1 keyward",
            Self::Http2 => b"2.0 keyward",
            Self::Http3 => b"3.0 keyward",
        }
    }

    /// As it is written behind `HTTP/`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2",
            Self::Http3 => "3",
        }
    }
}

/// The head of a request.
#[derive(Clone, Debug)]
pub(crate) struct RequestHead {
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) fields: Fields,
    target: Target,
}

/// A request's target, as places in the head's bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Target {
    /// Of a target in absolute form: whom it is for (RFC 9112, section 3.2.2).
    pub(crate) authority: Option<Span>,
    /// Begins with a slash, or is `*`; empty for `CONNECT`.
    pub(crate) path: Span,
    /// What follows the question mark.
    pub(crate) query: Option<Span>,
}

impl Target {
    /// The target of a path with its query, or of `*`, which stands at `at`; `None` where it is neither, or
    /// has a byte that stands in no address.
    pub(crate) fn of_path(text: &[u8], at: usize) -> Option<Self> {
        match text.first()? {
            b'*' => (text.len() == 1).then(|| Self {
                path: Span::new(at, at + 1),
                ..Self::default()
            }),
            b'/' => text.iter().all(is_target_byte).then(|| {
                let (path, query) = path_and_query(text, at);
                Self {
                    authority: None,
                    path,
                    query,
                }
            }),
            _ => None,
        }
    }
}

/// The places of a path and its query, which begin at `at`.
pub(crate) fn path_and_query(text: &[u8], at: usize) -> (Span, Option<Span>) {
    let end = at + text.len();
    match memchr(b'?', text) {
        Some(mark) => (
            Span::new(at, at + mark),
            Some(Span::new(at + mark + 1, end)),
        ),
        None => (Span::new(at, end), None),
    }
}

/// What may stand in a request's target. `#` would cut it short for some; the others stand in no address.
pub(crate) fn is_target_byte(byte: &u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'#' | b'<' | b'>' | b'"' | b'`')
}

impl RequestHead {
    /// A head from what a parser found in `bytes`.
    pub(crate) fn new(
        method: Method,
        version: Version,
        target: Target,
        mut fields: Fields,
        bytes: Vec<u8>,
    ) -> Self {
        fields.set_bytes(bytes);
        Self {
            method,
            version,
            fields,
            target,
        }
    }

    /// The head of a request of our own, whose target is told to whoever sends it.
    pub(crate) fn of_own(method: Method, version: Version, fields: Fields) -> Self {
        Self {
            method,
            version,
            fields,
            target: Target::default(),
        }
    }

    /// The same with as much memory as this one has: for what is added, and for the next head on the connection.
    pub(crate) fn clone_with_room(&self) -> Self {
        Self {
            method: self.method.clone(),
            version: self.version,
            fields: self.fields.clone_with_room(),
            target: self.target,
        }
    }

    /// The head of a request for a target.
    #[cfg(test)]
    pub(crate) fn to(target: &str) -> Option<Self> {
        Self::read(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
    }

    /// A head from its text.
    #[cfg(test)]
    pub(crate) fn parsed(text: &str) -> Self {
        Self::read(text).unwrap()
    }

    #[cfg(test)]
    fn read(text: &str) -> Option<Self> {
        use crate::http1::{HeadBounds, HeadParser};
        let bounds = HeadBounds {
            line: 8192,
            head: 65_536,
            fields: 100,
        };
        let mut bytes = text.as_bytes().to_vec();
        let mut parser = HeadParser::of_request(bounds, Fields::new());
        parser.advance(&mut bytes).ok()??;
        parser.into_request(bytes)
    }

    /// The path as it was sent.
    pub(crate) fn path(&self) -> &str {
        self.text(self.target.path)
    }

    /// How long the path is.
    pub(crate) fn path_length(&self) -> usize {
        self.target.path.length()
    }

    pub(crate) fn has_query(&self) -> bool {
        self.target.query.is_some()
    }

    /// The query as it was sent, without its question mark.
    pub(crate) fn query(&self) -> Option<&str> {
        self.target.query.map(|query| self.text(query))
    }

    /// Path and query as they were sent.
    pub(crate) fn path_and_query(&self) -> Cow<'_, str> {
        let Some(query) = self.target.query else {
            return Cow::Borrowed(self.path());
        };
        match self.target.path.up_to(query) {
            Some(whole) => Cow::Borrowed(self.text(whole)),
            // The path of a target like `http://host?query` stands nowhere.
            None => Cow::Owned(format!("{}?{}", self.path(), self.text(query))),
        }
    }

    /// Takes the parts of this name out of the query, however they are escaped: nobody further on sees them.
    pub(crate) fn remove_query(&mut self, name: &str) {
        let named = |part: &&str| {
            let key = part.split_once('=').map_or(*part, |(key, _)| key);
            decodes_to(key.as_bytes(), name.as_bytes())
        };
        let Some(query) = self.query() else {
            return;
        };
        if !query.split('&').any(|part| named(&part)) {
            return;
        }
        let rest: Vec<&str> = query.split('&').filter(|part| !named(part)).collect();
        let whole = if rest.is_empty() {
            self.path().to_owned()
        } else {
            format!("{}?{}", self.path(), rest.join("&"))
        };
        let at = self.fields.keep(whole.as_bytes());
        let (path, query) = path_and_query(whole.as_bytes(), at.start());
        self.target.path = path;
        self.target.query = query;
    }

    /// Whom a target in absolute form names.
    pub(crate) fn authority(&self) -> Option<&str> {
        self.target.authority.map(|authority| self.text(authority))
    }

    /// Targets are ASCII: the parser has seen to it.
    fn text(&self, span: Span) -> &str {
        std::str::from_utf8(span.of(self.fields.bytes())).unwrap_or_default()
    }
}

/// The head of an upstream's answer.
#[derive(Clone, Debug)]
pub(crate) struct AnswerHead {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) fields: Fields,
}

impl AnswerHead {
    /// A head from what a parser found in `bytes`.
    pub(crate) fn new(
        status: StatusCode,
        version: Version,
        mut fields: Fields,
        bytes: Vec<u8>,
    ) -> Self {
        fields.set_bytes(bytes);
        Self {
            status,
            version,
            fields,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_query_is_taken_out_in_every_spelling() {
        for (target, path, query) in [
            ("/a?key=1", "/a", None),
            ("/a?x=1&k%65y=2&y&key&key=3", "/a", Some("x=1&y")),
            ("/a?keys=1&x=key", "/a", Some("keys=1&x=key")),
            ("/key=1", "/key=1", None),
            ("http://b?key=1&x=2", "/", Some("x=2")),
        ] {
            let mut head = RequestHead::to(target).unwrap();
            head.remove_query("key");
            assert_eq!((head.path(), head.query()), (path, query), "{target}");
            let whole = query.map_or(path.to_owned(), |query| format!("{path}?{query}"));
            assert_eq!(head.path_and_query(), whole, "{target}");
            assert_eq!(head.fields.get(Header::Host), Some(&b"a"[..]), "{target}");
        }
    }
}
