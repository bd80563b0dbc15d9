//! What is refused, and how it is said.

use crate::shell::Shell;

#[test]
fn bad_input_gets_one_line_with_its_code() {
    let shell = Shell::new();
    let (private, public) = shell.key("ES256");
    let (secret, _) = shell.key("HS256");
    shell.file("set", br#"{"keys":[]}"#);
    shell.file("rubbish", b"rubbish");
    let large = vec![b' '; 2_000_000];
    for (arguments, input, code) in [
        (&["jwk", "inspect"][..], &b"rubbish"[..], "key_form"),
        (&["jwk", "inspect"], b"", "key_form"),
        (&["jwk", "inspect"], b"{}", "key_member"),
        (
            &["jwk", "inspect"],
            br#"{"kty":"oct","k":"AA","k":"AA"}"#,
            "json",
        ),
        (&["jwk", "inspect"], &large, "too_large"),
        (&["jwk", "inspect", "absent"], b"", "input"),
        (&["jwk", "public", &secret], b"", "key_unfit"),
        (&["jwk", "convert", "--to", "pem", &secret], b"", "key_form"),
        (&["jwk", "convert", "--to", "der", "set"], b"", "key_form"),
        (
            &["jwk", "generate", "--alg", "RS256", "--bits", "1024"],
            b"",
            "key_unfit",
        ),
        (
            &["jwk", "generate", "--alg", "ES256", "--use", "enc"],
            b"",
            "key_invalid",
        ),
        (&["jwk", "self-sign", &private], b"", "certificate"),
        (&["jws", "sign", "--key", &public], b"x", "no_private_key"),
        (&["jws", "sign", "--key", "set"], b"x", "key_form"),
        (
            &["jws", "sign", "--key", &private, "--alg", "RS256"],
            b"x",
            "key_unfit",
        ),
        (
            &["jws", "sign", "--key", &private, "--header", "["],
            b"x",
            "json",
        ),
        (
            &[
                "jws",
                "sign",
                "--key",
                &private,
                "--header",
                r#"{"alg":"none"}"#,
            ],
            b"x",
            "header",
        ),
        (
            &[
                "jws",
                "sign",
                "--key",
                &private,
                "--header",
                r#"{"crit":["exp"]}"#,
            ],
            b"x",
            "header",
        ),
        (
            &[
                "jws",
                "sign",
                "--key",
                &private,
                "--header",
                r#"{"b64":"no"}"#,
            ],
            b"x",
            "header",
        ),
        (&["jws", "verify", "--key", "rubbish"], b"x", "key_form"),
        (&["jws", "verify", "--jwks", "set"], b"x", "key_unfit"),
        (&["jws", "verify", "--key", &public], b"a.b.c", "base64"),
        (
            &["jws", "verify", "--key", &public],
            b"\xff",
            "serialization",
        ),
        (
            &["jws", "verify", "--key", &public],
            b"eyJhbGciOiJub25lIn0..",
            "algorithm_not_allowed",
        ),
        (
            &["jwe", "encrypt", "--key", &private, "--enc", "A128GCM"],
            b"x",
            "key_unfit",
        ),
        (&["jwe", "decrypt", "--key", &secret], b"a.b.c", "key_unfit"),
        (&["jwt", "sign", "--key", &private], b"[]", "json"),
        (
            &["jwt", "sign", "--key", &private],
            br#"{"exp":"soon"}"#,
            "claim_malformed",
        ),
        (&["jwt", "decode"], b"a.b", "serialization"),
        (&["jwt", "decode"], b"a.b.c.d.e", "serialization"),
        (
            &["jwt", "verify", "--issuer", "http://127.0.0.1:1"],
            b"x",
            "issuer_unavailable",
        ),
        (
            &[
                "jwt",
                "verify",
                "--issuer",
                "http://127.0.0.1:1",
                "--allow",
                "127.0.0.1",
            ],
            b"x",
            "issuer_unavailable",
        ),
    ] {
        let line = shell.refusal(arguments, input);
        assert!(
            line.ends_with(&format!("[{code}]\n")),
            "{arguments:?}: {code}: {line}"
        );
    }
}

#[test]
fn wrong_usage_has_its_own_status() {
    let shell = Shell::new();
    let (private, _) = shell.key("ES256");
    for arguments in [
        &["bogus"][..],
        &["jwk", "generate"],
        &["jwk", "generate", "--alg", "none"],
        &["jwk", "generate", "--alg", "RSA1_5"],
        &["jws", "verify"],
        &["jws", "verify", "--key", "a", "--jwks", "b"],
        &["jws", "verify", "--key", "-"],
        &["jws", "sign", "--key", &private, "--alg", "none"],
        &["jws", "sign", "--key", &private, "--key", &private],
        &[
            "jwt",
            "sign",
            "--key",
            &private,
            "--claims",
            "{}",
            "--expires-in",
            "5",
        ],
        &[
            "jwt",
            "sign",
            "--key",
            &private,
            "--claims",
            r#"{"exp":1}"#,
            "--expires-in",
            "5s",
        ],
        &[
            "jwt",
            "verify",
            "--key",
            &private,
            "--issuer",
            "https://issuer.example",
        ],
        &[
            "jwk",
            "convert",
            "--to",
            "jwk",
            "--encoding",
            "spki",
            &private,
        ],
        &["man", "bogus"],
    ] {
        let output = shell.run(arguments, b"");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(output.stdout, b"", "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}
