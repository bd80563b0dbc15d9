//! josekit, on OpenSSL: signs and encrypts what we read, and reads what we write.

use josekit::jwe::{self, JweDecrypter, JweEncrypter, JweHeader, JweHeaderSet};
use josekit::jwk::Jwk;
use josekit::jws::{self, JwsHeader, JwsHeaderSet, JwsSigner, JwsVerifier};
use keyward_jose::jwe::{Decrypter, Encrypter, Message, encrypt_general};
use keyward_jose::jws::{Header, compact, flattened, general};
use keyward_jose::key::Curve;
use keyward_jose::{
    ContentEncryption, Key, KeyManagementAlgorithm, LocalSigner, SignatureAlgorithm, Verifiers,
};
use keyward_oracles::{oct, on, private_jwk, public_jwk, rsa, signing};
use serde_json::Map;

const PAYLOAD: &[u8] = b"The world's a stage.";

fn jwk(text: &str) -> Jwk {
    Jwk::from_bytes(text).unwrap()
}

fn signer_and_verifier(
    algorithm: SignatureAlgorithm,
    key: &Key,
) -> Option<(Box<dyn JwsSigner>, Box<dyn JwsVerifier>)> {
    use SignatureAlgorithm as A;
    let (private, public) = (jwk(&private_jwk(key)), jwk(&public_jwk(key)));
    macro_rules! of {
        ($theirs:expr) => {
            Some((
                Box::new($theirs.signer_from_jwk(&private).unwrap()),
                Box::new($theirs.verifier_from_jwk(&public).unwrap()),
            ))
        };
    }
    match algorithm {
        A::Hs256 => of!(jws::HS256),
        A::Hs384 => of!(jws::HS384),
        A::Hs512 => of!(jws::HS512),
        A::Rs256 => of!(jws::RS256),
        A::Rs384 => of!(jws::RS384),
        A::Rs512 => of!(jws::RS512),
        A::Ps256 => of!(jws::PS256),
        A::Ps384 => of!(jws::PS384),
        A::Ps512 => of!(jws::PS512),
        A::Es256 => of!(jws::ES256),
        A::Es384 => of!(jws::ES384),
        A::Es512 => of!(jws::ES512),
        A::Es256k => of!(jws::ES256K),
        A::EdDsa => of!(jws::EdDSA),
        _ => None,
    }
}

fn check_signature(algorithm: SignatureAlgorithm) -> bool {
    let key = signing(algorithm);
    let Some((signer, verifier)) = signer_and_verifier(algorithm, &key) else {
        return false;
    };
    let own_signer = LocalSigner::new(&key, algorithm).unwrap();
    let own_verifiers = Verifiers::new(std::slice::from_ref(&key), &[algorithm]);
    let own_header = Header::for_signer(&own_signer).with_typ("x");

    let theirs = jws::serialize_compact(PAYLOAD, &JwsHeader::new(), &*signer).unwrap();
    let read = compact::verify(&theirs, &own_verifiers).unwrap();
    assert_eq!(read.payload, PAYLOAD, "{algorithm}");

    let ours = compact::sign(PAYLOAD, &own_header, &own_signer).unwrap();
    let (payload, header) = jws::deserialize_compact(&ours, &*verifier).unwrap();
    assert_eq!(payload, PAYLOAD, "{algorithm}");
    assert_eq!(header.token_type(), Some("x"));

    let mut headers = JwsHeaderSet::new();
    headers.set_token_type("x", true);
    let theirs = jws::serialize_flattened_json(PAYLOAD, &headers, &*signer).unwrap();
    assert_eq!(
        flattened::verify(&theirs, &own_verifiers).unwrap().payload,
        PAYLOAD
    );
    let theirs = jws::serialize_general_json(PAYLOAD, &[(&headers, &*signer)]).unwrap();
    assert_eq!(
        general::verify_all(&theirs, &own_verifiers)
            .unwrap()
            .payload,
        PAYLOAD
    );

    let ours = flattened::sign(PAYLOAD, &own_header, &Map::new(), &own_signer).unwrap();
    let (payload, _) = jws::deserialize_json(&ours, &*verifier).unwrap();
    assert_eq!(payload, PAYLOAD);
    let signings = [general::Signing {
        header: own_header,
        unprotected: Map::new(),
        signer: &own_signer,
    }];
    let ours = general::sign(PAYLOAD, &signings).unwrap();
    let (payload, _) = jws::deserialize_json(&ours, &*verifier).unwrap();
    assert_eq!(payload, PAYLOAD);
    true
}

#[test]
fn signatures_are_read_both_ways() {
    let shared = SignatureAlgorithm::ALL
        .iter()
        .filter(|algorithm| check_signature(**algorithm))
        .count();
    assert_eq!(shared, 14);
}

fn encrypter_and_decrypter(
    algorithm: KeyManagementAlgorithm,
    key: &Key,
) -> (Box<dyn JweEncrypter>, Box<dyn JweDecrypter>) {
    use KeyManagementAlgorithm as A;
    let (private, public) = (jwk(&private_jwk(key)), jwk(&public_jwk(key)));
    macro_rules! of {
        ($theirs:expr) => {
            (
                Box::new($theirs.encrypter_from_jwk(&public).unwrap()),
                Box::new($theirs.decrypter_from_jwk(&private).unwrap()),
            )
        };
    }
    match algorithm {
        A::RsaOaep => of!(jwe::RSA_OAEP),
        A::RsaOaep256 => of!(jwe::RSA_OAEP_256),
        A::RsaOaep384 => of!(jwe::RSA_OAEP_384),
        A::RsaOaep512 => of!(jwe::RSA_OAEP_512),
        A::EcdhEs => of!(jwe::ECDH_ES),
        A::EcdhEsA128Kw => of!(jwe::ECDH_ES_A128KW),
        A::EcdhEsA192Kw => of!(jwe::ECDH_ES_A192KW),
        A::EcdhEsA256Kw => of!(jwe::ECDH_ES_A256KW),
        A::A128Kw => of!(jwe::A128KW),
        A::A192Kw => of!(jwe::A192KW),
        A::A256Kw => of!(jwe::A256KW),
        A::A128GcmKw => of!(jwe::A128GCMKW),
        A::A192GcmKw => of!(jwe::A192GCMKW),
        A::A256GcmKw => of!(jwe::A256GCMKW),
        A::Pbes2Hs256A128Kw => of!(jwe::PBES2_HS256_A128KW),
        A::Pbes2Hs384A192Kw => of!(jwe::PBES2_HS384_A192KW),
        A::Pbes2Hs512A256Kw => of!(jwe::PBES2_HS512_A256KW),
        A::Dir => of!(jwe::Dir),
        other => panic!("{other} is new: does josekit have it?"),
    }
}

/// The keys that fit, one on each curve.
fn keys(algorithm: KeyManagementAlgorithm, encryption: ContentEncryption) -> Vec<Key> {
    use KeyManagementAlgorithm as A;
    let content_key = match encryption {
        ContentEncryption::A128Gcm => 16,
        ContentEncryption::A192Gcm => 24,
        ContentEncryption::A256Gcm | ContentEncryption::A128CbcHs256 => 32,
        ContentEncryption::A192CbcHs384 => 48,
        ContentEncryption::A256CbcHs512 => 64,
        other => panic!("{other} is new"),
    };
    match algorithm {
        A::RsaOaep | A::RsaOaep256 | A::RsaOaep384 | A::RsaOaep512 => vec![rsa()],
        A::EcdhEs | A::EcdhEsA128Kw | A::EcdhEsA192Kw | A::EcdhEsA256Kw => {
            [Curve::P256, Curve::P384, Curve::P521, Curve::X25519]
                .map(on)
                .to_vec()
        }
        A::A128Kw | A::A128GcmKw => vec![oct(16)],
        A::A192Kw | A::A192GcmKw => vec![oct(24)],
        A::Dir => vec![oct(content_key)],
        _ => vec![oct(32)],
    }
}

fn check_encryption(
    algorithm: KeyManagementAlgorithm,
    encryption: ContentEncryption,
    key: &Key,
    compressed: bool,
) {
    let name = format!("{algorithm} {encryption}");
    let (encrypter, decrypter) = encrypter_and_decrypter(algorithm, key);
    let mut own_encrypter = Encrypter::new(key, algorithm, encryption).unwrap();
    if algorithm.as_str().starts_with("PBES2") {
        own_encrypter = own_encrypter.with_pbes2_count(1_000).unwrap();
    }
    let own_decrypter = Decrypter::new(key, algorithm).unwrap();

    let mut header = JweHeader::new();
    header.set_content_encryption(encryption.as_str());
    if compressed {
        header.set_compression("DEF");
    }
    let theirs = jwe::serialize_compact(PAYLOAD, &header, &*encrypter).unwrap();
    let read = own_decrypter.decrypt_compact(&theirs).expect(&name);
    assert_eq!(read.plaintext.as_slice(), PAYLOAD, "{name}");

    let mut message = Message::new(PAYLOAD).with_protected("typ", "x");
    if compressed {
        message = message.compressed();
    }
    let ours = own_encrypter.encrypt_compact(&message).unwrap();
    let (payload, header) = jwe::deserialize_compact(&ours, &*decrypter).expect(&name);
    assert_eq!(payload, PAYLOAD, "{name}");
    assert_eq!(header.token_type(), Some("x"));
}

#[test]
fn encryption_is_read_both_ways() {
    for algorithm in KeyManagementAlgorithm::ALL {
        for (place, encryption) in ContentEncryption::ALL.iter().enumerate() {
            for key in keys(*algorithm, *encryption) {
                check_encryption(*algorithm, *encryption, &key, place % 2 == 0);
            }
        }
    }
}

#[test]
fn the_json_serializations_are_read_both_ways() {
    let algorithm = KeyManagementAlgorithm::A256Kw;
    let encryption = ContentEncryption::A128CbcHs256;
    let key = oct(32);
    let (encrypter, decrypter) = encrypter_and_decrypter(algorithm, &key);
    let own_encrypter = Encrypter::new(&key, algorithm, encryption).unwrap();
    let own_decrypter = Decrypter::new(&key, algorithm).unwrap();

    let mut headers = JweHeaderSet::new();
    headers.set_content_encryption(encryption.as_str(), true);
    let theirs =
        jwe::serialize_flattened_json(PAYLOAD, Some(&headers), None, Some(b"aad"), &*encrypter)
            .unwrap();
    let read = own_decrypter.decrypt_flattened(&theirs).unwrap();
    assert_eq!(read.plaintext.as_slice(), PAYLOAD);
    assert_eq!(read.aad.as_deref(), Some(&b"aad"[..]));

    let message = Message::new(PAYLOAD).with_aad(b"aad");
    let ours = own_encrypter.encrypt_flattened(&message).unwrap();
    let (payload, _) = jwe::deserialize_json(&ours, &*decrypter).unwrap();
    assert_eq!(payload, PAYLOAD);

    let other = rsa();
    let oaep = KeyManagementAlgorithm::RsaOaep256;
    let (other_encrypter, other_decrypter) = encrypter_and_decrypter(oaep, &other);
    let theirs = jwe::serialize_general_json(
        PAYLOAD,
        Some(&headers),
        &[(None, &*encrypter), (None, &*other_encrypter)],
        None,
    )
    .unwrap();
    for decrypter in [own_decrypter, Decrypter::new(&other, oaep).unwrap()] {
        let read = decrypter.decrypt_general(&theirs).unwrap();
        assert_eq!(read.plaintext.as_slice(), PAYLOAD);
    }
    let own_other = Encrypter::new(&other, oaep, encryption).unwrap();
    let ours = encrypt_general(&[&own_encrypter, &own_other], &Message::new(PAYLOAD)).unwrap();
    for decrypter in [&decrypter, &other_decrypter] {
        let read = jwe::deserialize_json_with_selector(&ours, |header| {
            Ok((header.algorithm() == Some(decrypter.algorithm().name())).then_some(&**decrypter))
        });
        assert_eq!(read.unwrap().0, PAYLOAD);
    }
}
