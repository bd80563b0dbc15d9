//! What routing looks at of a request, however it was read.

use http::Method;
use memchr::{memchr, memrchr};

/// A request as routes see it. Nothing in it is copied.
#[derive(Clone, Copy)]
pub(crate) struct RequestView<'a> {
    /// The authority that is called, as sent: of a target in absolute form, else of `Host`.
    pub(crate) host: Option<&'a str>,
    /// The path in the one reading that everybody shares (`request/path.rs`).
    pub(crate) path: &'a str,
    /// The method; of a CORS preflight, the one it asks for.
    pub(crate) method: &'a Method,
    /// Headers by their names in lower case.
    pub(crate) header: &'a dyn Fn(&str) -> Occurrence<'a>,
    /// The query as sent, without the question mark.
    pub(crate) query: Option<&'a str>,
}

/// How often something comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occurrence<'a> {
    Absent,
    Once(&'a [u8]),
    /// More than once: who reads the first and who reads the last would see two requests, so it equals
    /// nothing.
    Several,
}

impl<'a> Occurrence<'a> {
    /// Counts what an iterator has.
    pub(crate) fn of(mut values: impl Iterator<Item = &'a [u8]>) -> Self {
        match (values.next(), values.next()) {
            (None, _) => Self::Absent,
            (Some(only), None) => Self::Once(only),
            (Some(_), Some(_)) => Self::Several,
        }
    }
}

/// The longest host name (RFC 1035, section 2.3.4): a longer one is nobody's.
const HOST_MAX: usize = 253;

/// A host name in the form that names are compared in: lower case, without port and final dot.
#[derive(Debug)]
pub(crate) struct HostName {
    bytes: [u8; HOST_MAX],
    length: usize,
}

impl HostName {
    /// The name in an authority, if it has one.
    pub(crate) fn of(authority: &str) -> Option<Self> {
        let name = name_of(authority);
        let mut bytes = [0; HOST_MAX];
        bytes
            .get_mut(..name.len())?
            .copy_from_slice(name.as_bytes());
        bytes.make_ascii_lowercase();
        (!name.is_empty()).then_some(Self {
            bytes,
            length: name.len(),
        })
    }

    pub(crate) fn as_str(&self) -> &str {
        let name = self.bytes.get(..self.length).unwrap_or_default();
        // Lower case of what was UTF-8: this can't fail.
        std::str::from_utf8(name).unwrap_or_default()
    }
}

/// The host of an authority, without user, port and final dot.
pub(crate) fn name_of(authority: &str) -> &str {
    let bytes = authority.as_bytes();
    let begin = memrchr(b'@', bytes).map_or(0, |at| at + 1);
    let host = bytes.get(begin..).unwrap_or_default();
    let length = match memchr(b']', host) {
        // An IPv6 address has colons of its own.
        Some(end) => end + 1,
        None => memchr(b':', host).unwrap_or(host.len()),
    };
    let name = authority.get(begin..begin + length).unwrap_or_default();
    name.strip_suffix('.').unwrap_or(name)
}

/// How often a part of the query comes, and whether it is `wanted` when it comes once.
pub(super) fn look_up<'a>(query: Option<&'a str>, name: &str) -> Occurrence<'a> {
    let pairs = query.unwrap_or_default().split('&');
    let named = pairs.filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        decodes_to(key.as_bytes(), name.as_bytes()).then_some(value.as_bytes())
    });
    Occurrence::of(named)
}

/// Whether a name or value of a query (`application/x-www-form-urlencoded`) stands for `wanted`.
pub(crate) fn decodes_to(encoded: &[u8], wanted: &[u8]) -> bool {
    let mut wanted = wanted.iter();
    let mut rest = encoded;
    while let [first, after @ ..] = rest {
        let (byte, left) = match (first, after) {
            (b'+', _) => (b' ', after),
            (b'%', [high, low, left @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, left),
                (None, _) | (_, None) => (b'%', after),
            },
            (plain, _) => (*plain, after),
        };
        if wanted.next() != Some(&byte) {
            return false;
        }
        rest = left;
    }
    wanted.next().is_none()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_one_form() {
        let long = "a".repeat(253);
        for (authority, name) in [
            ("api.example.com", Some("api.example.com")),
            ("API.Example.COM:8080", Some("api.example.com")),
            ("api.example.com.", Some("api.example.com")),
            ("api.example.com.:80", Some("api.example.com")),
            ("user:pass@api.example.com:80", Some("api.example.com")),
            ("[::1]:8080", Some("[::1]")),
            ("[::1]", Some("[::1]")),
            ("127.0.0.1:9", Some("127.0.0.1")),
            ("", None),
            (":80", None),
            (".", None),
            (&long, Some(&*long)),
            (&format!("{long}a"), None),
        ] {
            let read = HostName::of(authority);
            assert_eq!(read.as_ref().map(HostName::as_str), name, "{authority}");
        }
    }

    #[test]
    fn queries_are_compared_decoded() {
        for (query, name, expected) in [
            ("", "a", Occurrence::Absent),
            ("a", "a", Occurrence::Once(b"")),
            ("a=1", "a", Occurrence::Once(b"1")),
            ("b=2&%61=1", "a", Occurrence::Once(b"1")),
            ("a=1&a=2", "a", Occurrence::Several),
            ("ab=1", "a", Occurrence::Absent),
            ("a=1", "ab", Occurrence::Absent),
            ("x+y=%zz", "x y", Occurrence::Once(b"%zz")),
        ] {
            assert_eq!(look_up(Some(query), name), expected, "{query}");
        }
        for (encoded, wanted, same) in [
            ("a%20b", "a b", true),
            ("a+b", "a b", true),
            ("a%2Bb", "a+b", true),
            ("%e4%B8%AD", "\u{4e2d}", true),
            ("%", "%", true),
            ("%4", "%4", true),
            ("%zz", "%zz", true),
            ("a", "ab", false),
            ("ab", "a", false),
            ("", "", true),
        ] {
            let read = decodes_to(encoded.as_bytes(), wanted.as_bytes());
            assert_eq!(read, same, "{encoded}");
        }
    }
}
