//! `keyward jwe`.

use crate::shell::Shell;

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
