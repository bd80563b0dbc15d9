//! Certificates of the connection itself: callers who are known by them, and tokens that are bound to them (RFC 8705).

use super::super::Table;
use super::page_table;
use crate::token::Issuer;
use crate::transport::{Authority, HOUR, Issued};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use keyward_jose::SignatureAlgorithm as A;
use keyward_testkit::{Answer, Head, KeywardProcess, Upstream};
use serde_json::json;
use std::process::{Command, Stdio};

const BILLING: &str = "spiffe://acme.example/billing";
const AUDIT: &str = "spiffe://acme.example/audit";
const STRANGER: &str = "spiffe://acme.example/stranger";

/// A client of the node, with a certificate or without.
struct Caller {
    port: u16,
    root: String,
    own: Option<[String; 2]>,
}

impl Caller {
    /// What curl gets over a connection of its own.
    async fn call(&self, arguments: &[&str], path: &str) -> Answer {
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--include", "--http1.1"])
            .args(["--max-time", "20", "--cacert", &self.root])
            .args(["--resolve", &format!("api.example:{}:127.0.0.1", self.port)]);
        if let Some([certificate, key]) = &self.own {
            command.args(["--cert", certificate, "--key", key]);
        }
        command
            .args(arguments)
            .arg(format!("https://api.example:{}{path}", self.port))
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        assert!(output.status.success(), "{output:?}");
        read(&String::from_utf8(output.stdout).unwrap())
    }
}

fn read(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let first_line = lines.next().unwrap().to_owned();
    let fields = lines.map(|line| {
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        (name.to_owned(), value.to_owned())
    });
    Answer {
        status: first_line.split(' ').nth(1).unwrap().parse().unwrap(),
        head: Head {
            fields: fields.collect(),
            first_line,
        },
        body: body.as_bytes().to_vec(),
        trailers: Vec::new(),
    }
}

fn thumbprint(issued: &Issued) -> String {
    let text: String = issued
        .certificate
        .lines()
        .filter(|line| !line.starts_with("--"))
        .collect();
    let der = STANDARD.decode(text).unwrap();
    URL_SAFE_NO_PAD.encode(digest(&SHA256, &der))
}

#[tokio::test]
async fn certificates_of_the_connection() {
    let (authority, clients, partner) = (Authority::new(), Authority::new(), Authority::new());
    let issuer = Issuer::new("main", A::Es256);
    let upstream = Upstream::echo().await;
    let tokens = issuer.authentication("");
    let configuration = format!(
        r#"
format: 1
listeners:
  - address: 127.0.0.1:8080
    serves: gateway
    tls:
      certificates: [ {{ certificate: api.pem, key: api.key }} ]
      client_certificates: {{ roots: clients.pem, required: false }}
  - {{ address: 127.0.0.1:9090, serves: operations }}
resources:
  - {{ kind: upstream, name: echo, targets: [ {{ url: "{echo}" }} ] }}
  {issuer_resource}
  - kind: api
    name: ledger
    version: v1
    state: published
    base_path: /ledger
    upstream: echo
    authentication:
      mutual_tls:
        subject: san_uri
        callers: [ {AUDIT}, {{ name: "{BILLING}", scopes: [write] }} ]
    routes:
      - {{ name: read, match: {{ methods: [GET] }} }}
      - {{ name: write, match: {{ methods: [POST] }}, authorization: {{ scopes: [write] }} }}
  - {{ kind: api, name: partner, version: v1, state: published, base_path: /partner, upstream: echo, authentication: {{ mutual_tls: {{ subject: common_name, roots: partner.pem }} }} }}
  - {{ kind: api, name: mail, version: v1, state: published, base_path: /mail, upstream: echo, authentication: {{ mutual_tls: {{ subject: san_email }} }} }}
  - {{ kind: api, name: orders, version: v1, state: published, base_path: /orders, upstream: echo, {tokens} }}
  - {{ kind: api, name: either, version: v1, state: published, base_path: /either, upstream: echo, authentication: [ {{ issuers: [main], audience: test-api }}, {{ mutual_tls: {{ subject: san_uri }} }} ] }}
"#,
        echo = upstream.url(),
        issuer_resource = issuer.resource(""),
    );
    let api = authority.issue(&["api.example"]);
    let roots = format!("{}{}", clients.root, partner.root);
    let files = [
        ("api.pem", api.certificate.as_str()),
        ("api.key", &api.key),
        ("clients.pem", &roots),
        ("partner.pem", &partner.root),
    ];
    let binary = env!("CARGO_BIN_EXE_keyward");
    let node = KeywardProcess::start_configured(binary, &configuration, &[], &files).await;
    let caller = |name: &str, issued: Option<&Issued>| Caller {
        port: node.gateway().port(),
        root: authority.root(),
        own: issued.map(|issued| {
            [("pem", &issued.certificate), ("key", &issued.key)].map(|(kind, text)| {
                let path = authority.file(&format!("{name}.{kind}"), text);
                path.display().to_string()
            })
        }),
    };
    let billing = clients.issue_client(BILLING, 7, HOUR);
    let own = caller("billing", Some(&billing));
    let audit = caller("audit", Some(&clients.issue_client(AUDIT, 8, HOUR)));
    let stranger = caller("stranger", Some(&clients.issue_client(STRANGER, 9, HOUR)));
    let other = caller("partner", Some(&partner.issue_client(BILLING, 7, HOUR)));
    let without = caller("none", None);
    let bound = issuer.token_with("cnf", Some(json!({ "x5t#S256": thumbprint(&billing) })));
    let bound = format!("Authorization: Bearer {bound}");
    let plain = format!("Authorization: Bearer {}", issuer.token());
    let wrong = "Authorization: Bearer wrong";
    let mut table = page_table(Table::new("authentication", "certificates")).upstream_headers(&[
        "authorization",
        "client-cert",
        "x-keyward-subject",
    ]);
    let get: &[&str] = &[];
    let post: &[&str] = &["--data", "{}"];
    for (case, who, shown, arguments, path) in [
        ("a listed caller", &own, BILLING, get, "/ledger/7"),
        ("with its scope", &own, BILLING, post, "/ledger/7"),
        ("another one", &audit, AUDIT, get, "/ledger/7"),
        ("which has no such scope", &audit, AUDIT, post, "/ledger/7"),
        (
            "one that is not listed",
            &stranger,
            STRANGER,
            get,
            "/ledger/7",
        ),
        ("no certificate", &without, "none", get, "/ledger/7"),
        (
            "no certificate, and one told by the client itself",
            &without,
            "none",
            &["--header", "Client-Cert: :AAAA:"],
            "/ledger/7",
        ),
        (
            "of the authority that the API names",
            &other,
            "the partner's",
            get,
            "/partner/7",
        ),
        (
            "of another one that the listener takes",
            &own,
            BILLING,
            get,
            "/partner/7",
        ),
        (
            "without a name of the kind that counts",
            &own,
            BILLING,
            get,
            "/mail/7",
        ),
        (
            "a token that is bound to the connection's",
            &own,
            BILLING,
            &["--header", &bound],
            "/orders/7",
        ),
        (
            "the same token with another's",
            &audit,
            AUDIT,
            &["--header", &bound],
            "/orders/7",
        ),
        (
            "and with none: stolen",
            &without,
            "none",
            &["--header", &bound],
            "/orders/7",
        ),
        (
            "a token that is bound to nothing, with a certificate",
            &own,
            BILLING,
            &["--header", &plain],
            "/orders/7",
        ),
        (
            "a certificate where tokens are taken alone",
            &own,
            BILLING,
            get,
            "/orders/7",
        ),
        (
            "tokens, then certificates: a certificate alone",
            &own,
            BILLING,
            get,
            "/either/7",
        ),
        (
            "both: the token counts",
            &own,
            BILLING,
            &["--header", &plain],
            "/either/7",
        ),
        (
            "a wrong token and a good certificate: no second try",
            &own,
            BILLING,
            &["--header", wrong],
            "/either/7",
        ),
        ("neither", &without, "none", get, "/either/7"),
    ] {
        let before = upstream.received().len();
        let answer = who.call(arguments, path).await;
        let received = upstream.received().split_off(before);
        let method = if arguments == post { "POST" } else { "GET" };
        let token = match arguments {
            [_, header] if *header == bound => ", the bound token",
            [_, header] if *header == plain => ", a token",
            [_, header] if *header == wrong => ", a wrong token",
            [_, header] if header.starts_with("Client-Cert") => ", `Client-Cert: :AAAA:`",
            _ => "",
        };
        let sent = format!("`{method} {path}`{token}<br>certificate: {shown}");
        table.add_received(case, &sent, &answer, &received);
    }
    table.finish();
}
