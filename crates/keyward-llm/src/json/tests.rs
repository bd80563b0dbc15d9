use super::{Json, MOST_DEPTH, Members};
use crate::error::Error;
use proptest::prelude::*;

fn parse(text: &str) -> Result<Json, Error> {
    Json::parse(text.as_bytes())
}

#[track_caller]
fn refused(text: &str, why: &str) {
    let error = parse(text).expect_err(text);
    assert!(error.to_string().contains(why), "{text}: {error}");
    if !text.contains("twice") {
        return;
    }
    assert!(matches!(error, Error::Json { .. }), "{error}");
}

#[test]
fn order_and_the_text_of_numbers_stay() {
    let text = r#"{"z":0.70,"a":[1e2,-0,12345678901234567890123],"m":{"b":null,"a":true},"u":"\u00e9\ud83d\ude00\n"}"#;
    let written = parse(text).unwrap().to_text();
    assert_eq!(
        written,
        "{\"z\":0.70,\"a\":[1e2,-0,12345678901234567890123],\"m\":{\"b\":null,\"a\":true},\"u\":\"é😀\\n\"}"
    );
}

#[test]
fn what_is_no_json_is_refused() {
    for (text, why) in [
        ("", "not a value"),
        ("{", "a name in quotes"),
        (r#"{"a":1,}"#, "a name in quotes"),
        ("[1,]", "not a value"),
        ("[1 2]", "neither"),
        ("01", "behind the value"),
        ("1.", "a digit"),
        ("+1", "not a value"),
        ("nul", "not a value"),
        ("NaN", "not a value"),
        (r#""a"#, "does not end"),
        ("\"\u{1}\"", "control character"),
        (r#""\x""#, "not an escape"),
        (r#""\ud800""#, "surrogate"),
        (r#""\udc00""#, "surrogate"),
        (r#""\u+123""#, "hexadecimal"),
        ("1 1", "behind the value"),
        ("\u{feff}1", "not a value"),
    ] {
        refused(text, why);
    }
    assert!(
        Json::parse(b"\"\xff\"")
            .unwrap_err()
            .to_string()
            .contains("UTF-8")
    );
}

#[test]
fn a_name_twice_is_refused_by_tree_and_members() {
    refused(r#"{"model":"a","model":"b"}"#, "a name twice");
    refused(r#"{"a":{"b":1,"\u0062":2}}"#, "a name twice");
    let many: String = (0..20).map(|n| format!("\"n{n}\":1,")).collect();
    refused(&format!("{{{many}\"n7\":2}}"), "a name twice");
    assert!(Members::read(br#"{"model":"a","mode\u006c":"b"}"#).is_err());
}

#[test]
fn depth_and_count_are_bounded() {
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(parse(&deep(MOST_DEPTH)).is_ok());
    for text in [deep(MOST_DEPTH + 2), deep(1_000_000)] {
        assert!(matches!(parse(&text), Err(Error::TooLarge { .. })));
        let inside = format!("{{\"a\":{text}}}");
        assert!(matches!(
            Members::read(inside.as_bytes()),
            Err(Error::TooLarge { .. })
        ));
    }
    let wide = format!("[{}1]", "1,".repeat(super::MOST_VALUES));
    assert!(matches!(parse(&wide), Err(Error::TooLarge { .. })));
}

#[test]
fn an_edit_leaves_every_other_byte() {
    let text = br#"{ "model" : "fast", "temperature":0.70,"x": {"a" : [ ] } , "stream":true }"#;
    let members = Members::read(text).unwrap();
    assert_eq!(members.string("model").as_deref(), Some("fast"));
    assert!(members.is_true("stream"));
    let edited = members.edit(&[("model", Some("gpt-5".into())), ("user", Some("u".into()))]);
    assert_eq!(
        String::from_utf8_lossy(&edited),
        r#"{ "model" : "gpt-5", "temperature":0.70,"x": {"a" : [ ] } , "stream":true,"user":"u" }"#
    );
    assert_eq!(*members.edit(&[("none", None)]), text[..]);
}

#[test]
fn members_are_taken_out_wherever_they_stand() {
    let text = br#"{"a":1,"b":2,"c":3}"#;
    let members = Members::read(text).unwrap();
    for (out, left) in [
        (vec!["a"], r#"{"b":2,"c":3}"#),
        (vec!["b"], r#"{"a":1,"c":3}"#),
        (vec!["c"], r#"{"a":1,"b":2}"#),
        (vec!["b", "c"], r#"{"a":1}"#),
        (vec!["a", "b"], r#"{"c":3}"#),
        (vec!["a", "b", "c"], "{}"),
    ] {
        let edits: Vec<_> = out.iter().map(|name| (*name, None)).collect();
        assert_eq!(String::from_utf8_lossy(&members.edit(&edits)), left);
    }
    let all = [
        ("a", None),
        ("b", None),
        ("c", None),
        ("d", Some(true.into())),
    ];
    assert_eq!(*members.edit(&all), br#"{"d":true}"#[..]);
    let empty = Members::read(b"{ }").unwrap();
    assert_eq!(
        *empty.edit(&[("d", Some(true.into()))]),
        br#"{ "d":true}"#[..]
    );
}

/// Any JSON, as text.
fn any_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?",
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5)
                .prop_map(|items| format!("[ {} ]", items.join(" , "))),
            prop::collection::btree_map(any::<String>(), inner, 0..5).prop_map(|members| {
                let members: Vec<_> = members
                    .iter()
                    .map(|(name, value)| {
                        format!("{} : {value}", serde_json::to_string(name).unwrap())
                    })
                    .collect();
                format!("{{{}}}", members.join(",\n"))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn it_reads_what_another_parser_reads(text in any_text()) {
        let ours = parse(&text).unwrap().to_text();
        let theirs: serde_json::Value = serde_json::from_str(&text).unwrap();
        let again: serde_json::Value = serde_json::from_str(&ours).unwrap();
        prop_assert_eq!(theirs, again);
        prop_assert_eq!(parse(&ours).unwrap().to_text(), ours);
    }

    #[test]
    fn it_refuses_what_another_parser_refuses(text in any_text(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let theirs = serde_json::from_slice::<serde_json::Value>(&bytes);
        match Json::parse(&bytes) {
            Ok(_) => prop_assert!(theirs.is_ok() || theirs.unwrap_err().to_string().contains("out of range")),
            // Names twice are refused here and not there.
            Err(error) => prop_assert!(theirs.is_err() || error.to_string().contains("twice")),
        }
    }

    #[test]
    fn members_are_found_where_the_tree_has_them(text in any_text()) {
        let tree = parse(&text).unwrap();
        match (Members::read(text.as_bytes()), tree) {
            (Ok(members), Json::Object(object)) => {
                prop_assert_eq!(members.names().count(), object.len());
                for (name, value) in object.iter() {
                    prop_assert_eq!(&Json::parse(members.get(name).unwrap()).unwrap(), value);
                }
            }
            (Ok(_), tree) => prop_assert!(false, "{tree:?} is no object"),
            (Err(_), tree) => prop_assert!(tree.as_object().is_none()),
        }
    }
}
