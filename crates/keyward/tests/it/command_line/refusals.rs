//! What is refused, and how it is said.

use crate::shell::{Shell, json};

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
fn headers_are_read_strictly() {
    let shell = Shell::new();
    let (private, public) = shell.key("ES256");
    let sign = |header: &'static str| {
        ["jws", "sign", "--key", &private, "--header", header].map(str::to_owned)
    };
    for (header, code) in [
        (r#"{"typ":"a","typ":"b"}"#, "json"),
        (r#"{"x":{"y":1,"y":1}}"#, "json"),
        (r#"{"crit":["b64"]}"#, "header"),
        (r#"{"crit":[]}"#, "header"),
        (r#"{"b64":false,"crit":[]}"#, "header"),
        (r#"{"b64":false,"crit":["b64","b64"]}"#, "header"),
    ] {
        let arguments = sign(header);
        let line = shell.refusal(&arguments.each_ref().map(String::as_str), b"x");
        assert!(line.ends_with(&format!("[{code}]\n")), "{header}: {line}");
    }
    let arguments = sign(r#"{"b64":false,"crit":["b64"]}"#);
    let token = shell.pipe(&arguments.each_ref().map(String::as_str), b"x");
    assert_eq!(
        shell.pipe(&["jws", "verify", "--key", &public], &token),
        b"x"
    );
    let (secret, _) = shell.key("A128KW");
    let line = shell.refusal(
        &[
            "jwe",
            "encrypt",
            "--key",
            &secret,
            "--enc",
            "A128GCM",
            "--header",
            r#"{"cty":"a","cty":"b"}"#,
        ],
        b"x",
    );
    assert!(line.ends_with("[json]\n"), "{line}");
}

/// Whatever a command writes, its other half reads.
#[test]
fn what_would_not_be_read_again_is_not_written() {
    let shell = Shell::new();
    let (secret, _) = shell.key("A128KW");
    let encrypt = ["jwe", "encrypt", "--key", &secret, "--enc", "A128GCM"];
    let decrypt = ["jwe", "decrypt", "--key", &secret];
    let line = shell.refusal(&encrypt, &vec![b'x'; 800_000]);
    assert!(line.ends_with("[too_large]\n"), "{line}");
    // The longest that is written: with the line break it has more bytes than are read of a token.
    let overhead = shell.pipe(&encrypt, b"").len() - 1;
    let longest = vec![b'x'; (1_048_576 - overhead) / 4 * 3];
    let token = shell.pipe(&encrypt, &longest);
    assert!(token.len() > 1_048_570, "{}", token.len());
    assert_eq!(shell.pipe(&decrypt, &token), longest);
    let (private, public) = shell.key("ES256");
    let sign = ["jws", "sign", "--key", &private];
    let line = shell.refusal(&sign, &vec![b'x'; 13_000_000]);
    assert!(line.ends_with("[too_large]\n"), "{line}");
    let claims = |bytes: usize| format!(r#"{{"x":"{}"}}"#, "x".repeat(bytes)).into_bytes();
    let sign = ["jwt", "sign", "--key", &private];
    let nested = ["jwt", "sign", "--key", &private, "--encrypt-to", &secret];
    for arguments in [&sign[..], &nested] {
        let line = shell.refusal(arguments, &claims(12_500));
        assert!(line.ends_with("[too_large]\n"), "{line}");
    }
    let verify = ["jwt", "verify", "--key", &public];
    shell.pipe(&verify, &shell.pipe(&sign, &claims(11_500)));
    let verify = ["jwt", "verify", "--key", &public, "--decrypt-key", &secret];
    shell.pipe(&verify, &shell.pipe(&nested, &claims(11_500)));
}

#[test]
fn control_characters_of_strangers_do_not_reach_the_terminal() {
    let shell = Shell::new();
    let (private, public) = shell.key("ES256");
    let claims = "{\"sub\":\"\\u001b[2J\u{9b}31m\u{7f}\"}";
    let token = shell.pipe(&["jwt", "sign", "--key", &private], claims.as_bytes());
    let mut key = json(&shell.pipe(&["jwk", "public", &private], b""));
    key["kid"] = "\u{1b}]0;x\u{7}\u{9b}2J".into();
    let key = key.to_string();
    let alien = "{\"keys\":[{\"kty\":\"\\u001b[2J\u{9b}\"}]}";
    for (arguments, input) in [
        (&["jwt", "decode"][..], token.as_slice()),
        (&["jwt", "verify", "--key", &public], &token),
        (&["jwk", "inspect"], key.as_bytes()),
        (&["jwk", "inspect", "--json"], key.as_bytes()),
        (&["jwk", "inspect"], alien.as_bytes()),
        (&["jwk", "thumbprint"], alien.as_bytes()),
        (&["jwk", "convert", "--to", "jwk"], alien.as_bytes()),
        (
            &["jws", "verify", "--jwks", "-", &private],
            alien.as_bytes(),
        ),
    ] {
        let output = shell.run(arguments, input);
        for bytes in [output.stdout, output.stderr] {
            let text = String::from_utf8(bytes).unwrap();
            let controls = text.replace('\n', "").contains(char::is_control);
            assert!(!controls, "{arguments:?}: {text:?}");
        }
    }
    let shown = json(&shell.pipe(&["jwt", "decode"], &token));
    assert_eq!(shown["claims"]["sub"], "\u{1b}[2J\u{9b}31m\u{7f}");
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
            "jwt",
            "verify",
            "--issuer",
            "https://issuer.example",
            "--iss",
            "https://other.example",
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
