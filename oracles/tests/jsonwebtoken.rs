//! jsonwebtoken, on aws-lc-rs: signs what we verify, and verifies what we sign.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation, decode, encode};
use keyward_jose::jwt::{self, Claims, Profile};
use keyward_jose::{Key, LocalSigner, NumericDate, SignatureAlgorithm, Verifiers};
use keyward_oracles::{private_pem, public_jwk, secret_bytes, signing};
use serde_json::{Value, json};

/// The year 2096: jsonwebtoken reads the clock.
const EXPIRY: i64 = 4_000_000_000;
const NOW: NumericDate = NumericDate(1_800_000_000);

fn encoding_key(key: &Key, algorithm: SignatureAlgorithm) -> EncodingKey {
    let name = algorithm.as_str();
    if name.starts_with("HS") {
        EncodingKey::from_secret(&secret_bytes(key))
    } else if name.starts_with("ES") {
        EncodingKey::from_ec_pem(private_pem(key).as_bytes()).unwrap()
    } else if name.starts_with("Ed") {
        EncodingKey::from_ed_pem(private_pem(key).as_bytes()).unwrap()
    } else {
        EncodingKey::from_rsa_pem(private_pem(key).as_bytes()).unwrap()
    }
}

fn check(algorithm: SignatureAlgorithm) -> bool {
    let Ok(theirs) = algorithm.as_str().parse::<jsonwebtoken::Algorithm>() else {
        return false;
    };
    let key = signing(algorithm);

    let claims = json!({"iss": "issuer", "aud": "here", "sub": "joe", "exp": EXPIRY});
    let token = encode(
        &Header::new(theirs),
        &claims,
        &encoding_key(&key, algorithm),
    )
    .unwrap();
    let verifiers = Verifiers::new(std::slice::from_ref(&key), &[algorithm]);
    let profile = Profile::builder()
        .issuer("issuer")
        .audience("here")
        .build()
        .unwrap();
    let verified = jwt::verify(&token, &verifiers, &profile, NOW).unwrap();
    assert_eq!(verified.claims.subject(), Some("joe"), "{algorithm}");

    let claims = Claims::new()
        .with_issuer("issuer")
        .with_audience(["here"])
        .with_subject("joe")
        .with_expiry(NumericDate(EXPIRY));
    let signer = LocalSigner::new(&key, algorithm).unwrap();
    let token = jwt::sign(&claims, &signer, "JWT").unwrap();
    let jwk: Jwk = serde_json::from_str(&public_jwk(&key)).unwrap();
    let mut validation = Validation::new(theirs);
    validation.set_issuer(&["issuer"]);
    validation.set_audience(&["here"]);
    let read = decode::<Value>(&token, &DecodingKey::from_jwk(&jwk).unwrap(), &validation);
    assert_eq!(read.unwrap().claims["sub"], "joe", "{algorithm}");
    true
}

#[test]
fn tokens_are_read_both_ways() {
    let shared = SignatureAlgorithm::ALL
        .iter()
        .filter(|algorithm| check(**algorithm))
        .count();
    assert_eq!(shared, 12);
}
