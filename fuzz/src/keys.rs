//! Fixed keys from the RFCs, so that what the fuzzer finds can be repeated.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_jose::{Algorithm, Key};
use serde_json::Value;

/// The messages of RFC 7516, RFC 7517 and RFC 7520 with their keys.
pub fn vectors() -> Value {
    serde_json::from_str(include_str!(
        "../../crates/keyward-jose/src/jwe/tests/vectors.json"
    ))
    .expect("the vectors are JSON")
}

/// The RSA key of RFC 7516, appendix A.1.
pub fn rsa() -> Key {
    let vectors = vectors();
    let vector = vectors["opened"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|vector| vector["name"] == "RFC 7516, A.1")
        .expect("the vector is there");
    parse(&vector["key"].to_string())
}

/// The key of RFC 7515, appendix A.3.
pub fn ec() -> Key {
    parse(
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#,
    )
}

/// The key of RFC 8037, appendix A.1.
pub fn ed25519() -> Key {
    parse(
        r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
    )
}

/// The bytes of [`oct`].
pub fn secret() -> [u8; 32] {
    [0x5a; 32]
}

/// A secret.
pub fn oct() -> Key {
    Key::from_secret(&secret()).expect("a secret of 32 bytes is a key")
}

/// `key` with a name, bound to the algorithm.
pub fn bound(key: Key, kid: &str, algorithm: Algorithm) -> Key {
    key.with_kid(Some(kid.to_owned()))
        .and_then(|key| key.with_algorithm(Some(algorithm)))
        .expect("the algorithm fits the key")
}

/// A compact JWS of these very bytes, with the HMAC of [`oct`].
pub fn sealed_by_secret(header: &[u8], payload: &[u8]) -> String {
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut token);
    let tag = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, &secret()),
        token.as_bytes(),
    );
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(tag, &mut token);
    token
}

fn parse(jwk: &str) -> Key {
    Key::from_jwk(jwk.as_bytes()).expect("the key is valid")
}
