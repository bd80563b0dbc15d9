//! Tokens with claims.

#![no_main]

use keyward_fuzz::{bound, ec, ed25519, edited, has_no_member_twice, oct, rsa, sealed_by_secret};
use keyward_jose::jwe::{Decrypters, Encrypter, Message};
use keyward_jose::jwt::{self, Claims, Profile};
use keyward_jose::{
    Algorithm, ContentEncryption, Key, KeyManagementAlgorithm, LocalSigner, NumericDate,
    SignatureAlgorithm, Verifiers,
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::sync::LazyLock;

const NOW: i64 = 1_800_000_000;

struct Fixture {
    verifiers: Verifiers,
    profile: Profile,
    tokens: Vec<String>,
    decrypters: Decrypters,
    nested: Vec<String>,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    use SignatureAlgorithm as A;
    let keys: Vec<_> = [
        (oct(), "h", A::Hs256),
        (rsa(), "r", A::Rs256),
        (ec(), "e", A::Es256),
        (ed25519(), "d", A::Ed25519),
    ]
    .map(|(key, kid, algorithm)| bound(key, kid, Algorithm::Signature(algorithm)))
    .into();
    let claims = Claims::new()
        .with_issuer("https://issuer.example")
        .with_audience(["here"])
        .with_subject("joe")
        .with_expiry(NumericDate(NOW + 600))
        .with_issued_at(NumericDate(NOW - 60));
    let tokens = keys
        .iter()
        .filter_map(|key| {
            let Some(Algorithm::Signature(algorithm)) = key.algorithm() else {
                return None;
            };
            let signer = LocalSigner::new(key, algorithm).ok()?;
            jwt::sign(&claims, &signer, "JWT").ok()
        })
        .collect();
    let shared = Key::from_secret(&[7; 16]).expect("a secret is a key");
    let (algorithm, encryption) = (KeyManagementAlgorithm::Dir, ContentEncryption::A128Gcm);
    let encrypter = Encrypter::new(&shared, algorithm, encryption).expect("the key fits");
    let signer = LocalSigner::new(&keys[0], A::Hs256).expect("the key fits");
    let nested = jwt::sign_and_encrypt(&claims, &signer, "JWT", &encrypter).expect("it is made");
    let unsigned = Message::new(b"{}").with_protected("cty", "JWT");
    let unsigned = encrypter.encrypt_compact(&unsigned).expect("it is made");
    Fixture {
        decrypters: Decrypters::new([&shared], &[algorithm], &[encryption]),
        nested: vec![nested, unsigned],
        verifiers: Verifiers::new(&keys, A::ALL),
        profile: Profile::builder()
            .issuer("https://issuer.example")
            .audience("here")
            .leeway(30)
            .age_max(3_600)
            .build()
            .expect("the profile is whole"),
        tokens,
    }
});

const CLAIMS: [&str; 2] = [
    r#"{"iss":"https://issuer.example","aud":"here","exp":1800000600,"iat":1799999940,"sub":"joe"}"#,
    r#"{"iss":"https://issuer.example","aud":["there","here"],"exp":1800000600.5,"nbf":1.0,"iat":1799999940,"jti":"1","scope":"a b"}"#,
];

fuzz_target!(|data: &[u8]| {
    let Some((&mode, data)) = data.split_first() else {
        return;
    };
    let fixture = &*FIXTURE;
    let now = NumericDate(NOW);
    if mode % 4 == 0 {
        let chosen = edited(&fixture.nested, data);
        if let Ok(token) = std::str::from_utf8(&chosen.text)
            && let (verifiers, profile) = (&fixture.verifiers, &fixture.profile)
            && let Ok(verified) =
                jwt::verify_encrypted(token, &fixture.decrypters, verifiers, profile, now)
        {
            assert_eq!(
                token, fixture.nested[0],
                "every character is covered by the tag"
            );
            assert_eq!(verified.claims.subject(), Some("joe"));
        }
    } else if mode % 2 == 0 {
        let chosen = edited(&fixture.tokens, data);
        let Ok(token) = std::str::from_utf8(&chosen.text) else {
            return;
        };
        let peeked = jwt::peek(token);
        if let Ok(verified) = jwt::verify(token, &fixture.verifiers, &fixture.profile, now) {
            let message = |text: &str| text.rsplit_once('.').map(|(left, _)| left.to_owned());
            assert!(
                fixture
                    .tokens
                    .iter()
                    .any(|one| message(one) == message(token))
            );
            let peeked = peeked.expect("what is verified can be looked at");
            assert_eq!(peeked.claims(), &verified.claims);
            assert_eq!(peeked.header(), &verified.header);
        }
    } else {
        // What the fuzzer wrote, signed with a key of ours.
        let claims = edited(&CLAIMS, data).text;
        let token = sealed_by_secret(br#"{"alg":"HS256","kid":"h","typ":"JWT"}"#, &claims);
        let Ok(verified) = jwt::verify(&token, &fixture.verifiers, &fixture.profile, now) else {
            return;
        };
        assert!(has_no_member_twice(&claims));
        let read: Value = serde_json::from_slice(&claims).expect("claims are JSON");
        assert_eq!(read["iss"], "https://issuer.example");
        assert!(match &read["aud"] {
            Value::Array(all) => all.iter().all(Value::is_string) && all.contains(&"here".into()),
            one => one == "here",
        });
        let number = |name: &str| read[name].as_f64();
        assert!(number("exp").is_some_and(|exp| exp > (NOW - 31) as f64));
        assert!(number("iat").is_some_and(|iat| iat < (NOW + 31) as f64));
        assert!(
            read.get("nbf")
                .is_none_or(|nbf| nbf.as_f64().is_some_and(|nbf| nbf < (NOW + 31) as f64))
        );
        assert_eq!(verified.claims.issuer(), Some("https://issuer.example"));
        assert!(verified.claims.audiences().contains("here"));
        assert_eq!(&Value::Object(verified.claims.into_map()), &read);
    }
});
