//! How a header's text is read: the quick way for what nearly all tokens have, the strict way for the rest.

use super::B64;
use crate::json::{self, Strict};
use crate::jws::HEADER_MAX;
use crate::{Error, SignatureAlgorithm};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// What stands in a header, before its parts are held against each other.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Read {
    pub(super) algorithm: Option<Result<SignatureAlgorithm, Box<str>>>,
    pub(super) kid: Option<String>,
    pub(super) typ: Option<String>,
    pub(super) cty: Option<String>,
    pub(super) b64: Option<bool>,
    pub(super) crit: Option<Vec<String>>,
    pub(super) others: Map<String, Value>,
}

impl Read {
    /// Reads a header's text.
    pub(super) fn text(text: &[u8]) -> Result<Self, Error> {
        if text.len() > HEADER_MAX {
            return Err(Error::TooLarge {
                what: "header",
                limit: HEADER_MAX,
            });
        }
        match plain(text) {
            Some(read) => Ok(read),
            None => json::read("header", text, HEADER_MAX, Reader),
        }
    }
}

/// Reads the header that nearly all tokens have in a tenth of the time: `alg`, `kid`, `typ` and `cty` as
/// texts of plain characters, without any white space. `None` for every other header, be it good or bad.
fn plain(text: &[u8]) -> Option<Read> {
    let mut read = Read::default();
    let mut rest = text.strip_prefix(b"{")?;
    loop {
        let (name, value) = plain_text(rest)?;
        let (value, after) = plain_text(value.strip_prefix(b":")?)?;
        match name {
            "alg" if read.algorithm.is_none() && !value.is_empty() => {
                read.algorithm = Some(named_algorithm(value));
            }
            "kid" if read.kid.is_none() => read.kid = Some(value.to_owned()),
            "typ" if read.typ.is_none() => read.typ = Some(value.to_owned()),
            "cty" if read.cty.is_none() => read.cty = Some(value.to_owned()),
            _ => return None,
        }
        match after.split_first()? {
            (b',', more) => rest = more,
            (b'}', []) => return Some(read),
            _ => return None,
        }
    }
}

/// A text of ASCII that JSON writes as it is, and what comes after it.
fn plain_text(text: &[u8]) -> Option<(&str, &[u8])> {
    let inside = text.strip_prefix(b"\"")?;
    let end = inside
        .iter()
        .position(|byte| !(0x20..=0x7e).contains(byte) || matches!(byte, b'"' | b'\\'))?;
    let (content, after) = inside.split_at_checked(end)?;
    Some((
        std::str::from_utf8(content).ok()?,
        after.strip_prefix(b"\"")?,
    ))
}

fn named_algorithm(name: &str) -> Result<SignatureAlgorithm, Box<str>> {
    name.parse()
        .map_err(|_| name.chars().take(40).collect::<String>().into())
}

/// Reads the parameters that nearly all tokens have without a map and without a copy of their names.
struct Reader;

impl<'de> DeserializeSeed<'de> for Reader {
    type Value = Read;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Read, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = Read;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Read, A::Error> {
        let mut read = Read::default();
        while let Some(name) = access.next_key_seed(NameReader)? {
            match name {
                Name::Algorithm => once("alg", &mut read.algorithm, || {
                    access.next_value_seed(AlgorithmReader)
                })?,
                Name::Kid => once("kid", &mut read.kid, || access.next_value())?,
                Name::Typ => once("typ", &mut read.typ, || access.next_value())?,
                Name::Cty => once("cty", &mut read.cty, || access.next_value())?,
                Name::B64 => once(B64, &mut read.b64, || access.next_value())?,
                Name::Critical => once("crit", &mut read.crit, || access.next_value())?,
                Name::Other(name) => {
                    let value = access.next_value_seed(Strict::inside())?;
                    if read.others.contains_key(&name) {
                        return Err(twice(&name));
                    }
                    read.others.insert(name, value);
                }
            }
        }
        Ok(read)
    }
}

fn once<T, E: serde::de::Error>(
    name: &str,
    place: &mut Option<T>,
    value: impl FnOnce() -> Result<T, E>,
) -> Result<(), E> {
    if place.is_some() {
        return Err(twice(name));
    }
    *place = Some(value().map_err(|error| E::custom(format_args!("`{name}`: {error}")))?);
    Ok(())
}

fn twice<E: serde::de::Error>(name: &str) -> E {
    let name: String = name.chars().take(40).collect();
    E::custom(format_args!("member `{name}` stands there twice"))
}

enum Name {
    Algorithm,
    Kid,
    Typ,
    Cty,
    B64,
    Critical,
    Other(String),
}

struct NameReader;

impl<'de> DeserializeSeed<'de> for NameReader {
    type Value = Name;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameReader {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Name, E> {
        Ok(match name {
            "alg" => Name::Algorithm,
            "kid" => Name::Kid,
            "typ" => Name::Typ,
            "cty" => Name::Cty,
            B64 => Name::B64,
            "crit" => Name::Critical,
            _ => Name::Other(name.to_owned()),
        })
    }
}

struct AlgorithmReader;

impl<'de> DeserializeSeed<'de> for AlgorithmReader {
    type Value = Result<SignatureAlgorithm, Box<str>>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for AlgorithmReader {
    type Value = Result<SignatureAlgorithm, Box<str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        if name.is_empty() {
            return Err(E::custom("it is empty"));
        }
        Ok(named_algorithm(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn strict(text: &str) -> Result<Read, Error> {
        json::read("header", text.as_bytes(), HEADER_MAX, Reader)
    }

    #[test]
    fn quick_reading_takes_what_tokens_have_and_no_more() {
        for text in [
            r#"{"alg":"RS256"}"#,
            r#"{"alg":"none","typ":"JWT"}"#,
            r#"{"kid":"","typ":"at+jwt","alg":"ES256","cty":"JWT"}"#,
        ] {
            assert_eq!(plain(text.as_bytes()), strict(text).ok(), "{text}");
            assert!(plain(text.as_bytes()).is_some(), "{text}");
        }
        for text in [
            "",
            "{}",
            r#"{"alg":""}"#,
            r#"{"alg":"RS256""#,
            r#"{"alg":"RS256",}"#,
            r#"{"alg":"RS256"} "#,
            r#"{"alg":"RS256"}}"#,
            r#"{"alg":"RS256","alg":"RS256"}"#,
            r#"{"alg":"RS256","kid":"a","kid":"a"}"#,
            r#"{"alg":"RS256","x":"a"}"#,
            r#"{"alg":"RS256","crit":"a"}"#,
            r#"{"alg":"RS256","kid":1}"#,
            r#"{"alg":"\u0052S256"}"#,
            "{\"alg\":\"RS\n256\"}",
            "{\"alg\":\"RS256\",\"kid\":\"\u{e4}\"}",
        ] {
            assert_eq!(plain(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        /// What the quick way reads, the strict way reads too, and to the same.
        #[test]
        fn both_ways_of_reading_agree(
            members in prop::collection::vec(
                ("(alg|kid|typ|cty|crit|x)", "[ -~\u{e4}\n]{0,12}"), 0..5),
            end in "[ -~]{0,2}",
        ) {
            let members: Vec<String> = members
                .iter()
                .map(|(name, value)| format!(r#""{name}":"{value}""#))
                .collect();
            let text = format!("{{{}}}{end}", members.join(","));
            if let Some(read) = plain(text.as_bytes()) {
                prop_assert_eq!(Ok(read), strict(&text));
            }
        }
    }
}
