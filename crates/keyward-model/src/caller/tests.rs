use super::*;
use serde_json::json;

/// A token's facts, taken out of its text.
fn facts(json: &str) -> TokenFacts<'_> {
    let part = |text: &str| {
        let start = json.find(text).unwrap();
        json.get(start..start + text.len()).unwrap()
    };
    TokenFacts {
        claims: TokenClaims::Json(json),
        subject: Some(part("alice")),
        client: Some(part("app-1")),
        scopes: TokenScopes::Spaced(part("read  write ")),
        ..TokenFacts::default()
    }
}

const JSON: &str = r#"{"sub":"alice","azp":"app-1","scope":"read  write ","n":[1,{"sub":2}]}"#;

#[test]
fn parts_of_the_text_are_not_copied_and_others_are() {
    let known = Caller::of_token(&facts(JSON)).unwrap();
    assert_eq!(known.claims_json().as_deref(), Some(JSON));
    let elsewhere = String::from("alice");
    let elsewhere = Caller::of_token(&TokenFacts {
        subject: Some(&elsewhere),
        session: Some("s"),
        scopes: TokenScopes::Listed(&["read", "write"]),
        ..facts(JSON)
    })
    .unwrap();
    assert_eq!(&*elsewhere.text, format!("{JSON}alicesreadwrite"));
    assert_eq!(elsewhere.claims_json(), None);
    for caller in [known, elsewhere] {
        assert_eq!(caller.subject(), Some("alice"));
        assert_eq!(caller.client(), Some("app-1"));
        assert_eq!(caller.token_id(), None);
        assert_eq!(caller.scopes.iter().collect::<Vec<_>>(), ["read", "write"]);
        assert_eq!(caller.claim("sub"), Some(json!("alice")));
        assert_eq!(caller.claim("n"), Some(json!([1, { "sub": 2 }])));
        assert_eq!(caller.claim("missing"), None);
    }
}

#[test]
fn claims_that_have_no_text_are_kept_as_a_map() {
    let map = json!({ "sub": "a\"b", "level": 1.5 });
    let caller = Caller::of_token(&TokenFacts {
        claims: TokenClaims::Map(map.as_object().unwrap()),
        subject: Some("a\"b"),
        ..TokenFacts::default()
    })
    .unwrap();
    assert_eq!(caller.subject(), Some("a\"b"));
    assert_eq!(caller.claim("level"), Some(json!(1.5)));
    assert_eq!(caller.claim("sub"), Some(json!("a\"b")));
    assert_eq!(caller.claim("missing"), None);
}

#[test]
fn scopes_are_compared_whole_and_none_is_divided_that_stands_for_itself() {
    let check = |scopes: TokenScopes<'_>, held: &[&str]| {
        let caller = Caller::of_token(&TokenFacts {
            scopes,
            ..TokenFacts::default()
        })
        .unwrap();
        assert_eq!(caller.scopes.iter().collect::<Vec<_>>(), held);
        assert_eq!(caller.scopes.is_empty(), held.is_empty());
        for scope in ["read", "write", "rea", "", "read write"] {
            assert_eq!(caller.scopes.contains(scope), held.contains(&scope));
        }
    };
    check(TokenScopes::None, &[]);
    check(TokenScopes::Spaced(""), &[]);
    check(TokenScopes::Spaced("  "), &[]);
    check(TokenScopes::Spaced(" write  read "), &["write", "read"]);
    check(TokenScopes::Listed(&[]), &[]);
    check(
        TokenScopes::Listed(&["read write", ""]),
        &["read write", ""],
    );
}

#[test]
fn nobody_is_anonymous_and_has_claims() {
    let anonymous = Caller::anonymous();
    assert_eq!(anonymous.subject(), None);
    assert_eq!(anonymous.claim("sub"), None);
    assert!(anonymous.scopes.is_empty());
    assert_ne!(anonymous, Caller::of_token(&facts(JSON)).unwrap());
}

#[test]
fn a_caller_is_small() {
    // Thousands are kept by each worker.
    assert!(size_of::<Caller>() <= 288, "{}", size_of::<Caller>());
}
