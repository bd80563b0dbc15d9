//! What the differential tests and the benchmarks share: keys in the forms that the libraries read.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_jose::key::{Curve, Encoding, KeyType, Part};
use keyward_jose::{Algorithm, Key, SignatureAlgorithm};
use serde_json::Value;
use std::sync::LazyLock;

/// Making one takes long, so there is one for all.
static RSA: LazyLock<Key> =
    LazyLock::new(|| Key::generate_type(KeyType::Rsa { bits: 2048 }).expect("a key is made"));

/// An RSA key that is bound to no algorithm and has no name.
pub fn rsa() -> Key {
    nameless(RSA.clone())
}

/// A fresh key on the curve.
pub fn on(curve: Curve) -> Key {
    nameless(Key::generate_type(KeyType::Curve(curve)).expect("a key is made"))
}

/// A fresh secret.
pub fn oct(bytes: usize) -> Key {
    nameless(Key::generate_type(KeyType::Oct { bits: 8 * bytes }).expect("a key is made"))
}

/// A key for the algorithm, bound to none.
pub fn signing(algorithm: SignatureAlgorithm) -> Key {
    if rsa().signature_algorithms().contains(&algorithm) {
        return rsa();
    }
    let key = Key::generate(Algorithm::Signature(algorithm), None).expect("a key is made");
    nameless(key)
}

fn nameless(key: Key) -> Key {
    key.with_kid(None)
        .and_then(|key| key.with_algorithm(None))
        .expect("less can be said of any key")
}

/// The private key as a JWK.
pub fn private_jwk(key: &Key) -> String {
    key.to_jwk(Part::Private)
        .expect("it is written")
        .to_string()
}

/// The public key as a JWK; a secret as it is.
pub fn public_jwk(key: &Key) -> String {
    match key.public() {
        Ok(public) => public
            .to_jwk(Part::Public)
            .expect("it is written")
            .to_string(),
        Err(_) => private_jwk(key),
    }
}

/// The private key in PKCS#8.
pub fn private_pem(key: &Key) -> String {
    key.to_pem(Part::Private, Encoding::Pkcs8)
        .expect("it is written")
        .to_string()
}

/// The public key in SPKI.
pub fn public_pem(key: &Key) -> String {
    key.to_pem(Part::Public, Encoding::Spki)
        .expect("it is written")
        .to_string()
}

/// The bytes of a secret.
pub fn secret_bytes(key: &Key) -> Vec<u8> {
    let members = key.to_jwk_value(Part::Private).expect("it is written");
    let text = members.get("k").and_then(Value::as_str).unwrap_or_default();
    URL_SAFE_NO_PAD.decode(text).expect("it is base64url")
}
