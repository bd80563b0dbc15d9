//! `keyward access explain`: the same answer as a call would get, and why.

use crate::shell::Shell;
use serde_json::{Value, json};

/// The example with a key that is at hand.
fn shell() -> Shell {
    let shell = Shell::new();
    let signing = shell.pipe(&["jwk", "generate", "--alg", "ES256"], b"");
    shell.file("signing.jwk", &signing);
    let jwks = shell.pipe(&["jwk", "public", "--set", "signing.jwk"], b"");
    shell.file("jwks.json", &jwks);
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/authorization.yaml");
    shell.file("keyward.yaml", &std::fs::read(path).unwrap());
    shell
}

fn claims(changes: &Value) -> Value {
    let mut claims = json!({
        "iss": "https://issuer.bench", "sub": "alice", "aud": "orders-api", "exp": 4_102_444_800_i64, "tenant": "acme",
    });
    let members = claims.as_object_mut().unwrap();
    members.extend(changes.as_object().unwrap().clone());
    claims
}

/// Exit status and what is printed.
fn explain(shell: &Shell, arguments: &[&str]) -> (i32, String) {
    let mut all = vec!["access", "explain", "--config", "keyward.yaml"];
    all.extend_from_slice(arguments);
    let output = shell.run(&all, b"");
    let text = String::from_utf8(output.stdout).unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), format!("{text}{told}"))
}

const DAY: &str = "2026-11-29T12:00:00Z";
const NIGHT: &str = "2026-11-29T23:00:00Z";

#[test]
fn a_call_is_explained_with_everything_that_is_asked_of_it() {
    let shell = shell();
    let editor = json!({ "realm_access": { "roles": ["editor"] } });
    for (changes, method, url, more, status, expected) in [
        (
            json!({}),
            "GET",
            "/orders/alice/7",
            &["--at", DAY][..],
            0,
            "permitted by orders/own",
        ),
        (
            json!({}),
            "GET",
            "/orders/bob/7",
            &["--at", DAY],
            1,
            "FAIL policies orders: permitted by none of the policies orders",
        ),
        (
            editor.clone(),
            "PUT",
            "/orders/bob/7",
            &["--at", DAY],
            0,
            "permitted by orders/editors",
        ),
        (
            editor.clone(),
            "PUT",
            "/orders/bob/7",
            &["--at", NIGHT],
            1,
            "forbidden by the policy orders/night",
        ),
        (
            editor.clone(),
            "PUT",
            "/orders/bob/7",
            &["--at", DAY, "--address", "192.0.2.1"],
            1,
            "forbidden by the policy orders/elsewhere",
        ),
        (
            json!({ "tenant": "umbrella" }),
            "GET",
            "/orders/alice/7",
            &["--at", DAY],
            1,
            "FAIL claim tenant: claim `tenant` (a text) is not \"acme\"",
        ),
        (
            editor.clone(),
            "GET",
            "/orders/report",
            &["--at", DAY],
            1,
            "FAIL one of the roles auditor, owner: the caller has editor, reader",
        ),
        (
            json!({ "sub": "carol" }),
            "GET",
            "/orders/report",
            &["--at", DAY],
            0,
            "pass one of the roles auditor, owner: the caller has auditor, reader",
        ),
        (
            json!({ "level": "9" }),
            "GET",
            "/orders/alice/7",
            &["--at", DAY],
            1,
            "claim `level` is a text, and the policies read it as Long",
        ),
        (
            json!({ "aud": "other" }),
            "GET",
            "/orders/alice/7",
            &["--at", DAY],
            1,
            "refused [token_invalid]",
        ),
        (
            json!({ "iss": "https://other" }),
            "GET",
            "/orders/alice/7",
            &["--at", DAY],
            1,
            "not one that this API trusts",
        ),
        (
            json!({ "exp": 1 }),
            "GET",
            "/orders/alice/7",
            &["--at", DAY],
            1,
            "refused [token_expired]",
        ),
        (json!({}), "GET", "/nowhere", &[], 1, "refused [not_found]"),
        (
            json!({}),
            "GET",
            "/orders/../x",
            &[],
            1,
            "refused [ambiguous_path]",
        ),
    ] {
        let claims = claims(&changes).to_string();
        let mut arguments = vec!["--method", method, "--url", url, "--claims", &claims];
        arguments.extend_from_slice(more);
        let (code, text) = explain(&shell, &arguments);
        assert!(
            code == status && text.contains(expected),
            "{code}, {expected} of {method} {url} {changes}\n{text}"
        );
    }
}

#[test]
fn a_token_is_verified_where_its_keys_are_at_hand() {
    let shell = shell();
    let claims = claims(&json!({})).to_string();
    let token = shell.pipe(
        &[
            "jwt",
            "sign",
            "--key",
            "signing.jwk",
            "--typ",
            "at+jwt",
            "--claims",
            &claims,
        ],
        b"",
    );
    shell.file("token", &token);
    let url = "http://localhost:8080/orders/alice/7?x=y";
    let (code, text) = explain(&shell, &["--url", url, "--token", "token"]);
    assert!(
        code == 0 && text.contains("pass a token of bench: jwt alice"),
        "{text}"
    );
    assert!(!text.contains("not verified"), "{text}");
    let other = shell.pipe(&["jwk", "generate", "--alg", "ES256"], b"");
    shell.file("other.jwk", &other);
    let forged = shell.pipe(
        &[
            "jwt",
            "sign",
            "--key",
            "other.jwk",
            "--typ",
            "at+jwt",
            "--claims",
            &claims,
        ],
        b"",
    );
    shell.file("forged", &forged);
    let (code, text) = explain(&shell, &["--url", url, "--token", "forged"]);
    assert!(code == 1 && text.contains("[token_invalid]"), "{text}");
    let (code, text) = explain(&shell, &["--url", url]);
    assert!(code == 1 && text.contains("[token_missing]"), "{text}");
}

#[test]
fn programs_read_it_as_json_and_wrong_usage_is_told() {
    let shell = shell();
    let claims = claims(&json!({})).to_string();
    let url = ["--url", "/orders/alice/7", "--claims", &claims];
    let (code, text) = explain(&shell, &[&url[..], &["--json"]].concat());
    let read: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (code, &read["allowed"], &read["route"]),
        (
            0,
            &json!(true),
            &json!("orders/v1 /orders/{customer}/{order}")
        )
    );
    let checks = read["checks"].as_array().unwrap();
    assert!(
        checks
            .iter()
            .any(|check| check["asked"] == "permit orders/own" && check["passed"] == true),
        "{text}"
    );
    for wrong in [
        &["--url", "orders"][..],
        &["--url", "/x", "--header", "x"],
        &["--url", "/x", "--at", "yesterday"],
        &["--url", "/x", "--method", "A B"],
        &["--url", "/x", "--claims", "{}", "--token", "t"],
        &[],
    ] {
        assert_eq!(explain(&shell, wrong).0, 2, "{wrong:?}");
    }
}

const GUARDED: &str = r#"format: 1
listeners:
  - { address: 127.0.0.1:8080, serves: gateway }
trusted_proxies: [ 127.0.0.1 ]
resources:
  - { kind: issuer, name: main, issuer: "https://issuer.bench", jwks: { file: jwks.json } }
  - { kind: issuer, name: sealed, issuer: "https://sealed.bench", jwks: { file: jwks.json }, encrypted: required }
  - { kind: upstream, name: echo, targets: [ { url: "http://127.0.0.1:9000" } ] }
"#;

#[test]
fn what_a_node_refuses_besides_is_refused_or_told() {
    let shell = shell();
    let api = |name: &str, rest: &str| {
        format!(
            "  - {{ kind: api, name: {name}, version: v1, state: published, base_path: /{name}, upstream: echo, {rest} }}\n"
        )
    };
    let tokens = |more: &str| {
        format!("authentication: {{ issuers: [main, sealed], audience: orders-api{more} }}")
    };
    let configuration = [
        GUARDED.to_owned(),
        api("open", "authentication: none"),
        api("plain", &tokens("")),
        api(
            "fenced",
            &format!("{}, ip_filter: {{ allow: [192.0.2.0/24] }}", tokens("")),
        ),
        api("bound", &tokens(", dpop: required")),
        api(
            "asked",
            &format!("{}, external_decision: {{ upstream: echo }}", tokens("")),
        ),
        api(
            "certified",
            "authentication: { mutual_tls: { subject: san_uri, proxied: true } }",
        ),
    ];
    shell.file("keyward.yaml", configuration.concat().as_bytes());
    let key = "A".repeat(43);
    let of = |changes: Value| claims(&changes).to_string();
    let (plain, sealed) = (of(json!({})), of(json!({ "iss": "https://sealed.bench" })));
    let by_key = of(json!({ "cnf": { "jkt": key } }));
    let by_certificate = of(json!({ "cnf": { "x5t#S256": key } }));
    let unknown = of(json!({ "cnf": { "kid": "x" } }));
    let with = |claims| ["--claims", claims];
    for (url, credential, more, status, expected) in [
        (
            "/fenced/x",
            with(&plain),
            &["--address", "198.51.100.7"][..],
            1,
            "FAIL IP filter: the client's address is 198.51.100.7",
        ),
        (
            "/fenced/x",
            with(&plain),
            &["--address", "192.0.2.7"],
            0,
            "pass IP filter",
        ),
        ("/bound/x", with(&plain), &[], 1, "refused [token_invalid]"),
        (
            "/bound/x",
            with(&by_certificate),
            &[],
            1,
            "refused [token_invalid]",
        ),
        (
            "/bound/x",
            with(&by_key),
            &[],
            0,
            "note the token is bound to a key",
        ),
        (
            "/plain/x",
            with(&by_key),
            &[],
            0,
            "note the token is bound to a key",
        ),
        (
            "/plain/x",
            with(&by_certificate),
            &[],
            0,
            "note the token is bound to a certificate",
        ),
        (
            "/plain/x",
            with(&unknown),
            &[],
            1,
            "refused [token_invalid]",
        ),
        (
            "/plain/x",
            with(&plain),
            &[],
            0,
            "note revocations are not looked at",
        ),
        (
            "/plain/x",
            with(&sealed),
            &[],
            0,
            "note tokens of this issuer must be encrypted",
        ),
        (
            "/asked/x",
            with(&plain),
            &[],
            0,
            "note the external decision of this route",
        ),
        (
            "/certified/x",
            ["--certificate-name", "spiffe://a/b"],
            &[],
            0,
            "note the caller of a certificate",
        ),
    ] {
        let mut arguments = vec!["--url", url];
        arguments.extend(credential.iter().copied());
        arguments.extend_from_slice(more);
        let (code, text) = explain(&shell, &arguments);
        assert!(
            code == status && text.contains(expected),
            "{code}, {expected} of {url}\n{text}"
        );
    }
    let (code, text) = explain(&shell, &["--url", "/open/x"]);
    assert!(code == 0 && !text.contains("note"), "{text}");
}
