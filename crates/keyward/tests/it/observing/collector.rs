//! Traces as a collector reads them that others wrote: Rotel, which Python's index packs.

use super::traces::{traced_calls, traced_to};
use crate::node::check_passed;
use keyward_testkit::{free_addresses, until};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A collector that writes down every span it takes. Ended when dropped.
struct Collector {
    child: Child,
    folder: tempfile::TempDir,
    address: SocketAddr,
}

impl Collector {
    fn start() -> Self {
        let [address, grpc] = free_addresses();
        let folder = tempfile::tempdir().unwrap();
        let output = std::fs::File::create(folder.path().join("output")).unwrap();
        let child = Command::new(program())
            .args(["start", "--exporter", "blackhole"])
            .args(["--debug-log", "traces", "--debug-log-verbosity", "detailed"])
            .args(["--otlp-http-endpoint", &address.to_string()])
            .args(["--otlp-grpc-endpoint", &grpc.to_string()])
            .arg("--pid-file")
            .arg(folder.path().join("pid"))
            .arg("--log-file")
            .arg(folder.path().join("log"))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            folder,
            address,
        }
    }

    /// What it has written down.
    fn told(&self) -> String {
        let path = self.folder.path().join("output");
        String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The collector's program, which stands beside the Python code of its package.
fn program() -> PathBuf {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/python");
    let output = Command::new(python)
        .args(["-c", "import rotel; print(rotel.__path__[0])"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "rotel is needed: `cargo xtask test` installs it into .venv"
    );
    let folder = String::from_utf8(output.stdout).unwrap();
    let program = Path::new(folder.trim_end()).join("rotel-agent");
    // Packers of wheels leave the right to run it out.
    let mut rights = std::fs::metadata(&program).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut rights, 0o755);
    std::fs::set_permissions(&program, rights).unwrap();
    program
}

#[tokio::test]
async fn a_collector_that_others_wrote_understands_us() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";
    let collector = Collector::start();
    let node = traced_to(collector.address, ", service_name: edge")
        .settings("trusted_proxies: [127.0.0.1]")
        .api("open", "authentication: none")
        .start()
        .await;
    // It may come up later than the first calls are exported: what is due is sent again.
    let parent = format!("00-{TRACE}-{PARENT}-01");
    check_passed(&node.get("/open/7", &[("traceparent", &parent)]).await);
    until("the call is written down", async || {
        collector.told().matches("ID             : ").count() >= 2
    })
    .await;
    assert_eq!(traced_calls(&node, "exported").await, 1);
    assert_eq!(traced_calls(&node, "given_up").await, 0);
    let told = collector.told();
    for part in [
        TRACE,
        PARENT,
        "GET /open",
        "SPAN_KIND_SERVER",
        "SPAN_KIND_CLIENT",
        "edge",
        "http.response.status_code",
    ] {
        assert!(told.contains(part), "no {part} in\n{told}");
    }
}
