//! `Cache-Control` (RFC 9111, section 5.2), as requests and answers have it.

use crate::message::{Fields, Header};

/// What a number becomes that is larger than this (RFC 9111, section 1.2.2): for ever, as caches know it.
pub(super) const SECONDS_MAX: u64 = 1 << 31;

/// What an answer says of being kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ResponseDirectives {
    pub(super) no_store: bool,
    pub(super) no_cache: bool,
    pub(super) private: bool,
    pub(super) public: bool,
    /// `must-revalidate` or `proxy-revalidate`: to a shared cache they are one.
    pub(super) must_revalidate: bool,
    pub(super) must_understand: bool,
    /// In seconds, as all of these. What can't be read counts as none: stale at once.
    pub(super) max_age: Option<u64>,
    pub(super) s_maxage: Option<u64>,
    pub(super) stale_while_revalidate: Option<u64>,
    pub(super) stale_if_error: Option<u64>,
}

/// What a request says of what it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RequestDirectives {
    pub(super) no_store: bool,
    pub(super) no_cache: bool,
    pub(super) only_if_cached: bool,
    pub(super) max_age: Option<u64>,
    pub(super) min_fresh: Option<u64>,
    /// `max-stale` without a number takes whatever is there.
    pub(super) max_stale: Option<u64>,
    pub(super) stale_if_error: Option<u64>,
}

impl ResponseDirectives {
    pub(super) fn of(fields: &Fields) -> Self {
        let mut said = Self::default();
        each(fields, |name, argument| {
            let name = name.to_ascii_lowercase();
            match name.as_slice() {
                b"no-store" => said.no_store = true,
                // With names of fields (`no-cache="set-cookie"`) they speak of these alone. Taking them for the
                // whole is what RFC 9111, sections 5.2.2.4 and 5.2.2.7, allows, and what can't leak.
                b"no-cache" => said.no_cache = true,
                b"private" => said.private = true,
                b"public" => said.public = true,
                b"must-revalidate" | b"proxy-revalidate" => said.must_revalidate = true,
                b"must-understand" => said.must_understand = true,
                b"max-age" => shorten(&mut said.max_age, argument),
                b"s-maxage" => shorten(&mut said.s_maxage, argument),
                b"stale-while-revalidate" => shorten(&mut said.stale_while_revalidate, argument),
                b"stale-if-error" => shorten(&mut said.stale_if_error, argument),
                // What is not known is to be ignored (section 5.2.3).
                _ => {}
            }
        });
        said
    }
}

impl RequestDirectives {
    pub(super) fn of(fields: &Fields) -> Self {
        let mut said = Self::default();
        each(fields, |name, argument| {
            let name = name.to_ascii_lowercase();
            match name.as_slice() {
                b"no-store" => said.no_store = true,
                b"no-cache" => said.no_cache = true,
                b"only-if-cached" => said.only_if_cached = true,
                b"max-age" => shorten(&mut said.max_age, argument),
                b"min-fresh" => said.min_fresh = argument.and_then(seconds),
                b"max-stale" => {
                    said.max_stale = argument.map_or(Some(SECONDS_MAX), seconds);
                }
                b"stale-if-error" => shorten(&mut said.stale_if_error, argument),
                _ => {}
            }
        });
        // RFC 9111, section 5.4: what older clients have in its place.
        if !fields.has(Header::CacheControl)
            && fields
                .all_named("pragma")
                .any(|value| contains_token(value, b"no-cache"))
        {
            said.no_cache = true;
        }
        said
    }
}

/// Keeps the least of what is said twice (RFC 9111, section 4.2.1); what can't be read is none at all.
fn shorten(known: &mut Option<u64>, argument: Option<&[u8]>) {
    let said = argument.and_then(seconds).unwrap_or_default();
    *known = Some(known.map_or(said, |known| known.min(said)));
}

/// Delta-seconds: digits alone (RFC 9111, section 1.2.2).
pub(super) fn seconds(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = std::str::from_utf8(text).ok()?;
    Some(
        digits
            .parse()
            .map_or(SECONDS_MAX, |number: u64| number.min(SECONDS_MAX)),
    )
}

/// Whether the list has this member.
pub(super) fn contains_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|byte| *byte == b',')
        .any(|member| member.trim_ascii().eq_ignore_ascii_case(token))
}

/// Hands on each directive with its argument, quotes taken off.
fn each<'f>(fields: &'f Fields, mut take: impl FnMut(&'f [u8], Option<&'f [u8]>)) {
    for value in fields.all(Header::CacheControl) {
        for member in Members(value) {
            match member.iter().position(|byte| *byte == b'=') {
                Some(at) => {
                    let (name, argument) = member.split_at(at);
                    let argument = argument.get(1..).unwrap_or_default();
                    take(name, Some(unquoted(argument)));
                }
                None => take(member, None),
            }
        }
    }
}

/// A quoted text without its quotes. An escape in it stays: none of the arguments that are read has one.
fn unquoted(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\"")
        .and_then(|text| text.strip_suffix(b"\""))
        .unwrap_or(text)
}

/// The members of a list, a comma inside quotes being part of one.
struct Members<'l>(&'l [u8]);

impl<'l> Iterator for Members<'l> {
    type Item = &'l [u8];

    fn next(&mut self) -> Option<&'l [u8]> {
        loop {
            if self.0.is_empty() {
                return None;
            }
            let (mut quoted, mut escaped) = (false, false);
            let end = self.0.iter().position(|byte| {
                let ends = *byte == b',' && !quoted;
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' if quoted => escaped = true,
                    b'"' => quoted = !quoted,
                    _ => {}
                }
                ends
            });
            let (member, rest) = match end {
                Some(end) => (
                    self.0.get(..end).unwrap_or_default(),
                    self.0.get(end + 1..).unwrap_or_default(),
                ),
                None => (self.0, &[][..]),
            };
            self.0 = rest;
            let member = member.trim_ascii();
            if !member.is_empty() {
                return Some(member);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> ResponseDirectives {
        ResponseDirectives::of(&Fields::from([("cache-control", value)]))
    }

    #[test]
    fn numbers_are_read_as_the_rfc_has_them_and_else_are_none() {
        for (text, expected) in [
            ("max-age=60", Some(60)),
            ("MAX-AGE=60", Some(60)),
            ("max-age=\"60\"", Some(60)),
            ("max-age=060", Some(60)),
            ("public , max-age=60 , x=\"max-age=5\"", Some(60)),
            ("max-age=99999999999999999999", Some(SECONDS_MAX)),
            ("max-age=-1", Some(0)),
            ("max-age=1.5", Some(0)),
            ("max-age= 60", Some(0)),
            ("max-age", Some(0)),
            ("max-age=60, max-age=5", Some(5)),
            ("max-age =60", None),
            ("x=\"a, max-age=60\"", None),
            ("x=\"a\\\", max-age=60\"", None),
            ("", None),
        ] {
            assert_eq!(of(text).max_age, expected, "{text}");
        }
    }

    #[test]
    fn directives_of_several_fields_are_one_list() {
        let said = ResponseDirectives::of(&Fields::from([
            ("cache-control", "private=\"set-cookie\", no-cache"),
            ("cache-control", ",,S-Maxage=7,proxy-revalidate"),
        ]));
        let expected = ResponseDirectives {
            private: true,
            no_cache: true,
            s_maxage: Some(7),
            must_revalidate: true,
            ..ResponseDirectives::default()
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn pragma_counts_where_nothing_else_is_said() {
        let said = |fields| RequestDirectives::of(&fields);
        assert!(said(Fields::from([("pragma", "a, No-Cache")])).no_cache);
        let both = Fields::from([("pragma", "no-cache"), ("cache-control", "max-age=1")]);
        assert!(!said(both).no_cache);
        let stale = Fields::from([("cache-control", "max-stale, min-fresh=x")]);
        assert_eq!(said(stale.clone()).max_stale, Some(SECONDS_MAX));
        assert_eq!(said(stale).min_fresh, None);
    }
}
