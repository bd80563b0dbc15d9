//! The command line, as a shell sees it: what goes in and out of pipes, and what the errors say.

use serde_json::{Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const SIGNATURES: [&str; 18] = [
    "HS256",
    "HS384",
    "HS512",
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "ES256K",
    "EdDSA",
    "Ed25519",
    "ML-DSA-44",
    "ML-DSA-65",
    "ML-DSA-87",
];

const KEY_MANAGEMENT: [&str; 18] = [
    "RSA-OAEP",
    "RSA-OAEP-256",
    "RSA-OAEP-384",
    "RSA-OAEP-512",
    "ECDH-ES",
    "ECDH-ES+A128KW",
    "ECDH-ES+A192KW",
    "ECDH-ES+A256KW",
    "A128KW",
    "A192KW",
    "A256KW",
    "A128GCMKW",
    "A192GCMKW",
    "A256GCMKW",
    "PBES2-HS256+A128KW",
    "PBES2-HS384+A192KW",
    "PBES2-HS512+A256KW",
    "dir",
];

const CONTENT_ENCRYPTION: [&str; 6] = [
    "A128CBC-HS256",
    "A192CBC-HS384",
    "A256CBC-HS512",
    "A128GCM",
    "A192GCM",
    "A256GCM",
];

/// A directory with files, and the binary to run in it.
struct Shell {
    directory: tempfile::TempDir,
}

impl Shell {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_keyward"))
            .args(arguments)
            .current_dir(self.directory.path())
            .env_remove("KEYWARD_CONFIG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that refuses its arguments does not read: a broken pipe is none of our business.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    /// Standard output of a command that has to work.
    #[track_caller]
    fn pipe(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let output = self.run(arguments, input);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    /// The error line of a command that has to be refused, and that nothing went out.
    #[track_caller]
    fn refusal(&self, arguments: &[&str], input: &[u8]) -> String {
        let output = self.run(arguments, input);
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {line}");
        assert_eq!(output.stdout, b"", "{arguments:?}");
        assert!(line.starts_with("keyward: "), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
        line
    }

    fn file(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, contents).unwrap();
        path
    }

    /// A key for `alg` in a file, and its public part (or itself, when symmetric) in another.
    fn key(&self, alg: &str) -> (String, String) {
        let private = self.pipe(&["jwk", "generate", "--alg", alg], b"");
        let kty = serde_json::from_slice::<Value>(&private).unwrap()["kty"].clone();
        let public = if kty == "oct" {
            private.clone()
        } else {
            self.pipe(&["jwk", "public"], &private)
        };
        let name = |part: &str| format!("{}.{part}", alg.replace('+', "_"));
        self.file(&name("private"), &private);
        self.file(&name("public"), &public);
        (name("private"), name("public"))
    }
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn every_signature_algorithm_signs_and_verifies_in_a_pipe() {
    let shell = Shell::new();
    for alg in SIGNATURES {
        let (private, public) = shell.key(alg);
        let payload = b"some \x00 bytes\n";
        for form in [&[][..], &["--json", "flattened"], &["--json", "general"]] {
            let token = shell.pipe(
                &[&["jws", "sign", "--key", &private], form].concat(),
                payload,
            );
            let verify = [&["jws", "verify", "--key", &public], form].concat();
            assert_eq!(shell.pipe(&verify, &token), payload, "{alg} {form:?}");
            let mut broken = token.clone();
            let at = broken
                .iter()
                .rposition(|byte| *byte == b'.' || *byte == b'"')
                .unwrap()
                - 8;
            broken[at] = if broken[at] == b'A' { b'B' } else { b'A' };
            let line = shell.refusal(&verify, &broken);
            assert!(line.contains("jws verify: "), "{alg} {form:?}: {line}");
        }
    }
}

#[test]
fn every_key_management_algorithm_encrypts_and_decrypts_in_a_pipe() {
    let shell = Shell::new();
    for alg in KEY_MANAGEMENT {
        let (private, public) = shell.key(alg);
        let plaintext = b"some \x00 bytes\n";
        for form in [&[][..], &["--json", "flattened"], &["--json", "general"]] {
            let encrypt = [
                "jwe", "encrypt", "--key", &public, "--alg", alg, "--enc", "A256GCM",
            ];
            let token = shell.pipe(&[&encrypt, form].concat(), plaintext);
            let decrypt = [&["jwe", "decrypt", "--key", &private], form].concat();
            assert_eq!(shell.pipe(&decrypt, &token), plaintext, "{alg} {form:?}");
        }
    }
}

#[test]
fn every_content_encryption_works_with_a_wrapped_and_with_a_direct_key() {
    let shell = Shell::new();
    let (wrapping, _) = shell.key("A128KW");
    for enc in CONTENT_ENCRYPTION {
        let (direct, _) = shell.key(enc);
        for key in [&wrapping, &direct] {
            let token = shell.pipe(
                &["jwe", "encrypt", "--key", key, "--enc", enc, "--compress"],
                b"text",
            );
            assert_eq!(
                shell.pipe(&["jwe", "decrypt", "--key", key], &token),
                b"text",
                "{enc}"
            );
        }
    }
}

#[test]
fn keys_keep_what_they_are_through_pem_and_der() {
    let shell = Shell::new();
    for alg in [
        "RS256",
        "ES256",
        "ES384",
        "ES512",
        "ES256K",
        "EdDSA",
        "ML-DSA-44",
    ] {
        let (private, public) = shell.key(alg);
        let thumbprint = shell.pipe(&["jwk", "thumbprint", &private], b"");
        for form in ["pem", "der"] {
            for (file, expected) in [(&private, true), (&public, false)] {
                let written = shell.pipe(&["jwk", "convert", "--to", form, file], b"");
                let inspected = json(&shell.pipe(&["jwk", "inspect", "--json"], &written));
                assert_eq!(inspected["private"], expected, "{alg} {form}");
                let jwk = shell.pipe(&["jwk", "convert", "--to", "jwk"], &written);
                assert_eq!(
                    shell.pipe(&["jwk", "thumbprint"], &jwk),
                    thumbprint,
                    "{alg} {form}"
                );
            }
        }
    }
}

#[test]
fn the_key_of_rfc_7638_has_its_thumbprint() {
    let shell = Shell::new();
    let jwk = br#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;
    assert_eq!(
        shell.pipe(&["jwk", "thumbprint"], jwk),
        b"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs\n"
    );
    assert_eq!(
        shell.pipe(&["jwk", "thumbprint", "--uri"], jwk),
        b"urn:ietf:params:oauth:jwk-thumbprint:sha-256:NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs\n"
    );
}

#[test]
fn sets_are_written_public_and_the_kid_chooses_of_them() {
    let shell = Shell::new();
    let (es256, _) = shell.key("ES256");
    let (eddsa, _) = shell.key("EdDSA");
    let keys = [&es256, &eddsa]
        .map(|name| json(&std::fs::read(shell.directory.path().join(name)).unwrap()));
    let set = shell.pipe(
        &["jwk", "public"],
        json!({ "keys": keys }).to_string().as_bytes(),
    );
    assert!(!String::from_utf8_lossy(&set).contains("\"d\""));
    shell.file("jwks.json", &set);
    for key in [&es256, &eddsa] {
        let token = shell.pipe(&["jwt", "sign", "--key", key, "--claims", "{}"], b"");
        shell.pipe(&["jwt", "verify", "--jwks", "jwks.json"], &token);
    }
    let (stranger, _) = shell.key("ES384");
    let token = shell.pipe(&["jwt", "sign", "--key", &stranger, "--claims", "{}"], b"");
    let line = shell.refusal(&["jwt", "verify", "--jwks", "jwks.json"], &token);
    assert!(line.ends_with("[key_unknown]\n"), "{line}");
    let thumbprints = shell.pipe(&["jwk", "thumbprint", "jwks.json"], b"");
    assert_eq!(String::from_utf8(thumbprints).unwrap().lines().count(), 2);
    let one = shell.pipe(&["jwk", "public", "--set", &es256], b"");
    assert_eq!(json(&one)["keys"].as_array().map(Vec::len), Some(1));
}

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
fn a_detached_and_unencoded_payload_is_covered_by_the_signature() {
    let shell = Shell::new();
    let (private, public) = shell.key("EdDSA");
    for header in ["{}", r#"{"b64":false}"#, r#"{"b64":false,"crit":["b64"]}"#] {
        for form in [&[][..], &["--json", "flattened"], &["--json", "general"]] {
            let sign = [
                &[
                    "jws",
                    "sign",
                    "--key",
                    &private,
                    "--detached",
                    "--header",
                    header,
                ],
                form,
            ]
            .concat();
            let token = shell.pipe(&sign, b"$.02");
            shell.file("good", b"$.02");
            shell.file("bad", b"$.03");
            let verify = |payload| {
                [
                    &[
                        "jws",
                        "verify",
                        "--key",
                        &public,
                        "--detached-payload",
                        payload,
                    ],
                    form,
                ]
                .concat()
            };
            assert_eq!(shell.pipe(&verify("good"), &token), b"$.02", "{header}");
            let line = shell.refusal(&verify("bad"), &token);
            assert!(
                line.ends_with("[signature_invalid]\n"),
                "{header} {form:?}: {line}"
            );
        }
    }
}

#[test]
fn the_general_form_carries_several_signatures_and_recipients() {
    let shell = Shell::new();
    let (first, first_public) = shell.key("ES256");
    let (second, second_public) = shell.key("RS256");
    let sign = [
        "jws", "sign", "--json", "general", "--key", &first, "--key", &second,
    ];
    let token = shell.pipe(&sign, b"both");
    for public in [&first_public, &second_public] {
        let verify = ["jws", "verify", "--json", "general", "--key", public];
        assert_eq!(shell.pipe(&verify, &token), b"both");
        shell.refusal(&[&verify[..], &["--all"]].concat(), &token);
    }
    let (one, _) = shell.key("A256KW");
    let (other, _) = shell.key("ECDH-ES+A128KW");
    let encrypt = [
        "jwe", "encrypt", "--enc", "A256GCM", "--json", "general", "--key", &one, "--key", &other,
    ];
    let token = shell.pipe(&encrypt, b"both");
    for key in [&one, &other] {
        assert_eq!(
            shell.pipe(
                &["jwe", "decrypt", "--json", "general", "--key", key],
                &token
            ),
            b"both"
        );
    }
}

#[test]
fn a_serialization_other_than_the_one_asked_for_is_refused() {
    let shell = Shell::new();
    let (private, _) = shell.key("HS256");
    let compact = shell.pipe(&["jws", "sign", "--key", &private], b"x");
    let flattened = shell.pipe(
        &["jws", "sign", "--key", &private, "--json", "flattened"],
        b"x",
    );
    for (token, form) in [
        (&flattened, &[][..]),
        (&compact, &["--json", "flattened"]),
        (&flattened, &["--json", "general"]),
    ] {
        let line = shell.refusal(
            &[&["jws", "verify", "--key", &private], form].concat(),
            token,
        );
        assert!(line.ends_with("[serialization]\n"), "{line}");
    }
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
    let secret = json!({ "kty": "oct", "k": base64url(&pem) }).to_string();
    shell.file("secret", secret.as_bytes());
    let line = shell.refusal(&["jwt", "verify", "--key", "secret"], token.as_bytes());
    assert!(line.ends_with("[key_unfit]\n"), "{line}");
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

#[test]
fn no_private_value_is_shown() {
    let shell = Shell::new();
    for alg in ["HS256", "RS256", "ES256", "EdDSA", "ML-DSA-44"] {
        let (private, _) = shell.key(alg);
        let key = json(&std::fs::read(shell.directory.path().join(&private)).unwrap());
        let shown = [
            shell.pipe(&["jwk", "inspect", &private], b""),
            shell.pipe(&["jwk", "inspect", "--json", &private], b""),
        ]
        .concat();
        let shown = String::from_utf8(shown).unwrap();
        for member in ["d", "p", "q", "dp", "dq", "qi", "k", "priv"] {
            if let Some(value) = key[member].as_str() {
                assert!(!shown.contains(value), "{alg} {member}");
            }
        }
        assert!(shown.contains(key["kid"].as_str().unwrap()));
    }
    let token = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln";
    let line = shell.refusal(&["jwt", "decode", token], b"");
    assert!(
        !line.contains(token) && line.contains("looks like a token"),
        "{line}"
    );
}

#[test]
fn certificates_are_of_their_key() {
    let shell = Shell::new();
    let (private, _) = shell.key("ES256");
    let names = [
        "--common-name",
        "orders",
        "--dns",
        "orders.example",
        "--ip",
        "192.0.2.1",
    ];
    let request = shell.pipe(
        &[&["jwk", "certificate-request"], &names[..], &[&private]].concat(),
        b"",
    );
    assert!(request.starts_with(b"-----BEGIN CERTIFICATE REQUEST-----\n"));
    let certificate = shell.pipe(
        &[&["jwk", "self-sign"], &names[..], &[&private]].concat(),
        b"",
    );
    let thumbprint = shell.pipe(&["jwk", "thumbprint", &private], b"");
    assert_eq!(shell.pipe(&["jwk", "thumbprint"], &certificate), thumbprint);
    let jwk = shell.pipe(
        &[&["jwk", "self-sign", "--jwk"], &names[..], &[&private]].concat(),
        b"",
    );
    let inspected = json(&shell.pipe(&["jwk", "inspect", "--json"], &jwk));
    assert_eq!(inspected["certificates"].as_array().map(Vec::len), Some(1));
}

#[test]
fn completions_and_manual_pages_tell_of_every_command() {
    let shell = Shell::new();
    for name in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = String::from_utf8(shell.pipe(&["completions", name], b"")).unwrap();
        for word in ["thumbprint", "self-sign", "expires-in"] {
            assert!(script.contains(word), "{name} {word}");
        }
    }
    let page = String::from_utf8(shell.pipe(&["man", "jwt", "sign"], b"")).unwrap();
    assert!(page.contains("expires\\-in"), "{page}");
    shell.pipe(&["man", "--out", "pages"], b"");
    for name in [
        "keyward.1",
        "keyward-check.1",
        "keyward-jwk-generate.1",
        "keyward-jwt-verify.1",
    ] {
        assert!(
            shell.directory.path().join("pages").join(name).is_file(),
            "{name}"
        );
    }
}

#[test]
fn check_tells_where_and_what_and_how_it_ends() {
    let shell = Shell::new();
    shell.file("keyward.yaml", b"format: 1\nresources:\n  - kind: upstream\n    name: echo\n    targets: [ { url: \"http://127.0.0.1:9000\" } ]\n");
    let good = shell.run(&["check"], b"");
    assert_eq!(good.status.code(), Some(0));
    assert_eq!(good.stdout, b"good: 0 issuers, 1 upstream, 0 apis\n");
    shell.file("bad.yaml", b"format: 1\nworkes: 2\n");
    let line = shell.refusal(&["check", "--config", "bad.yaml"], b"");
    assert_eq!(
        line,
        "keyward: bad.yaml:2:1: unknown key `workes`: did you mean `workers`? [unknown_key]\n"
    );
    let output = shell.run(&["check", "--config", "bad.yaml", "--json"], b"");
    assert_eq!(output.status.code(), Some(1));
    let problem = &json(&output.stdout)["problems"][0];
    assert_eq!(
        (&problem["line"], &problem["code"]),
        (&json!(2), &json!("unknown_key"))
    );
    let output = shell.run(&["check", "--json"], b"");
    assert_eq!(json(&output.stdout)["node"]["limits"]["head_bytes"], 65_536);
}

/// The commands of the guide, as they stand there.
#[test]
fn the_commands_of_the_guide_work_as_they_stand() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides/keys-and-tokens.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let script: String = guide
        .split("```sh\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap())
        .collect();
    assert!(script.lines().count() > 20);
    let shell = Shell::new();
    let binary = Path::new(env!("CARGO_BIN_EXE_keyward")).parent().unwrap();
    let output = Command::new("sh")
        .args(["-eu", "-c", &script])
        .current_dir(shell.directory.path())
        .env("PATH", format!("{}:/usr/bin:/bin", binary.display()))
        .env_remove("KEYWARD_CONFIG")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
