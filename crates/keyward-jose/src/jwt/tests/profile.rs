use super::{AUDIENCE, ISSUER, NOW, good, key, strict, verifiers, verify_text};
use crate::jws::tests::forge;
use crate::jwt::{Claims, Profile, ProfileBuilder, sign, verify};
use crate::{Error, LocalSigner, NumericDate, SignatureAlgorithm as A};

fn result(claims: &Claims, profile: ProfileBuilder, now: NumericDate) -> Result<(), Error> {
    let signer = LocalSigner::new(&key(), A::Hs256).unwrap();
    let token = sign(claims, &signer, "JWT").unwrap();
    verify(&token, &verifiers(), &profile.build().unwrap(), now).map(drop)
}

#[track_caller]
fn check(claims: &Claims, profile: ProfileBuilder, expected: Result<(), Error>) {
    assert_eq!(result(claims, profile, NOW), expected);
}

#[test]
fn expired_token_is_refused() {
    let claims = good().with_expiry(NOW);
    check(&claims, strict(), Err(Error::Expired(0)));
    check(&claims, strict().leeway(1), Ok(()));
    let claims = good().with_expiry(NOW.minus(30));
    check(&claims, strict().leeway(30), Err(Error::Expired(30)));
    check(&claims, strict().leeway(31), Ok(()));
    check(&claims, strict().expiry_optional(), Err(Error::Expired(30)));
}

#[test]
fn token_without_expiry_is_refused_unless_said_otherwise() {
    let mut map = good().into_map();
    map.remove("exp");
    let claims = Claims::from_map(map).unwrap();
    check(
        &claims,
        strict(),
        Err(Error::ClaimMissing("exp".to_owned())),
    );
    check(&claims, strict().expiry_optional(), Ok(()));
}

#[test]
fn token_before_its_time_is_refused() {
    let claims = good().with_not_before(NOW.plus(10));
    check(&claims, strict(), Err(Error::NotYetValid(10)));
    check(&claims, strict().leeway(9), Err(Error::NotYetValid(10)));
    check(&claims, strict().leeway(10), Ok(()));
    check(&good().with_not_before(NOW), strict(), Ok(()));
}

#[test]
fn token_from_the_future_is_refused() {
    let claims = good().with_issued_at(NOW.plus(10));
    check(&claims, strict(), Err(Error::IssuedInFuture(10)));
    check(&claims, strict().leeway(10), Ok(()));
}

#[test]
fn token_over_the_maximum_age_is_refused() {
    let claims = good().with_issued_at(NOW.minus(101));
    check(&claims, strict().age_max(100), Err(Error::TooOld(100)));
    check(&claims, strict().age_max(100).leeway(1), Ok(()));
    check(&claims, strict().age_max(101), Ok(()));
    let mut map = good().into_map();
    map.remove("iat");
    let claims = Claims::from_map(map).unwrap();
    check(
        &claims,
        strict().age_max(100),
        Err(Error::ClaimMissing("iat".to_owned())),
    );
    check(&claims, strict(), Ok(()));
}

#[test]
fn issuer_is_compared_exactly() {
    for other in [
        "https://issuer.example/",
        "https://ISSUER.example",
        "",
        "https://issuer.exampl",
    ] {
        check(
            &good().with_issuer(other),
            strict(),
            Err(Error::IssuerMismatch),
        );
        check(&good().with_issuer(other), strict().issuer(other), Ok(()));
    }
    let mut map = good().into_map();
    map.remove("iss");
    let claims = Claims::from_map(map).unwrap();
    check(
        &claims,
        strict(),
        Err(Error::ClaimMissing("iss".to_owned())),
    );
    check(&claims, strict().any_issuer(), Ok(()));
}

#[test]
fn token_for_another_audience_is_refused() {
    check(
        &good().with_audience(["https://other.example"]),
        strict(),
        Err(Error::AudienceMismatch),
    );
    check(
        &good().with_audience([""; 0]),
        strict(),
        Err(Error::AudienceMismatch),
    );
    check(
        &good().with_audience(["https://other.example", AUDIENCE]),
        strict(),
        Ok(()),
    );
    let mut map = good().into_map();
    map.remove("aud");
    let claims = Claims::from_map(map).unwrap();
    check(
        &claims,
        strict(),
        Err(Error::ClaimMissing("aud".to_owned())),
    );
    check(&claims, strict().any_audience(), Ok(()));
}

#[test]
fn required_claims_have_to_be_there() {
    check(&good(), strict().require("sub").require("iat"), Ok(()));
    check(
        &good(),
        strict().require("jti"),
        Err(Error::ClaimMissing("jti".to_owned())),
    );
}

fn typ(header_typ: Option<&str>, profile: ProfileBuilder) -> Result<(), Error> {
    let member = header_typ.map_or(String::new(), |typ| format!(r#","typ":"{typ}""#));
    let header = format!(r#"{{"alg":"HS256"{member}}}"#);
    let claims = serde_json::to_vec(good().map()).unwrap();
    let token = forge(&header, &claims, &key(), A::Hs256);
    verify(&token, &verifiers(), &profile.build().unwrap(), NOW).map(drop)
}

#[test]
fn typ_is_compared_as_a_media_type() {
    let access = || strict().typ("at+jwt");
    for same in [
        "at+jwt",
        "AT+JWT",
        "application/at+jwt",
        "Application/AT+jwt",
    ] {
        assert_eq!(typ(Some(same), access()), Ok(()), "{same}");
        assert_eq!(typ(Some("at+jwt"), strict().typ(same)), Ok(()), "{same}");
    }
    for other in [
        "JWT",
        "at+jwt ",
        "text/at+jwt",
        "",
        "at",
        "application/application/at+jwt",
    ] {
        assert_eq!(
            typ(Some(other), access()),
            Err(Error::TypeMismatch),
            "{other}"
        );
    }
    assert_eq!(typ(None, access()), Err(Error::TypeMismatch));
    assert_eq!(typ(None, access().typ_optional()), Ok(()));
    assert_eq!(typ(Some("JWT"), access().typ("JWT")), Ok(()));
    // Without a word about it.
    assert_eq!(typ(None, strict()), Ok(()));
    assert_eq!(typ(Some("JWT"), strict()), Ok(()));
    assert_eq!(typ(Some("logout+jwt"), strict()), Err(Error::TypeMismatch));
}

#[test]
fn algorithm_outside_the_profile_is_refused() {
    check(&good(), strict().algorithm(A::Hs256), Ok(()));
    check(
        &good(),
        strict().algorithm(A::Es256),
        Err(Error::AlgorithmNotAllowed("HS256".to_owned())),
    );
}

#[test]
fn token_over_the_size_is_refused() {
    let claims = |size: usize| format!(r#"{{"x":"{}"}}"#, "x".repeat(size));
    let open = || {
        Profile::builder()
            .any_issuer()
            .any_audience()
            .expiry_optional()
    };
    assert!(verify_text(&claims(11_000), open()).is_ok());
    assert_eq!(
        verify_text(&claims(13_000), open()).unwrap_err().code(),
        "too_large"
    );
    assert!(verify_text(&claims(13_000), open().size_max(20_000)).is_ok());
    assert_eq!(
        verify_text(&claims(100), open().size_max(50))
            .unwrap_err()
            .code(),
        "too_large"
    );
}

#[test]
fn profile_that_leaves_something_open_is_refused() {
    for incomplete in [
        Profile::builder(),
        Profile::builder().issuer(ISSUER),
        Profile::builder().audience(AUDIENCE),
        strict().leeway(301),
    ] {
        assert_eq!(incomplete.build().unwrap_err().code(), "profile");
    }
}
