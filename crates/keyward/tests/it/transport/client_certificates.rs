//! Callers who are known by their certificate.

use super::{Authority, Example, HOUR, Issued, curl, python, say, text, wait};
use crate::node::check_problem;
use keyward_testkit::{KeywardProcess, Upstream};
use std::time::Duration;

const BILLING: &str = "spiffe://acme.example/billing";
const AUDIT: &str = "spiffe://acme.example/audit";

async fn run(authority: &Authority, clients: &Authority) -> Example {
    let api = authority.issue(&["api.example"]);
    let files = [
        ("api.pem", api.certificate.as_str()),
        ("api.key", &api.key),
        ("clients.pem", &clients.root),
        ("clients.crl", &clients.revoke(&[])),
    ];
    Example::run("client-certificates.yaml", &[], &files).await
}

/// The paths of a certificate and its key, written down.
fn paths(authority: &Authority, name: &str, issued: &Issued) -> [String; 2] {
    [("pem", &issued.certificate), ("key", &issued.key)].map(|(kind, text)| {
        let path = authority.file(&format!("{name}.{kind}"), text);
        path.display().to_string()
    })
}

#[tokio::test]
async fn a_certificates_name_is_the_caller() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let example = run(&authority, &clients).await;
    let root = authority.root();
    let post: &[&str] = &["--data", "{}"];
    for (uri, method, status, code) in [
        (Some(BILLING), post, 200, ""),
        (Some(BILLING), &[], 200, ""),
        (Some(AUDIT), &[], 200, ""),
        (Some(AUDIT), post, 403, "insufficient_scope"),
        (
            Some("spiffe://acme.example/Billing"),
            &[],
            403,
            "caller_not_allowed",
        ),
        (
            Some("spiffe://acme.example/*"),
            &[],
            403,
            "caller_not_allowed",
        ),
        (None, &[], 401, "certificate_missing"),
    ] {
        let own = uri.map(|uri| paths(&authority, "own", &clients.issue_client(uri, 7, HOUR)));
        let mut arguments = vec!["--include", "--cacert", root.as_str()];
        if let Some([certificate, key]) = &own {
            arguments.extend(["--cert", certificate.as_str(), "--key", key.as_str()]);
        }
        arguments.extend(["--header", "X_Caller: admin"]);
        arguments.extend(method);
        let (got, told) = curl(example.port(), "api.example", "/ledger/7", &arguments).await;
        assert_eq!(got, status, "{uri:?} {told}");
        assert!(told.contains(code), "{uri:?} {told}");
        let challenge = told.contains("www-authenticate: ClientCertificate realm=\"keyward\"");
        assert_eq!(challenge, status == 401, "{told}");
        if status == 200 {
            assert!(told.contains("ratelimit: \"subject-1\""), "{told}");
            assert_eq!(example.told("x-caller").as_deref(), uri);
            let thumbprint = example.told("x-certificate").unwrap();
            assert_eq!(thumbprint.len(), 43, "{thumbprint}");
            let received = example.upstream.received().pop().unwrap();
            assert_eq!(received.head.field("x_caller"), None);
        }
    }
    // Billing has had two calls of a limit of its own, audit two: one that was refused used nothing up.
    let issued = clients.issue_client(AUDIT, 7, HOUR);
    let [certificate, key] = paths(&authority, "own", &issued);
    let arguments = [
        "--include",
        "--cacert",
        &root,
        "--cert",
        &certificate,
        "--key",
        &key,
    ];
    let (_, told) = curl(example.port(), "api.example", "/ledger/7", &arguments).await;
    assert!(told.contains("ratelimit: \"subject-1\";r=98"), "{told}");
    wait("the line of the log", async || {
        let log = example.process.log();
        let refused = log
            .lines()
            .find(|line| line.contains("caller_not_allowed") && line.contains("Billing"));
        refused.is_some()
    })
    .await;
}

/// Calls on one connection until a call does not pass: how many did, the answer, and whether the connection
/// is closed after it.
const STEADY: &str = r#"
import http.client, json, ssl, socket, sys, time
port, root, certificate, key = int(sys.argv[1]), *sys.argv[2:5]
context = ssl.create_default_context(cafile=root)
context.load_cert_chain(certificate, key)
stream = context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="api.example")
connection = http.client.HTTPSConnection("api.example", port)
connection.sock = stream
passed = 0
while passed < 10000:
    connection.request("GET", "/ledger/7")
    answer = connection.getresponse()
    body = answer.read()
    if answer.status not in (200, 429):
        print(passed > 0, answer.status, json.loads(body)["code"], answer.getheader("connection"))
        break
    passed += 1
    time.sleep(0.02)
"#;

#[tokio::test]
async fn a_connection_ends_with_its_certificate() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let example = run(&authority, &clients).await;
    let (port, root) = (example.port().to_string(), authority.root());
    let short = clients.issue_client(BILLING, 7, Duration::from_secs(4));
    let [certificate, key] = paths(&authority, "short", &short);
    let said = python(STEADY, &[&port, &root, &certificate, &key]).await;
    assert_eq!(said.trim_end(), "True 401 certificate_expired close");
}

#[tokio::test]
async fn a_connection_of_http2_ends_with_its_certificate_too() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let example = run(&authority, &clients).await;
    let (port, root) = (example.port(), authority.root());
    let short = clients.issue_client(BILLING, 7, Duration::from_secs(4));
    let [certificate, key] = paths(&authority, "short", &short);
    // One after the other over one connection, until that is to be made anew and can't be.
    let resolve = format!("api.example:{port}:127.0.0.1");
    let urls = format!("https://api.example:{port}/ledger/[1-90]");
    let arguments = [
        "--silent",
        "--http2",
        "--rate",
        "10/s",
        "--max-time",
        "20",
        "--cacert",
        &root,
        "--cert",
        &certificate,
        "--key",
        &key,
        "--resolve",
        &resolve,
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_version} %{http_code} %{num_connects}\n",
        "--fail-early",
        &urls,
    ];
    let said = text(&say("curl", &arguments).await.stdout);
    let told: Vec<&str> = said.lines().collect();
    let [first, passed @ .., last, failed] = told.as_slice() else {
        panic!("{said}");
    };
    assert_eq!(*first, "2 200 1", "{said}");
    assert!(
        passed.len() > 2 && passed.iter().all(|told| *told == "2 200 0"),
        "{said}"
    );
    assert_eq!(*last, "2 401 0", "{said}");
    assert!(failed.contains(" 000 "), "{said}");
}

#[tokio::test]
async fn a_connection_ends_when_its_certificate_is_taken_back() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let example = run(&authority, &clients).await;
    let (port, root) = (example.port().to_string(), authority.root());
    let own = clients.issue_client(BILLING, 7, HOUR);
    let [certificate, key] = paths(&authority, "own", &own);
    let arguments = [port.as_str(), &root, &certificate, &key];
    let revoke = async {
        wait("a call", async || !example.upstream.received().is_empty()).await;
        let list = example.process.folder().join("clients.crl");
        std::fs::write(list, clients.revoke(&[7])).unwrap();
    };
    let (said, ()) = tokio::join!(python(STEADY, &arguments), revoke);
    assert_eq!(said.trim_end(), "True 401 certificate_revoked close");
    // And it opens no other one.
    let arguments = ["--cacert", &root, "--cert", &certificate, "--key", &key];
    let (status, _) = curl(example.port(), "api.example", "/ledger/7", &arguments).await;
    assert_eq!(status, 0);
}

/// A node with APIs that look at certificates in different ways.
async fn several(authority: &Authority, clients: &Authority, partner: &Authority) -> Example {
    let api = authority.issue(&["api.example"]);
    let upstream = Upstream::echo().await;
    let configuration = format!(
        r#"
format: 1
listeners:
  - address: 127.0.0.1:8080
    serves: gateway
    tls:
      certificates: [ {{ certificate: api.pem, key: api.key }} ]
      client_certificates: {{ roots: clients.pem, required: true }}
  - {{ address: 127.0.0.1:8090, serves: gateway }}
  - {{ address: 127.0.0.1:9090, serves: operations }}
resources:
  - {{ kind: upstream, name: echo, targets: [ {{ url: "{}" }} ] }}
  - {{ kind: api, name: named, version: v1, state: published, base_path: /named, upstream: echo, authentication: {{ mutual_tls: {{ subject: subject_dn, forward_certificate: true }} }} }}
  - {{ kind: api, name: partner, version: v1, state: published, base_path: /partner, upstream: echo, authentication: {{ mutual_tls: {{ subject: common_name, roots: partner.pem }} }} }}
  - {{ kind: api, name: mail, version: v1, state: published, base_path: /mail, upstream: echo, authentication: {{ mutual_tls: {{ subject: san_email }} }} }}
  - {{ kind: api, name: open, version: v1, state: published, base_path: /open, upstream: echo, authentication: none }}
"#,
        upstream.url()
    );
    let both = format!("{}{}", clients.root, partner.root);
    let files = [
        ("api.pem", api.certificate.as_str()),
        ("api.key", &api.key),
        ("clients.pem", &both),
        ("partner.pem", &partner.root),
    ];
    let binary = env!("CARGO_BIN_EXE_keyward");
    let process = KeywardProcess::start_configured(binary, &configuration, &[], &files).await;
    Example { process, upstream }
}

#[tokio::test]
async fn each_api_takes_certificates_by_its_own_rule() {
    let (authority, clients, partner) = (Authority::new(), Authority::new(), Authority::new());
    let example = several(&authority, &clients, &partner).await;
    let root = authority.root();
    let ours = clients.issue_client(BILLING, 7, HOUR);
    let theirs = partner.issue_client(BILLING, 7, HOUR);
    for (issued, path, status, expected) in [
        (&ours, "/named", 200, ""),
        (&ours, "/partner", 401, "certificate_invalid"),
        (&theirs, "/partner", 200, ""),
        (&theirs, "/named", 200, ""),
        (&ours, "/mail", 401, "no name of the kind `san_email`"),
        (&ours, "/open", 200, ""),
    ] {
        let [certificate, key] = paths(&clients, "own", issued);
        let arguments = ["--cacert", &root, "--cert", &certificate, "--key", &key];
        let forged = [
            "--header",
            "Client-Cert: :AAAA:",
            "--header",
            "Client_Cert_Chain: a",
        ];
        let arguments = [&arguments[..], &forged].concat();
        let (got, told) = curl(example.port(), "api.example", path, &arguments).await;
        assert_eq!(got, status, "{path} {told}");
        assert!(told.contains(expected), "{path} {told}");
        if status != 200 {
            continue;
        }
        let head = example.upstream.received().pop().unwrap().head;
        let told: Vec<_> = head
            .fields
            .iter()
            .filter(|(name, _)| {
                name.to_ascii_lowercase()
                    .replace('_', "-")
                    .starts_with("client-cert")
            })
            .collect();
        if path != "/named" {
            assert!(told.is_empty(), "{told:?}");
            continue;
        }
        // What OpenSSL makes of the certificate is what the upstream is told.
        let arguments = [
            "x509",
            "-in",
            &certificate,
            "-noout",
            "-subject",
            "-nameopt",
            "RFC2253",
        ];
        let subject = text(&say("openssl", &arguments).await.stdout);
        let subject = subject.trim_end().strip_prefix("subject=").unwrap();
        assert_eq!(subject, "CN=billing,O=Acme\\, Inc.");
        assert_eq!(head.field("x-keyward-subject"), Some(subject));
        let issuer = head.field("x-keyward-issuer").unwrap();
        assert!(issuer.starts_with("CN=Root"), "{issuer}");
        let pem: String = issued
            .certificate
            .lines()
            .filter(|line| !line.starts_with("--"))
            .collect();
        assert_eq!(told, [&("client-cert".to_owned(), format!(":{pem}:"))]);
    }
    // Where nothing is protected nobody can show one.
    let answer = keyward_testkit::RawClient::connect(example.process.site()).await;
    let mut client = answer.unwrap();
    client
        .send("GET /named HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let answer = client.answer().await.unwrap();
    check_problem(&answer, 401, "certificate_missing");
    assert!(
        answer.text().contains("connect over TLS"),
        "{}",
        answer.text()
    );
}
