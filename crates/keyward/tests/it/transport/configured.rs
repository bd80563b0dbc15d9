//! What is written wrong, told by `keyward check`.

use super::Authority;
use crate::shell::Shell;

const REST: &str = "
  - { address: 127.0.0.1:9090, serves: operations }
resources:
  - { kind: upstream, name: a, targets: [ { url: \"http://127.0.0.1:9000\" } ] }
";

#[test]
fn what_can_not_be_used_is_told_with_its_place() {
    let authority = Authority::new();
    let shell = Shell::new();
    let (own, other) = (
        authority.issue(&["a.example"]),
        authority.issue(&["b.example"]),
    );
    shell.file("a.pem", own.certificate.as_bytes());
    shell.file("a.key", own.key.as_bytes());
    shell.file("b.key", other.key.as_bytes());
    shell.file("roots.pem", authority.root.as_bytes());
    let good = "tls: { certificates: [ { certificate: a.pem, key: a.key } ] }";
    for (more, expected) in [
        (good, None),
        (
            "tls: { certificates: [ { certificate: a.pem, key: a.key } ], minimum: \"1.3\", client_certificates: { roots: roots.pem, required: false } }",
            None,
        ),
        ("proxy_protocol: { from: [10.0.0.0/8] }", None),
        ("tls: {}", Some("`certificates` is missing")),
        ("tls: { certificates: [] }", Some("is empty")),
        (
            "tls: { certificates: [ { certificate: a.pem } ] }",
            Some("`key` is missing"),
        ),
        (
            "tls: { certificates: [ { certificate: a.pem, key: b.key } ] }",
            Some("the key is not that of the certificate"),
        ),
        (
            "tls: { certificates: [ { certificate: c.pem, key: a.key } ] }",
            Some("c.pem: can't be read"),
        ),
        (
            "tls: { certificates: [ { certificate: a.key, key: a.key } ] }",
            Some("no certificate in it"),
        ),
        (
            "tls: { certificates: [ { certificate: a.pem, key: a.key } ], minimum: \"1.1\" }",
            Some("is none of `1.2`, `1.3`"),
        ),
        (
            "tls: { certificates: [ { certificate: a.pem, key: a.key } ], minimum: 1.3 }",
            Some("put it in quotes"),
        ),
        (
            "tls: { certificates: [ { certificate: a.pem, key: a.key } ], client_certificates: { root: roots.pem } }",
            Some("did you mean `roots`?"),
        ),
        (
            "tls: { certificates: [ { certificate: a.pem, key: a.key } ], client_certificates: { roots: a.key } }",
            Some("no certificate in it"),
        ),
        (
            "tls: { certificates: [ { acme: { names: [b.example.com, a.example.com], directory: \"https://ca.example/d\", contact: a@example.com, challenge: tls-alpn-01, roots: roots.pem } } ] }",
            None,
        ),
        (
            "tls: { certificates: [ { acme: { names: [\"*.example.com\"], directory: \"https://ca.example/d\" } } ] }",
            Some("is no host name that a certificate can be obtained for"),
        ),
        (
            "tls: { certificates: [ { acme: { names: [10.0.0.1], directory: \"https://ca.example/d\" } } ] }",
            Some("is no host name that a certificate can be obtained for"),
        ),
        (
            "tls: { certificates: [ { acme: { names: [a.example.com], directory: \"http://ca.example/d\" } } ] }",
            Some("it begins with https://"),
        ),
        (
            "tls: { certificates: [ { acme: { names: [a.example.com], directory: \"https://ca.example/d\", contact: nobody } } ] }",
            Some("is no e-mail address"),
        ),
        (
            "tls: { certificates: [ { acme: { names: [a.example.com], directory: \"https://ca.example/d\", challenge: dns-01 } } ] }",
            Some("is none of `http-01`, `tls-alpn-01`"),
        ),
        (
            "tls: { certificates: [ { acme: { names: [a.example.com], directory: \"https://ca.example/d\", roots: none.pem } } ] }",
            Some("there is no file"),
        ),
        (
            "tls: { certificates: [ { key: a.key, acme: { names: [a.example.com], directory: \"https://ca.example/d\" } } ] }",
            Some("has `acme` beside a file"),
        ),
        ("tsl: {}", Some("did you mean `tls`?")),
        ("proxy_protocol: {}", Some("`from` is missing")),
        ("proxy_protocol: { from: [] }", Some("is empty")),
        (
            "proxy_protocol: { from: [10.0.0.1/8] }",
            Some("is no range of addresses"),
        ),
    ] {
        let listener = format!(
            "format: 1\nlisteners:\n  - {{ address: 127.0.0.1:8080, serves: gateway, {more} }}{REST}"
        );
        check(&shell, &listener, expected);
    }
    let operations = format!(
        "format: 1\nlisteners: [ {{ address: 127.0.0.1:8080, serves: gateway }}, {{ address: 127.0.0.1:9090, serves: operations, {good} }} ]\n"
    );
    check(
        &shell,
        &operations,
        Some("is for listeners that serve the gateway alone"),
    );
}

#[test]
fn tls_to_an_upstream_is_checked_too() {
    let authority = Authority::new();
    let shell = Shell::new();
    shell.file("roots.pem", authority.root.as_bytes());
    for (url, tls, expected) in [
        (
            "https://a.example",
            "{ roots: roots.pem, server_name: b.example }",
            None,
        ),
        ("https://a.example", "{}", Some("says nothing")),
        (
            "http://a.example",
            "{ roots: roots.pem }",
            Some("no target of this upstream begins with https://"),
        ),
        (
            "https://a.example",
            "{ roots: missing.pem }",
            Some("missing.pem: can't be read"),
        ),
        (
            "https://a.example",
            "{ certificate: roots.pem }",
            Some("`certificate` and `key` go together"),
        ),
        (
            "https://a.example",
            "{ server_name: \"*.example\" }",
            Some("is no host name"),
        ),
        (
            "https://a.example",
            "{ insecure: true }",
            Some("unknown key `insecure`"),
        ),
    ] {
        let text = format!(
            "format: 1\nresources:\n  - {{ kind: upstream, name: a, targets: [ {{ url: \"{url}\" }} ], tls: {tls} }}\n"
        );
        check(&shell, &text, expected);
    }
}

#[track_caller]
fn check(shell: &Shell, text: &str, expected: Option<&str>) {
    shell.file("keyward.yaml", text.as_bytes());
    let output = shell.run(&["check"], b"");
    let told = String::from_utf8(output.stderr).unwrap();
    match expected {
        None => assert!(
            output.status.success() && !told.contains("error"),
            "{text}\n{told}"
        ),
        Some(expected) => {
            assert_eq!(output.status.code(), Some(1), "{text}\n{told}");
            assert!(told.contains(expected), "{text}\n{told}");
            assert!(told.contains("keyward.yaml:"), "{told}");
        }
    }
}

#[test]
fn an_authority_that_asks_in_clear_needs_a_listener_in_clear() {
    let shell = Shell::new();
    let acme = "{ acme: { names: [a.example.com], directory: \"https://ca.example/d\" } }";
    let listener = format!(
        "{{ address: 127.0.0.1:8443, serves: gateway, tls: {{ certificates: [ {acme} ] }} }}"
    );
    for (more, warned) in [
        ("", true),
        (", { address: 127.0.0.1:8080, serves: gateway }", false),
    ] {
        let text = format!("format: 1\nlisteners: [ {listener}{more} ]\n");
        shell.file("keyward.yaml", text.as_bytes());
        let output = shell.run(&["check"], b"");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{told}");
        assert_eq!(
            told.contains("no listener serves the gateway in clear"),
            warned,
            "{told}"
        );
    }
}

#[test]
fn an_api_that_nobody_could_call_is_told() {
    let (authority, shell) = (Authority::new(), Shell::new());
    let api = authority.issue(&["api.example"]);
    shell.file("api.pem", api.certificate.as_bytes());
    shell.file("api.key", api.key.as_bytes());
    shell.file("clients.pem", authority.root.as_bytes());
    shell.file("clients.crl", authority.revoke(&[]).as_bytes());
    for (clients, rule, expected) in [
        (
            "client_certificates: { roots: clients.pem }",
            "subject: san_uri",
            None,
        ),
        (
            "client_certificates: { roots: clients.pem, revocation_list: clients.crl }",
            "subject: san_uri, roots: clients.pem",
            None,
        ),
        (
            "minimum: \"1.3\"",
            "subject: san_uri",
            Some("no listener of the gateway asks clients for a certificate"),
        ),
        (
            "client_certificates: { roots: clients.pem }",
            "subject: san_uri, roots: api.key",
            Some("no certificate in it"),
        ),
        (
            "client_certificates: { roots: clients.pem, revocation_list: clients.pem }",
            "subject: san_uri",
            Some("no revocation list in it"),
        ),
        (
            "client_certificates: { roots: clients.pem, revocation_list: gone.crl }",
            "subject: san_uri",
            Some("gone.crl: can't be read"),
        ),
    ] {
        let text = format!(
            "
format: 1
listeners:
  - {{ address: 127.0.0.1:8080, serves: gateway, tls: {{ certificates: [ {{ certificate: api.pem, key: api.key }} ], {clients} }} }}
  - {{ address: 127.0.0.1:9090, serves: operations }}
resources:
  - {{ kind: upstream, name: a, targets: [ {{ url: \"http://127.0.0.1:9000\" }} ] }}
  - {{ kind: api, name: a, version: v1, state: published, base_path: /a, upstream: a, authentication: {{ mutual_tls: {{ {rule} }} }} }}
"
        );
        check(&shell, &text, expected);
    }
}
