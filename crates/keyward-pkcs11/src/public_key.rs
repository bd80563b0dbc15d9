//! Public keys as a token tells them, made into ours.

use crate::Error;
use crate::signing_key::Curve;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_jose::Key;
use serde_json::json;

/// DER's tag of an octet string, in which PKCS#11 wants a point to be.
const OCTET_STRING: u8 = 0x04;

/// How an elliptic point begins that has both its numbers (SEC 1, section 2.3.3).
const UNCOMPRESSED: u8 = 0x04;

fn none() -> Error {
    Error::Internal("the PKCS#11 token told a public key that is none".to_owned())
}

fn key(jwk: &serde_json::Value) -> Result<Key, Error> {
    Key::from_jwk(jwk.to_string().as_bytes()).map_err(|_| none())
}

/// Of `CKA_MODULUS` and `CKA_PUBLIC_EXPONENT`: big-endian numbers, in some modules with zeros before them.
pub(crate) fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Key, Error> {
    let number = |bytes: &[u8]| {
        let first = bytes.iter().position(|byte| *byte != 0).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(bytes.get(first..).unwrap_or_default())
    };
    key(&json!({ "kty": "RSA", "n": number(modulus), "e": number(exponent) }))
}

/// Of `CKA_EC_POINT`.
pub(crate) fn on_curve(curve: Curve, told: &[u8]) -> Result<Key, Error> {
    let size = curve.bytes();
    match curve {
        Curve::P256 | Curve::P384 | Curve::P521 => {
            let point = point(told, 1 + 2 * size).ok_or_else(none)?;
            let numbers = point.strip_prefix(&[UNCOMPRESSED]).ok_or_else(none)?;
            let (x, y) = numbers.split_at_checked(size).ok_or_else(none)?;
            key(&json!({
                "kty": "EC", "crv": curve.name(),
                "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
            }))
        }
        Curve::Ed25519 => {
            let x = point(told, size).ok_or_else(none)?;
            key(&json!({ "kty": "OKP", "crv": curve.name(), "x": URL_SAFE_NO_PAD.encode(x) }))
        }
    }
}

/// A point of so many bytes: bare, as some modules tell it, or in an octet string, as they should.
fn point(told: &[u8], length: usize) -> Option<&[u8]> {
    if told.len() == length {
        return Some(told);
    }
    let rest = told.strip_prefix(&[OCTET_STRING])?;
    let (first, rest) = rest.split_first()?;
    let (stated, rest) = match first {
        0x81 => rest.split_first()?,
        _ => (first, rest),
    };
    (rest.len() == length && usize::from(*stated) == length).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_jose::key::Part;
    use keyward_jose::{Algorithm, SignatureAlgorithm as A};

    /// A point as `CKA_EC_POINT` has it, bare and in an octet string.
    fn told(algorithm: A) -> (Key, Vec<u8>, Vec<u8>) {
        let key = Key::generate(Algorithm::Signature(algorithm), None).unwrap();
        let key = key.public().unwrap();
        let key = key.with_kid(None).unwrap().with_algorithm(None).unwrap();
        let jwk: serde_json::Value =
            serde_json::from_str(&key.to_jwk(Part::Public).unwrap()).unwrap();
        let number = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
        let mut bare = number("x");
        if jwk["kty"] == "EC" {
            bare.insert(0, UNCOMPRESSED);
            bare.extend(number("y"));
        }
        let mut wrapped = vec![OCTET_STRING];
        if bare.len() > 127 {
            wrapped.push(0x81);
        }
        wrapped.push(u8::try_from(bare.len()).unwrap());
        wrapped.extend(&bare);
        (key, bare, wrapped)
    }

    #[test]
    fn a_point_is_read_bare_and_in_an_octet_string_and_whole() {
        for (algorithm, curve) in [
            (A::Es256, Curve::P256),
            (A::Es384, Curve::P384),
            (A::Es512, Curve::P521),
            (A::Ed25519, Curve::Ed25519),
        ] {
            let (key, bare, wrapped) = told(algorithm);
            for told in [&bare, &wrapped] {
                let read = on_curve(curve, told).unwrap();
                assert_eq!(read.thumbprint(), key.thumbprint(), "{algorithm}");
                for cut in 0..told.len() {
                    let part = &told[..cut];
                    // Of Ed25519 any 32 bytes are a key.
                    if curve == Curve::Ed25519 && cut == bare.len() {
                        continue;
                    }
                    assert!(on_curve(curve, part).is_err(), "{algorithm} {cut}");
                }
            }
            // Ed25519 has no other form: its first byte is a part of the number.
            if curve != Curve::Ed25519 {
                let mut compressed = bare.clone();
                compressed[0] = 0x02;
                assert!(on_curve(curve, &compressed).is_err(), "{algorithm}");
            }
        }
    }

    #[test]
    fn zeros_before_a_number_are_left_out() {
        let key = Key::generate(Algorithm::Signature(A::Rs256), None).unwrap();
        let jwk: serde_json::Value =
            serde_json::from_str(&key.to_jwk(Part::Public).unwrap()).unwrap();
        let number = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
        let modulus = [vec![0, 0], number("n")].concat();
        let exponent = [vec![0], number("e")].concat();
        assert_eq!(
            rsa(&modulus, &exponent).unwrap().thumbprint(),
            key.thumbprint()
        );
        assert!(rsa(&[], &exponent).is_err());
    }
}
