//! What of a body is written: members that hold secrets are masked, and whatever looks like a credential,
//! wherever it stands.
//!
//! A body was perhaps cut, so that it is looked at piece by piece rather than parsed into a tree. What is not
//! the beginning of its own format is not written at all: in it, nothing could be found to be masked.

use keyward_model::resource::Capture;
use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::fmt::Write as _;

/// What stands in the place of a member's value.
const MASKED: &str = "[masked]";
/// What stands in the place of a credential.
const CREDENTIAL: &str = "[credential]";
/// How a token of JOSE begins (RFC 7515, section 3): `{"` in base64url.
const TOKEN_BEGINS: &[u8] = b"eyJ";
/// Shorter runs of letters are words.
const CREDENTIAL_MIN: usize = 16;

/// Why a body is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unwritten {
    /// It is not what its media type says.
    Malformed,
    /// It is no text.
    Binary,
}

/// The body as it is written.
pub(super) fn masked(
    declared: &Capture,
    content_type: &str,
    body: &[u8],
) -> Result<String, Unwritten> {
    let essence = content_type.split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    let text = text(body)?;
    let text = if is_json(&essence) {
        Cow::Owned(json(declared, text).ok_or(Unwritten::Malformed)?)
    } else if essence == "application/x-www-form-urlencoded" {
        Cow::Owned(form(declared, text))
    } else {
        Cow::Borrowed(text)
    };
    Ok(without_credentials(&text))
}

fn is_json(essence: &str) -> bool {
    essence.ends_with("+json")
        || essence.ends_with("/json")
        || essence.ends_with("json-seq")
        || essence.ends_with("ndjson")
        || essence.ends_with("jsonl")
}

/// The bytes as text, but for a last character that was cut.
fn text(body: &[u8]) -> Result<&str, Unwritten> {
    match std::str::from_utf8(body) {
        Ok(text) => Ok(text),
        Err(error) if error.error_len().is_none() => {
            let whole = body.get(..error.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(whole).map_err(|_| Unwritten::Binary)
        }
        Err(_) => Err(Unwritten::Binary),
    }
}

/// One or more JSON texts, the last of which may be cut; `None` when they are none.
fn json(declared: &Capture, text: &str) -> Option<String> {
    // Record separators of JSON text sequences (RFC 7464) are as good as spaces.
    let text = text.replace('\u{1e}', " ");
    // A number that is cut may be none (`-`, `1e`), and holds no name.
    let in_number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
    let seen = text.trim_end_matches(in_number);
    let texts = serde_json::Deserializer::from_str(seen).into_iter::<IgnoredAny>();
    for read in texts {
        match read {
            Ok(IgnoredAny) => {}
            Err(error) if error.is_eof() => break,
            Err(_) => return None,
        }
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some(at) = rest.find('"') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let (string, behind) = split_string(from);
        out.push_str(string);
        rest = behind;
        // A string with a colon behind it is a member's name: the grammar was seen to.
        let Some(value) = behind.trim_start().strip_prefix(':') else {
            continue;
        };
        let name: Option<String> = serde_json::from_str(string).ok();
        if name.is_none_or(|name| declared.masks(&name)) {
            let _infallible = write!(out, ":\"{MASKED}\"");
            rest = skip_value(value);
        }
    }
    out.push_str(rest);
    Some(out)
}

/// Splits behind the string that the text begins with, or at its end when the string was cut.
fn split_string(text: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = text.bytes().enumerate().skip(1).find(|(_, byte)| {
        let ends = !escaped && *byte == b'"';
        escaped = !escaped && *byte == b'\\';
        ends
    });
    let end = end.map_or(text.len(), |(at, _)| at + 1);
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// What follows the value that the text begins with.
fn skip_value(text: &str) -> &str {
    let mut rest = text.trim_start();
    let mut depth = 0_usize;
    loop {
        let Some(first) = rest.bytes().next() else {
            return "";
        };
        rest = match first {
            b'"' => split_string(rest).1,
            b'{' | b'[' => {
                depth += 1;
                rest.get(1..).unwrap_or_default()
            }
            b'}' | b']' if depth == 0 => return rest,
            b'}' | b']' => {
                depth -= 1;
                rest.get(1..).unwrap_or_default()
            }
            b',' if depth == 0 => return rest,
            // Behind a whole value at the top of a text comes nothing, or another text.
            byte if depth == 0 && byte.is_ascii_whitespace() => return rest,
            _ => {
                let part = |c: char| {
                    matches!(c, '"' | '{' | '[' | '}' | ']' | ',') || c.is_ascii_whitespace()
                };
                let first = rest.chars().next().map_or(1, char::len_utf8);
                let behind = rest.get(first..).unwrap_or_default();
                behind
                    .find(part)
                    .map_or("", |at| behind.get(at..).unwrap_or_default())
            }
        };
        if depth == 0 {
            return rest;
        }
    }
}

/// A form (URL Standard, section 5), whose last value may be cut.
fn form(declared: &Capture, text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, pair) in text.split('&').enumerate() {
        if index > 0 {
            out.push('&');
        }
        match pair.split_once('=') {
            Some((name, _)) if declared.masks(&decoded(name)) => {
                let _infallible = write!(out, "{name}={MASKED}");
            }
            Some(_) | None => out.push_str(pair),
        }
    }
    out
}

fn decoded(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        let escape = behind.get(..2).filter(|_| *first == b'%');
        let escape = escape.and_then(|digits| std::str::from_utf8(digits).ok());
        match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = rest.get(2..).unwrap_or_default();
            }
            None => bytes.push(if *first == b'+' { b' ' } else { *first }),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The text with tokens, and what stands behind `Bearer` and `Basic`, taken out. Every token that the gateway
/// takes is one of JOSE, so that no body gives a caller's own away that an upstream has sent back.
fn without_credentials(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut at = 0;
    while let Some(from) = rest.as_bytes().get(at..).filter(|from| !from.is_empty()) {
        let Some(kept) = credential_begins(from) else {
            at += 1;
            continue;
        };
        // Both begin and end with ASCII, so that these are places between characters.
        let (before, credential) = rest.split_at_checked(at + kept).unwrap_or((rest, ""));
        let length = run(credential);
        out.push_str(before);
        if length >= CREDENTIAL_MIN {
            out.push_str(CREDENTIAL);
        } else {
            out.push_str(credential.get(..length).unwrap_or_default());
        }
        rest = credential.get(length..).unwrap_or_default();
        at = 0;
    }
    out.push_str(rest);
    out
}

/// Whether a credential may follow here, and how much of this is no part of it.
fn credential_begins(text: &[u8]) -> Option<usize> {
    let scheme = |scheme: &[u8]| {
        let begins = text.get(..scheme.len());
        begins.is_some_and(|begins| begins.eq_ignore_ascii_case(scheme))
    };
    match text.first()? {
        b'e' if text.starts_with(TOKEN_BEGINS) => Some(0),
        b'B' | b'b' if scheme(b"bearer ") => Some(b"bearer ".len()),
        b'B' | b'b' if scheme(b"basic ") => Some(b"basic ".len()),
        _ => None,
    }
}

/// How many bytes of a token's alphabet the text begins with (RFC 6750, section 2.1).
fn run(text: &str) -> usize {
    let part = |b: &u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(b);
    text.bytes().take_while(part).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_model::resource::capture::MediaRange;
    use proptest::prelude::*;
    use serde_json::Value;

    const JSON: &str = "application/json; charset=utf-8";
    const FORM: &str = "application/x-www-form-urlencoded";

    fn declared() -> Capture {
        Capture {
            requests: true,
            responses: true,
            max_bytes: 4096,
            content_types: vec![MediaRange::Type("text".into())],
            mask: ["birthday".into()].into(),
            sample: Capture::EVERY_CALL,
        }
    }

    #[track_caller]
    fn check(content_type: &str, body: &str, expected: &str) {
        let written = masked(&declared(), content_type, body.as_bytes());
        assert_eq!(written.as_deref(), Ok(expected), "{body}");
    }

    #[test]
    fn members_are_masked_wherever_they_stand_and_whatever_they_hold() {
        for (body, expected) in [
            (
                r#"{"a":1,"password":"x"}"#,
                r#"{"a":1,"password":"[masked]"}"#,
            ),
            (
                r#"{"password" : "x" , "a":1}"#,
                r#"{"password":"[masked]" , "a":1}"#,
            ),
            (
                r#"[{"a":{"clientSecret":{"x":["y}",{"z":1}]},"b":2}}]"#,
                r#"[{"a":{"clientSecret":"[masked]","b":2}}]"#,
            ),
            (
                r#"{"birth_day":12.5e3,"b":null}"#,
                r#"{"birth_day":"[masked]","b":null}"#,
            ),
            (r#"{"birthday":true}"#, r#"{"birthday":"[masked]"}"#),
            (
                r#"{"pass\u0077ord":"x"}"#,
                r#"{"pass\u0077ord":"[masked]"}"#,
            ),
            (
                r#"{"token":"a\"b\\","c":"\\"}"#,
                r#"{"token":"[masked]","c":"\\"}"#,
            ),
            (
                r#"{"note":"password: \"x\""}"#,
                r#"{"note":"password: \"x\""}"#,
            ),
            (
                "{\"token\":1}\n{\"b\":\"token\"}\n",
                "{\"token\":\"[masked]\"}\n{\"b\":\"token\"}\n",
            ),
            ("\"token\"", "\"token\""),
            ("{\"a\":-1.5e3}", "{\"a\":-1.5e3}"),
            ("", ""),
        ] {
            check(JSON, body, expected);
            let _: Vec<Value> = serde_json::Deserializer::from_str(expected)
                .into_iter()
                .collect::<Result<_, _>>()
                .unwrap();
        }
    }

    #[test]
    fn a_body_that_is_cut_anywhere_gives_no_secret_away() {
        let body = r#"{"a":"é","password":"hunter2","b":[{"secret":["hunter2",{"x":"hunter2"}]}],"pin":11223344}"#;
        for end in 0..=body.len() {
            let cut = &body.as_bytes()[..end];
            let written =
                masked(&declared(), JSON, cut).unwrap_or_else(|why| panic!("{end}: {why:?}"));
            for part in ["hun", "112"] {
                assert!(!written.contains(part), "{end}: {written}");
            }
        }
    }

    #[test]
    fn what_is_no_json_is_not_written() {
        for body in [
            "{'password':'x'}",
            "{password:\"x\"}",
            "<a/>",
            "{\"a\":1}}",
            "{\"a\" \"password\":1}",
        ] {
            let written = masked(&declared(), JSON, body.as_bytes());
            assert_eq!(written, Err(Unwritten::Malformed), "{body}");
        }
        assert_eq!(
            masked(&declared(), "text/plain", b"\xff\xfe"),
            Err(Unwritten::Binary)
        );
    }

    #[test]
    fn a_body_of_any_depth_is_masked() {
        let deep = "[".repeat(100_000);
        let body = format!("{deep}{{\"token\":{deep}\"hunter2\"");
        let written = masked(&declared(), JSON, body.as_bytes());
        assert!(written.is_ok_and(|written| written.ends_with("{\"token\":\"[masked]\"")));
    }

    #[test]
    fn forms_are_masked() {
        for (body, expected) in [
            ("a=1&password=x%26y&b=2", "a=1&password=[masked]&b=2"),
            ("pass%77ord=x", "pass%77ord=[masked]"),
            ("client_secret", "client_secret"),
            ("a&b=&token=", "a&b=&token=[masked]"),
        ] {
            check(FORM, body, expected);
        }
    }

    #[test]
    fn credentials_are_taken_out_wherever_they_stand() {
        let token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl-_x";
        for (body, expected) in [
            (format!("x {token}, y"), "x [credential], y"),
            (format!("at={token}"), "at=[credential]"),
            (token[..25].to_owned(), "[credential]"),
            (
                "Authorization: bearer 0123456789abcdef0123".to_owned(),
                "Authorization: bearer [credential]",
            ),
            (
                "BASIC dXNlcjpwYXNzd29yZA==\n".to_owned(),
                "BASIC [credential]\n",
            ),
            ("basic education eyJ".to_owned(), "basic education eyJ"),
        ] {
            check("text/plain", &body, expected);
        }
        check(
            JSON,
            &format!(r#"{{"headers":[["x","Bearer {token}"]]}}"#),
            r#"{"headers":[["x","Bearer [credential]"]]}"#,
        );
    }

    /// JSON in which nothing is secret: its texts have no `~`.
    fn harmless() -> impl Strategy<Value = Value> {
        let text = "[a-g\"\\\\{}\\[\\]:,\n é😀]{0,8}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 4, move |inner| {
            let name = prop_oneof![
                Just("Pass_word".to_owned()),
                Just("birth-day".to_owned()),
                text.prop_map(String::from)
            ];
            let map = prop::collection::vec((name, inner.clone()), 0..4);
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(Value::from),
                map.prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    /// The same with a secret in each member that is masked, or with each such member masked.
    fn changed(value: &Value, secret: bool) -> Value {
        match value {
            Value::Array(members) => members
                .iter()
                .map(|member| changed(member, secret))
                .collect(),
            Value::Object(map) => {
                let pairs = map.iter().map(|(name, value)| {
                    let value = match (declared().masks(name), secret) {
                        (false, _) => changed(value, secret),
                        (true, false) => MASKED.into(),
                        (true, true) => serde_json::json!([value, { "~~": "~~~" }, "~\"~"]),
                    };
                    (name.clone(), value)
                });
                Value::Object(pairs.collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }
    }

    proptest! {
        #[test]
        fn no_secret_is_written_of_any_json_cut_anywhere(value in harmless(), pretty: bool, cut in 0.0..1.0) {
            let secret = changed(&value, true);
            let text = if pretty { format!("{secret:#}") } else { secret.to_string() };
            let whole = json(&declared(), &text).unwrap();
            let read: Value = serde_json::from_str(&whole).unwrap();
            prop_assert_eq!(read, changed(&value, false));
            let end = (text.len() as f64 * cut) as usize;
            let part = masked(&declared(), JSON, &text.as_bytes()[..end]).unwrap();
            prop_assert!(!part.contains('~'), "{} of {}", part, text);
        }
    }
}
