mod curve;
mod encoding;
mod generate;
mod jwk;
mod purpose;
mod rsa;
mod vectors;

use super::*;
use serde_json::{Map, Value, json};

fn key(jwk: &str) -> Key {
    Key::from_jwk(jwk.as_bytes()).unwrap()
}

/// The JWK with one member set, or (with null) removed.
fn with(jwk: &str, name: &str, value: Value) -> String {
    let mut members: Map<String, Value> = serde_json::from_str(jwk).unwrap();
    if value.is_null() {
        members.remove(name);
    } else {
        members.insert(name.to_owned(), value);
    }
    Value::Object(members).to_string()
}

fn base64url_of(bytes: &[u8]) -> String {
    crate::base64url::encode(bytes)
}

fn check_refused(jwk: &str, code: &str, says: &str) {
    match Key::from_jwk(jwk.as_bytes()) {
        Ok(_) => panic!("was read: {jwk}"),
        Err(error) => {
            assert_eq!(error.code(), code, "{error} for {jwk}");
            assert!(error.to_string().contains(says), "{error} for {jwk}");
        }
    }
}

/// One private key of every kind: RSA and EC of the RFCs, the others new.
fn one_of_each() -> Vec<Key> {
    let mut keys = vec![key(vectors::RFC7517_RSA), key(vectors::RFC7517_EC)];
    for curve in Curve::ALL {
        keys.push(Key::generate_type(KeyType::Curve(*curve)).unwrap());
    }
    for set in MlDsa::ALL {
        keys.push(Key::generate_type(KeyType::MlDsa(*set)).unwrap());
    }
    keys.push(Key::generate_type(KeyType::Oct { bits: 256 }).unwrap());
    keys
}

fn same(one: &Key, other: &Key) -> bool {
    one.members(Part::Private).map(|members| json!(members))
        == other.members(Part::Private).map(|members| json!(members))
}

#[test]
fn nothing_private_is_printed() {
    for key in one_of_each() {
        let members = key.to_jwk_value(Part::Private).unwrap();
        let printed = format!("{key:?}");
        for name in ["d", "p", "q", "dp", "dq", "qi", "k", "priv"] {
            if let Some(Value::String(secret)) = members.get(name) {
                assert!(!printed.contains(secret.as_str()), "{printed}");
            }
        }
        assert!(printed.contains(key.key_type()));
    }
}

#[test]
fn the_public_part_has_nothing_private() {
    for key in one_of_each() {
        if key.key_type() == "oct" {
            assert_eq!(key.public().unwrap_err().code(), "key_unfit");
            assert_eq!(key.to_jwk(Part::Public).unwrap_err().code(), "key_unfit");
            continue;
        }
        let public = key.public().unwrap();
        assert!(!public.is_private());
        assert_eq!(public.kid(), key.kid());
        assert_eq!(public.thumbprint(), key.thumbprint());
        assert_eq!(public.to_jwk(Part::Public), key.to_jwk(Part::Public));
        assert_eq!(
            public.to_jwk(Part::Private).unwrap_err(),
            Error::NoPrivateKey
        );
        let members = key.to_jwk_value(Part::Public).unwrap();
        for name in ["d", "p", "q", "dp", "dq", "qi", "k", "priv"] {
            assert!(!members.contains_key(name), "{name}");
        }
    }
}
