use super::*;

const ED25519: &str =
    r#"{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fn set_of(keys: &[&str]) -> JwkSet {
    JwkSet::parse(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes()).unwrap()
}

#[test]
fn one_malformed_or_unknown_key_leaves_the_rest_of_the_set() {
    let set = set_of(&[
        r#"{"kty":"unheard-of","kid":"x"}"#,
        r#"{"kty":"EC","crv":"P-256","kid":"y"}"#,
        "7",
        ED25519,
        r#"{"kty":"RSA","n":5}"#,
    ]);
    assert_eq!(set.keys().len(), 1);
    assert_eq!(set.find("a").count(), 1);
    let skipped: Vec<_> = set
        .skipped()
        .iter()
        .map(|one| (one.index, one.kid.as_deref(), one.error.code()))
        .collect();
    assert_eq!(
        skipped,
        [
            (0, Some("x"), "key_member"),
            (1, Some("y"), "key_member"),
            (2, None, "json"),
            (4, None, "key_member"),
        ]
    );
}
