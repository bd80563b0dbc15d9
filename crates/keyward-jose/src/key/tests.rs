use super::*;
use crate::SignatureAlgorithm as S;

#[test]
fn every_signature_key_survives_every_form() {
    for algorithm in S::ALL.iter().copied() {
        let key = Key::generate(Algorithm::Signature(algorithm), None).unwrap();
        let jwk = key.to_jwk(Part::Private).unwrap();
        let (again, form) = Key::parse(jwk.as_bytes()).unwrap();
        assert_eq!(form, KeyForm::Jwk);
        assert_eq!(*again.to_jwk(Part::Private).unwrap(), *jwk);
    }
}
