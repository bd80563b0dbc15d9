//! keyward-jose beside the bare operation of aws-lc-rs, jsonwebtoken and josekit, on one thread.
//!
//! Keys are prepared outside the loop as far as each library lets one. Every library checks or makes the
//! same claims: issuer, audience, times. A group is an operation, a function a library.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
    ECDSA_P384_SHA384_FIXED_SIGNING, ED25519, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_SHA256, RsaKeyPair, RsaParameters, VerificationAlgorithm,
};
use aws_lc_rs::{hmac, signature};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{Criterion, criterion_group, criterion_main};
use josekit::jwe::{self, JweHeader};
use josekit::jwk::Jwk;
use josekit::jws::{self, JwsHeader, JwsSigner, JwsVerifier};
use josekit::jwt::{self as josekit_jwt, JwtPayload, JwtPayloadValidator};
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use keyward_jose::jwe::{Decrypter, Encrypter, Message};
use keyward_jose::jwt::{self, Claims, Profile};
use keyward_jose::key::{Curve, Encoding, Part};
use keyward_jose::{
    ContentEncryption, Key, KeyManagementAlgorithm, LocalSigner, NumericDate, SignatureAlgorithm,
    Verifiers,
};
use keyward_oracles::{oct, on, private_jwk, private_pem, public_jwk, rsa, secret_bytes, signing};
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use std::time::{Duration, SystemTime};

const NOW: NumericDate = NumericDate(1_700_000_100);
/// The year 2096: two of the libraries read the clock.
const EXPIRY: i64 = 4_000_000_000;

/// The claims as jsonwebtoken likes them: a struct.
#[derive(Serialize, Deserialize)]
struct TheirClaims {
    iss: String,
    sub: String,
    aud: String,
    exp: i64,
    iat: i64,
    jti: String,
    scope: String,
}

fn their_claims() -> TheirClaims {
    TheirClaims {
        iss: "https://issuer.example".to_owned(),
        sub: "5be86359-073c-434b-ad2d-a3932222dabe".to_owned(),
        aud: "https://api.example".to_owned(),
        exp: EXPIRY,
        iat: NOW.0 - 100,
        jti: "b5f1a6a4-3c55-4f10-9d6e-0c6a3f2b8e11".to_owned(),
        scope: "orders:read orders:write".to_owned(),
    }
}

fn own_claims() -> Claims {
    let theirs = their_claims();
    Claims::new()
        .with_issuer(theirs.iss)
        .with_subject(theirs.sub)
        .with_audience([theirs.aud])
        .with_expiry(NumericDate(theirs.exp))
        .with_issued_at(NumericDate(theirs.iat))
        .with_token_id(theirs.jti)
        .with_scopes(["orders:read", "orders:write"])
}

fn josekit_claims() -> JwtPayload {
    let map = serde_json::to_value(their_claims()).expect("claims are JSON");
    JwtPayload::from_map(map.as_object().expect("an object").clone()).expect("claims are fit")
}

/// The bare operation on a parsed key.
enum Bare {
    Hmac(Box<hmac::Key>),
    Rsa(
        RsaKeyPair,
        &'static dyn signature::RsaEncoding,
        Box<ParsedPublicKey>,
    ),
    Ecdsa(EcdsaKeyPair, Box<ParsedPublicKey>),
    Ed(Ed25519KeyPair, Box<ParsedPublicKey>),
}

impl Bare {
    fn new(algorithm: SignatureAlgorithm, key: &Key) -> Self {
        use SignatureAlgorithm as A;
        let pkcs8 = || {
            key.to_der(Part::Private, Encoding::Pkcs8)
                .expect("it is written")
        };
        let public = |verification: &'static dyn VerificationAlgorithm| {
            let der = key
                .to_der(Part::Public, Encoding::Spki)
                .expect("it is written");
            Box::new(ParsedPublicKey::new(verification, &*der).expect("a key"))
        };
        let rsa = |encoding, parameters: &'static RsaParameters| {
            let pair = RsaKeyPair::from_pkcs8(&pkcs8()).expect("a key");
            Self::Rsa(pair, encoding, public(parameters))
        };
        let ecdsa = |signing: &'static EcdsaSigningAlgorithm, verification| {
            let pair = EcdsaKeyPair::from_pkcs8(signing, &pkcs8()).expect("a key");
            Self::Ecdsa(pair, public(verification))
        };
        match algorithm {
            A::Hs256 => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, &secret_bytes(key));
                Self::Hmac(Box::new(key))
            }
            A::Rs256 => rsa(&RSA_PKCS1_SHA256, &RSA_PKCS1_2048_8192_SHA256),
            A::Ps256 => rsa(&RSA_PSS_SHA256, &RSA_PSS_2048_8192_SHA256),
            A::Es256 => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, &ECDSA_P256_SHA256_FIXED),
            A::Es384 => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING, &ECDSA_P384_SHA384_FIXED),
            _ => Self::Ed(
                Ed25519KeyPair::from_pkcs8(&pkcs8()).expect("a key"),
                public(&ED25519),
            ),
        }
    }

    fn sign(&self, message: &[u8], random: &SystemRandom) -> Vec<u8> {
        match self {
            Self::Hmac(key) => hmac::sign(key, message).as_ref().to_vec(),
            Self::Rsa(pair, encoding, _) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, random, message, &mut signature)
                    .expect("it is signed");
                signature
            }
            Self::Ecdsa(pair, _) => {
                let signature = pair.sign(random, message).expect("it is signed");
                signature.as_ref().to_vec()
            }
            Self::Ed(pair, _) => pair.sign(message).as_ref().to_vec(),
        }
    }

    fn verify(&self, message: &[u8], signature: &[u8]) {
        match self {
            Self::Hmac(key) => hmac::verify(key, message, signature).expect("it is right"),
            Self::Rsa(_, _, key) | Self::Ecdsa(_, key) | Self::Ed(_, key) => {
                key.verify_sig(message, signature).expect("it is right");
            }
        }
    }
}

fn jsonwebtoken_keys(
    algorithm: SignatureAlgorithm,
    key: &Key,
) -> (jsonwebtoken::Algorithm, EncodingKey, DecodingKey) {
    let name = algorithm.as_str();
    let pem = || private_pem(key);
    let encoding = match name.get(..2) {
        Some("HS") => EncodingKey::from_secret(&secret_bytes(key)),
        Some("ES") => EncodingKey::from_ec_pem(pem().as_bytes()).expect("a key"),
        Some("Ed") => EncodingKey::from_ed_pem(pem().as_bytes()).expect("a key"),
        _ => EncodingKey::from_rsa_pem(pem().as_bytes()).expect("a key"),
    };
    let jwk = serde_json::from_str(&public_jwk(key)).expect("a JWK");
    let decoding = DecodingKey::from_jwk(&jwk).expect("a key");
    (
        name.parse().expect("it has all of these"),
        encoding,
        decoding,
    )
}

fn josekit_keys(
    algorithm: SignatureAlgorithm,
    key: &Key,
) -> (Box<dyn JwsSigner>, Box<dyn JwsVerifier>) {
    use SignatureAlgorithm as A;
    let private = Jwk::from_bytes(private_jwk(key)).expect("a JWK");
    let public = Jwk::from_bytes(public_jwk(key)).expect("a JWK");
    macro_rules! of {
        ($theirs:expr) => {
            (
                Box::new($theirs.signer_from_jwk(&private).expect("a key")),
                Box::new($theirs.verifier_from_jwk(&public).expect("a key")),
            )
        };
    }
    match algorithm {
        A::Hs256 => of!(jws::HS256),
        A::Rs256 => of!(jws::RS256),
        A::Ps256 => of!(jws::PS256),
        A::Es256 => of!(jws::ES256),
        A::Es384 => of!(jws::ES384),
        _ => of!(jws::EdDSA),
    }
}

fn signatures(criterion: &mut Criterion) {
    use SignatureAlgorithm as A;
    for algorithm in [A::Hs256, A::Rs256, A::Ps256, A::Es256, A::Es384, A::EdDsa] {
        let key = signing(algorithm);
        let signer = LocalSigner::new(&key, algorithm).expect("the key fits");
        let verifiers = Verifiers::new(std::slice::from_ref(&key), &[algorithm]);
        let profile = Profile::builder()
            .issuer("https://issuer.example")
            .audience("https://api.example")
            .build()
            .expect("the profile is whole");
        let claims = own_claims();
        let token = jwt::sign(&claims, &signer, "JWT").expect("it is signed");
        let (message, encoded) = token.rsplit_once('.').expect("three parts");
        let bytes = URL_SAFE_NO_PAD.decode(encoded).expect("base64url");
        let bare = Bare::new(algorithm, &key);
        let (theirs, encoding, decoding) = jsonwebtoken_keys(algorithm, &key);
        let mut validation = Validation::new(theirs);
        validation.set_issuer(&["https://issuer.example"]);
        validation.set_audience(&["https://api.example"]);
        let (josekit_signer, josekit_verifier) = josekit_keys(algorithm, &key);
        let mut validator = JwtPayloadValidator::new();
        validator.set_issuer("https://issuer.example");
        validator.set_audience("https://api.example");
        validator.set_base_time(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_100));

        let mut group = criterion.benchmark_group(format!("verify {algorithm}"));
        group.bench_function("aws-lc-rs", |bencher| {
            bencher.iter(|| bare.verify(black_box(message.as_bytes()), black_box(&bytes)));
        });
        group.bench_function("keyward", |bencher| {
            bencher.iter(|| {
                jwt::verify(black_box(&token), &verifiers, &profile, NOW).expect("it is valid")
            });
        });
        group.bench_function("jsonwebtoken", |bencher| {
            bencher.iter(|| {
                jsonwebtoken::decode::<TheirClaims>(black_box(&token), &decoding, &validation)
                    .expect("it is valid")
            });
        });
        group.bench_function("josekit", |bencher| {
            bencher.iter(|| {
                let (payload, _) =
                    josekit_jwt::decode_with_verifier(black_box(&token), &*josekit_verifier)
                        .expect("it is valid");
                validator.validate(&payload).expect("it is valid");
                payload
            });
        });
        group.finish();

        let random = SystemRandom::new();
        let their_claims = their_claims();
        let josekit_claims = josekit_claims();
        let mut josekit_header = JwsHeader::new();
        josekit_header.set_token_type("JWT");
        let mut group = criterion.benchmark_group(format!("sign {algorithm}"));
        group.bench_function("aws-lc-rs", |bencher| {
            bencher.iter(|| bare.sign(black_box(message.as_bytes()), &random));
        });
        group.bench_function("keyward", |bencher| {
            bencher.iter(|| jwt::sign(black_box(&claims), &signer, "JWT").expect("it is signed"));
        });
        group.bench_function("jsonwebtoken", |bencher| {
            bencher.iter(|| {
                jsonwebtoken::encode(&Header::new(theirs), black_box(&their_claims), &encoding)
                    .expect("it is signed")
            });
        });
        group.bench_function("josekit", |bencher| {
            bencher.iter(|| {
                josekit_jwt::encode_with_signer(
                    black_box(&josekit_claims),
                    &josekit_header,
                    &*josekit_signer,
                )
                .expect("it is signed")
            });
        });
        group.finish();
    }
}

fn encryption(criterion: &mut Criterion) {
    use KeyManagementAlgorithm as A;
    let plaintext = serde_json::to_vec(&their_claims()).expect("claims are JSON");
    let encryption = ContentEncryption::A256Gcm;
    for (algorithm, key) in [
        (A::Dir, oct(32)),
        (A::A256Kw, oct(32)),
        (A::RsaOaep256, rsa()),
        (A::EcdhEsA256Kw, on(Curve::P256)),
    ] {
        let encrypter = Encrypter::new(&key, algorithm, encryption).expect("the key fits");
        let decrypter = Decrypter::new(&key, algorithm).expect("the key fits");
        let message = Message::new(&plaintext);
        let token = encrypter
            .encrypt_compact(&message)
            .expect("it is encrypted");
        let private = Jwk::from_bytes(private_jwk(&key)).expect("a JWK");
        let public = Jwk::from_bytes(public_jwk(&key)).expect("a JWK");
        macro_rules! of {
            ($theirs:expr) => {
                (
                    Box::new($theirs.encrypter_from_jwk(&public).expect("a key")),
                    Box::new($theirs.decrypter_from_jwk(&private).expect("a key")),
                )
            };
        }
        let (their_encrypter, their_decrypter): (
            Box<dyn jwe::JweEncrypter>,
            Box<dyn jwe::JweDecrypter>,
        ) = match algorithm {
            A::Dir => of!(jwe::Dir),
            A::A256Kw => of!(jwe::A256KW),
            A::RsaOaep256 => of!(jwe::RSA_OAEP_256),
            _ => of!(jwe::ECDH_ES_A256KW),
        };
        let mut header = JweHeader::new();
        header.set_content_encryption(encryption.as_str());

        let mut group = criterion.benchmark_group(format!("encrypt {algorithm} {encryption}"));
        group.bench_function("keyward", |bencher| {
            bencher.iter(|| {
                encrypter
                    .encrypt_compact(black_box(&message))
                    .expect("done")
            });
        });
        group.bench_function("josekit", |bencher| {
            bencher.iter(|| {
                jwe::serialize_compact(black_box(&plaintext), &header, &*their_encrypter)
                    .expect("done")
            });
        });
        group.finish();

        let mut group = criterion.benchmark_group(format!("decrypt {algorithm} {encryption}"));
        group.bench_function("keyward", |bencher| {
            bencher.iter(|| decrypter.decrypt_compact(black_box(&token)).expect("done"));
        });
        group.bench_function("josekit", |bencher| {
            bencher.iter(|| {
                jwe::deserialize_compact(black_box(&token), &*their_decrypter).expect("done")
            });
        });
        group.finish();
    }
}

criterion_group!(peers, signatures, encryption);
criterion_main!(peers);
