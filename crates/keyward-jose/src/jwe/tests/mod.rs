//! Tests of encryption: the RFCs' vectors, round trips, and what is refused.

mod attacks;
mod malformed;
mod misuse;
mod round_trips;
mod vectors;

use super::{Decrypter, Encrypter, Message};
use crate::algorithm::{ContentEncryption, KeyManagementAlgorithm};
use crate::base64url;
use crate::key::{Curve, Key, KeyType};
use serde_json::Value;
use std::sync::LazyLock;

static VECTORS: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("vectors.json")).unwrap());

/// The key of a JWK from a vector.
fn key(jwk: &Value) -> Key {
    Key::from_jwk(jwk.to_string().as_bytes()).unwrap()
}

fn oct(bytes: &[u8]) -> Key {
    Key::from_secret(bytes).unwrap()
}

/// The RSA key of RFC 7516, appendix A.1.
fn rsa() -> Key {
    let vectors = VECTORS["opened"].as_array().unwrap();
    let vector = vectors.iter().find(|v| v["name"] == "RFC 7516, A.1");
    key(&vector.unwrap()["key"])
}

/// A fresh key to agree with.
fn agreement_key(curve: Curve) -> Key {
    let key = Key::generate_type(KeyType::Curve(curve)).unwrap();
    key.with_kid(None).unwrap()
}

/// Keys that fit `algorithm` (and with `dir`, `encryption`): one, or one on each curve.
fn keys_for(algorithm: KeyManagementAlgorithm, encryption: ContentEncryption) -> Vec<Key> {
    use KeyManagementAlgorithm as A;
    match algorithm {
        A::RsaOaep | A::RsaOaep256 | A::RsaOaep384 | A::RsaOaep512 => vec![rsa()],
        A::EcdhEs | A::EcdhEsA128Kw | A::EcdhEsA192Kw | A::EcdhEsA256Kw => {
            [Curve::P256, Curve::P384, Curve::P521, Curve::X25519]
                .map(agreement_key)
                .to_vec()
        }
        A::A128Kw | A::A128GcmKw => vec![oct(&[1; 16])],
        A::A192Kw | A::A192GcmKw => vec![oct(&[2; 24])],
        A::A256Kw | A::A256GcmKw => vec![oct(&[3; 32])],
        A::Pbes2Hs256A128Kw | A::Pbes2Hs384A192Kw | A::Pbes2Hs512A256Kw => {
            vec![oct(b"correct horse battery staple")]
        }
        A::Dir => vec![oct(&vec![4; encryption.key_bytes()])],
    }
}

/// The two sides of one key. PBES2 gets few iterations, to be quick.
fn pair(
    key: &Key,
    algorithm: KeyManagementAlgorithm,
    encryption: ContentEncryption,
) -> (Encrypter, Decrypter) {
    let mut encrypter = Encrypter::new(key, algorithm, encryption).unwrap();
    if algorithm.as_str().starts_with("PBES2") {
        encrypter = encrypter.with_pbes2_count(1_000).unwrap();
    }
    (encrypter, Decrypter::new(key, algorithm).unwrap())
}

const WRAP: KeyManagementAlgorithm = KeyManagementAlgorithm::A128Kw;
const GCM: ContentEncryption = ContentEncryption::A128Gcm;

/// A wrapping key's two sides.
fn wrap() -> (Encrypter, Decrypter) {
    pair(&oct(&[7; 16]), WRAP, GCM)
}

/// A compact message of the wrapping key.
fn compact() -> String {
    wrap()
        .0
        .encrypt_compact(&Message::new(b"plaintext"))
        .unwrap()
}

/// `text` with the protected header changed by `change`; all else stays.
fn with_header(text: &str, change: impl FnOnce(&mut Value)) -> String {
    let (header, rest) = text.split_once('.').unwrap();
    let mut header: Value =
        serde_json::from_slice(&base64url::decode("test", header).unwrap()).unwrap();
    change(&mut header);
    format!("{}.{rest}", base64url::encode(header.to_string()))
}

/// The code of the refusal of `text`, read as compact.
fn refusal(decrypter: &Decrypter, text: &str) -> &'static str {
    decrypter.decrypt_compact(text).unwrap_err().code()
}

/// A compact message of the wrapping key with this header text and this content.
fn sealed(header: &str, content: &[u8]) -> String {
    let kek = oct(&[7; 16]);
    let sender = super::key_management::Sender::new(&kek, WRAP, GCM).unwrap();
    let carried = sender.carry(None, GCM).unwrap();
    let header = base64url::encode(header);
    let sealed = super::content::seal(GCM, &carried.key, header.as_bytes(), content).unwrap();
    super::serialization::write_compact(&header, &carried.encrypted_key, &sealed)
}
