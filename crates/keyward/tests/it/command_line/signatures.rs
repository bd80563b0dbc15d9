//! `keyward jws`.

use crate::shell::Shell;

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
