//! jwt-simple: signs and encrypts what we read, and reads what we write.

use jwt_simple::prelude::{
    A128KWKey, A256KWKey, Claims as TheirClaims, Duration, ECDSAP256KeyPairLike as _,
    ECDSAP256PublicKeyLike as _, ECDSAP256kKeyPairLike as _, ECDSAP256kPublicKeyLike as _,
    ECDSAP384KeyPairLike as _, ECDSAP384PublicKeyLike as _, ES256KeyPair, ES256kKeyPair,
    ES384KeyPair, EcdhEsA128KWDecryptionKey, EcdhEsA256KWDecryptionKey, Ed25519KeyPair,
    EdDSAKeyPairLike as _, EdDSAPublicKeyLike as _, HS256Key, HS384Key, HS512Key, MACLike as _,
    NoCustomClaims, PS256KeyPair, PS384KeyPair, PS512KeyPair, RS256KeyPair, RS384KeyPair,
    RS512KeyPair, RSAKeyPairLike as _, RSAPublicKeyLike as _, RsaOaepDecryptionKey,
    X25519EcdhEsA128KWDecryptionKey, X25519EcdhEsA256KWDecryptionKey,
};
use keyward_jose::jwe::{Decrypter, Encrypter, Message};
use keyward_jose::jwt::{self, Claims, Profile};
use keyward_jose::key::Curve;
use keyward_jose::{
    ContentEncryption, Key, KeyManagementAlgorithm, LocalSigner, NumericDate, SignatureAlgorithm,
    Verifiers,
};
use keyward_oracles::{oct, on, private_pem, rsa, secret_bytes, signing};
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

/// jwt-simple reads the clock, so these tests do.
fn now() -> NumericDate {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    NumericDate(i64::try_from(since.as_secs()).unwrap())
}

/// What one library makes of a key: a token, and the subject of a token of the other's.
struct Theirs {
    token: String,
    subject: Box<dyn Fn(&str) -> Option<String>>,
}

fn claims() -> jwt_simple::prelude::JWTClaims<NoCustomClaims> {
    TheirClaims::create(Duration::from_hours(1))
        .with_issuer("issuer")
        .with_audience("here")
        .with_subject("joe")
}

fn theirs(algorithm: SignatureAlgorithm, key: &Key) -> Option<Theirs> {
    use SignatureAlgorithm as A;
    macro_rules! mac {
        ($kind:ident) => {{
            let key = $kind::from_bytes(&secret_bytes(key));
            Some(Theirs {
                token: key.authenticate(claims()).unwrap(),
                subject: Box::new(move |token| {
                    key.verify_token::<NoCustomClaims>(token, None)
                        .unwrap()
                        .subject
                }),
            })
        }};
    }
    macro_rules! pair {
        ($kind:ident) => {{
            let pair = $kind::from_pem(&private_pem(key)).unwrap();
            let public = pair.public_key();
            Some(Theirs {
                token: pair.sign(claims()).unwrap(),
                subject: Box::new(move |token| {
                    public
                        .verify_token::<NoCustomClaims>(token, None)
                        .unwrap()
                        .subject
                }),
            })
        }};
    }
    match algorithm {
        A::Hs256 => mac!(HS256Key),
        A::Hs384 => mac!(HS384Key),
        A::Hs512 => mac!(HS512Key),
        A::Rs256 => pair!(RS256KeyPair),
        A::Rs384 => pair!(RS384KeyPair),
        A::Rs512 => pair!(RS512KeyPair),
        A::Ps256 => pair!(PS256KeyPair),
        A::Ps384 => pair!(PS384KeyPair),
        A::Ps512 => pair!(PS512KeyPair),
        A::Es256 => pair!(ES256KeyPair),
        A::Es384 => pair!(ES384KeyPair),
        A::Es256k => pair!(ES256kKeyPair),
        A::EdDsa => pair!(Ed25519KeyPair),
        _ => None,
    }
}

fn check_signature(algorithm: SignatureAlgorithm) -> bool {
    let key = signing(algorithm);
    let Some(theirs) = theirs(algorithm, &key) else {
        return false;
    };
    let verifiers = Verifiers::new(std::slice::from_ref(&key), &[algorithm]);
    let profile = Profile::builder()
        .issuer("issuer")
        .audience("here")
        .leeway(5)
        .build()
        .unwrap();
    let verified = jwt::verify(&theirs.token, &verifiers, &profile, now()).unwrap();
    assert_eq!(verified.claims.subject(), Some("joe"), "{algorithm}");

    let signer = LocalSigner::new(&key, algorithm).unwrap();
    let ours = Claims::new()
        .with_subject("joe")
        .with_expiry(NumericDate(now().0 + 600));
    let token = jwt::sign(&ours, &signer, "JWT").unwrap();
    assert_eq!(
        (theirs.subject)(&token).as_deref(),
        Some("joe"),
        "{algorithm}"
    );
    true
}

#[test]
fn tokens_are_read_both_ways() {
    let shared = SignatureAlgorithm::ALL
        .iter()
        .filter(|algorithm| check_signature(**algorithm))
        .count();
    assert_eq!(shared, 13);
}

fn check_encryption(algorithm: KeyManagementAlgorithm, key: &Key, theirs: &Theirs) {
    let decrypter = Decrypter::new(key, algorithm).unwrap();
    let opened = decrypter.decrypt_compact(&theirs.token).unwrap();
    let claims: Value = serde_json::from_slice(&opened.plaintext).unwrap();
    assert_eq!(claims["sub"], "joe", "{algorithm}");
    for encryption in [ContentEncryption::A128Gcm, ContentEncryption::A256Gcm] {
        let encrypter = Encrypter::new(key, algorithm, encryption).unwrap();
        let claims = format!(r#"{{"sub":"joe","exp":{}}}"#, now().0 + 600);
        let token = encrypter
            .encrypt_compact(&Message::new(claims.as_bytes()).with_protected("typ", "JWT"))
            .unwrap();
        assert_eq!(
            (theirs.subject)(&token).as_deref(),
            Some("joe"),
            "{algorithm}"
        );
    }
}

#[test]
fn encrypted_tokens_are_read_both_ways() {
    use KeyManagementAlgorithm as A;
    macro_rules! secret {
        ($algorithm:expr, $kind:ident, $bytes:expr) => {{
            let key = oct($bytes);
            let theirs = $kind::from_bytes(&secret_bytes(&key)).unwrap();
            let token = theirs.encrypt(claims()).unwrap();
            let subject = Box::new(move |token: &str| {
                let read = theirs.decrypt_token::<NoCustomClaims>(token, None);
                read.unwrap().subject
            });
            check_encryption($algorithm, &key, &Theirs { token, subject });
        }};
    }
    macro_rules! pair {
        ($algorithm:expr, $kind:ident, $key:expr) => {{
            let key = $key;
            let theirs = $kind::from_pem(&private_pem(&key)).unwrap();
            let token = theirs.encryption_key().encrypt(claims()).unwrap();
            let subject = Box::new(move |token: &str| {
                let read = theirs.decrypt_token::<NoCustomClaims>(token, None);
                read.unwrap().subject
            });
            check_encryption($algorithm, &key, &Theirs { token, subject });
        }};
    }
    secret!(A::A128Kw, A128KWKey, 16);
    secret!(A::A256Kw, A256KWKey, 32);
    pair!(A::RsaOaep, RsaOaepDecryptionKey, rsa());
    pair!(A::EcdhEsA128Kw, EcdhEsA128KWDecryptionKey, on(Curve::P256));
    pair!(A::EcdhEsA256Kw, EcdhEsA256KWDecryptionKey, on(Curve::P256));
    pair!(
        A::EcdhEsA128Kw,
        X25519EcdhEsA128KWDecryptionKey,
        on(Curve::X25519)
    );
    pair!(
        A::EcdhEsA256Kw,
        X25519EcdhEsA256KWDecryptionKey,
        on(Curve::X25519)
    );
}
