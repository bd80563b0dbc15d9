//! JSON taken apart without being read, so that each key of a set can be read, and refused, by itself.

use crate::{Error, json};
use serde::de::IgnoredAny;

/// The text of each element of the array that is the member `name` of an object; `None` if there is no
/// such member. The object itself and its other members are read as strictly as ever.
pub(super) fn elements<'a>(
    what: &'static str,
    text: &'a [u8],
    limit: usize,
    name: &'static str,
) -> Result<Option<Vec<&'a [u8]>>, Error> {
    // From here on the text is known to be JSON: brackets match, and what starts as a string ends as one.
    json::read(what, text, limit, std::marker::PhantomData::<IgnoredAny>)?;
    let members = inside(text, b'{', b'}')
        .ok_or_else(|| Error::Json(what, "a JSON object is needed".to_owned()))?;
    let mut found = None;
    let mut seen: Vec<String> = Vec::new();
    for member in split(members) {
        let (member_name, value) = name_and_value(what, member)?;
        if seen.contains(&member_name) {
            let shown: String = member_name.chars().take(40).collect();
            return Err(Error::Json(
                what,
                format!("member `{shown}` stands there twice"),
            ));
        }
        if seen.len() == MEMBERS_MAX {
            return Err(Error::TooLarge {
                what: "the number of members of a JWK set",
                limit: MEMBERS_MAX,
            });
        }
        if member_name == name {
            let elements = inside(value, b'[', b']')
                .ok_or_else(|| Error::KeyMember(name, "an array is needed".to_owned()))?;
            found = Some(split(elements));
        } else {
            json::value(what, value, limit)?;
        }
        seen.push(member_name);
    }
    Ok(found)
}

/// The most members beside `keys`: there are none in most sets, and each is compared with all others.
const MEMBERS_MAX: usize = 64;

/// What stands between a pair of brackets.
fn inside(text: &[u8], open: u8, close: u8) -> Option<&[u8]> {
    text.trim_ascii()
        .strip_prefix(&[open])?
        .strip_suffix(&[close])
}

/// The texts between the commas of this level. `text` is the inside of an object or array of good JSON.
fn split(text: &[u8]) -> Vec<&[u8]> {
    if text.trim_ascii().is_empty() {
        return Vec::new();
    }
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    text.split(|byte| {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => return depth == 0,
            _ => {}
        }
        false
    })
    .collect()
}

/// The parts of `"name": value`.
fn name_and_value<'a>(what: &'static str, member: &'a [u8]) -> Result<(String, &'a [u8]), Error> {
    let mut names = serde_json::Deserializer::from_slice(member).into_iter::<String>();
    let name = match names.next() {
        Some(Ok(name)) => name,
        Some(Err(error)) => return Err(Error::Json(what, error.to_string())),
        None => return Err(Error::Json(what, "a member has no name".to_owned())),
    };
    let value = member
        .get(names.byte_offset()..)
        .and_then(|rest| rest.trim_ascii_start().strip_prefix(b":"))
        .ok_or_else(|| Error::Json(what, "a member has no value".to_owned()))?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn keys(text: &str) -> Result<Option<Vec<&str>>, Error> {
        let texts = |found: Vec<_>| -> Vec<&str> {
            found
                .into_iter()
                .map(|one: &[u8]| std::str::from_utf8(one).unwrap())
                .collect()
        };
        Ok(elements("x", text.as_bytes(), 10_000, "keys")?.map(texts))
    }

    #[test]
    fn elements_are_told_apart_unread() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(keys(text).unwrap().unwrap(), expected, "{text}");
        };
        check(r#"{"keys":[]}"#, &[]);
        check(" {\"keys\" : [ \n] } ", &[]);
        check(
            r#"{"keys":[1,"a,]}\",[",{"b":[2,3]},[4]]}"#,
            &["1", r#""a,]}\",[""#, r#"{"b":[2,3]}"#, "[4]"],
        );
        check(r#"{"a":{"keys":[9]},"k\u0065ys":[1],"b":"\\"}"#, &["1"]);
        check(
            r#"{"keys":[{"a":1,"a":2},1e999,"\ud800"]}"#,
            &[r#"{"a":1,"a":2}"#, "1e999", r#""\ud800""#],
        );
        assert_eq!(keys("{}"), Ok(None));
    }

    #[test]
    fn what_stands_around_the_elements_is_read_strictly() {
        for text in [
            r#"{"keys":[1],"keys":[1]}"#,
            r#"{"keys":[1],"k\u0065ys":[1]}"#,
            r#"{"a":1,"keys":[1],"a":1}"#,
            r#"{"a":{"b":1,"b":1},"keys":[1]}"#,
            r#"{"a":1e999,"keys":[1]}"#,
            r#"{"keys":[1,]}"#,
            r#"{"keys":[1]],"#,
            r#"{"keys":[1]} x"#,
            r#"{"keys":[1}]"#,
            r#"{"keys":{}}"#,
            r#"{"keys":"[1]"}"#,
            r#"[]"#,
            "",
        ] {
            assert!(keys(text).is_err(), "{text}");
        }
        assert!(elements("x", b"{\"a\":\"\xff\"}", 100, "keys").is_err());
        assert!(elements("x", b"{\"keys\":[]}", 5, "keys").is_err());
    }

    proptest! {
        /// Each element is the text that it is to a JSON parser.
        #[test]
        fn elements_are_those_of_a_parser(values in prop::collection::vec(
            prop_oneof![
                any::<i32>().prop_map(Value::from),
                "\\PC{0,8}".prop_map(Value::from),
                prop::collection::vec("[]\\[{},\"\\\\:]{0,6}", 0..4).prop_map(Value::from),
                ("[\",{}]{0,3}", any::<bool>()).prop_map(|(name, value)| serde_json::json!({name: value})),
            ], 0..6)) {
            let text = serde_json::json!({"a": values, "keys": values, "z": "]"}).to_string();
            let found = keys(&text).unwrap().unwrap();
            let read: Vec<Value> = found.iter().map(|one| serde_json::from_str(one).unwrap()).collect();
            prop_assert_eq!(read, values);
        }
    }
}
