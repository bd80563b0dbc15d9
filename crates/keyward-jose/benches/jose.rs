//! What the public API costs over the bare operation on a parsed key, algorithm by algorithm.
//!
//! `raw` is the library's operation on a message of the same length; `jws` adds the compact serialization;
//! `jwt` adds claims of the usual kind and a profile that checks issuer, audience, type and times.

#![expect(clippy::unwrap_used, reason = "a benchmark that can't run should stop")]

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ML_DSA_44, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, VerificationAlgorithm,
};
use criterion::{Criterion, criterion_group, criterion_main};
use keyward_jose::jws::{Header, compact};
use keyward_jose::jwt::{self, Claims, Profile};
use keyward_jose::key::{Encoding, Part};
use keyward_jose::{Algorithm, Key, LocalSigner, NumericDate, SignatureAlgorithm as A, Verifiers};
use std::hint::black_box;

const NOW: NumericDate = NumericDate(1_700_000_000);

fn claims() -> Claims {
    Claims::new()
        .with_issuer("https://issuer.example.com")
        .with_subject("5be86359-073c-434b-ad2d-a3932222dabe")
        .with_audience(["https://api.example.com"])
        .with_expiry(NOW.plus(300))
        .with_not_before(NOW)
        .with_issued_at(NOW)
        .with_token_id("b5f1a6a4-3c55-4f10-9d6e-0c6a3f2b8e11")
        .with_scopes(["orders:read", "orders:write"])
}

fn profile() -> Profile {
    Profile::builder()
        .issuer("https://issuer.example.com")
        .audience("https://api.example.com")
        .typ("at+jwt")
        .leeway(30)
        .build()
        .unwrap()
}

/// The bare verification that a token's signature needs.
enum Raw {
    Hmac(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

impl Raw {
    fn new(key: &Key, verification: Option<&'static dyn VerificationAlgorithm>) -> Self {
        let Some(verification) = verification else {
            let jwk = key.to_jwk_value(Part::Private).unwrap();
            let secret = decode(jwk.get("k").unwrap().as_str().unwrap());
            return Self::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &secret)));
        };
        let public = key.public().unwrap();
        let der = public.to_der(Part::Public, Encoding::Spki).unwrap();
        Self::Public(ParsedPublicKey::new(verification, der).unwrap())
    }

    fn verify(&self, message: &[u8], signature: &[u8]) {
        match self {
            Self::Hmac(key) => hmac::verify(key, message, signature).unwrap(),
            Self::Public(key) => key.verify_sig(message, signature).unwrap(),
        }
    }
}

fn decode(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(text)
        .unwrap()
}

fn benches(criterion: &mut Criterion) {
    let algorithms: [(A, Option<&'static dyn VerificationAlgorithm>); 7] = [
        (A::Hs256, None),
        (A::Rs256, Some(&RSA_PKCS1_2048_8192_SHA256)),
        (A::Es256, Some(&ECDSA_P256_SHA256_FIXED)),
        (A::Ed25519, Some(&ED25519)),
        (A::Ps256, Some(&RSA_PSS_2048_8192_SHA256)),
        (A::Es384, Some(&ECDSA_P384_SHA384_FIXED)),
        (A::MlDsa44, Some(&ML_DSA_44)),
    ];
    for (algorithm, verification) in algorithms {
        let key = Key::generate(Algorithm::Signature(algorithm), None).unwrap();
        let signer = LocalSigner::new(&key, algorithm).unwrap();
        let verifiers = Verifiers::new(std::slice::from_ref(&key), &[algorithm]);
        let (claims, profile) = (claims(), profile());
        let token = jwt::sign(&claims, &signer, "at+jwt").unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let signature = decode(signature);
        let raw = Raw::new(&key, verification);
        let payload = serde_json::to_vec(claims.map()).unwrap();
        let header = Header::for_signer(&signer).with_typ("at+jwt");

        let mut group = criterion.benchmark_group(format!("verify {algorithm}"));
        group.bench_function("raw", |bencher| {
            bencher.iter(|| raw.verify(black_box(message.as_bytes()), black_box(&signature)));
        });
        group.bench_function("jws", |bencher| {
            bencher.iter(|| compact::verify(black_box(&token), &verifiers).unwrap());
        });
        group.bench_function("jwt", |bencher| {
            bencher.iter(|| jwt::verify(black_box(&token), &verifiers, &profile, NOW).unwrap());
        });
        group.finish();

        let mut group = criterion.benchmark_group(format!("sign {algorithm}"));
        group.bench_function("raw", |bencher| {
            bencher.iter(|| signer.sign_now(black_box(message.as_bytes())).unwrap());
        });
        group.bench_function("jws", |bencher| {
            bencher.iter(|| compact::sign(black_box(&payload), &header, &signer).unwrap());
        });
        group.bench_function("jwt", |bencher| {
            bencher.iter(|| jwt::sign(black_box(&claims), &signer, "at+jwt").unwrap());
        });
        group.finish();
    }
}

criterion_group!(jose, benches);
criterion_main!(jose);
