//! A balancer in front: HAProxy, and what a balancer could get wrong.

use super::{Example, free_ports, say};
use keyward_testkit::RawClient;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const GET: &str = "GET /search/7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Ended when dropped.
struct HaProxy {
    child: Child,
    _folder: tempfile::TempDir,
    port: u16,
}

impl HaProxy {
    fn start(to: u16, how: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [port] = free_ports();
        let configuration = format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
             listen all\n bind 127.0.0.1:{port}\n server keyward 127.0.0.1:{to} {how}\n"
        );
        let path = folder.path().join("haproxy.cfg");
        std::fs::write(&path, configuration).unwrap();
        let child = Command::new("haproxy")
            .args(["-db", "-f"])
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("haproxy is needed: `cargo xtask test` installs it");
        Self {
            child,
            _folder: folder,
            port,
        }
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

#[tokio::test]
async fn a_balancer_tells_who_calls() {
    let example = Example::run("behind-a-balancer.yaml", &[], &[]).await;
    for how in [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy-v2 proxy-v2-options crc32c,unique-id",
    ] {
        let balancer = HaProxy::start(example.port(), how);
        let url = format!("http://127.0.0.1:{}/search/7", balancer.port);
        // The client's own address, on this machine too.
        let output = say(
            "curl",
            &[
                "--silent",
                "--fail-with-body",
                "--retry",
                "40",
                "--retry-delay",
                "1",
                "--retry-connrefused",
                "--interface",
                "127.0.0.7",
                &url,
            ],
        )
        .await;
        assert!(
            output.status.success(),
            "{how}: {}",
            super::text(&output.stdout)
        );
        assert_eq!(
            example.told("x-forwarded-for").as_deref(),
            Some("127.0.0.7")
        );
    }
    let health = HaProxy::start(example.port(), "check inter 100ms send-proxy-v2");
    let url = format!("http://127.0.0.1:{}/search/7", health.port);
    let output = say(
        "curl",
        &[
            "--silent",
            "--fail",
            "--retry",
            "40",
            "--retry-delay",
            "1",
            "--retry-all-errors",
            &url,
        ],
    )
    .await;
    assert!(output.status.success());
}

#[tokio::test]
async fn a_header_is_the_trusted_ones_duty_and_the_others_offence() {
    let example = Example::run("behind-a-balancer.yaml", &[], &[]).await;
    let header = "PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n";
    let mut client = RawClient::connect(example.process.gateway()).await.unwrap();
    client.send(format!("{header}{GET}")).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 200);
    assert_eq!(
        example.told("x-forwarded-for").as_deref(),
        Some("192.0.2.7")
    );
    // Its limit is that address's own.
    for (address, statuses) in [
        ("192.0.2.8", [200, 200, 200, 200, 200, 429]),
        ("192.0.2.9", [200; 6]),
    ] {
        let header = header.replace("192.0.2.7", address);
        let calls = if address == "192.0.2.9" { 1 } else { 6 };
        for status in statuses.into_iter().take(calls) {
            let mut client = RawClient::connect(example.process.gateway()).await.unwrap();
            client.send(format!("{header}{GET}")).await.unwrap();
            assert_eq!(client.answer().await.unwrap().status, status, "{address}");
        }
    }
    let before = example.upstream.received().len();
    for refused in [
        GET.to_owned(),
        format!("PROXY TCP4 192.0.2.7 40000\r\n{GET}"),
        format!("{header}{header}{GET}"),
    ] {
        let mut client = RawClient::connect(example.process.gateway()).await.unwrap();
        client.send(refused.clone()).await.unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(20), client.answer()).await;
        match answer.expect("it does not hang") {
            // A second header is a request that can't be read.
            Ok(answer) => assert_eq!(answer.status, 400, "{refused}"),
            Err(_) => assert!(!refused.starts_with(&format!("{header}{header}"))),
        }
    }
    assert_eq!(example.upstream.received().len(), before);
}
