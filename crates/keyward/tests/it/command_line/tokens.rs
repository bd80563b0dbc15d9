//! `keyward jwt`.

use crate::shell::{Shell, json};
use keyward_testkit::IssuerServer;

#[test]
fn tokens_get_their_times_and_are_held_against_what_is_asked() {
    let shell = Shell::new();
    let (private, public) = shell.key("ES256");
    let claims = r#"{"iss":"https://issuer.example","sub":"alice","aud":["orders","bills"]}"#;
    let sign = |more: &[&str]| {
        let arguments = [
            &["jwt", "sign", "--key", &private, "--claims", claims],
            more,
        ]
        .concat();
        shell.pipe(&arguments, b"")
    };
    let token = sign(&["--expires-in", "5m", "--typ", "at+jwt"]);
    let verified = json(&shell.pipe(
        &[
            "jwt",
            "verify",
            "--key",
            &public,
            "--iss",
            "https://issuer.example",
            "--aud",
            "orders",
            "--leeway",
            "30s",
        ],
        &token,
    ));
    assert_eq!(verified["sub"], "alice");
    assert_eq!(
        verified["exp"].as_i64().unwrap() - verified["iat"].as_i64().unwrap(),
        300
    );
    assert_eq!(verified["jti"].as_str().map(str::len), Some(32));
    let decoded = shell.run(&["jwt", "decode"], &token);
    assert_eq!(json(&decoded.stdout)["header"]["typ"], "at+jwt");
    assert!(
        String::from_utf8(decoded.stderr)
            .unwrap()
            .contains("unverified")
    );

    let old = shell.pipe(
        &["jwt", "sign", "--key", &private],
        br#"{"exp":1000000000,"iat":999999000}"#,
    );
    let ahead = shell.pipe(
        &["jwt", "sign", "--key", &private],
        br#"{"nbf":4000000000}"#,
    );
    let (other, _) = shell.key("ES384");
    for (token, arguments, code) in [
        (
            &token,
            &["--key", &public, "--aud", "wages"][..],
            "audience_mismatch",
        ),
        (
            &token,
            &["--key", &public, "--iss", "https://other.example"],
            "issuer_mismatch",
        ),
        (&token, &["--key", &public, "--typ", "JWT"], "type_mismatch"),
        (&token, &["--key", &other], "algorithm_not_allowed"),
        (&token, &["--key", &public, "--alg", "ES384"], "key_unfit"),
        (&token, &["--key", &public, "--leeway", "10m"], "profile"),
        (&old, &["--key", &public], "expired"),
        (&old, &["--key", &public, "--max-age", "1h"], "expired"),
        (&ahead, &["--key", &public], "not_yet_valid"),
    ] {
        let line = shell.refusal(&[&["jwt", "verify"], arguments].concat(), token);
        assert!(line.ends_with(&format!("[{code}]\n")), "{code}: {line}");
    }
}

#[test]
fn a_token_is_signed_then_encrypted_and_read_the_other_way_round() {
    let shell = Shell::new();
    let (signing, verifying) = shell.key("ES256");
    let (decrypting, encrypting) = shell.key("ECDH-ES+A256KW");
    let token = shell.pipe(
        &[
            "jwt",
            "sign",
            "--key",
            &signing,
            "--claims",
            r#"{"sub":"alice"}"#,
            "--encrypt-to",
            &encrypting,
        ],
        b"",
    );
    let verify = ["jwt", "verify", "--key", &verifying];
    let claims = shell.pipe(
        &[&verify[..], &["--decrypt-key", &decrypting]].concat(),
        &token,
    );
    assert_eq!(json(&claims)["sub"], "alice");
    assert!(
        shell
            .refusal(&verify, &token)
            .contains("the token is encrypted")
    );
    let inside = shell.pipe(&["jwe", "decrypt", "--key", &decrypting], &token);
    let line = shell.refusal(
        &[&verify[..], &["--decrypt-key", &decrypting]].concat(),
        &inside,
    );
    assert!(line.contains("an encrypted one was expected"), "{line}");
    let no_token = shell.pipe(
        &["jwe", "encrypt", "--key", &encrypting, "--enc", "A128GCM"],
        &inside,
    );
    let line = shell.refusal(
        &[&verify[..], &["--decrypt-key", &decrypting]].concat(),
        &no_token,
    );
    assert!(line.ends_with("[header]\n"), "{line}");
}

#[test]
fn a_public_key_never_verifies_an_hmac() {
    use aws_lc_rs::hmac;
    let shell = Shell::new();
    let (_, public) = shell.key("RS256");
    let pem = shell.pipe(&["jwk", "convert", "--to", "pem", &public], b"");
    shell.file("public.pem", &pem);
    let signed = format!(
        "{}.{}",
        base64url(br#"{"alg":"HS256"}"#),
        base64url(br#"{"exp":4000000000}"#)
    );
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &pem), signed.as_bytes());
    let token = format!("{signed}.{}", base64url(mac.as_ref()));
    for arguments in [&["--key", "public.pem"][..], &["--key", &public]] {
        let line = shell.refusal(&[&["jwt", "verify"], arguments].concat(), token.as_bytes());
        assert!(line.ends_with("[algorithm_not_allowed]\n"), "{line}");
    }
    let secret = serde_json::json!({ "kty": "oct", "k": base64url(&pem) }).to_string();
    shell.file("secret", secret.as_bytes());
    let line = shell.refusal(&["jwt", "verify", "--key", "secret"], token.as_bytes());
    assert!(line.ends_with("[key_invalid]\n"), "{line}");
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .fold(0u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for index in 0..=chunk.len() {
            let six = usize::try_from(word >> (18 - 6 * index) & 63).unwrap();
            text.push(char::from(ALPHABET[six]));
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_an_issuer_are_found_through_its_metadata() {
    let shell = Shell::new();
    let (private, _) = shell.key("ES256");
    let set = shell.pipe(&["jwk", "public", "--set", &private], b"");
    let server = IssuerServer::start(String::from_utf8(set).unwrap()).await;
    let origin = format!("http://{}", server.address());
    let tenant = format!("{origin}/tenant");
    server.set_metadata("/.well-known/openid-configuration", &origin);
    // RFC 8414, section 3.1: between the host and the path.
    server.set_metadata("/.well-known/oauth-authorization-server/tenant", &tenant);
    server.set_metadata("/liar/.well-known/openid-configuration", &origin);
    let token_of = |issuer: &str| {
        let claims = serde_json::json!({ "iss": issuer }).to_string();
        shell.pipe(
            &["jwt", "sign", "--key", &private, "--claims", &claims],
            b"",
        )
    };
    let with_keys_of = |issuer: &str| {
        let arguments = ["jwt", "verify", "--allow", "127.0.0.1", "--issuer", issuer];
        arguments.map(str::to_owned)
    };
    for issuer in [&origin, &tenant] {
        let claims = shell.pipe(
            &with_keys_of(issuer).each_ref().map(String::as_str),
            &token_of(issuer),
        );
        assert_eq!(json(&claims)["iss"], *issuer);
    }
    let line = shell.refusal(
        &with_keys_of(&origin).each_ref().map(String::as_str),
        &token_of(&tenant),
    );
    assert!(line.ends_with("[issuer_mismatch]\n"), "{line}");
    let liar = format!("{origin}/liar");
    let line = shell.refusal(
        &with_keys_of(&liar).each_ref().map(String::as_str),
        &token_of(&liar),
    );
    assert!(line.contains("its `issuer` is another"), "{line}");
    let line = shell.refusal(
        &with_keys_of(&format!("{origin}/nobody"))
            .each_ref()
            .map(String::as_str),
        &token_of(&origin),
    );
    assert!(line.contains("has no metadata"), "{line}");
}
