use super::vectors::*;
use super::*;

#[test]
fn an_rsa_key_of_d_alone_is_completed() {
    let mut text = RFC7517_RSA.to_owned();
    for name in ["p", "q", "dp", "dq", "qi"] {
        text = with(&text, name, Value::Null);
    }
    assert!(same(&key(&text), &key(RFC7517_RSA)));

    let wrong = with(&text, "d", json!("X4cTteJY_gn4FYPsXB8rdQ"));
    check_refused(&wrong, "key_invalid", "`d` does not belong");
    // Even, so that e·d − 1 is odd.
    let wrong = with(&text, "d", json!("X4cTteJY_gn4FYPsXB8rdA"));
    check_refused(&wrong, "key_invalid", "`d` does not belong");
}

/// Any inverse of `e` modulo lcm(p − 1, q − 1) may be `d` (RFC 8017, section 3.2).
#[test]
fn an_rsa_key_of_another_d_alone_is_completed() {
    use num_bigint::BigUint;
    let own = key(RFC7517_RSA);
    let Material::Rsa(rsa) = &own.material else {
        panic!("RSA");
    };
    let private = rsa.private.as_ref().unwrap();
    let one = BigUint::from(1_u8);
    let p = BigUint::from_bytes_be(&private.p) - &one;
    let q = BigUint::from_bytes_be(&private.q) - &one;
    let (mut a, mut b) = (p.clone(), q.clone());
    while b != BigUint::ZERO {
        (a, b) = (b.clone(), a % b);
    }
    let another = BigUint::from_bytes_be(&private.d) + &p * &q / a;
    let d = Zeroizing::new(another.to_bytes_be());
    let found = Rsa::complete(rsa.n.clone(), rsa.e.clone(), d).unwrap();
    let found = found.private.unwrap();
    assert_eq!(*found.p, *private.p);
    assert_eq!(*found.qi, *private.qi);
    assert_eq!(*found.dp, *private.dp);
}

#[test]
fn a_new_rsa_key_is_completed() {
    for _ in 0..3 {
        let own = Key::generate_type(KeyType::Rsa { bits: 2048 }).unwrap();
        let mut text = own.to_jwk(Part::Private).unwrap().to_string();
        for name in ["p", "q", "dp", "dq", "qi"] {
            text = with(&text, name, Value::Null);
        }
        let read = key(&text);
        assert!(read.is_private());
        assert_eq!(read.thumbprint(), own.thumbprint());
    }
}

#[test]
fn rsa_members_are_all_there_or_none() {
    for name in ["p", "q", "dp", "dq", "qi", "d"] {
        check_refused(
            &with(RFC7517_RSA, name, Value::Null),
            "key_member",
            "RFC 7518, section 6.3.2",
        );
    }
    check_refused(
        &with(RFC7517_RSA, "oth", json!([])),
        "key_member",
        "more than two primes",
    );
}

#[test]
fn an_rsa_key_out_of_bounds_is_refused() {
    let n = |bytes: usize, first: u8, last: u8| {
        let mut n = vec![0xa5; bytes];
        n[0] = first;
        n[bytes - 1] = last;
        json!(base64url_of(&n))
    };
    let public = |n: Value, e: &str| json!({"kty": "RSA", "n": n, "e": e}).to_string();
    key(&public(n(256, 0x80, 1), "AQAB"));
    key(&public(n(1024, 0x80, 1), "Aw"));
    for (n, e, says) in [
        (n(256, 0x7f, 1), "AQAB", "2047 bits"),
        (n(128, 0x80, 1), "AQAB", "1024 bits"),
        (n(1025, 1, 1), "AQAB", "8193 bits"),
        (n(256, 0x80, 2), "AQAB", "even"),
        (n(256, 0x80, 1), "AQ", "exponent"),
        (n(256, 0x80, 1), "Ag", "exponent"),
        (n(256, 0x80, 1), "AQAA", "exponent"),
        (n(256, 0x80, 1), "BAAAAAE", "exponent"),
    ] {
        check_refused(&public(n, e), "key_invalid", says);
    }
    for (n, e) in [
        (n(256, 0, 1), "AQAB"),
        (n(256, 0x80, 1), "AAEAAQ"),
        (n(256, 0x80, 1), "AA"),
        (json!(""), "AQAB"),
    ] {
        assert!(Key::from_jwk(public(n, e).as_bytes()).is_err());
    }
    check_refused(&public(n(256, 0, 1), "AQAB"), "key_member", "leading zero");
}
