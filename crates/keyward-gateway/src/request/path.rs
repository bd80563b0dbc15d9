//! The path of a request, read in the one way that everybody behind us reads it too.
//!
//! `/open/../closed`, `/open/%2e%2e/closed`, `/open//closed` and `/open/..;/closed` are read differently
//! by different servers. Who decides by path has to refuse what could lead the upstream elsewhere.

use crate::message::RequestHead;
use crate::snapshot::decodes_to;
use http::Method;
use keyward_model::{Code, Fault};
use std::borrow::Cow;

/// An absolute path that has one reading.
#[derive(Debug)]
pub(crate) struct RequestPath<'a> {
    /// Path and query as they were sent.
    whole: Cow<'a, str>,
    /// How much of it is the path.
    length: usize,
    query: Option<Cow<'a, str>>,
    /// With unreserved characters decoded, where any were encoded: routes are found by it.
    decoded: Cow<'a, str>,
}

impl<'a> RequestPath<'a> {
    pub(crate) fn parse(head: &'a RequestHead) -> Result<Self, Fault> {
        if head.method == Method::CONNECT || head.method == Method::TRACE {
            return Err(Fault::new(
                Code::NotImplemented,
                format!("The method {} is not served here", head.method),
            ));
        }
        match head.path_and_query() {
            Cow::Borrowed(whole) => {
                let length = head.path_length();
                let query = head
                    .has_query()
                    .then(|| whole.get(length + 1..).unwrap_or_default());
                Self::of_parts(whole, length, query)
            }
            // The path of a target like `http://host?query`, which stands nowhere in one piece with its query.
            Cow::Owned(whole) => {
                let path = head.path();
                Ok(Self {
                    length: path.len(),
                    query: head.query().map(Cow::Borrowed),
                    decoded: one_reading(path)?,
                    whole: Cow::Owned(whole),
                })
            }
        }
    }

    /// Of a target by itself: path and query.
    pub(crate) fn of_target(target: &'a str) -> Result<Self, Fault> {
        match target.split_once('?') {
            Some((path, query)) => Self::of_parts(target, path.len(), Some(query)),
            None => Self::of_parts(target, target.len(), None),
        }
    }

    fn of_parts(whole: &'a str, length: usize, query: Option<&'a str>) -> Result<Self, Fault> {
        let sent = whole.get(..length).unwrap_or_default();
        if !sent.starts_with('/') {
            return Err(Fault::new(
                Code::BadRequest,
                "The request's target is no path; it begins with `/`",
            ));
        }
        Ok(Self {
            whole: Cow::Borrowed(whole),
            length,
            query: query.map(Cow::Borrowed),
            decoded: one_reading(sent)?,
        })
    }

    /// The path that routes are found by.
    pub(crate) fn for_matching(&self) -> &str {
        &self.decoded
    }

    /// Path and query as sent.
    pub(crate) fn whole(&self) -> &str {
        &self.whole
    }

    /// The query as sent, without the question mark.
    pub(crate) fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The same without the parts of the query that have this name; `None` where none has.
    pub(crate) fn without(&self, name: &str) -> Option<RequestPath<'_>> {
        let query = self.query()?;
        let named = |pair: &&str| {
            let key = pair.split_once('=').map_or(*pair, |(key, _)| key);
            decodes_to(key.as_bytes(), name.as_bytes())
        };
        if !query.split('&').any(|pair| named(&pair)) {
            return None;
        }
        let rest: Vec<&str> = query.split('&').filter(|pair| !named(pair)).collect();
        let rest = (!rest.is_empty()).then(|| rest.join("&"));
        let whole = match &rest {
            Some(rest) => format!("{}?{rest}", self.path()),
            None => self.path().to_owned(),
        };
        Some(RequestPath {
            whole: Cow::Owned(whole),
            length: self.length,
            query: rest.map(Cow::Owned),
            decoded: Cow::Borrowed(&self.decoded),
        })
    }

    /// Path and query as sent, after the first `segments` segments: empty, or beginning with `/` or `?`.
    pub(crate) fn after(&self, segments: usize) -> &str {
        self.whole.get(self.end_of(segments)..).unwrap_or_default()
    }

    /// The path as sent, after the first `segments` segments: empty, or beginning with `/`.
    pub(crate) fn path_after(&self, segments: usize) -> &str {
        self.path().get(self.end_of(segments)..).unwrap_or_default()
    }

    fn path(&self) -> &str {
        self.whole.get(..self.length).unwrap_or_default()
    }

    fn end_of(&self, segments: usize) -> usize {
        if segments == 0 {
            return 0;
        }
        let bytes = self.path().bytes().enumerate();
        let mut slashes = bytes.filter(|(_, byte)| *byte == b'/');
        slashes.nth(segments).map_or(self.length, |(at, _)| at)
    }
}

/// The path with unreserved characters decoded (RFC 3986, section 6.2.2.2), borrowed where none were
/// encoded.
fn one_reading(path: &str) -> Result<Cow<'_, str>, Fault> {
    let mut before = 0;
    let plain = path.bytes().all(|byte| {
        let ambiguous = before == b'/' && matches!(byte, b'/' | b'.');
        before = byte;
        !ambiguous && !matches!(byte, b'%' | b'\\' | b';' | 0x80..)
    });
    if plain {
        return Ok(Cow::Borrowed(path));
    }
    if path.contains('\\') || !path.is_ascii() {
        return Err(ambiguous(
            "it has a backslash or a character outside ASCII; encode it",
        ));
    }
    let decoded = decode_unreserved(path)?;
    let mut segments = decoded.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let name = segment.split(';').next().unwrap_or_default();
        if name == "." || name == ".." {
            return Err(ambiguous(
                "it has a `.` or `..` segment; send the path it leads to",
            ));
        }
        if segment.is_empty() && segments.peek().is_some() {
            return Err(ambiguous("it has two slashes in a row; send one"));
        }
        if name.is_empty() && !segment.is_empty() {
            return Err(ambiguous(
                "it has a segment of parameters alone, of which some make two slashes in a row",
            ));
        }
    }
    Ok(decoded)
}

fn decode_unreserved(path: &str) -> Result<Cow<'_, str>, Fault> {
    if !path.contains('%') {
        return Ok(Cow::Borrowed(path));
    }
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (before, encoded) = rest.split_at(at);
        decoded.push_str(before);
        let digits = encoded
            .get(1..3)
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let byte =
            byte.ok_or_else(|| ambiguous("a `%` is not followed by two hexadecimal digits"))?;
        match byte {
            b'/' | b'\\' => return Err(ambiguous("it has an encoded slash or backslash")),
            0..=0x1f | 0x7f => return Err(ambiguous("it has an encoded control character")),
            b'%' => {
                return Err(ambiguous(
                    "it has an encoded `%`, which some would decode twice",
                ));
            }
            b'-' | b'.' | b'_' | b'~' | b';' => decoded.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => decoded.push(char::from(byte)),
            _ => decoded.push_str(encoded.get(..3).unwrap_or_default()),
        }
        rest = encoded.get(3..).unwrap_or_default();
    }
    decoded.push_str(rest);
    Ok(Cow::Owned(decoded))
}

fn ambiguous(why: &str) -> Fault {
    Fault::new(
        Code::AmbiguousPath,
        format!("The path can be read in two ways: {why}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_servers_read_differently_are_refused() {
        for path in [
            "/a/../b",
            "/a/./b",
            "/a/..",
            "/.",
            "/a/%2e%2e/b",
            "/a/.%2E/b",
            "/a/..;/b",
            "/a/..;x=y/b",
            "/a/%2e%2e%3b/b",
            "//a",
            "/a//b",
            "/a/;/../b",
            "/a/;/b",
            "/a/;x=y/b",
            "/a/;",
            "/a/%3b/b",
            "/a%2fb",
            "/a%5Cb",
            "/a\\b",
            "/a%00",
            "/a%0a",
            "/a%252e%252e/b",
            "/a%2",
            "/a%zz",
            "/\u{e4}",
        ] {
            assert_eq!(
                one_reading(path).map_err(|fault| fault.code()),
                Err(Code::AmbiguousPath),
                "{path}"
            );
        }
    }

    #[test]
    fn routes_are_found_by_the_decoded_path() {
        for (path, decoded) in [
            ("/", "/"),
            ("/a/b/", "/a/b/"),
            ("/%61dmin", "/admin"),
            ("/a/%7Eme", "/a/~me"),
            ("/a/%E4%B8%AD%20x", "/a/%E4%B8%AD%20x"),
            ("/a;v=1/b", "/a;v=1/b"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a/...", "/a/..."),
        ] {
            assert_eq!(one_reading(path).unwrap(), decoded);
        }
    }

    #[test]
    fn the_rest_is_what_was_sent() {
        for (text, segments, rest) in [
            ("/echo/a?b=c", 1, "/a?b=c"),
            ("/echo", 1, ""),
            ("/echo?x=/y", 1, "?x=/y"),
            ("/echo/", 1, "/"),
            ("/%65cho/%61", 1, "/%61"),
            ("/a/b/c", 2, "/c"),
            ("/x?y", 0, "/x?y"),
            ("http://a/b/c?d", 1, "/c?d"),
            ("http://a?b", 0, "/?b"),
            ("http://a", 0, "/"),
        ] {
            let head = RequestHead::parsed(&format!("GET {text} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let path = RequestPath::parse(&head).unwrap();
            assert_eq!(path.after(segments), rest, "{text}");
        }
    }
}
