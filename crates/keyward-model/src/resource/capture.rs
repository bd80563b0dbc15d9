//! Which bodies of a route's calls are written down, and how much of them.

use std::collections::BTreeSet;

/// Bodies that are captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Whether requests' bodies are.
    pub requests: bool,
    /// Whether answers' bodies are.
    pub responses: bool,
    /// How much of each body is kept, in bytes.
    pub max_bytes: usize,
    /// Of which media types.
    pub content_types: Vec<MediaRange>,
    /// Members whose values are masked, besides [`Capture::ALWAYS_MASKED`], folded by [`folded`].
    pub mask: BTreeSet<Box<str>>,
    /// The share of the calls, in millionths.
    pub sample: u32,
}

impl Capture {
    /// As much as shows what a call was about.
    pub const DEFAULT_BYTES: usize = 4 << 10;
    /// The bound of the bound: what is larger is data, no message.
    pub const BYTES_MAX: u64 = 1 << 20;
    /// The share that is every call.
    pub const EVERY_CALL: u32 = 1_000_000;

    /// Members that hold credentials wherever they come: what one knows of a caller's password, token, key or
    /// card, everyone who reads the file would. Folded by [`folded`].
    pub const ALWAYS_MASKED: [&str; 30] = [
        "accesskey",
        "accesstoken",
        "apikey",
        "apitoken",
        "assertion",
        "authorization",
        "cardnumber",
        "clientassertion",
        "clientsecret",
        "codeverifier",
        "cookie",
        "credential",
        "credentials",
        "cvc",
        "cvv",
        "devicecode",
        "idtoken",
        "otp",
        "passphrase",
        "passwd",
        "password",
        "pin",
        "privatekey",
        "refreshtoken",
        "secret",
        "secretkey",
        "sessionid",
        "setcookie",
        "subjecttoken",
        "token",
    ];

    /// What is captured where nothing is said of it: what can be masked.
    #[must_use]
    pub fn default_types() -> Vec<MediaRange> {
        let known = [
            MediaRange::Exact("application/json".into()),
            MediaRange::Suffix("application".into(), "json".into()),
            MediaRange::Exact("application/x-www-form-urlencoded".into()),
        ];
        known.into()
    }

    /// Whether values of the member of this name are masked.
    #[must_use]
    pub fn masks(&self, name: &str) -> bool {
        let folded = folded(name);
        Self::ALWAYS_MASKED.contains(&&*folded) || self.mask.contains(&*folded)
    }

    /// Whether bodies of this media type are captured, with whatever parameters.
    #[must_use]
    pub fn takes(&self, content_type: &str) -> bool {
        let essence = content_type.split(';').next().unwrap_or_default();
        let essence = essence.trim().to_ascii_lowercase();
        self.content_types.iter().any(|range| range.has(&essence))
    }
}

/// A member's name as programs in different tongues would all write it: `client_secret`, `clientSecret` and
/// `Client-Secret` are one.
#[must_use]
pub fn folded(name: &str) -> String {
    let letters = name.chars().filter(|c| !matches!(c, '_' | '-' | '.' | ' '));
    letters.flat_map(char::to_lowercase).collect()
}

/// Media types (RFC 9110, section 8.3.1), in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaRange {
    /// One: `application/json`.
    Exact(Box<str>),
    /// All of a type: `text/*`.
    Type(Box<str>),
    /// All of a type with a suffix: `application/*+json`.
    Suffix(Box<str>, Box<str>),
}

impl MediaRange {
    /// Reads one; `None` when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let (kind, subtype) = text.split_once('/')?;
        let token = |part: &str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
            !part.is_empty() && part.bytes().all(plain)
        };
        if !token(kind) {
            return None;
        }
        if subtype == "*" {
            return Some(Self::Type(kind.into()));
        }
        if let Some(suffix) = subtype.strip_prefix("*+") {
            return token(suffix).then(|| Self::Suffix(kind.into(), suffix.into()));
        }
        token(subtype).then(|| Self::Exact(text.as_str().into()))
    }

    /// Whether it is one of these; `essence` is in lower case and without parameters.
    #[must_use]
    pub fn has(&self, essence: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *essence,
            Self::Type(kind) => essence
                .strip_prefix(&**kind)
                .is_some_and(|rest| rest.starts_with('/')),
            Self::Suffix(kind, suffix) => essence
                .strip_prefix(&**kind)
                .and_then(|rest| rest.strip_prefix('/'))
                .and_then(|subtype| subtype.rsplit_once('+'))
                .is_some_and(|(_, found)| *found == **suffix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_told_apart() {
        for (range, yes, no) in [
            ("application/json", "application/json", "application/jsonp"),
            ("Text/*", "text/plain", "textual/plain"),
            (
                "application/*+json",
                "application/problem+json",
                "application/json",
            ),
        ] {
            let range = MediaRange::parse(range).unwrap();
            assert!(range.has(yes) && !range.has(no), "{range:?}");
        }
        for bad in ["json", "*/*", "/json", "text/", "a/b;c", "a/*+", "a b/c"] {
            assert_eq!(MediaRange::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_member_is_masked_in_every_spelling() {
        let capture = Capture {
            requests: true,
            responses: true,
            max_bytes: 1,
            content_types: Capture::default_types(),
            mask: ["birthday".into()].into(),
            sample: Capture::EVERY_CALL,
        };
        for name in [
            "client_secret",
            "clientSecret",
            "Client-Secret",
            "BIRTHDAY",
            "birth_day",
        ] {
            assert!(capture.masks(name), "{name}");
        }
        assert!(!capture.masks("secretary") && !capture.masks("name"));
        assert!(capture.takes("Application/JSON; charset=utf-8") && !capture.takes("text/plain"));
    }

    #[test]
    fn names_that_are_always_masked_are_folded_and_in_order() {
        assert!(Capture::ALWAYS_MASKED.is_sorted());
        for name in Capture::ALWAYS_MASKED {
            assert_eq!(folded(name), name);
        }
    }
}
