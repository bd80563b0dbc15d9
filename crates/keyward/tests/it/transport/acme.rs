//! Certificates from `pebble`, the test server of Let's Encrypt's authors.

use super::{Authority, Example, curl, free_ports, say, text, wait, waited};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const NAMES: [&str; 2] = ["api.example.com", "www.example.com"];

/// A certificate authority that looks for hosts at ports of ours, with a DNS server that says they are all
/// on this machine. Ended when dropped.
struct Pebble {
    server: Child,
    dns: Child,
    port: u16,
    management: u16,
    authority: Authority,
    plan: Plan,
}

/// Where it looks, and for how long its certificates hold.
#[derive(Clone, Copy)]
struct Plan {
    http: u16,
    tls: u16,
    validity: Duration,
}

impl Pebble {
    async fn start(plan: Plan) -> Self {
        let [port, management, dns_port, dns_management] = free_ports();
        let authority = Authority::new();
        let own = authority.issue(&["pebble.internal", "127.0.0.1"]);
        authority.file("pebble.pem", &own.certificate);
        authority.file("pebble.key", &own.key);
        let dns = Command::new("pebble-challtestsrv")
            .args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
            .args(["-dns01", &format!("127.0.0.1:{dns_port}")])
            .args(["-management", &format!("127.0.0.1:{dns_management}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pebble is needed: `cargo xtask test` installs it");
        let server = spawn(&authority, plan, port, management, dns_port);
        let pebble = Self {
            server,
            dns,
            port,
            management,
            authority,
            plan,
        };
        pebble.ready().await;
        pebble
    }

    /// Forgets everything: accounts, and its own root.
    async fn forget(&mut self) {
        self.stop();
        let [dns] = free_ports();
        let _ended = self.dns.kill();
        let _status = self.dns.wait();
        self.dns = Command::new("pebble-challtestsrv")
            .args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
            .args(["-dns01", &format!("127.0.0.1:{dns}"), "-management", ""])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.server = spawn(&self.authority, self.plan, self.port, self.management, dns);
        self.ready().await;
    }

    fn stop(&mut self) {
        let _ended = self.server.kill();
        let _status = self.server.wait();
    }

    async fn ready(&self) {
        wait("pebble", async || self.get("/roots/0").await.is_some()).await;
    }

    async fn get(&self, path: &str) -> Option<String> {
        let url = format!("https://127.0.0.1:{}{path}", self.management);
        let root = self.authority.root();
        let arguments = [
            "--silent",
            "--fail",
            "--max-time",
            "5",
            "--cacert",
            &root,
            &url,
        ];
        let output = say("curl", &arguments).await;
        output.status.success().then(|| text(&output.stdout))
    }

    /// Its present root, as a file.
    async fn root(&self) -> String {
        let root = self.get("/roots/0").await.unwrap();
        let path = self.authority.file("issued-root.pem", &root);
        path.display().to_string()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
        let _ended = self.dns.kill();
        let _status = self.dns.wait();
    }
}

fn spawn(authority: &Authority, plan: Plan, port: u16, management: u16, dns: u16) -> Child {
    let folder = authority.folder.path();
    let configuration = serde_json::json!({ "pebble": {
        "listenAddress": format!("127.0.0.1:{port}"),
        "managementListenAddress": format!("127.0.0.1:{management}"),
        "certificate": folder.join("pebble.pem"),
        "privateKey": folder.join("pebble.key"),
        "httpPort": plan.http,
        "tlsPort": plan.tls,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": false,
        "certificateValidityPeriod": plan.validity.as_secs(),
    } });
    let path = authority.file("pebble.json", &configuration.to_string());
    Command::new("pebble")
        .arg("-config")
        .arg(path)
        .args(["-dnsserver", &format!("127.0.0.1:{dns}")])
        .env("PEBBLE_VA_NOSLEEP", "1")
        // It refuses good nonces now and then, as the protocol allows.
        .env("PEBBLE_WFE_NONCEREJECT", "10")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("pebble is needed: `cargo xtask test` installs it")
}

/// `acme.yaml` with this authority. The plain listener's port is not known before: `http` forwards to it.
async fn run(pebble: &Pebble, challenge: &str) -> Example {
    let (http, tls) = (
        format!("127.0.0.1:{}", pebble.plan.http),
        format!("127.0.0.1:{}", pebble.plan.tls),
    );
    let directory = format!("https://127.0.0.1:{}/dir", pebble.port);
    let with_roots = format!("challenge: {challenge}\n            roots: pebble-roots.pem");
    let format = format!(
        "format: 1\negress: {{ allow: [\"127.0.0.1:{}\"] }}",
        pebble.port
    );
    let moved = [
        ("127.0.0.1:8080", http.as_str()),
        ("127.0.0.1:8443", &tls),
        ("https://acme-v02.api.letsencrypt.org/directory", &directory),
        ("challenge: http-01", &with_roots),
        ("format: 1", &format),
    ];
    let files = [("pebble-roots.pem", pebble.authority.root.as_str())];
    Example::run("acme.yaml", &moved, &files).await
}

/// Whether a host is served under a certificate that the authority has issued.
async fn served(port: u16, host: &str, root: &str) -> bool {
    let (status, _) = curl(port, host, "/catalogue/7", &["--cacert", root]).await;
    status == 200
}

/// The serial number of what is shown.
async fn serial(port: u16) -> String {
    let address = format!("127.0.0.1:{port}");
    let line = format!(
        "openssl s_client -connect {address} -servername {} </dev/null 2>/dev/null | openssl x509 -noout -serial",
        NAMES[0]
    );
    text(&say("sh", &["-c", &line]).await.stdout)
}

fn plan(validity: Duration) -> Plan {
    let [http, tls] = free_ports();
    Plan {
        http,
        tls,
        validity,
    }
}

#[tokio::test]
async fn a_certificate_is_obtained_by_either_challenge_and_outlives_a_restart() {
    for challenge in ["http-01", "tls-alpn-01"] {
        let plan = plan(Duration::from_secs(24 * 3600));
        let mut pebble = Pebble::start(plan).await;
        let mut example = run(&pebble, challenge).await;
        let root = pebble.root().await;
        let obtained = waited(async || served(plan.tls, NAMES[0], &root).await).await;
        assert!(obtained, "{challenge}: {}", example.process.log());
        assert!(served(plan.tls, NAMES[1], &root).await);
        assert!(!served(plan.tls, "other.example.com", &root).await);
        let first = serial(plan.tls).await;
        pebble.stop();
        example.process.restart().await;
        assert!(
            served(plan.tls, NAMES[0], &root).await,
            "{}",
            example.process.log()
        );
        assert_eq!(serial(plan.tls).await, first);
        // What is kept is encrypted, and nothing of it is told.
        let database = example.process.folder().join("keyward-data/keyward.db");
        let database = text(&std::fs::read(database).unwrap());
        assert!(database.contains("acme_certificates"));
        for secret in [database, example.process.log()] {
            assert!(!secret.contains("PRIVATE KEY") && !secret.contains("key_pkcs8"));
        }
    }
}

#[tokio::test]
async fn a_certificate_is_renewed_in_time_by_an_authority_that_has_forgotten_us() {
    let plan = plan(Duration::from_secs(24));
    let mut pebble = Pebble::start(plan).await;
    let example = run(&pebble, "http-01").await;
    let root = pebble.root().await;
    wait("the first", async || {
        served(plan.tls, NAMES[0], &root).await
    })
    .await;
    let first = serial(plan.tls).await;
    pebble.forget().await;
    let root = pebble.root().await;
    wait("the second", async || {
        served(plan.tls, NAMES[0], &root).await
    })
    .await;
    assert_ne!(serial(plan.tls).await, first);
    let log = example.process.log();
    assert!(log.contains("does not know the account"), "{log}");
}

#[tokio::test]
async fn an_authority_that_does_not_believe_us_stops_nothing() {
    for challenge in ["http-01", "tls-alpn-01"] {
        is_not_believed(challenge).await;
    }
}

async fn is_not_believed(challenge: &str) {
    let mut plan = plan(Duration::from_secs(24 * 3600));
    let elsewhere = plan;
    // It looks where nobody listens.
    [plan.http, plan.tls] = free_ports();
    let mut pebble = Pebble::start(plan).await;
    pebble.plan = elsewhere;
    let example = run(&pebble, challenge).await;
    wait("the refusal", async || {
        let log = example.process.log();
        log.contains("no certificate was obtained") && log.contains("api.example.com")
    })
    .await;
    assert!(serial(elsewhere.tls).await.is_empty());
    let url = format!("http://127.0.0.1:{}/catalogue/7", elsewhere.http);
    let output = say("curl", &["--silent", "--fail", "--max-time", "20", &url]).await;
    assert!(output.status.success());
    // What is no answer to a question is no page of ours.
    let url = format!(
        "http://127.0.0.1:{}/.well-known/acme-challenge/none",
        elsewhere.http
    );
    let output = say(
        "curl",
        &[
            "--silent",
            "--write-out",
            "%{http_code}",
            "--max-time",
            "20",
            &url,
        ],
    )
    .await;
    assert!(text(&output.stdout).ends_with("404"));
}
