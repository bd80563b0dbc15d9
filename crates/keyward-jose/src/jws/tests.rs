use super::Header;
use super::compact;
use crate::signature::test_keys::{for_algorithm, named, oct, public};
use crate::signature::tests::futures_now;
use crate::{LocalSigner, SignatureAlgorithm as A, Verifiers};

#[test]
fn compact_round_trip_of_every_algorithm() {
    for algorithm in A::ALL.iter().copied() {
        let key = named("k", &for_algorithm(algorithm));
        let signer = LocalSigner::new(&key, algorithm).unwrap();
        let verifiers = Verifiers::new(&[public(&key)], &[algorithm]);
        let header = Header::for_signer(&signer).with_typ("JWT");
        let token = compact::sign(b"payload", &header, &signer).unwrap();
        let jws = compact::verify(&token, &verifiers).unwrap();
        assert_eq!(
            (jws.payload.as_slice(), jws.header),
            (&b"payload"[..], header.clone())
        );
        let token = futures_now(compact::sign_with(b"payload", &header, &signer)).unwrap();
        assert!(compact::verify(&token, &verifiers).is_ok());
        let token = compact::sign_detached(b"payload", &header, &signer).unwrap();
        assert!(compact::verify_detached(&token, b"payload", &verifiers).is_ok());
        assert!(compact::verify_detached(&token, b"another", &verifiers).is_err());
    }
    let _ = oct(b"");
}
