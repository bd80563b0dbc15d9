use crate::jws::general::Signing;
use crate::jws::{Header, VerifiedBy, compact, flattened, general};
use crate::signature::test_keys::{for_algorithm, named, public};
use crate::signature::tests::futures_now;
use crate::{LocalSigner, SignatureAlgorithm as A, Signer, Verifiers};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

#[test]
fn compact_round_trip_of_every_algorithm() {
    for algorithm in A::ALL.iter().copied() {
        let key = named("k", &for_algorithm(algorithm));
        let signer = LocalSigner::new(&key, algorithm).unwrap();
        let verifiers = Verifiers::new(&[public(&key)], &[algorithm]);
        let header = Header::for_signer(&signer).with_typ("JWT").with_cty("x");
        let token = compact::sign(b"payload", &header, &signer).unwrap();
        let jws = compact::verify(&token, &verifiers).unwrap();
        assert_eq!(jws.payload, b"payload");
        assert_eq!(jws.header, header);
        let token = futures_now(compact::sign_with(b"payload", &header, &signer)).unwrap();
        assert!(compact::verify(&token, &verifiers).is_ok());
        let detached = compact::sign_detached_with(b"payload", &header, &signer);
        let token = futures_now(detached).unwrap();
        assert_eq!(
            compact::verify_detached(&token, b"payload", &verifiers).map(|one| one.protected),
            Ok(header.clone())
        );
        let token = compact::sign_detached(b"payload", &header, &signer).unwrap();
        assert!(compact::verify_detached(&token, b"payload", &verifiers).is_ok());
        assert!(compact::verify_detached(&token, b"another", &verifiers).is_err());
    }
}

#[test]
fn header_of_another_algorithm_than_the_signers_is_refused() {
    let signer = LocalSigner::new(&for_algorithm(A::Es256), A::Es256).unwrap();
    let other = LocalSigner::new(&for_algorithm(A::EdDsa), A::EdDsa).unwrap();
    let header = Header::for_signer(&other);
    assert_eq!(
        compact::sign(b"", &header, &signer).unwrap_err().code(),
        "key_unfit"
    );
}

/// Flattened and general, attached and detached, encoded and not.
#[test]
fn json_round_trips() {
    let keys = [
        named("e", &for_algorithm(A::EdDsa)),
        named("h", &for_algorithm(A::Hs384)),
    ];
    let signers = [
        LocalSigner::new(&keys[0], A::EdDsa).unwrap(),
        LocalSigner::new(&keys[1], A::Hs384).unwrap(),
    ];
    let verifiers = Verifiers::new(&keys, &[A::EdDsa, A::Hs384]);
    let unprotected = Map::from_iter([("note".to_owned(), Value::from("free"))]);
    for unencoded in [false, true] {
        let header = |signer: &LocalSigner| {
            let header = Header::for_signer(signer);
            if unencoded {
                header.with_unencoded_payload()
            } else {
                header
            }
        };
        let payload = "a.b \u{e4} \"".as_bytes();
        let signer = &signers[0];
        let text = flattened::sign(payload, &header(signer), &unprotected, signer).unwrap();
        let jws = flattened::verify(&text, &verifiers).unwrap();
        assert_eq!(
            (jws.payload.as_slice(), &jws.signature.unprotected),
            (payload, &unprotected)
        );
        let protected = header(signer);
        let signing = flattened::sign_with(payload, &protected, &unprotected, signer);
        assert!(flattened::verify(&futures_now(signing).unwrap(), &verifiers).is_ok());
        assert!(flattened::verify_detached(&text, payload, &verifiers).is_err());
        let text =
            flattened::sign_detached(payload, &header(signer), &unprotected, signer).unwrap();
        assert!(flattened::verify_detached(&text, payload, &verifiers).is_ok());
        assert!(flattened::verify_detached(&text, b"", &verifiers).is_err());
        assert!(flattened::verify(&text, &verifiers).is_err());

        let signings = [0, 1].map(|at: usize| Signing {
            header: header(&signers[at]),
            unprotected: unprotected.clone(),
            signer: &signers[at],
        });
        let text = general::sign(payload, &signings).unwrap();
        let jws = general::verify_all(&text, &verifiers).unwrap();
        assert_eq!((jws.payload.as_slice(), jws.signatures.len()), (payload, 2));
        let anywhere = [0, 1].map(|at: usize| Signing {
            header: header(&signers[at]),
            unprotected: unprotected.clone(),
            signer: &signers[at] as &dyn Signer,
        });
        let text = futures_now(general::sign_with(payload, &anywhere)).unwrap();
        assert_eq!(general::verify_all(&text, &verifiers).unwrap(), jws);
        let text = futures_now(general::sign_detached_with(payload, &anywhere)).unwrap();
        assert!(general::verify_all_detached(&text, payload, &verifiers).is_ok());
        let signing = flattened::sign_detached_with(payload, &protected, &unprotected, signer);
        let text = futures_now(signing).unwrap();
        assert!(flattened::verify_detached(&text, payload, &verifiers).is_ok());
        let text = general::sign_detached(payload, &signings).unwrap();
        assert!(general::verify_all_detached(&text, payload, &verifiers).is_ok());
        assert!(general::verify_any_detached(&text, b"x", &verifiers).is_err());
        assert!(general::verify_all(&text, &verifiers).is_err());
    }
    let binary = [0xff, 0xfe];
    let header = Header::for_signer(&signers[0]).with_unencoded_payload();
    assert!(flattened::sign(&binary, &header, &Map::new(), &signers[0]).is_err());
    assert!(flattened::sign_detached(&binary, &header, &Map::new(), &signers[0]).is_ok());
}

/// The `kid` of a token is what it says; the key that verified it may have none.
#[test]
fn key_that_verified_is_told() {
    let keys = [
        named("h", &for_algorithm(A::Hs384)),
        for_algorithm(A::EdDsa).with_kid(None).unwrap(),
    ];
    let verifiers = Verifiers::new(&keys, &[A::EdDsa, A::Hs384]);
    let check = |at: usize, algorithm: A, claimed: &str, own: Option<&str>| {
        let signer = LocalSigner::new(&keys[at], algorithm).unwrap();
        let header = Header::for_signer(&signer).with_kid(Some(claimed.to_owned()));
        let by = VerifiedBy {
            index: at,
            kid: own.map(str::to_owned),
        };
        let token = compact::sign(b"x", &header, &signer).unwrap();
        let jws = compact::verify(&token, &verifiers).unwrap();
        assert_eq!((jws.header.kid(), &jws.verified_by), (Some(claimed), &by));
        let token = compact::sign_detached(b"x", &header, &signer).unwrap();
        let signature = compact::verify_detached(&token, b"x", &verifiers).unwrap();
        assert_eq!(signature.verified_by, by);
        let text = flattened::sign(b"x", &header, &Map::new(), &signer).unwrap();
        let signature = flattened::verify(&text, &verifiers).unwrap().signature;
        assert_eq!(
            (signature.kid(), &signature.verified_by),
            (Some(claimed), &by)
        );
    };
    check(0, A::Hs384, "h", Some("h"));
    check(1, A::EdDsa, "another", None);
}

#[test]
fn b64_that_differs_between_signatures_is_refused() {
    let signer = LocalSigner::new(&for_algorithm(A::EdDsa), A::EdDsa).unwrap();
    let signing = |header| Signing {
        header,
        unprotected: Map::new(),
        signer: &signer,
    };
    let plain = Header::for_signer(&signer);
    let signings = [
        signing(plain.clone()),
        signing(plain.with_unencoded_payload()),
    ];
    for refused in [
        general::sign(b"x", &signings),
        general::sign_detached(b"x", &signings),
    ] {
        assert_eq!(refused.unwrap_err().code(), "header");
    }
    // Each on its own is good, as one of a stranger's making would be.
    let [encoded, unencoded] = signings.map(|signing| {
        let text = general::sign_detached(b"x", &[signing]).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["signatures"][0].clone()
    });
    let text = json!({ "signatures": [encoded, unencoded] }).to_string();
    let verifiers = Verifiers::new(&[for_algorithm(A::EdDsa)], &[]);
    assert_eq!(
        general::verify_any_detached(&text, b"x", &verifiers)
            .unwrap_err()
            .code(),
        "header"
    );
}

proptest! {
    /// Any payload and any text in the header come back as they went in; one changed bit anywhere does not.
    #[test]
    fn any_payload_comes_back_and_any_change_is_noticed(
        payload in prop::collection::vec(any::<u8>(), 0..300),
        typ in ".{0,20}",
        value in ".{0,20}",
        place in any::<prop::sample::Index>(),
        bit in 0_u8..7,
    ) {
        let key = crate::signature::test_keys::oct(&[9; 32]);
        let signer = LocalSigner::new(&key, A::Hs256).unwrap();
        let verifiers = Verifiers::new(&[key], &[]);
        let header = Header::for_signer(&signer)
            .with_typ(typ)
            .with("https://example.com/x", value.into())
            .unwrap();
        let token = compact::sign(&payload, &header, &signer).unwrap();
        let jws = compact::verify(&token, &verifiers).unwrap();
        prop_assert_eq!(jws.payload, payload);
        prop_assert_eq!(jws.header, header);
        let mut changed = token.into_bytes();
        let at = place.index(changed.len());
        changed[at] ^= 1 << bit;
        if let Ok(changed) = String::from_utf8(changed) {
            prop_assert!(compact::verify(&changed, &verifiers).is_err());
        }
    }

    /// Whatever comes in, an answer comes out.
    #[test]
    fn no_text_makes_verification_panic(text in "\\PC{0,200}") {
        let verifiers = Verifiers::default();
        prop_assert!(compact::verify(&text, &verifiers).is_err());
        prop_assert!(flattened::verify(&text, &verifiers).is_err());
        prop_assert!(general::verify_any(&text, &verifiers).is_err());
        prop_assert!(crate::jwt::peek(&text).is_err());
    }
}
