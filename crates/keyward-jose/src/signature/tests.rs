use super::test_keys::{for_algorithm, named, oct, public, rsa};
use super::{LocalSigner, Signer, Verifier};
use crate::key::{KeyOperation, KeyUse, Material};
use crate::{Algorithm, ContentEncryption, Error, Key, SignatureAlgorithm as A};

const MESSAGE: &[u8] = b"eyJhbGciOiJIUzI1NiJ9.JC4wMg";

#[test]
fn every_algorithm_verifies_what_it_signed_and_nothing_else() {
    for algorithm in A::ALL.iter().copied() {
        let key = named("a", &for_algorithm(algorithm));
        let signer = LocalSigner::new(&key, algorithm).unwrap();
        let verifier = Verifier::new(&public(&key), algorithm).unwrap();
        assert_eq!(signer.kid(), Some("a"));
        assert_eq!(verifier.kid(), Some("a"));
        let mut signature = signer.sign_now(MESSAGE).unwrap();
        assert_eq!(verifier.verify(MESSAGE, &signature), Ok(()), "{algorithm}");
        let refused = Err(Error::SignatureInvalid);
        assert_eq!(verifier.verify(b"another", &signature), refused);
        assert_eq!(verifier.verify(MESSAGE, &signature[1..]), refused);
        assert_eq!(verifier.verify(MESSAGE, b""), refused);
        signature.push(0);
        assert_eq!(verifier.verify(MESSAGE, &signature), refused, "{algorithm}");
        signature.pop();
        *signature.last_mut().unwrap() ^= 1;
        assert_eq!(verifier.verify(MESSAGE, &signature), refused, "{algorithm}");
    }
}

#[test]
fn ecdsa_signatures_of_zeros_are_refused() {
    for (algorithm, size) in [
        (A::Es256, 32),
        (A::Es384, 48),
        (A::Es512, 66),
        (A::Es256k, 32),
    ] {
        let key = for_algorithm(algorithm);
        let verifier = Verifier::new(&key, algorithm).unwrap();
        let good = LocalSigner::new(&key, algorithm)
            .unwrap()
            .sign_now(MESSAGE)
            .unwrap();
        assert_eq!(good.len(), 2 * size);
        let (r, s) = good.split_at(size);
        let zero = vec![0; size];
        for bad in [[&zero[..], &zero], [r, &zero], [&zero, s]] {
            assert_eq!(
                verifier.verify(MESSAGE, &bad.concat()),
                Err(Error::SignatureInvalid),
                "{algorithm}"
            );
        }
    }
}

#[test]
fn ecdsa_signatures_in_der_are_refused() {
    let key = for_algorithm(A::Es256);
    let verifier = Verifier::new(&key, A::Es256).unwrap();
    let good = LocalSigner::new(&key, A::Es256)
        .unwrap()
        .sign_now(MESSAGE)
        .unwrap();
    let mut der = vec![0x30, 0];
    for number in good.chunks(32) {
        let start = number.iter().position(|byte| *byte != 0).unwrap();
        let number = &number[start..];
        let sign = usize::from(number[0] >= 0x80);
        der.extend([2, (number.len() + sign) as u8]);
        der.extend(vec![0; sign]);
        der.extend(number);
    }
    der[1] = (der.len() - 2) as u8;
    assert_eq!(verifier.verify(MESSAGE, &der), Err(Error::SignatureInvalid));
}

#[test]
fn a_key_serves_the_algorithms_of_its_type_alone() {
    for made_for in A::ALL.iter().copied() {
        let key = for_algorithm(made_for);
        for asked in A::ALL.iter().copied() {
            let fits = key.fits(Algorithm::Signature(asked));
            assert_eq!(
                Verifier::new(&key, asked).is_ok(),
                fits,
                "{made_for} {asked}"
            );
            assert_eq!(
                LocalSigner::new(&key, asked).is_ok(),
                fits,
                "{made_for} {asked}"
            );
        }
    }
}

fn check_unfit(change: impl Fn(&mut Key)) {
    let mut key = rsa();
    change(&mut key);
    for code in [
        Verifier::new(&key, A::Rs256).unwrap_err().code(),
        LocalSigner::new(&key, A::Rs256).unwrap_err().code(),
    ] {
        assert_eq!(code, "key_unfit");
    }
}

#[test]
fn key_for_encryption_is_refused() {
    check_unfit(|key| key.parameters.key_use = Some(KeyUse::Encryption));
}

#[test]
fn key_of_another_alg_is_refused() {
    check_unfit(|key| key.parameters.algorithm = Some(Algorithm::Signature(A::Ps256)));
    check_unfit(|key| {
        key.parameters.algorithm = Some(Algorithm::ContentEncryption(ContentEncryption::A128Gcm));
    });
}

#[test]
fn key_with_other_key_ops_is_refused() {
    check_unfit(|key| key.parameters.operations = Some(vec![KeyOperation::Encrypt]));
    check_unfit(|key| key.parameters.operations = Some(Vec::new()));
    let mut key = rsa();
    key.parameters.operations = Some(vec![KeyOperation::Verify]);
    assert!(Verifier::new(&key, A::Rs256).is_ok());
    assert_eq!(
        LocalSigner::new(&key, A::Rs256).unwrap_err().code(),
        "key_unfit"
    );
}

#[test]
fn hmac_secret_shorter_than_the_hash_is_refused() {
    for (algorithm, size) in [(A::Hs256, 32), (A::Hs384, 48), (A::Hs512, 64)] {
        assert!(LocalSigner::new(&oct(&vec![7; size]), algorithm).is_ok());
        for short in [0, 1, size - 1] {
            let key = oct(&vec![7; short]);
            assert_eq!(
                LocalSigner::new(&key, algorithm).unwrap_err().code(),
                "key_unfit"
            );
            assert_eq!(
                Verifier::new(&key, algorithm).unwrap_err().code(),
                "key_unfit"
            );
        }
    }
}

#[test]
fn public_key_text_as_hmac_secret_is_refused() {
    let pem = b"-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA\n";
    for text in [
        &pem[..],
        b"\n-----BEGIN CERTIFICATE-----\nMIIBIjANBgkqhkiG9w0BAQE",
        b"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC",
    ] {
        assert_eq!(
            Verifier::new(&oct(text), A::Hs256).unwrap_err().code(),
            "key_unfit"
        );
    }
}

#[test]
fn signing_without_the_private_part_is_refused() {
    for algorithm in A::ALL.iter().copied() {
        let key = public(&for_algorithm(algorithm));
        if !matches!(key.material, Material::Oct(_)) {
            assert_eq!(
                LocalSigner::new(&key, algorithm).unwrap_err(),
                Error::NoPrivateKey
            );
        }
    }
}

#[test]
fn private_and_public_part_of_two_keys_are_refused() {
    for algorithm in [
        A::Es256,
        A::Es384,
        A::Es512,
        A::Es256k,
        A::EdDsa,
        A::MlDsa44,
    ] {
        let (mut key, other) = (for_algorithm(algorithm), for_algorithm(algorithm));
        match (&mut key.material, other.material) {
            (Material::Ec(key), Material::Ec(other)) => key.d = other.d,
            (Material::Okp(key), Material::Okp(other)) => key.d = other.d,
            (Material::Akp(key), Material::Akp(other)) => key.seed = other.seed,
            _ => panic!(),
        }
        assert_eq!(
            LocalSigner::new(&key, algorithm).unwrap_err().code(),
            "key_invalid",
            "{algorithm}"
        );
    }
}

#[test]
fn debug_output_holds_no_secret() {
    let key = named("mine", &oct(b"0123456789abcdef0123456789abcdef"));
    let texts = [
        format!("{:?}", LocalSigner::new(&key, A::Hs256).unwrap()),
        format!("{:?}", Verifier::new(&key, A::Hs256).unwrap()),
    ];
    for text in texts {
        assert!(text.contains("mine") && !text.contains("0123"), "{text}");
    }
}

#[test]
fn local_signer_is_a_signer() {
    let key = for_algorithm(A::Es256);
    let signer: Box<dyn Signer> = Box::new(LocalSigner::new(&key, A::Es256).unwrap());
    let signature = futures_now(signer.sign(MESSAGE)).unwrap();
    assert_eq!(
        Verifier::new(&key, A::Es256)
            .unwrap()
            .verify(MESSAGE, &signature),
        Ok(())
    );
}

/// Polls a future that is ready at once.
pub(crate) fn futures_now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("it waits"),
    }
}
