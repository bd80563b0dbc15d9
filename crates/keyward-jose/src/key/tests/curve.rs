use super::vectors::*;
use super::*;

#[test]
fn a_point_off_the_curve_is_refused() {
    for text in [RFC7517_EC, SECP256K1_JWK] {
        let off = with(text, "y", json!(base64url_of(&[1; 32])));
        check_refused(&off, "key_invalid", "not on the curve");
        check_refused(
            &with(&off, "d", Value::Null),
            "key_invalid",
            "not on the curve",
        );
    }
    for (curve, bytes) in [("P-384", 48), ("P-521", 66)] {
        let part = base64url_of(&vec![0; bytes]);
        let text = json!({"kty": "EC", "crv": curve, "x": part, "y": part}).to_string();
        check_refused(&text, "key_invalid", "not on the curve");
    }
    // The point of one curve on another: 32 bytes both.
    check_refused(
        &with(SECP256K1_JWK, "crv", json!("P-256")),
        "key_invalid",
        "not on the curve",
    );
}

#[test]
fn an_ed25519_point_off_the_curve_or_of_small_order_is_refused() {
    let ed25519 =
        |x: [u8; 32]| json!({"kty": "OKP", "crv": "Ed25519", "x": base64url_of(&x)}).to_string();
    let with_first = |first: u8, rest: u8, last: u8| {
        let mut x = [rest; 32];
        x[0] = first;
        x[31] = last;
        x
    };
    for (x, says) in [
        (with_first(2, 0, 0), "not on the curve"),
        // y is the field's prime, and the prime plus one: zero and one in another spelling.
        (with_first(0xed, 0xff, 0x7f), "not on the curve"),
        (with_first(0xee, 0xff, 0x7f), "not on the curve"),
        // x is zero with a sign.
        (with_first(1, 0, 0x80), "not on the curve"),
        (with_first(1, 0, 0), "small order"),
        (with_first(0xec, 0xff, 0x7f), "small order"),
        (with_first(0, 0, 0), "small order"),
        (with_first(0, 0, 0x80), "small order"),
    ] {
        check_refused(&ed25519(x), "key_invalid", says);
    }
    // Of order 8 (found by multiplying a point by the order of the prime group).
    for x in [
        "x2px1z1Nhk-6PDt2DWcQDyogU_osOcxOxn_3eSrAN_o",
        "JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU",
    ] {
        let text = json!({"kty": "OKP", "crv": "Ed25519", "x": x}).to_string();
        assert!(Key::from_jwk(text.as_bytes()).is_err_and(|error| error.code() == "key_invalid"));
    }
}

#[test]
fn an_x25519_key_that_makes_every_secret_known_is_refused() {
    for first in [0, 1] {
        let mut x = [0; 32];
        x[0] = first;
        let text = json!({"kty": "OKP", "crv": "X25519", "x": base64url_of(&x)}).to_string();
        check_refused(&text, "key_invalid", "every shared secret known");
    }
}

#[test]
fn a_private_number_out_of_range_is_refused() {
    // P-256's order, and zero.
    for d in [
        "_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE".to_owned(),
        base64url_of(&[0; 32]),
    ] {
        check_refused(&with(RFC7517_EC, "d", json!(d)), "key_invalid", "");
    }
}
