use super::*;
use crate::key::{Curve, KeyType};

const ED25519: &str =
    r#"{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
const EC: &str = r#"{"kty":"EC","crv":"P-256","kid":"a","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}"#;
const OCT: &str = r#"{"kty":"oct","kid":"o","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;
const ED25519_PRIVATE: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"p","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fn set_of(keys: &[&str]) -> JwkSet {
    JwkSet::parse(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes()).unwrap()
}

fn skipped(set: &JwkSet) -> Vec<(usize, Option<&str>, &'static str)> {
    set.skipped()
        .iter()
        .map(|one| (one.index, one.kid.as_deref(), one.error.code()))
        .collect()
}

fn with(jwk: &str, members: &str) -> String {
    jwk.replacen('{', &format!("{{{members},"), 1)
}

#[test]
fn one_malformed_or_unknown_key_leaves_the_rest_of_the_set() {
    let off_the_curve = EC.replace("4Etl6", "5Etl6");
    let set = set_of(&[
        r#"{"kty":"unheard-of","kid":"x"}"#,
        r#"{"kty":"EC","crv":"P-256","kid":"y"}"#,
        "7",
        ED25519,
        r#"{"kty":"RSA","n":5}"#,
        r#"{"kty":"EC","crv":"P-224","kid":7}"#,
        &off_the_curve,
    ]);
    assert_eq!(set.keys().len(), 1);
    assert_eq!(set.find("a").count(), 1);
    assert_eq!(
        skipped(&set),
        [
            (0, Some("x"), "key_member"),
            (1, Some("y"), "key_member"),
            (2, None, "json"),
            (4, None, "key_member"),
            (5, None, "key_member"),
            (6, Some("a"), "key_invalid"),
        ]
    );
}

#[test]
fn one_key_that_is_no_strict_json_leaves_the_rest_of_the_set() {
    let twice = with(EC, r#""alg":"ES256","alg":"ES256""#);
    let deep = with(
        EC,
        &format!(r#""x":{}{}"#, "[".repeat(500), "]".repeat(500)),
    );
    let huge_number = with(EC, r#""exp":1e999"#);
    let half_a_character = with(EC, r#""name":"\ud800""#);
    let set = set_of(&[&twice, ED25519, &deep, &huge_number, &half_a_character, OCT]);
    assert_eq!(
        set.keys().iter().map(Key::kid).collect::<Vec<_>>(),
        [Some("a"), Some("o")]
    );
    let skipped: Vec<_> = skipped(&set)
        .into_iter()
        .map(|(index, _, code)| (index, code))
        .collect();
    assert_eq!(
        skipped,
        [(0, "json"), (2, "json"), (3, "json"), (4, "json")]
    );
}

#[test]
fn what_is_no_set_is_refused() {
    for (text, code) in [
        ("{}", "key_member"),
        (r#"{"keys":{}}"#, "key_member"),
        (r#"{"keys":null}"#, "key_member"),
        ("[]", "json"),
        ("", "json"),
        (r#"{"keys":[],"keys":[]}"#, "json"),
        (r#"{"keys":[],"x":{"y":1,"y":1}}"#, "json"),
        (r#"{"keys":[{]}"#, "json"),
        (ED25519, "key_member"),
    ] {
        let error = JwkSet::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.code(), code, "{text}");
    }
    let empty = JwkSet::parse(br#"{"keys":[],"more":1}"#).unwrap();
    assert!(empty.keys().is_empty() && empty.skipped().is_empty());
}

#[test]
fn the_size_of_a_set_is_bounded() {
    let many = |count: usize| format!(r#"{{"keys":[{}]}}"#, vec!["0"; count].join(","));
    assert_eq!(
        JwkSet::parse(many(KEYS_MAX).as_bytes())
            .unwrap()
            .skipped()
            .len(),
        KEYS_MAX
    );
    for text in [many(KEYS_MAX + 1), " ".repeat(SET_BYTES_MAX + 1)] {
        let error = JwkSet::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.code(), "too_large");
    }
    let key = Key::from_jwk(ED25519.as_bytes()).unwrap();
    let error = JwkSet::from_keys(vec![key; KEYS_MAX + 1]).unwrap_err();
    assert_eq!(error.code(), "too_large");
}

#[test]
fn primes_are_looked_for_in_few_keys_of_a_set() {
    // Each is refused at once since `n` is short, but counts.
    let key = r#"{"kty":"RSA","n":"AQ","e":"AQAB","d":"AQ"}"#;
    let set = set_of(&[key; INCOMPLETE_KEYS_MAX + 1]);
    let codes: Vec<_> = set.skipped().iter().map(|one| one.error.code()).collect();
    let (last, others) = codes.split_last().unwrap();
    assert_eq!(*last, "too_large");
    assert!(others.iter().all(|code| *code == "key_invalid"));
}

#[test]
fn of_two_keys_that_a_kid_cannot_tell_apart_the_first_counts() {
    let other = Key::generate_type(KeyType::Curve(Curve::Ed25519))
        .unwrap()
        .with_kid(Some("a".to_owned()))
        .unwrap()
        .to_jwk(Part::Public)
        .unwrap();
    let set = set_of(&[ED25519, &other, EC, ED25519]);
    assert_eq!(
        skipped(&set),
        [(1, Some("a"), "key_member"), (3, Some("a"), "key_member")]
    );
    let types: Vec<_> = set.find("a").map(Key::key_type).collect();
    assert_eq!(types, ["OKP", "EC"]);
    assert_eq!(
        set.find("a").next().unwrap().thumbprint(),
        Key::from_jwk(ED25519.as_bytes()).unwrap().thumbprint()
    );
}

#[test]
fn keys_may_share_a_kid_when_no_algorithm_is_for_both() {
    let set = set_of(&[
        &with(EC, r#""use":"sig""#),
        &with(EC, r#""use":"enc""#),
        ED25519,
    ]);
    assert_eq!(skipped(&set), []);
    let es256 = "ES256".parse().unwrap();
    assert_eq!(
        set.select(Some("a"), KeyOperation::Verify, es256).count(),
        1
    );
}

#[test]
fn keys_without_a_kid_are_never_ambiguous() {
    let bare = ED25519.replace(r#""kid":"a","#, "");
    assert_eq!(set_of(&[&bare, &bare]).keys().len(), 2);
}

#[test]
fn keys_are_found_by_kid_algorithm_and_use() {
    let set = set_of(&[
        &with(
            &EC.replace(r#""kid":"a""#, r#""kid":"e""#),
            r#""use":"enc""#,
        ),
        EC,
        ED25519,
        ED25519_PRIVATE,
        OCT,
    ]);
    let found = |kid, operation, algorithm: &str| -> Vec<&str> {
        set.select(kid, operation, algorithm.parse().unwrap())
            .filter_map(Key::kid)
            .collect()
    };
    assert_eq!(found(None, KeyOperation::Verify, "ES256"), ["a"]);
    assert_eq!(found(None, KeyOperation::DeriveKey, "ECDH-ES"), ["e", "a"]);
    assert_eq!(found(None, KeyOperation::Verify, "EdDSA"), ["a", "p"]);
    assert_eq!(found(None, KeyOperation::Sign, "EdDSA"), ["p"]);
    assert_eq!(found(Some("p"), KeyOperation::Verify, "EdDSA"), ["p"]);
    assert!(found(Some("e"), KeyOperation::Verify, "ES256").is_empty());
    assert!(found(Some("b"), KeyOperation::Verify, "ES256").is_empty());
    assert!(found(None, KeyOperation::Verify, "RS256").is_empty());
    assert_eq!(set.find("o").count(), 1);
}

#[test]
fn a_published_set_holds_no_secrets() {
    let text = format!(r#"{{"keys":[{ED25519_PRIVATE},{OCT},{ED25519}]}}"#);
    let set = JwkSet::parse_public(text.as_bytes()).unwrap();
    assert_eq!(
        skipped(&set),
        [(0, Some("p"), "key_unfit"), (1, Some("o"), "key_unfit")]
    );
    assert_eq!(set.keys().len(), 1);
    assert_eq!(JwkSet::parse(text.as_bytes()).unwrap().keys().len(), 3);
}

#[test]
fn a_set_is_written_and_read_again() {
    let set = set_of(&[ED25519_PRIVATE, EC]);
    assert_eq!(set.to_json(Part::Private).unwrap_err(), Error::NoPrivateKey);
    let text = set.to_json(Part::Public).unwrap();
    assert!(!text.contains("nWGxne"));
    let again = JwkSet::parse_public(text.as_bytes()).unwrap();
    assert_eq!(again.to_json(Part::Public), Ok(text));

    let set = set_of(&[ED25519_PRIVATE, OCT]);
    assert_eq!(
        set.to_json(Part::Public).unwrap_err().code(),
        "key_unfit",
        "a secret must not be published"
    );
    let text = set.to_json(Part::Private).unwrap();
    let again = JwkSet::parse(text.as_bytes()).unwrap();
    assert_eq!(again.keys().len(), 2);
    assert_eq!(again.to_json(Part::Private), Ok(text));
    assert_eq!(
        *JwkSet::default().to_json(Part::Public).unwrap(),
        r#"{"keys":[]}"#
    );
}
