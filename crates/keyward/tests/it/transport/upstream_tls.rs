//! TLS to an upstream that Python serves.

use super::{Authority, Example};
use crate::gateway::node::{call, code, get};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// Serves one file's worth of JSON to whoever shows a certificate, and says at which port.
const SERVER: &str = r#"
import http.server, json, ssl, sys
certificate, key, clients = sys.argv[1:4]
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        subject = dict(pair for group in self.connection.getpeercert()["subject"] for pair in group)
        body = json.dumps({"path": self.path, "host": self.headers["host"], "client": subject,
            "version": self.connection.version(), "alpn": self.connection.selected_alpn_protocol()}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
context.load_verify_locations(clients)
context.verify_mode = ssl.CERT_REQUIRED
context.set_alpn_protocols(["http/1.1"])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
"#;

/// Ended when dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(authority: &Authority, name: &str, clients: &Authority) -> Self {
        let issued = authority.issue(&[name]);
        let files = [
            authority.file("server.pem", &issued.certificate),
            authority.file("server.key", &issued.key),
        ];
        let mut child = Command::new("python3")
            .args(["-c", SERVER])
            .args(files)
            .arg(clients.root())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut port).unwrap();
        Self {
            child,
            address: format!("127.0.0.1:{}", port.trim()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

#[tokio::test]
async fn an_upstream_is_believed_by_its_certificate_alone() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let own = clients.issue(&["gateway.internal"]);
    let stranger = Authority::new();
    for (issuer, name, passes) in [
        (&authority, "ledger.internal", true),
        (&authority, "other.internal", false),
        (&stranger, "ledger.internal", false),
    ] {
        let server = Server::start(issuer, name, &clients);
        let files = [
            ("ledger-roots.pem", authority.root.as_str()),
            ("gateway.pem", &own.certificate),
            ("gateway.key", &own.key),
        ];
        let moved = [("127.0.0.1:9443", server.address.as_str())];
        let example = Example::run("tls-upstream.yaml", &moved, &files).await;
        for path in ["/ledger/1", "/ledger/2"] {
            let answer = call(example.process.gateway(), get(path, None, "")).await;
            if !passes {
                assert_eq!(
                    (answer.status, code(&answer).as_str()),
                    (502, "upstream_unreachable")
                );
                // What is wrong is for the operator's log alone.
                assert!(!answer.text().contains("ertificate"), "{}", answer.text());
                continue;
            }
            assert_eq!(answer.status, 200, "{}", example.process.log());
            let told = answer.json().unwrap();
            assert_eq!(told["path"], path.trim_start_matches("/ledger"));
            assert_eq!(told["host"], server.address);
            assert_eq!(told["client"]["commonName"], "gateway.internal");
            assert_eq!(told["version"], "TLSv1.3");
            assert_eq!(told["alpn"], "http/1.1");
        }
        if !passes {
            let (_, log) = example.process.stop().await;
            assert!(log.contains("ertificate"), "{log}");
        }
    }
}
