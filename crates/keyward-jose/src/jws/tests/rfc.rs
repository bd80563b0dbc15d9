//! The examples of the RFCs.

use crate::jws::{compact, flattened, general};
use crate::signature::test_keys::{RSA, jwk, named};
use crate::{Key, SignatureAlgorithm as A, Verifiers};
use serde_json::{Value, json};

/// The payload of RFC 7515, appendix A.1 to A.3, encoded and decoded.
const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const CLAIMS: &str =
    "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";

const OCT: &str = r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;
const P256: &str = r#"{"kty":"EC","crv":"P-256",
    "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    "d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;
const P521: &str = r#"{"kty":"EC","crv":"P-521",
    "x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
    "y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
    "d":"AY5pb7A0UFiB3RELSD64fTLOSV_jazdF7fLYyuTw8lOfRhWg6Y6rUrPAxerEzgdRhajnu0ferB0d53vM9mE15j2C"}"#;
const ED25519: &str = r#"{"kty":"OKP","crv":"Ed25519",
    "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

const RS256_SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const ES256_SIGNATURE: &str =
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

fn set(key: &Key) -> Verifiers {
    Verifiers::new(std::slice::from_ref(key), &[])
}

#[track_caller]
fn check(key: &str, token: &str, payload: &str) {
    let jws = compact::verify(token, &set(&jwk(key))).unwrap();
    assert_eq!(jws.payload, payload.as_bytes());
}

#[test]
fn rfc7515_a1_hs256() {
    let token = format!(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{PAYLOAD}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
    check(OCT, &token, CLAIMS);
}

#[test]
fn rfc7515_a2_rs256() {
    let token = format!("eyJhbGciOiJSUzI1NiJ9.{PAYLOAD}.{RS256_SIGNATURE}");
    check(RSA, &token, CLAIMS);
    // This algorithm signs the same message to the same signature always.
    let message = format!("eyJhbGciOiJSUzI1NiJ9.{PAYLOAD}");
    assert_eq!(super::sign_text(message, &jwk(RSA), A::Rs256), token);
}

#[test]
fn rfc7515_a3_es256() {
    check(
        P256,
        &format!("eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}.{ES256_SIGNATURE}"),
        CLAIMS,
    );
}

#[test]
fn rfc7515_a4_es512() {
    let token = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
    check(P521, token, "Payload");
}

#[test]
fn rfc7515_a5_unsecured_is_refused() {
    let token = format!("eyJhbGciOiJub25lIn0.{PAYLOAD}.");
    for key in [OCT, RSA, P256] {
        let error = compact::verify(&token, &set(&jwk(key))).unwrap_err();
        assert_eq!(error.code(), "algorithm_not_allowed");
    }
}

/// The keys of appendix A.2 and A.3 by the names that appendix A.6 gives them.
fn two_keys() -> Verifiers {
    let keys = [
        named("2010-12-29", &jwk(RSA)),
        named("e9bc097a-ce51-4036-9562-d2ade882db0d", &jwk(P256)),
    ];
    Verifiers::new(&keys, &[])
}

fn general_example() -> Value {
    json!({
        "payload": PAYLOAD,
        "signatures": [
            {
                "protected": "eyJhbGciOiJSUzI1NiJ9",
                "header": {"kid": "2010-12-29"},
                "signature": RS256_SIGNATURE,
            },
            {
                "protected": "eyJhbGciOiJFUzI1NiJ9",
                "header": {"kid": "e9bc097a-ce51-4036-9562-d2ade882db0d"},
                "signature": ES256_SIGNATURE,
            },
        ],
    })
}

#[test]
fn rfc7515_a6_general() {
    let text = general_example().to_string();
    for jws in [
        general::verify_all(&text, &two_keys()).unwrap(),
        general::verify_any(&text, &two_keys()).unwrap(),
    ] {
        assert_eq!(jws.payload, CLAIMS.as_bytes());
        let kids: Vec<_> = jws.verified().map(|one| one.kid().unwrap()).collect();
        assert_eq!(kids, ["2010-12-29", "e9bc097a-ce51-4036-9562-d2ade882db0d"]);
    }
}

#[test]
fn general_with_one_bad_signature_passes_any_and_not_all() {
    let mut example = general_example();
    example["signatures"][0]["signature"] = "AAAA".into();
    let text = example.to_string();
    let jws = general::verify_any(&text, &two_keys()).unwrap();
    assert_eq!(
        jws.signatures[0].as_ref().unwrap_err().code(),
        "signature_invalid"
    );
    assert!(jws.signatures[1].is_ok());
    assert_eq!(
        general::verify_all(&text, &two_keys()).unwrap_err().code(),
        "signature_invalid"
    );
    example["signatures"][1]["signature"] = "AAAA".into();
    assert!(general::verify_any(&example.to_string(), &two_keys()).is_err());
}

#[test]
fn rfc7515_a7_flattened() {
    let text = json!({
        "payload": PAYLOAD,
        "protected": "eyJhbGciOiJFUzI1NiJ9",
        "header": {"kid": "e9bc097a-ce51-4036-9562-d2ade882db0d"},
        "signature": ES256_SIGNATURE,
    });
    let jws = flattened::verify(&text.to_string(), &two_keys()).unwrap();
    assert_eq!(jws.payload, CLAIMS.as_bytes());
    assert_eq!(
        jws.signature.kid(),
        Some("e9bc097a-ce51-4036-9562-d2ade882db0d")
    );
}

#[test]
fn rfc7515_e_unknown_crit_is_refused() {
    let header = r#"{"alg":"HS256","crit":["http://example.invalid/UNDEFINED"],"http://example.invalid/UNDEFINED":true}"#;
    let token = super::forge(header, b"FAIL", &jwk(OCT), A::Hs256);
    let error = compact::verify(&token, &set(&jwk(OCT))).unwrap_err();
    assert_eq!(error.code(), "critical_extension");
}

const UNENCODED: &str = "eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19";
const UNENCODED_SIGNATURE: &str = "A5dxf2s96_n5FLueVuW1Z_vh161FwXZC4YLPff6dmDY";

#[test]
fn rfc7797_4_1_control() {
    check(
        OCT,
        "eyJhbGciOiJIUzI1NiJ9.JC4wMg.5mvfOroL-g7HyqJoozehmsaqmvTYGEq5jTI1gVvoEoQ",
        "$.02",
    );
}

#[test]
fn rfc7797_4_2_unencoded_detached() {
    let token = format!("{UNENCODED}..{UNENCODED_SIGNATURE}");
    let verifiers = set(&jwk(OCT));
    let signature = compact::verify_detached(&token, b"$.02", &verifiers).unwrap();
    assert!(signature.protected.is_payload_unencoded());
    assert!(compact::verify_detached(&token, b"JC4wMg", &verifiers).is_err());
    assert!(compact::verify(&token, &verifiers).is_err());
    let flat = json!({
        "protected": UNENCODED,
        "payload": "$.02",
        "signature": UNENCODED_SIGNATURE,
    });
    let jws = flattened::verify(&flat.to_string(), &verifiers).unwrap();
    assert_eq!(jws.payload, b"$.02");
}

#[test]
fn unencoded_payload_with_a_full_stop_is_refused_in_compact_form() {
    let signer = crate::LocalSigner::new(&jwk(OCT), A::Hs256).unwrap();
    let header = crate::jws::Header::for_signer(&signer).with_unencoded_payload();
    assert_eq!(
        compact::sign(b"$.02", &header, &signer).unwrap_err().code(),
        "serialization"
    );
    let text = format!("{UNENCODED}.$.02.{UNENCODED_SIGNATURE}");
    assert_eq!(
        compact::verify(&text, &set(&jwk(OCT))).unwrap_err().code(),
        "serialization"
    );
    let token = compact::sign(b"$2", &header, &signer).unwrap();
    assert!(token.contains(".$2."));
    assert_eq!(
        compact::verify(&token, &set(&jwk(OCT))).unwrap().payload,
        b"$2"
    );
}

#[test]
fn rfc8037_a4_eddsa() {
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    check(ED25519, token, "Example of Ed25519 signing");
    let message = token.rsplit_once('.').unwrap().0.to_owned();
    assert_eq!(super::sign_text(message, &jwk(ED25519), A::EdDsa), token);
}

/// The key and the payload of RFC 8037 under the name that RFC 9864 gives the algorithm; the signature is
/// of another implementation.
#[test]
fn rfc9864_ed25519() {
    let token = "eyJhbGciOiJFZDI1NTE5In0.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.UxhIYLHGg39NVCLpQAVD_UcfOmnGSCzLFZoXYkLiIbFccmOb_qObsgjzLKsfJw-4NlccUgvYrEHrRbNV0HcZAQ";
    check(ED25519, token, "Example of Ed25519 signing");
    let only_eddsa = Verifiers::new(&[jwk(ED25519)], &[A::EdDsa]);
    assert_eq!(
        compact::verify(token, &only_eddsa).unwrap_err().code(),
        "algorithm_not_allowed"
    );
}

#[test]
fn rfc9964_ml_dsa() {
    let examples: Vec<Value> = serde_json::from_str(include_str!("vectors/rfc9964.json")).unwrap();
    assert_eq!(examples.len(), 3);
    for example in examples {
        check(
            &example["jwk"].to_string(),
            example["jws"].as_str().unwrap(),
            "It\u{2019}s a dangerous business, Frodo, going out your door.",
        );
    }
}
