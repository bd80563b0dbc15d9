use super::issue::CertificateSigner;
use super::*;
use crate::NumericDate;
use crate::key::{Curve, KeyForm, KeyType, KeyUse, MlDsa, Part};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    date_time_ymd,
};
use x509_parser::prelude::X509CertificationRequest;

const START: NumericDate = NumericDate(1_700_000_000);
const END: NumericDate = NumericDate(1_800_000_000);
const MIDDLE: NumericDate = NumericDate(1_750_000_000);

type Issuer = CertifiedIssuer<'static, CertificateSigner>;

fn new_key(curve: Curve) -> Key {
    Key::generate_type(KeyType::Curve(curve)).unwrap()
}

fn parameters(name: &str, is_ca: IsCa) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.not_before = date_time_ymd(2024, 1, 1);
    parameters.not_after = date_time_ymd(2026, 1, 1);
    parameters.is_ca = is_ca;
    parameters
}

fn authority(name: &str) -> Issuer {
    let signer = CertificateSigner::new(&new_key(Curve::P256)).unwrap();
    Issuer::self_signed(
        parameters(name, IsCa::Ca(BasicConstraints::Unconstrained)),
        signer,
    )
    .unwrap()
}

fn intermediate(root: &Issuer) -> Issuer {
    let signer = CertificateSigner::new(&new_key(Curve::P384)).unwrap();
    Issuer::signed_by(
        parameters("between", IsCa::Ca(BasicConstraints::Unconstrained)),
        signer,
        root,
    )
    .unwrap()
}

fn certificate(key: &Key, parameters: &CertificateParams, by: &Issuer) -> Vec<u8> {
    parameters
        .signed_by(&CertificateSigner::new(key).unwrap(), by)
        .unwrap()
        .der()
        .to_vec()
}

fn roots(of: &[&Issuer]) -> Roots {
    Roots::from_der(of.iter().map(|one| one.der().to_vec()).collect()).unwrap()
}

fn subject(name: &str) -> Subject {
    Subject {
        common_name: Some(name.to_owned()),
        ..Subject::default()
    }
}

fn says(result: Result<(), Error>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.code(), "certificate");
    error.to_string()
}

#[test]
fn a_chain_to_a_root_is_valid_within_its_time() {
    let root = authority("root");
    let between = intermediate(&root);
    let key = new_key(Curve::P256);
    let own = certificate(&key, &parameters("key", IsCa::NoCa), &between);
    let key = key
        .with_certificates(vec![own, between.der().to_vec()])
        .unwrap();
    let trusted = roots(&[&authority("other"), &root]);
    assert_eq!(key.check_certificates(&trusted, MIDDLE), Ok(()));
    for (when, why) in [
        (NumericDate(1_600_000_000), "not valid yet"),
        (NumericDate(1_900_000_000), "has expired"),
        (NumericDate(-1), "before 1970"),
    ] {
        let said = says(key.check_certificates(&trusted, when));
        assert!(said.contains(why), "{said}");
    }
    // The chain survives a JWK.
    let read = Key::from_jwk(key.to_jwk(Part::Private).unwrap().as_bytes()).unwrap();
    assert_eq!(read.check_certificates(&trusted, MIDDLE), Ok(()));
}

#[test]
fn a_chain_to_no_root_is_refused() {
    let root = authority("root");
    let between = intermediate(&root);
    let key = new_key(Curve::Ed25519);
    let own = certificate(&key, &parameters("key", IsCa::NoCa), &between);
    let gap = key.clone().with_certificates(vec![own.clone()]).unwrap();
    let trusted = roots(&[&root]);
    assert!(says(gap.check_certificates(&trusted, MIDDLE)).contains("no root"));
    let full = key
        .with_certificates(vec![own, between.der().to_vec()])
        .unwrap();
    assert_eq!(full.check_certificates(&trusted, MIDDLE), Ok(()));
    // Of the same name, with another key.
    let impostor = roots(&[&authority("root")]);
    assert!(full.check_certificates(&impostor, MIDDLE).is_err());
    let none = new_key(Curve::P256);
    assert!(says(none.check_certificates(&trusted, MIDDLE)).contains("none"));
    let empty = Roots::from_der(Vec::new()).unwrap();
    assert!(full.check_certificates(&empty, MIDDLE).is_err());
}

#[test]
fn a_certificate_that_is_no_authority_vouches_for_nobody() {
    let root = authority("root");
    let signer = CertificateSigner::new(&new_key(Curve::P256)).unwrap();
    let no_authority =
        Issuer::signed_by(parameters("between", IsCa::ExplicitNoCa), signer, &root).unwrap();
    let key = new_key(Curve::P256);
    let own = certificate(&key, &parameters("key", IsCa::NoCa), &no_authority);
    let key = key
        .with_certificates(vec![own, no_authority.der().to_vec()])
        .unwrap();
    assert!(says(key.check_certificates(&roots(&[&root]), MIDDLE)).contains("not an authority's"));
}

#[test]
fn an_authority_certifies_no_key_for_tokens() {
    let root = authority("root");
    let key = new_key(Curve::P256);
    let is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = certificate(&key, &parameters("key", is_ca), &root);
    let key = key.with_certificates(vec![own]).unwrap();
    let said = says(key.check_certificates(&roots(&[&root]), MIDDLE));
    assert!(said.contains("an authority's"), "{said}");
}

#[test]
fn any_extended_key_usage_is_taken() {
    let root = authority("root");
    let key = new_key(Curve::P256);
    for purpose in [
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::CodeSigning,
        ExtendedKeyUsagePurpose::Any,
    ] {
        let mut parameters = parameters("key", IsCa::NoCa);
        parameters.extended_key_usages = vec![purpose];
        let own = certificate(&key, &parameters, &root);
        let key = key.clone().with_certificates(vec![own]).unwrap();
        assert_eq!(key.check_certificates(&roots(&[&root]), MIDDLE), Ok(()));
    }
}

#[test]
fn a_certificate_that_is_a_root_itself_counts_within_its_time() {
    let key = new_key(Curve::P256);
    let own = key
        .self_signed_certificate(&subject("key"), START, END)
        .unwrap();
    let trusted = Roots::from_pem(&certificate_to_pem(&own)).unwrap();
    let key = key.with_certificates(vec![own]).unwrap();
    for when in [START, MIDDLE, END] {
        assert_eq!(key.check_certificates(&trusted, when), Ok(()));
    }
    let early = NumericDate(START.0 - 1);
    assert!(says(key.check_certificates(&trusted, early)).contains("not valid yet"));
    let late = NumericDate(END.0 + 1);
    assert!(says(key.check_certificates(&trusted, late)).contains("expired"));
}

#[test]
fn roots_are_certificates() {
    assert_eq!(
        Roots::from_der(vec![vec![0x30, 0]]).err().unwrap().code(),
        "certificate"
    );
    let key = new_key(Curve::P256);
    let text = key.to_pem(Part::Public, Encoding::Spki).unwrap();
    assert_eq!(Roots::from_pem(&text).err().unwrap().code(), "key_form");
}

#[test]
fn every_key_that_signs_certifies_itself() {
    let full = Subject {
        common_name: Some("Gateway".to_owned()),
        organization: Some("Example".to_owned()),
        organizational_unit: Some("Keys".to_owned()),
        country: Some("DE".to_owned()),
        alternative_names: vec![
            AlternativeName::Dns("gateway.example".to_owned()),
            AlternativeName::Ip([127, 0, 0, 1].into()),
            AlternativeName::Email("keys@gateway.example".to_owned()),
            AlternativeName::Uri("https://gateway.example/".to_owned()),
        ],
    };
    for key_type in [
        KeyType::Rsa { bits: 2048 },
        KeyType::Curve(Curve::P256),
        KeyType::Curve(Curve::P384),
        KeyType::Curve(Curve::P521),
        KeyType::Curve(Curve::Ed25519),
        KeyType::MlDsa(MlDsa::MlDsa44),
        KeyType::MlDsa(MlDsa::MlDsa65),
        KeyType::MlDsa(MlDsa::MlDsa87),
    ] {
        let key = Key::generate_type(key_type).unwrap();
        let der = key.self_signed_certificate(&full, START, END).unwrap();
        let read = parse(&der).unwrap();
        assert_eq!(
            read.subject().to_string(),
            "C=DE, O=Example, OU=Keys, CN=Gateway"
        );
        assert_eq!(read.validity().not_before.timestamp(), START.0);
        assert_eq!(read.validity().not_after.timestamp(), END.0);
        assert!(!read.is_ca());
        let names = read.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 4);
        assert!(read.raw_serial().len() <= 20);

        let (read, form) = Key::parse(&der).unwrap();
        assert_eq!(form, KeyForm::Der(Encoding::Certificate));
        assert_eq!(read.thumbprint(), key.thumbprint());
        assert!(!read.is_private());
        assert_eq!(read.certificates(), std::slice::from_ref(&der));
        let (read, form) = Key::parse(certificate_to_pem(&der).as_bytes()).unwrap();
        assert_eq!(form, KeyForm::Pem(Encoding::Certificate));
        assert_eq!(read.certificates(), std::slice::from_ref(&der));

        // The signature is its own: the certificate is accepted below itself as a root.
        check_signature(&der);

        let request = key.certificate_request(&full).unwrap();
        assert!(request_to_pem(&request).starts_with("-----BEGIN CERTIFICATE REQUEST-----\n"));
        let (rest, request) = X509CertificationRequest::from_der(&request).unwrap();
        assert!(rest.is_empty());
        let info = request.certification_request_info;
        let own = Key::from_encoding(info.subject_pki.raw, Encoding::Spki).unwrap();
        assert_eq!(own.thumbprint(), key.thumbprint());
        assert_eq!(
            info.subject.to_string(),
            "C=DE, O=Example, OU=Keys, CN=Gateway"
        );
    }
}

/// That a self-signed certificate's signature is that of its key.
fn check_signature(der: &[u8]) {
    let certificate = rustls_pki_types::CertificateDer::from(der);
    let own = webpki::EndEntityCert::try_from(&certificate).unwrap();
    let read = parse(der).unwrap();
    let signed = read.tbs_certificate.as_ref();
    let signature = read.signature_value.data.as_ref();
    assert!(
        webpki::ALL_VERIFICATION_ALGS
            .iter()
            .any(|algorithm| own.verify_signature(*algorithm, signed, signature).is_ok())
    );
    let mut other = signature.to_vec();
    other[7] ^= 1;
    assert!(
        !webpki::ALL_VERIFICATION_ALGS
            .iter()
            .any(|algorithm| own.verify_signature(*algorithm, signed, &other).is_ok())
    );
}

#[test]
fn the_key_usage_of_a_certificate_is_that_of_the_key() {
    let usage = |key: &Key| {
        let der = key
            .self_signed_certificate(&subject("key"), START, END)
            .unwrap();
        let certificate = parse(&der).unwrap();
        certificate.key_usage().unwrap().unwrap().value.to_string()
    };
    let key = new_key(Curve::P256);
    assert_eq!(usage(&key), "Digital Signature");
    let key = key.with_use(Some(KeyUse::Encryption)).unwrap();
    assert_eq!(usage(&key), "Key Agreement");
    let key = Key::generate_type(KeyType::Rsa { bits: 2048 })
        .unwrap()
        .with_use(Some(KeyUse::Encryption))
        .unwrap();
    assert_eq!(usage(&key), "Key Encipherment");
}

#[test]
fn two_certificates_of_a_key_have_two_serial_numbers() {
    let key = new_key(Curve::Ed25519);
    let serial = || {
        let der = key
            .self_signed_certificate(&subject("key"), START, END)
            .unwrap();
        parse(&der).unwrap().raw_serial().to_vec()
    };
    assert_ne!(serial(), serial());
}

#[test]
fn keys_that_cannot_certify_are_refused_in_words() {
    for key in [
        new_key(Curve::X25519),
        new_key(Curve::Secp256k1),
        Key::from_secret(&[1; 32]).unwrap(),
    ] {
        for result in [
            key.certificate_request(&subject("x")),
            key.self_signed_certificate(&subject("x"), START, END),
        ] {
            let error = result.unwrap_err();
            assert_eq!(error.code(), "key_unfit");
            assert!(error.to_string().contains(&key.description()), "{error}");
        }
    }
    for curve in [Curve::P256, Curve::Ed25519] {
        let public = new_key(curve).public().unwrap();
        assert_eq!(
            public.certificate_request(&subject("x")),
            Err(Error::NoPrivateKey)
        );
    }
}

/// The signer stands for one outside: all that is taken of it is its signature.
#[test]
fn a_request_that_is_signed_outside_is_the_keys_own() {
    use crate::SignatureAlgorithm as A;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ED25519,
        RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
    };
    let verifications: [(A, &dyn VerificationAlgorithm); 5] = [
        (A::Es256, &ECDSA_P256_SHA256_ASN1),
        (A::Es384, &ECDSA_P384_SHA384_ASN1),
        (A::Es512, &ECDSA_P521_SHA512_ASN1),
        (A::Ed25519, &ED25519),
        (A::Rs256, &RSA_PKCS1_2048_8192_SHA256),
    ];
    let payments = subject("payments");
    // Often enough that numbers of a signature begin with zeros.
    for (algorithm, verification) in verifications.into_iter().cycle().take(60) {
        let key = crate::signature::test_keys::for_algorithm(algorithm);
        let public = key.public().unwrap();
        assert_eq!(public.certificate_algorithm(), Some(algorithm));
        let signer = crate::LocalSigner::new(&key, algorithm).unwrap();
        let request = public.certificate_request_with(&payments, &signer);
        let request = crate::signature::tests::futures_now(request).unwrap();
        let (rest, read) = X509CertificationRequest::from_der(&request).unwrap();
        assert!(rest.is_empty());
        let info = &read.certification_request_info;
        assert_eq!(info.subject.to_string(), "CN=payments");
        let spki = &info.subject_pki;
        let own = Key::from_encoding(spki.raw, Encoding::Spki).unwrap();
        assert_eq!(own.thumbprint(), key.thumbprint());
        UnparsedPublicKey::new(verification, &spki.subject_public_key.data)
            .verify(info.raw, &read.signature_value.data)
            .unwrap();
    }
    let key = crate::signature::test_keys::rsa();
    let other = crate::LocalSigner::new(&key, A::Ps256).unwrap();
    let request = key.certificate_request_with(&payments, &other);
    let refused = crate::signature::tests::futures_now(request).unwrap_err();
    assert_eq!(refused.code(), "key_unfit");
    let none = new_key(Curve::X25519);
    assert_eq!(none.certificate_algorithm(), None);
}

#[test]
fn a_subject_that_cannot_be_written_is_refused() {
    let key = new_key(Curve::Ed25519);
    let named = subject("x");
    let country = |country: &str| Subject {
        country: Some(country.to_owned()),
        ..named.clone()
    };
    let alternative = |name| Subject {
        alternative_names: vec![name],
        ..Subject::default()
    };
    for bad in [
        Subject::default(),
        subject(""),
        subject(&"x".repeat(65)),
        country("de"),
        country("DEU"),
        country("\u{c4}"),
        alternative(AlternativeName::Dns(String::new())),
        alternative(AlternativeName::Dns("b\u{fc}cher.example".to_owned())),
        alternative(AlternativeName::Email("a b@c".to_owned())),
        alternative(AlternativeName::Uri("https://x/\n".to_owned())),
    ] {
        let error = key.certificate_request(&bad).unwrap_err();
        assert_eq!(error.code(), "certificate", "{bad:?}");
    }
    let many = Subject {
        alternative_names: vec![AlternativeName::Dns("a.example".to_owned()); 101],
        ..Subject::default()
    };
    assert_eq!(
        key.certificate_request(&many).unwrap_err().code(),
        "too_large"
    );
    assert!(
        key.certificate_request(&alternative(AlternativeName::Dns("a.example".to_owned())))
            .is_ok()
    );
}

#[test]
fn times_that_a_certificate_cannot_name_are_refused() {
    let key = new_key(Curve::Ed25519);
    for (from, until) in [
        (END, START),
        (START, START),
        (NumericDate(-1), END),
        (START, NumericDate(253_402_300_800)),
        (START, NumericDate(i64::MAX)),
    ] {
        let error = key
            .self_signed_certificate(&subject("x"), from, until)
            .unwrap_err();
        assert_eq!(error.code(), "certificate", "{from:?} {until:?}");
    }
    for (from, until) in [
        (NumericDate(0), NumericDate(253_402_300_799)),
        (NumericDate(2_524_607_999), NumericDate(2_524_608_000)),
    ] {
        let der = key
            .self_signed_certificate(&subject("x"), from, until)
            .unwrap();
        let validity = parse(&der).unwrap().validity().clone();
        assert_eq!(validity.not_before.timestamp(), from.0);
        assert_eq!(validity.not_after.timestamp(), until.0);
    }
}

#[test]
fn a_pem_file_of_a_key_and_its_certificates_has_both() {
    let root = authority("root");
    let key = new_key(Curve::P256);
    let own = certificate(&key, &parameters("key", IsCa::NoCa), &root);
    let text = |certificates: &[&[u8]]| {
        let mut text = key
            .to_pem(Part::Private, Encoding::Pkcs8)
            .unwrap()
            .to_string();
        for der in certificates {
            text.push_str(&certificate_to_pem(der));
        }
        text
    };
    let read = Key::from_pem(&text(&[&own, root.der()])).unwrap();
    assert!(read.is_private());
    assert_eq!(read.certificates(), [own.clone(), root.der().to_vec()]);
    assert_eq!(read.check_certificates(&roots(&[&root]), MIDDLE), Ok(()));

    let error = Key::from_pem(&text(&[root.der(), &own])).unwrap_err();
    assert!(error.to_string().contains("another key"), "{error}");

    let chain = certificate_to_pem(&own) + &certificate_to_pem(root.der());
    let read = Key::from_pem(&chain).unwrap();
    assert_eq!(read.certificates().len(), 2);
    assert!(!read.is_private());
    assert_eq!(
        certificates_from_pem(&chain).unwrap(),
        [own, root.der().to_vec()]
    );
}
