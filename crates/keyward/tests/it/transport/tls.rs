//! TLS at the listener.

use super::{Authority, Example, Issued, curl, python, say, text, wait};
use crate::running::edit;

/// `tls.yaml` with certificates of the authority.
async fn run(authority: &Authority) -> Example {
    speaking(authority, None).await
}

/// The same with these `protocols`.
async fn speaking(authority: &Authority, protocols: Option<&str>) -> Example {
    let (api, tenants) = (
        authority.issue(&["api.example"]),
        authority.issue(&["*.tenants.example"]),
    );
    let files = [
        ("api.pem", api.certificate.as_str()),
        ("api.key", &api.key),
        ("tenants.pem", &tenants.certificate),
        ("tenants.key", &tenants.key),
    ];
    let protocols =
        protocols.map(|list| format!("serves: gateway\n    protocols: {list}\n    tls"));
    let moved = protocols
        .as_deref()
        .map(|to| ("serves: gateway\n    tls", to));
    let moved: Vec<_> = moved.into_iter().collect();
    Example::run("tls.yaml", &moved, &files).await
}

/// What `openssl s_client` prints of a handshake.
async fn s_client(example: &Example, arguments: &[&str]) -> String {
    let address = format!("127.0.0.1:{}", example.port());
    let fixed = ["s_client", "-connect", &address];
    let output = say("openssl", &[&fixed, arguments].concat()).await;
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn curl_calls_by_each_name_and_version() {
    let authority = Authority::new();
    let example = run(&authority).await;
    let root = authority.root();
    let trusting = ["--cacert", root.as_str()];
    for host in ["api.example", "one.tenants.example"] {
        for versions in [
            &["--tlsv1.2", "--tls-max", "1.2"][..],
            &["--tlsv1.3"],
            &["--http1.1"],
        ] {
            let arguments = [&trusting, versions].concat();
            let (status, told) = curl(example.port(), host, "/catalogue/7", &arguments).await;
            assert_eq!(status, 200, "{host} {versions:?}: {told}");
        }
    }
    assert_eq!(example.told("x-forwarded-proto").as_deref(), Some("https"));
    // Neither another name nor an unknown root.
    for (host, arguments) in [("other.example", &trusting[..]), ("api.example", &[])] {
        let (status, told) = curl(example.port(), host, "/catalogue/7", arguments).await;
        assert_eq!(status, 0, "{told}");
        assert!(
            told.contains("certificate") || told.contains("SSL"),
            "{told}"
        );
    }
    // In clear.
    let plain = format!("http://127.0.0.1:{}/catalogue/7", example.port());
    let output = say("curl", &["--silent", "--max-time", "20", &plain]).await;
    assert!(!output.status.success());
    let (status, _) = curl(example.port(), "api.example", "/catalogue/7", &trusting).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn openssl_agrees_on_versions_protocols_and_sessions() {
    let authority = Authority::new();
    let example = run(&authority).await;
    for (arguments, expected) in [
        (
            &["-tls1_3", "-alpn", "http/1.1"][..],
            "ALPN protocol: http/1.1",
        ),
        (&["-tls1_2", "-alpn", "http/1.1,h2"], "ALPN protocol: h2"),
        (&["-tls1_3", "-alpn", "h2"], "ALPN protocol: h2"),
        (&["-tls1_2"], "Protocol  : TLSv1.2"),
        (&["-tls1_3"], "New, TLSv1.3"),
        (&["-groups", "X25519"], "X25519"),
        (&["-groups", "P-256"], "ECDH, prime256v1"),
        // The first certificate for who names nothing, or something unknown.
        (&["-noservername"], "CN = api.example"),
        (&["-servername", "unknown.example"], "CN = api.example"),
        (
            &["-servername", "a.tenants.example"],
            "CN = *.tenants.example",
        ),
        (&["-tls1_2", "-reconnect"], "Reused, TLSv1.2"),
    ] {
        let said = s_client(&example, arguments).await;
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    for (arguments, refused) in [
        (
            &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"][..],
            "alert handshake failure",
        ),
        (
            &["-tls1_2", "-cipher", "AES128-SHA"],
            "alert handshake failure",
        ),
        (&["-alpn", "gopher"], "no application protocol"),
    ] {
        let said = s_client(&example, arguments).await;
        assert!(said.contains(refused), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn curl_speaks_what_the_listener_lets_it() {
    let authority = Authority::new();
    for (spoken, asked, said) in [
        (None, &[][..], "2 200"),
        (None, &["--http1.1"], "1.1 200"),
        (Some("[http1]"), &[], "1.1 200"),
        (Some("[http1]"), &["--http2"], "1.1 200"),
        (Some("[http2]"), &[], "2 200"),
        // It shares no protocol with the listener, and says nothing where that would be asked.
        (Some("[http2]"), &["--http1.1"], "0 000"),
        (Some("[http2]"), &["--no-alpn"], "0 000"),
    ] {
        let example = speaking(&authority, spoken).await;
        let port = example.port();
        let resolve = format!("api.example:{port}:127.0.0.1");
        let url = format!("https://api.example:{port}/catalogue/7");
        let root = authority.root();
        let fixed = [
            "--silent",
            "--max-time",
            "20",
            "--output",
            "/dev/null",
            "--cacert",
            &root,
            "--write-out",
            "%{http_version} %{http_code}",
            "--resolve",
            &resolve,
            &url,
        ];
        let output = say("curl", &[asked, &fixed].concat()).await;
        assert_eq!(text(&output.stdout), said, "{spoken:?}: {asked:?}");
    }
}

/// A call, a second one that resumes the session, and a third on the same connection.
const PYTHON: &str = r#"
import http.client, socket, ssl, sys
port, root = int(sys.argv[1]), sys.argv[2]
context = ssl.create_default_context(cafile=root)
session = None
for turn in range(2):
    plain = socket.create_connection(("127.0.0.1", port))
    stream = context.wrap_socket(plain, server_hostname="api.example", session=session)
    connection = http.client.HTTPSConnection("api.example", port)
    connection.sock = stream
    for path in ("/catalogue/a", "/catalogue/b"):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        print(answer.status, stream.version(), stream.session_reused)
    session = stream.session
    connection.close()
"#;

#[tokio::test]
async fn python_keeps_its_connection_and_resumes_its_session() {
    let authority = Authority::new();
    let example = run(&authority).await;
    let port = example.port().to_string();
    let said = python(PYTHON, &[&port, &authority.root()]).await;
    let expected = "200 TLSv1.3 False\n200 TLSv1.3 False\n200 TLSv1.3 True\n200 TLSv1.3 True\n";
    assert_eq!(said, expected);
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_up_and_a_broken_one_told_of() {
    let authority = Authority::new();
    let example = run(&authority).await;
    let folder = example.process.folder();
    let put = |issued: &Issued| {
        std::fs::write(folder.join("api.pem"), &issued.certificate).unwrap();
        std::fs::write(folder.join("api.key"), &issued.key).unwrap();
    };
    let shown = async || s_client(&example, &["-servername", "api.example"]).await;
    put(&authority.issue(&["renewed.example", "api.example"]));
    wait("the new certificate", async || {
        shown().await.contains("CN = renewed.example")
    })
    .await;
    std::fs::write(folder.join("api.pem"), "nothing\n").unwrap();
    wait("a warning", async || {
        let log = example.process.log();
        log.contains("api.pem") && log.contains("there is no certificate in it")
    })
    .await;
    assert!(shown().await.contains("CN = renewed.example"));
    let root = authority.root();
    let arguments = ["--cacert", root.as_str()];
    let (status, told) = curl(example.port(), "api.example", "/catalogue/7", &arguments).await;
    assert_eq!(status, 200, "{told}");
}

#[tokio::test]
async fn a_reload_changes_what_is_agreed_on_with_new_connections_alone() {
    let authority = Authority::new();
    let example = run(&authority).await;
    let folder = example.process.folder();
    let other = authority.issue(&["other.example", "api.example"]);
    std::fs::write(folder.join("other.pem"), &other.certificate).unwrap();
    std::fs::write(folder.join("other.key"), &other.key).unwrap();
    let old = ["-servername", "api.example", "-tls1_2"];
    assert!(s_client(&example, &old).await.contains("CN = api.example"));
    let mut kept = std::process::Command::new("openssl")
        .args([
            "s_client",
            "-quiet",
            "-servername",
            "api.example",
            "-tls1_2",
            "-connect",
        ])
        .arg(format!("127.0.0.1:{}", example.port()))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut input = kept.stdin.take().unwrap();
    let call = "GET /catalogue/7 HTTP/1.1\r\nHost: api.example\r\n\r\n";
    std::io::Write::write_all(&mut input, call.as_bytes()).unwrap();
    wait("the first call", async || {
        example.upstream.received().len() == 1
    })
    .await;

    // A certificate that can't be read is refused whole, and nothing is changed.
    edit(&example.process, |text| {
        text.replace("certificate: api.pem", "certificate: missing.pem")
    });
    wait("the refusal", async || {
        example.process.log().contains("missing.pem")
    })
    .await;
    assert!(s_client(&example, &old).await.contains("CN = api.example"));

    edit(&example.process, |text| {
        text.replace(
            "certificate: missing.pem, key: api.key",
            "certificate: other.pem, key: other.key",
        )
        .replace("minimum: \"1.2\"", "minimum: \"1.3\"")
    });
    wait("the other certificate", async || {
        let shown = s_client(&example, &["-servername", "api.example"]).await;
        shown.contains("CN = other.example")
    })
    .await;
    assert!(!s_client(&example, &old).await.contains("CN = "));
    // The connection that was agreed upon before goes on.
    std::io::Write::write_all(&mut input, call.as_bytes()).unwrap();
    wait("the second call", async || {
        example.upstream.received().len() == 2
    })
    .await;
    drop(input);
    let _ended = kept.kill();
    let _status = kept.wait();
    let log = example.process.log();
    assert!(!log.contains("can't change in a running process"), "{log}");
}
