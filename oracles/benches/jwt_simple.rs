//! jwt-simple's times for the operations of `peers.rs`. Build it with `--no-default-features --features
//! boring`: that is jwt-simple as it comes.

use criterion::{Criterion, criterion_group, criterion_main};
use jwt_simple::prelude::{
    A256KWKey, Claims, Duration, ECDSAP256KeyPairLike as _, ECDSAP256PublicKeyLike as _,
    ECDSAP384KeyPairLike as _, ECDSAP384PublicKeyLike as _, ES256KeyPair, ES384KeyPair,
    EcdhEsA256KWDecryptionKey, Ed25519KeyPair, EdDSAKeyPairLike as _, EdDSAPublicKeyLike as _,
    HS256Key, HashSet, JWTClaims, MACLike as _, PS256KeyPair, RS256KeyPair, RSAKeyPairLike as _,
    RSAPublicKeyLike as _, VerificationOptions,
};
use keyward_jose::SignatureAlgorithm;
use keyward_jose::key::Curve;
use keyward_oracles::{oct, on, private_pem, secret_bytes, signing};
use serde::{Deserialize, Serialize};
use std::hint::black_box;

#[derive(Clone, Serialize, Deserialize)]
struct Scope {
    scope: String,
}

fn claims() -> JWTClaims<Scope> {
    let scope = Scope {
        scope: "orders:read orders:write".to_owned(),
    };
    Claims::with_custom_claims(scope, Duration::from_hours(1))
        .with_issuer("https://issuer.example")
        .with_subject("5be86359-073c-434b-ad2d-a3932222dabe")
        .with_audience("https://api.example")
        .with_jwt_id("b5f1a6a4-3c55-4f10-9d6e-0c6a3f2b8e11")
}

fn options() -> VerificationOptions {
    VerificationOptions {
        allowed_issuers: Some(HashSet::from(["https://issuer.example".to_owned()])),
        allowed_audiences: Some(HashSet::from(["https://api.example".to_owned()])),
        ..VerificationOptions::default()
    }
}

/// One row of `sign` and one of `verify`. The claims and options are consumed by each call, so they are
/// cloned in the loop.
macro_rules! row {
    ($criterion:expr, $algorithm:expr, $sign:expr, $verify:expr) => {{
        let (claims, options) = (claims(), options());
        let token = $sign(claims.clone());
        let mut group = $criterion.benchmark_group(format!("verify {}", $algorithm));
        group.bench_function("jwt-simple", |bencher| {
            bencher.iter(|| $verify(black_box(&token), options.clone()));
        });
        group.finish();
        let mut group = $criterion.benchmark_group(format!("sign {}", $algorithm));
        group.bench_function("jwt-simple", |bencher| {
            bencher.iter(|| $sign(black_box(claims.clone())));
        });
        group.finish();
    }};
}

fn signatures(criterion: &mut Criterion) {
    use SignatureAlgorithm as A;
    let key = HS256Key::from_bytes(&secret_bytes(&signing(A::Hs256)));
    row!(
        criterion,
        A::Hs256,
        |claims: JWTClaims<Scope>| key.authenticate(claims).expect("it is signed"),
        |token: &str, options| key
            .verify_token::<Scope>(token, Some(options))
            .expect("it is valid")
    );
    macro_rules! pair {
        ($algorithm:expr, $kind:ident) => {{
            let pair = $kind::from_pem(&private_pem(&signing($algorithm))).expect("a key");
            let public = pair.public_key();
            row!(
                criterion,
                $algorithm,
                |claims: JWTClaims<Scope>| pair.sign(claims).expect("it is signed"),
                |token: &str, options| public
                    .verify_token::<Scope>(token, Some(options))
                    .expect("it is valid")
            );
        }};
    }
    pair!(A::Rs256, RS256KeyPair);
    pair!(A::Ps256, PS256KeyPair);
    pair!(A::Es256, ES256KeyPair);
    pair!(A::Es384, ES384KeyPair);
    pair!(A::EdDsa, Ed25519KeyPair);
}

/// One row of `encrypt` and one of `decrypt`, where peers.rs measures the same.
macro_rules! encryption_row {
    ($criterion:expr, $name:literal, $encrypter:expr, $decrypter:expr) => {{
        let claims = claims();
        let token = $encrypter.encrypt(claims.clone()).expect("it is encrypted");
        let mut group = $criterion.benchmark_group(concat!("encrypt ", $name));
        group.bench_function("jwt-simple", |bencher| {
            bencher.iter(|| $encrypter.encrypt(black_box(claims.clone())).expect("done"));
        });
        group.finish();
        let mut group = $criterion.benchmark_group(concat!("decrypt ", $name));
        group.bench_function("jwt-simple", |bencher| {
            bencher.iter(|| {
                $decrypter
                    .decrypt_token::<Scope>(black_box(&token), None)
                    .expect("done")
            });
        });
        group.finish();
    }};
}

fn encryption(criterion: &mut Criterion) {
    let key = A256KWKey::from_bytes(&secret_bytes(&oct(32))).expect("a key");
    encryption_row!(criterion, "A256KW A256GCM", key, key);
    let pem = private_pem(&on(Curve::P256));
    let decrypter = EcdhEsA256KWDecryptionKey::from_pem(&pem).expect("a key");
    let encrypter = decrypter.encryption_key();
    encryption_row!(criterion, "ECDH-ES+A256KW A256GCM", encrypter, decrypter);
}

criterion_group!(jwt_simple, signatures, encryption);
criterion_main!(jwt_simple);
