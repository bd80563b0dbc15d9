use super::{Claims, Error, Form};
use proptest::prelude::*;
use serde_json::Value;

const LIMIT: usize = 10_000;

fn is_walked(text: &[u8]) -> bool {
    matches!(Claims::parse(text, LIMIT), Ok(Claims(Form::Unbuilt(_))))
}

/// Both ways of reading come to the same, whatever is asked.
fn check(text: &[u8]) {
    let shown = String::from_utf8_lossy(text);
    let strict = Claims::read_strictly(text, LIMIT);
    let read = Claims::parse(text, LIMIT);
    let (strict, read) = match (strict, read) {
        (Ok(strict), Ok(read)) => (strict, read),
        (strict, read) => return assert_eq!(read, strict, "{shown}"),
    };
    let facts = |claims: &Claims| {
        let texts = [claims.issuer(), claims.subject(), claims.token_id()];
        let dates = [claims.expiry(), claims.not_before(), claims.issued_at()];
        let lists = [
            claims.audiences().iter().map(str::to_owned).collect(),
            claims.scopes().map(str::to_owned).collect::<Vec<_>>(),
        ];
        let names = [
            "iss", "aud", "exp", "nbf", "iat", "jti", "sub", "scope", "x", "y", "roles",
        ];
        let any = names.map(|name| {
            let texts = claims.texts(name).map(|texts| {
                texts.map(|texts| texts.iter().map(str::to_owned).collect::<Vec<_>>())
            });
            let text = claims.text(name).map(|text| text.map(str::to_owned));
            (claims.has(name), text, texts)
        });
        (
            texts.map(|text| text.map(str::to_owned)),
            dates,
            lists,
            claims.audiences().is_empty(),
            any,
        )
    };
    assert_eq!(strict.as_text(), None, "{shown}");
    if let Some(kept) = read.as_text() {
        assert_eq!(kept.as_bytes(), text, "{shown}");
        assert_eq!(
            serde_json::from_str::<Value>(kept).unwrap(),
            Value::Object(strict.map().clone()),
            "{shown}"
        );
    }
    assert_eq!(facts(&read), facts(&strict), "{shown}");
    assert_eq!(read.map(), strict.map(), "{shown}");
    assert_eq!(read.into_map(), strict.into_map(), "{shown}");
}

#[test]
fn plain_claims_are_walked_and_others_are_read_strictly() {
    let many = |count: usize| {
        let members: Vec<String> = (0..count).map(|at| format!(r#""m{at}":{at}"#)).collect();
        format!("{{{}}}", members.join(","))
    };
    let deep = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"x":{open}{close}}}"#)
    };
    for plain in [
        "{}",
        r#"{"iss":"i","sub":"","aud":["a",",",""],"exp":1700000000,"nbf":0,"iat":1,"jti":"j","scope":"a  b"}"#,
        r#"{"aud":[]}"#,
        r#"{"scope":[]}"#,
        r#"{"scope":""}"#,
        r#"{"scope":["a","","b c","[","a"]}"#,
        r#"{"aud":"one"}"#,
        r#"{"x":{"y":[1,{"z":null,"y":true}],"iss":7},"y":false,"z":{},"ä":"ö€😀"}"#,
        r#"{"x":{"a":1},"y":{"a":1},"a":1}"#,
        r#"{"https://issuer.example/roles":[],"https://issuer.example/teams":[]}"#,
        "{\"x\":\"\u{7f}12345678901234567890\"}",
        &many(64),
        &deep(31),
    ] {
        assert!(is_walked(plain.as_bytes()), "{plain}");
        check(plain.as_bytes());
    }
    for other in [
        "{}\n",
        r#"{"iss":"i", "sub":"s"}"#,
        r#"{"iss":"\u0069"}"#,
        r#"{"\u0069ss":"i"}"#,
        r#"{"exp":1700000000.5}"#,
        r#"{"exp":17e8,"x":-1}"#,
        r#"{"x":-0}"#,
        r#"{"x":1234567890123456}"#,
        &many(65),
    ] {
        assert!(!is_walked(other.as_bytes()), "{other}");
        assert!(Claims::parse(other.as_bytes(), LIMIT).is_ok(), "{other}");
        check(other.as_bytes());
    }
}

#[test]
fn scopes_are_read_from_a_text_and_from_a_list() {
    for (text, scopes) in [
        (r#"{"scope":"read  write "}"#, &["read", "write"][..]),
        (r#"{"scope":["read","write"]}"#, &["read", "write"]),
        (r#"{"scope":[ "read", "write" ]}"#, &["read", "write"]),
        // No scope has a space: what has one is not two of them.
        (r#"{"scope":["read write",""]}"#, &["read write"]),
        (r#"{"scope":"[read]"}"#, &["[read]"]),
        (r#"{"scope":[]}"#, &[]),
        (r#"{"scope":""}"#, &[]),
        ("{}", &[]),
    ] {
        let claims = Claims::parse(text.as_bytes(), LIMIT).unwrap();
        assert_eq!(claims.scopes().collect::<Vec<_>>(), scopes, "{text}");
        assert_eq!(claims.has_scope("read"), scopes.contains(&"read"), "{text}");
        check(text.as_bytes());
    }
}

#[test]
fn claims_of_any_name_are_asked_for_by_type() {
    let texts = [
        r#"{"x":"a","y":["b","c"],"roles":[1],"iss":"i","aud":["d"],"exp":1,"sub":""}"#,
        r#"{ "x":"a","y":["b","c"],"roles":[1],"iss":"i","aud":["d"],"exp":1,"sub":""}"#,
    ];
    for text in texts {
        check(text.as_bytes());
        let claims = Claims::parse(text.as_bytes(), LIMIT).unwrap();
        let malformed = |name: &str| {
            let error = claims.text(name).unwrap_err();
            assert!(matches!(&error, Error::ClaimMalformed(of, _) if of == name));
        };
        assert_eq!(claims.text("x"), Ok(Some("a")));
        assert_eq!(claims.text("iss"), Ok(Some("i")));
        assert_eq!(claims.text("sub"), Ok(Some("")));
        assert_eq!(claims.text("jti"), Ok(None));
        assert_eq!(claims.text("z"), Ok(None));
        ["y", "roles", "aud", "exp"].into_iter().for_each(malformed);
        let list = |name: &str| {
            let list = claims.texts(name).map_err(|_| ())?;
            Ok(list.map(|list| list.iter().collect::<Vec<_>>()))
        };
        assert_eq!(list("x"), Ok(Some(vec!["a"])));
        assert_eq!(list("y"), Ok(Some(vec!["b", "c"])));
        assert_eq!(list("aud"), Ok(Some(vec!["d"])));
        assert_eq!(list("z"), Ok(None));
        assert_eq!(list("roles"), Err(()));
        assert_eq!(list("exp"), Err(()));
    }
}

#[test]
fn what_the_strict_reading_refuses_is_refused() {
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(32), "]".repeat(32));
    for bad in [
        "",
        "{",
        "[]",
        "\"\"",
        "{}{}",
        "{} x",
        "\u{feff}{}",
        r#"{"a":1,}"#,
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"\u0061":1}"#,
        r#"{"\u0061":1,"a":1}"#,
        r#"{"x":{"a":1,"b":2,"a":3}}"#,
        r#"{"x":{"a":1,"b":2,"\u0061":3}}"#,
        r#"{"x":[{"long name of a member":1,"long name of a member":1}]}"#,
        r#"{"a":01}"#,
        r#"{"a":+1}"#,
        r#"{"a":1.}"#,
        r#"{"a":.5}"#,
        r#"{"a":1e999}"#,
        r#"{"a":nul}"#,
        r#"{"a":truefalse}"#,
        r#"{"a":NaN}"#,
        r#"{a:1}"#,
        r#"{"a":[1,]}"#,
        r#"{"a":[1 2]}"#,
        r#"{"a":{"b"}}"#,
        r#"{"a""b"}"#,
        r#"{"a":"b}"#,
        "{\"a\":\"\u{0}\"}",
        "{\"a\":\"12345678\n\"}",
        "{\"a\":\"\t\"}",
        &deep,
        r#"{"iss":1}"#,
        r#"{"sub":null}"#,
        r#"{"jti":["j"]}"#,
        r#"{"scope":["a",1]}"#,
        r#"{"scope":null}"#,
        r#"{"scope":7}"#,
        r#"{"scope":{"a":"b"}}"#,
        r#"{"aud":["a",1]}"#,
        r#"{"aud":{"a":"b"}}"#,
        r#"{"exp":"1700000000"}"#,
        r#"{"nbf":253402300800}"#,
        r#"{"iat":true}"#,
    ] {
        assert!(Claims::parse(bad.as_bytes(), LIMIT).is_err(), "{bad}");
        check(bad.as_bytes());
    }
    for bad in [
        b"{\"a\":\"\xff\"}".as_slice(),
        b"{\"a\":\"\xed\xa0\x80\"}",
        b"{\"a\":\"\xc0\xa2\"}",
    ] {
        assert!(Claims::parse(bad, LIMIT).is_err());
        check(bad);
    }
    assert_eq!(
        Claims::parse(b"{}", 1),
        Err(Error::TooLarge {
            what: "claims",
            limit: 1
        })
    );
}

/// Texts with characters that could end them, or that eight bytes at a time could miss.
fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[a-z ,:\\[\\]{}]{0,20}",
        1 => "[\\x00-\\x7f]{0,20}",
        1 => ".{0,12}",
    ]
}

/// Any JSON, with claims that are registered and members that may stand there twice.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => string().prop_map(|text| format!("\"{text}\"")),
        2 => string().prop_map(|text| serde_json::to_string(&text).unwrap()),
        3 => any::<u32>().prop_map(|number| number.to_string()),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => any::<f64>().prop_map(|number| number.to_string()),
        1 => "(true|false|null|-0|01|1e3|1\\.0)",
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6)
                .prop_map(|values| format!("[{}]", values.join(","))),
            object(inner),
        ]
    })
}

fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let name = prop_oneof![
        4 => "(iss|sub|aud|exp|nbf|iat|jti|scope|x|y|roles)",
        2 => "[a-z]{0,12}",
        1 => Just("\\u0069ss".to_owned()),
    ];
    let member = (name, value).prop_map(|(name, value)| format!(r#""{name}":{value}"#));
    prop::collection::vec(member, 0..8).prop_map(|members| format!("{{{}}}", members.join(",")))
}

fn claims() -> impl Strategy<Value = String> {
    let text = || string().prop_map(|text| format!("\"{text}\""));
    let typed = (
        text(),
        prop::collection::vec(text(), 0..3),
        0_i64..300_000_000_000,
    )
        .prop_map(|(issuer, audiences, at)| {
            format!(
                r#""iss":{issuer},"aud":[{}],"exp":{at}"#,
                audiences.join(",")
            )
        });
    prop_oneof![
        object(json()),
        (typed, "[a-z]{1,3}", json())
            .prop_map(|(typed, name, value)| format!(r#"{{{typed},"{name}":{value}}}"#)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn both_ways_of_reading_agree(text in claims()) {
        check(text.as_bytes());
    }

    #[test]
    fn both_ways_of_reading_agree_after_a_change(
        text in claims(),
        at in any::<prop::sample::Index>(),
        byte in prop_oneof![
            prop::sample::select(b"\"\\{}[],: \t\n0-.eE\x00\x1f\x7f\x80\xff".as_slice()),
            any::<u8>(),
        ],
        change in 0..4,
    ) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        match change {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 => { bytes.remove(at); }
            _ => bytes.truncate(at),
        }
        check(&bytes);
    }
}
