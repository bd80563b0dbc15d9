use super::{Claims, Profile, peek, sign, verify};
use crate::signature::test_keys::{for_algorithm, named};
use crate::{LocalSigner, NumericDate, SignatureAlgorithm as A, Verifiers};

const NOW: NumericDate = NumericDate(1_700_000_000);

#[test]
fn token_is_signed_read_and_verified() {
    let key = named("k", &for_algorithm(A::Es256));
    let signer = LocalSigner::new(&key, A::Es256).unwrap();
    let verifiers = Verifiers::new(&[key], &[]);
    let claims = Claims::new()
        .with_issuer("https://issuer.example")
        .with_subject("alice")
        .with_audience(["https://api.example"])
        .with_expiry(NOW.plus(60))
        .with_issued_at(NOW)
        .with_scopes(["read", "write"]);
    let token = sign(&claims, &signer, "at+jwt").unwrap();
    let profile = Profile::builder()
        .issuer("https://issuer.example")
        .audience("https://api.example")
        .typ("at+jwt")
        .build()
        .unwrap();
    assert_eq!(peek(&token).unwrap().claims().subject(), Some("alice"));
    let verified = verify(&token, &verifiers, &profile, NOW).unwrap();
    assert_eq!(verified.claims, claims);
    assert!(verified.claims.has_scope("write"));
}
