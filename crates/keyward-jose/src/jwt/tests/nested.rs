use super::{AUDIENCE, NOW, good, key, strict, verifiers};
use crate::jwe::{Decrypters, Encrypter, Message};
use crate::jwt::{self, sign, sign_and_encrypt, sign_with_and_encrypt, verify_encrypted};
use crate::signature::tests::futures_now;
use crate::{
    Algorithm, ContentEncryption, Error, Key, KeyManagementAlgorithm as M, LocalSigner,
    SignatureAlgorithm as A,
};

struct Parties {
    signer: LocalSigner,
    encrypter: Encrypter,
    decrypters: Decrypters,
}

fn parties() -> Parties {
    let enc = ContentEncryption::A256Gcm;
    let recipient = Key::generate(Algorithm::KeyManagement(M::EcdhEsA256Kw), None).unwrap();
    Parties {
        signer: LocalSigner::new(&key(), A::Hs256).unwrap(),
        encrypter: Encrypter::new(&recipient.public().unwrap(), M::EcdhEsA256Kw, enc).unwrap(),
        decrypters: Decrypters::new(&[recipient], &[M::EcdhEsA256Kw], &[enc]),
    }
}

fn verified(token: &str, parties: &Parties) -> Result<jwt::Claims, Error> {
    let profile = strict().typ("at+jwt").build().unwrap();
    verify_encrypted(token, &parties.decrypters, &verifiers(), &profile, NOW)
        .map(|verified| verified.claims)
}

#[test]
fn nested_token_is_decrypted_and_verified() {
    let parties = parties();
    let Parties {
        signer, encrypter, ..
    } = &parties;
    let token = sign_and_encrypt(&good(), signer, "at+jwt", encrypter).unwrap();
    assert_eq!(verified(&token, &parties), Ok(good()));
    let token = futures_now(sign_with_and_encrypt(&good(), signer, "at+jwt", encrypter)).unwrap();
    assert_eq!(verified(&token, &parties), Ok(good()));
}

#[test]
fn signed_token_inside_is_held_to_the_profile() {
    let parties = parties();
    let check = |claims: &jwt::Claims, typ: &str, refusal: Error| {
        let token = sign_and_encrypt(claims, &parties.signer, typ, &parties.encrypter).unwrap();
        assert_eq!(verified(&token, &parties), Err(refusal));
    };
    check(&good(), "JWT", Error::TypeMismatch);
    check(&good().with_expiry(NOW), "at+jwt", Error::Expired(0));
    let other = good().with_audience([format!("{AUDIENCE}/x")]);
    check(&other, "at+jwt", Error::AudienceMismatch);
}

#[test]
fn signed_where_encrypted_is_expected_is_refused() {
    let parties = parties();
    let token = sign(&good(), &parties.signer, "at+jwt").unwrap();
    assert_eq!(
        verified(&token, &parties).unwrap_err().code(),
        "serialization"
    );
}

#[test]
fn encrypted_claims_without_a_signature_are_refused() {
    let parties = parties();
    let claims = serde_json::to_vec(good().map()).unwrap();
    let check = |message: Message<'_>, code: &str| {
        let token = parties.encrypter.encrypt_compact(&message).unwrap();
        assert_eq!(verified(&token, &parties).unwrap_err().code(), code);
    };
    check(Message::new(&claims), "header");
    check(
        Message::new(&claims).with_protected("cty", "JWT"),
        "serialization",
    );
    check(
        Message::new(&[0xff]).with_protected("cty", "JWT"),
        "serialization",
    );
}

#[test]
fn content_type_other_than_jwt_is_refused() {
    let parties = parties();
    let signed = sign(&good(), &parties.signer, "at+jwt").unwrap();
    let encrypt = |cty: &str| {
        let message = Message::new(signed.as_bytes()).with_protected("cty", cty);
        parties.encrypter.encrypt_compact(&message).unwrap()
    };
    assert!(verified(&encrypt("jwt"), &parties).is_ok());
    assert_eq!(
        verified(&encrypt("text/plain"), &parties)
            .unwrap_err()
            .code(),
        "header"
    );
}
