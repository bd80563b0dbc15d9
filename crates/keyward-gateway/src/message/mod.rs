//! Messages as the request's way sees them, whatever protocol carries them.

pub(crate) mod fields;
pub(crate) mod header;
mod header_map;

pub(crate) use fields::{Fields, Span};
pub(crate) use header::{Class, Header};

use http::{Method, StatusCode};
use std::borrow::Cow;

/// The protocol that a message came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    Http10,
    Http11,
    Http2,
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
