use super::vectors::*;
use super::*;
use crate::algorithm::{ContentEncryption, KeyManagementAlgorithm};

fn check_use(own: &Key, operation: KeyOperation, algorithm: &str) -> Result<(), &'static str> {
    own.check_use(operation, algorithm.parse().unwrap())
        .map_err(|error| error.code())
}

fn ec(members: Value) -> Key {
    let mut text = with(RFC7517_EC, "use", Value::Null);
    for (name, value) in members.as_object().unwrap() {
        text = with(&text, name, value.clone());
    }
    key(&text)
}

const UNFIT: Result<(), &str> = Err("key_unfit");

#[test]
fn a_key_for_encryption_verifies_nothing() {
    let own = key(RFC7517_EC);
    assert_eq!(own.key_use(), Some(KeyUse::Encryption));
    for operation in [KeyOperation::Sign, KeyOperation::Verify] {
        assert_eq!(check_use(&own, operation, "ES256"), UNFIT);
    }
    assert_eq!(check_use(&own, KeyOperation::DeriveKey, "ECDH-ES"), Ok(()));
}

#[test]
fn a_key_for_signatures_decrypts_nothing() {
    let own = ec(json!({"use": "sig"}));
    assert_eq!(check_use(&own, KeyOperation::DeriveKey, "ECDH-ES"), UNFIT);
    assert_eq!(check_use(&own, KeyOperation::Verify, "ES256"), Ok(()));
    let own = key(&with(
        &with(RFC7517_RSA, "alg", Value::Null),
        "use",
        json!("sig"),
    ));
    assert_eq!(
        check_use(&own, KeyOperation::UnwrapKey, "RSA-OAEP-256"),
        UNFIT
    );
}

#[test]
fn a_foreign_alg_is_refused() {
    let own = key(RFC7517_RSA);
    assert_eq!(check_use(&own, KeyOperation::Verify, "RS256"), Ok(()));
    for other in ["RS384", "RS512", "PS256"] {
        assert_eq!(check_use(&own, KeyOperation::Verify, other), UNFIT);
    }
    assert_eq!(check_use(&own, KeyOperation::WrapKey, "RSA-OAEP"), UNFIT);
}

#[test]
fn key_ops_that_do_not_name_the_operation_refuse_it() {
    let own = ec(json!({"key_ops": ["verify"]}));
    assert_eq!(check_use(&own, KeyOperation::Verify, "ES256"), Ok(()));
    assert_eq!(check_use(&own, KeyOperation::Sign, "ES256"), UNFIT);
    for nothing in [json!([]), json!(["unheard-of"])] {
        let own = ec(json!({ "key_ops": nothing }));
        assert_eq!(check_use(&own, KeyOperation::Verify, "ES256"), UNFIT);
        assert_eq!(check_use(&own, KeyOperation::DeriveKey, "ECDH-ES"), UNFIT);
    }
    let bits = ec(json!({"key_ops": ["deriveBits"]}));
    assert_eq!(check_use(&bits, KeyOperation::DeriveKey, "ECDH-ES"), Ok(()));
}

#[test]
fn rsa_oaep_takes_both_labels() {
    for (label, does, does_not) in [
        ("encrypt", KeyOperation::WrapKey, KeyOperation::UnwrapKey),
        ("wrapKey", KeyOperation::Encrypt, KeyOperation::Decrypt),
        ("decrypt", KeyOperation::UnwrapKey, KeyOperation::WrapKey),
        ("unwrapKey", KeyOperation::Decrypt, KeyOperation::Encrypt),
    ] {
        let own = with(RFC7517_RSA, "alg", json!("RSA-OAEP"));
        let own = key(&with(&own, "key_ops", json!([label])));
        assert_eq!(check_use(&own, does, "RSA-OAEP"), Ok(()));
        assert_eq!(check_use(&own, does_not, "RSA-OAEP"), UNFIT);
    }
    let wrap = key(&with(RFC7517_A128KW, "key_ops", json!(["encrypt"])));
    assert_eq!(check_use(&wrap, KeyOperation::WrapKey, "A128KW"), UNFIT);
}

#[test]
fn an_operation_of_another_kind_is_refused() {
    let own = key(RFC7517_HMAC);
    assert_eq!(check_use(&own, KeyOperation::Encrypt, "HS256"), UNFIT);
    assert_eq!(check_use(&own, KeyOperation::Sign, "dir"), UNFIT);
}

#[test]
fn a_public_key_signs_and_decrypts_nothing() {
    let own = ec(json!({})).public().unwrap();
    assert_eq!(check_use(&own, KeyOperation::Verify, "ES256"), Ok(()));
    assert_eq!(
        check_use(&own, KeyOperation::Sign, "ES256"),
        Err("no_private_key")
    );
    let own = with(RFC7517_RSA, "alg", Value::Null);
    let own = key(&own).public().unwrap();
    assert_eq!(check_use(&own, KeyOperation::WrapKey, "RSA-OAEP"), Ok(()));
    assert_eq!(
        check_use(&own, KeyOperation::UnwrapKey, "RSA-OAEP"),
        Err("no_private_key")
    );
}

#[test]
fn dir_and_its_content_encryption_share_a_key() {
    let direct = json!({"kty": "oct", "k": crate::base64url::encode([1; 32]), "alg": "A256GCM"});
    let own = key(&direct.to_string());
    assert_eq!(check_use(&own, KeyOperation::Encrypt, "dir"), Ok(()));
    assert_eq!(check_use(&own, KeyOperation::Encrypt, "A256GCM"), Ok(()));
    assert_eq!(
        check_use(&own, KeyOperation::Encrypt, "A128CBC-HS256"),
        UNFIT
    );
    let own = own.with_algorithm(Some("dir".parse().unwrap())).unwrap();
    assert_eq!(check_use(&own, KeyOperation::Decrypt, "A256GCM"), Ok(()));
    assert_eq!(check_use(&own, KeyOperation::Decrypt, "A128GCM"), UNFIT);
}

/// Every algorithm with every kind of key: what fits is exactly what stands here.
#[test]
fn only_keys_of_the_right_kind_fit_an_algorithm() {
    let rsa = with(RFC7517_RSA, "alg", Value::Null);
    let bare = |curve| Key::generate_type(KeyType::Curve(curve)).unwrap();
    let ml_dsa = |set| Key::generate_type(KeyType::MlDsa(set)).unwrap();
    let oct = |bits| Key::generate_type(KeyType::Oct { bits }).unwrap();
    let ecdh = "ECDH-ES ECDH-ES+A128KW ECDH-ES+A192KW ECDH-ES+A256KW";
    let always = "PBES2-HS256+A128KW PBES2-HS384+A192KW PBES2-HS512+A256KW dir";
    for (own, expected) in [
        (
            key(&rsa),
            "RS256 RS384 RS512 PS256 PS384 PS512 RSA-OAEP RSA-OAEP-256 RSA-OAEP-384 RSA-OAEP-512"
                .to_owned(),
        ),
        (bare(Curve::P256), format!("ES256 {ecdh}")),
        (bare(Curve::P384), format!("ES384 {ecdh}")),
        (bare(Curve::P521), format!("ES512 {ecdh}")),
        (bare(Curve::Secp256k1), "ES256K".to_owned()),
        (bare(Curve::Ed25519), "EdDSA Ed25519".to_owned()),
        (bare(Curve::X25519), ecdh.to_owned()),
        (ml_dsa(MlDsa::MlDsa44), "ML-DSA-44".to_owned()),
        (ml_dsa(MlDsa::MlDsa65), "ML-DSA-65".to_owned()),
        (ml_dsa(MlDsa::MlDsa87), "ML-DSA-87".to_owned()),
        (oct(128), format!("A128KW A128GCMKW {always} A128GCM")),
        (oct(192), format!("A192KW A192GCMKW {always} A192GCM")),
        (
            oct(256),
            format!("HS256 A256KW A256GCMKW {always} A128CBC-HS256 A256GCM"),
        ),
        (oct(384), format!("HS256 HS384 {always} A192CBC-HS384")),
        (
            oct(512),
            format!("HS256 HS384 HS512 {always} A256CBC-HS512"),
        ),
        (oct(248), always.to_owned()),
    ] {
        let fits: Vec<&str> = Algorithm::all()
            .filter(|algorithm| own.fits(*algorithm))
            .map(Algorithm::as_str)
            .collect();
        assert_eq!(fits.join(" "), expected, "{}", own.description());
        assert!(
            own.key_management_algorithms()
                .all(|algorithm| { expected.split(' ').any(|name| name == algorithm.as_str()) })
        );
    }
    assert_eq!(
        Algorithm::all().count(),
        SignatureAlgorithm::ALL.len()
            + KeyManagementAlgorithm::ALL.len()
            + ContentEncryption::ALL.len()
    );
}

#[test]
fn contradictions_in_a_key_are_refused() {
    let text = with(RFC7517_EC, "use", Value::Null);
    for (members, says) in [
        (json!({"use": "sig", "key_ops": ["deriveKey"]}), "key_ops"),
        (json!({"use": "enc", "key_ops": ["verify"]}), "key_ops"),
        (
            json!({"use": "sig", "key_ops": ["sign", "deriveBits"]}),
            "key_ops",
        ),
        (
            json!({"use": "enc", "alg": "ES256"}),
            "contradicts its `alg`",
        ),
        (
            json!({"use": "sig", "alg": "ECDH-ES"}),
            "contradicts its `alg`",
        ),
        (json!({"alg": "ES256", "key_ops": ["deriveKey"]}), "key_ops"),
        (json!({"alg": "ES384"}), "does not fit"),
        (json!({"alg": "RS256"}), "does not fit"),
        (json!({"alg": "HS256"}), "does not fit"),
    ] {
        let mut changed = text.clone();
        for (name, value) in members.as_object().unwrap() {
            changed = with(&changed, name, value.clone());
        }
        check_refused(&changed, "key_invalid", says);
    }
    check_refused(
        &with(&text, "key_ops", json!(["sign", "sign"])),
        "key_member",
        "twice",
    );
    // A secret that is shorter than the hash (RFC 7518, section 3.2).
    check_refused(
        r#"{"kty":"oct","alg":"HS256","k":"c2VjcmV0"}"#,
        "key_invalid",
        "6 bytes",
    );
    assert!(key(RFC7517_EC).with_use(Some(KeyUse::Signature)).is_ok());
    assert!(key(RFC7517_RSA).with_use(Some(KeyUse::Encryption)).is_err());
    assert!(
        key(RFC7517_RSA)
            .with_operations(Some(&[KeyOperation::WrapKey]))
            .is_err()
    );
    assert!(
        key(RFC7517_RSA)
            .with_algorithm(Some("ES256".parse().unwrap()))
            .is_err()
    );
}

#[test]
fn a_public_key_has_the_operations_of_a_public_key() {
    let own = ec(json!({"key_ops": ["sign", "verify"]}));
    assert_eq!(
        own.public().unwrap().operations(),
        Some(&[KeyOperation::Verify][..])
    );
    let members = own.to_jwk_value(Part::Public).unwrap();
    assert_eq!(members["key_ops"], json!(["verify"]));
    let members = own.to_jwk_value(Part::Private).unwrap();
    assert_eq!(members["key_ops"], json!(["sign", "verify"]));
}
