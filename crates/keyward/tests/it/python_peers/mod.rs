//! PyJWT and joserfc: each signs and encrypts what the other opens, for every algorithm that both have.

use crate::gateway::node::{AUDIENCE, ISSUER, call, get, resources, start};
use crate::shell::{Shell, json};
use keyward_testkit::Upstream;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// What PyJWT and `keyward` can both do.
const PYJWT: [&str; 14] = [
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
    "ES384", "ES512", "ES256K", "EdDSA",
];

/// What joserfc has beside those.
const JOSERFC_ALONE: [&str; 1] = ["Ed25519"];

/// What joserfc and `keyward` can both do.
const JOSERFC_KEY_MANAGEMENT: [&str; 16] = [
    "RSA-OAEP",
    "RSA-OAEP-256",
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

const PAYLOAD: &str = "one hundred \u{20ac}";

/// Asks the libraries. One process answers all: starting Python is what takes the time.
#[track_caller]
pub(crate) fn ask(requests: &[Value]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("../../.venv/bin/python");
    assert!(
        python.is_file(),
        "PyJWT and joserfc are needed: `cargo xtask test` installs them into .venv"
    );
    let mut child = Command::new(python)
        .arg(root.join("tests/it/python_peers/peer.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text = json!(requests).to_string();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let answers = json(&output.stdout);
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), requests.len());
    answers
        .iter()
        .zip(requests)
        .map(|(answer, request)| {
            let told = answer.as_str();
            told.unwrap_or_else(|| panic!("{} of {}: {answer}", request["do"], request["alg"]))
                .to_owned()
        })
        .collect()
}

fn read(shell: &Shell, name: &str) -> Value {
    json(&std::fs::read(shell.directory.path().join(name)).unwrap())
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap().trim_end().to_owned()
}

#[test]
fn pyjwt_takes_our_tokens_and_we_take_its() {
    let shell = Shell::new();
    let claims = json!({ "iss": "https://issuer.example", "sub": "alice", "aud": "orders" });
    let keys = PYJWT.map(|alg| (alg, shell.key(alg)));
    let mut requests = Vec::new();
    for (alg, (private, public)) in &keys {
        let token = shell.pipe(
            &[
                "jwt",
                "sign",
                "--key",
                private,
                "--claims",
                &claims.to_string(),
            ],
            b"",
        );
        requests.push(json!({
            "library": "pyjwt", "do": "verify", "alg": alg, "key": read(&shell, public),
            "token": text(token), "issuer": "https://issuer.example", "audience": "orders",
        }));
        let mut claims = claims.clone();
        claims["exp"] = json!(4_000_000_000_u64);
        requests.push(json!({
            "library": "pyjwt", "do": "sign", "alg": alg, "key": read(&shell, private), "claims": claims,
        }));
    }
    let answers = ask(&requests);
    for ((alg, (_, public)), pair) in keys.iter().zip(answers.chunks(2)) {
        assert_eq!(pair[0], "alice", "{alg}");
        let verify = [
            "jwt",
            "verify",
            "--key",
            public,
            "--iss",
            "https://issuer.example",
            "--aud",
            "orders",
        ];
        let claims = shell.pipe(&verify, pair[1].as_bytes());
        assert_eq!(json(&claims)["sub"], "alice", "{alg}");
    }
}

#[tokio::test]
async fn tokens_of_pyjwt_with_keys_of_ours_pass_the_gateway() {
    let shell = Shell::new();
    let keys: Vec<_> = PYJWT
        .into_iter()
        .filter(|alg| !alg.starts_with("HS"))
        .map(|alg| (alg, shell.key(alg)))
        .collect();
    let set: Vec<Value> = keys
        .iter()
        .map(|(_, (_, public))| read(&shell, public))
        .collect();
    let upstream = Upstream::echo().await;
    let declared = resources(upstream.address(), "jwks: { file: jwks.json }", "");
    let files = [("jwks.json", json!({ "keys": set }).to_string())];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let process = start("workers: 1", &declared, &files).await;
    let claims = json!({
        "iss": ISSUER, "sub": "alice", "aud": AUDIENCE, "scope": "read", "exp": 4_000_000_000_u64,
    });
    // Of ours, each names its key; a token that names none is tried with those that fit.
    let requests: Vec<Value> = keys
        .iter()
        .flat_map(|(alg, (private, _))| {
            [true, false].map(|with_kid| {
                json!({
                    "library": "pyjwt", "do": "sign", "alg": alg, "key": read(&shell, private),
                    "claims": claims, "with_kid": with_kid,
                })
            })
        })
        .collect();
    let tokens = ask(&requests);
    for (token, request) in tokens.iter().zip(&requests) {
        let answer = call(process.gateway(), get("/guarded/x", Some(token), "")).await;
        let (alg, with_kid) = (&request["alg"], &request["with_kid"]);
        assert_eq!(
            answer.status,
            200,
            "{alg}, kid: {with_kid}: {}",
            process.log()
        );
    }
    assert_eq!(upstream.received().len(), tokens.len());
}

#[test]
fn joserfc_verifies_our_signatures_and_we_verify_its() {
    let shell = Shell::new();
    let keys = [&PYJWT[..], &JOSERFC_ALONE].concat();
    let keys: Vec<_> = keys.into_iter().map(|alg| (alg, shell.key(alg))).collect();
    let mut requests = Vec::new();
    for (alg, (private, public)) in &keys {
        let token = shell.pipe(&["jws", "sign", "--key", private], PAYLOAD.as_bytes());
        requests.push(json!({
            "library": "joserfc", "do": "verify", "alg": alg, "key": read(&shell, public), "token": text(token),
        }));
        requests.push(json!({
            "library": "joserfc", "do": "sign", "alg": alg, "key": read(&shell, private), "payload": PAYLOAD,
        }));
        requests.push(json!({ "library": "joserfc", "do": "thumbprint", "alg": alg, "key": read(&shell, public) }));
    }
    let answers = ask(&requests);
    for ((alg, (_, public)), three) in keys.iter().zip(answers.chunks(3)) {
        assert_eq!(three[0], PAYLOAD, "{alg}");
        let payload = shell.pipe(&["jws", "verify", "--key", public], three[1].as_bytes());
        assert_eq!(text(payload), PAYLOAD, "{alg}");
        assert_eq!(
            three[2],
            text(shell.pipe(&["jwk", "thumbprint", public], b"")),
            "{alg}"
        );
    }
}

#[test]
fn joserfc_decrypts_what_we_encrypt_and_we_what_it_encrypts() {
    let shell = Shell::new();
    let mut cases: Vec<(&str, &str, String, String)> = Vec::new();
    for alg in JOSERFC_KEY_MANAGEMENT {
        if alg != "dir" {
            let (private, public) = shell.key(alg);
            cases.push((alg, "A256GCM", private, public));
        }
    }
    for curve in ["P-384", "P-521", "X25519"] {
        let private = shell.pipe(
            &[
                "jwk",
                "generate",
                "--alg",
                "ECDH-ES+A128KW",
                "--curve",
                curve,
            ],
            b"",
        );
        let public = shell.pipe(&["jwk", "public"], &private);
        shell.file(&format!("{curve}.private"), &private);
        shell.file(&format!("{curve}.public"), &public);
        cases.push((
            "ECDH-ES+A128KW",
            "A128GCM",
            format!("{curve}.private"),
            format!("{curve}.public"),
        ));
    }
    let (wrapping, _) = shell.key("A128KW");
    for enc in CONTENT_ENCRYPTION {
        cases.push(("A128KW", enc, wrapping.clone(), wrapping.clone()));
        let mut direct = json(&shell.pipe(&["jwk", "generate", "--alg", enc], b""));
        direct["alg"] = json!("dir");
        let name = format!("{enc}.dir");
        shell.file(&name, direct.to_string().as_bytes());
        cases.push(("dir", enc, name.clone(), name));
    }
    let mut requests = Vec::new();
    for (alg, enc, private, public) in &cases {
        let encrypt = [
            "jwe", "encrypt", "--key", public, "--alg", alg, "--enc", enc,
        ];
        // joserfc reads no more than 300,000 iterations.
        let count = ["--pbes2-count", "100000"];
        let count = if alg.starts_with("PBES2") {
            &count[..]
        } else {
            &[]
        };
        let encrypt = [&encrypt, count].concat();
        let token = shell.pipe(&encrypt, PAYLOAD.as_bytes());
        requests.push(json!({
            "library": "joserfc", "do": "decrypt", "alg": alg, "enc": enc, "key": read(&shell, private),
            "token": text(token),
        }));
        requests.push(json!({
            "library": "joserfc", "do": "encrypt", "alg": alg, "enc": enc, "key": read(&shell, public),
            "payload": PAYLOAD,
        }));
    }
    let answers = ask(&requests);
    for ((alg, enc, private, _), pair) in cases.iter().zip(answers.chunks(2)) {
        assert_eq!(pair[0], PAYLOAD, "{alg} {enc}");
        let plaintext = shell.pipe(&["jwe", "decrypt", "--key", private], pair[1].as_bytes());
        assert_eq!(text(plaintext), PAYLOAD, "{alg} {enc}");
    }
}

#[test]
fn keys_of_joserfc_are_ours_too() {
    let shell = Shell::new();
    let kinds = [
        ("RSA", json!(2048), "RS256"),
        ("EC", json!("P-256"), "ES256"),
        ("EC", json!("P-384"), "ES384"),
        ("EC", json!("P-521"), "ES512"),
        ("EC", json!("secp256k1"), "ES256K"),
        ("OKP", json!("Ed25519"), "EdDSA"),
        ("oct", json!(512), "HS512"),
    ];
    let requests = kinds.clone().map(|(kty, parameter, alg)| {
        json!({ "library": "joserfc", "do": "generate", "kty": kty, "parameter": parameter, "alg": alg, "kid": alg })
    });
    for (key, (_, _, alg)) in ask(&requests).iter().zip(&kinds) {
        shell.file(alg, key.as_bytes());
        let token = shell.pipe(&["jws", "sign", "--key", alg, "--alg", alg], b"x");
        assert_eq!(
            shell.pipe(&["jws", "verify", "--key", alg, "--alg", alg], &token),
            b"x"
        );
    }
}
