//! Calls that become tunnels.

use super::configuration;
use super::tunnel_server::{Then, TunnelServer};
use crate::gateway::open_node::{lines, until};
use keyward_testkit::{Answer, KeywardProcess, RawClient, Script, Upstream};
use std::cell::Cell;
use std::time::Duration;

/// What the process may grow by, whatever waits to be passed on: pages of the allocator, not data.
const GROWTH_MAX: u64 = 16 * 1024 * 1024;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The handshake with these header lines beside it, each with its CR LF.
pub(crate) fn handshake(path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: gateway.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    )
}

pub(super) async fn node(upstream: &str, settings: &str, of_api: &str) -> KeywardProcess {
    let configuration = configuration(upstream, "[http1, http2]", settings, of_api);
    let binary = env!("CARGO_BIN_EXE_keyward");
    KeywardProcess::start_configured(binary, &configuration, &[], &[]).await
}

pub(super) async fn connect(node: &KeywardProcess) -> RawClient {
    RawClient::connect(node.gateway()).await.unwrap()
}

pub(super) async fn answer(node: &KeywardProcess, request: &str) -> Answer {
    let mut client = connect(node).await;
    client.send(request).await.unwrap();
    client.answer().await.unwrap()
}

/// Opens a tunnel.
pub(super) async fn open(node: &KeywardProcess, request: &str) -> RawClient {
    let mut client = connect(node).await;
    client.send(request).await.unwrap();
    let answer = client.answer_to_head().await.unwrap();
    assert_eq!(answer.status, 101, "{answer:?}");
    client
}

/// That the tunnel passes what is sent into it.
pub(super) async fn passes(client: &mut RawClient, bytes: &[u8]) {
    client.send(bytes).await.unwrap();
    assert_eq!(client.bytes(bytes.len()).await.unwrap(), bytes);
}

/// The line that the access log gets when a tunnel ends.
pub(super) async fn logged(node: &KeywardProcess) -> serde_json::Value {
    until("the tunnel is logged", || !lines(&node.folder()).is_empty()).await;
    lines(&node.folder()).remove(0)
}

#[tokio::test]
async fn a_tunnel_passes_bytes_both_ways_and_is_recorded() {
    let server = TunnelServer::start().await;
    let node = node(&server.url(), "", "websocket: true").await;
    let mut client = connect(&node).await;
    let headers = "Sec-WebSocket-Protocol: chat, other\r\nOrigin: https://any.example\r\nX-Keyward-Subject: root\r\n";
    client
        .send(handshake("/open/x?a=b", headers))
        .await
        .unwrap();
    let agreed = client.answer_to_head().await.unwrap();
    assert_eq!(agreed.status, 101);
    for (name, value) in [
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-accept", ACCEPT),
        ("sec-websocket-protocol", "chat"),
        ("x-of-upstream", "1"),
        ("content-length", ""),
        ("transfer-encoding", ""),
    ] {
        assert_eq!(agreed.head.field(name).unwrap_or_default(), value, "{name}");
    }
    assert!(agreed.head.field("request-id").is_some());
    passes(&mut client, b"\x81\x05hello").await;
    passes(&mut client, b"not even frames").await;
    let head = server.heads().remove(0);
    assert!(head.starts_with("get /x?a=b http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nupgrade: websocket\r\n"), "{head}");
    assert!(head.contains("\r\nconnection: upgrade\r\n"), "{head}");
    assert!(!head.contains("x-keyward-subject"), "{head}");
    assert!(lines(&node.folder()).is_empty());
    drop(client);
    until("the upstream's end is closed", || server.open() == 0).await;
    let line = logged(&node).await;
    assert_eq!(line["status"], 101);
    assert_eq!(line["bytes_in"], 22);
    assert_eq!(line["bytes_out"], 22);
    assert_eq!(line.get("code"), None, "{line}");
}

#[tokio::test]
async fn a_wish_for_a_tunnel_is_not_granted_unless_the_api_says_so() {
    let server = TunnelServer::start().await;
    let node = node(&server.url(), "", "").await;
    let request = handshake("/open/x", "");
    let plain = request.replace(&format!("Sec-WebSocket-Key: {KEY}\r\n"), "");
    assert_eq!(answer(&node, &plain).await.text(), "plain");
    assert!(!server.heads()[0].contains("upgrade"));
    // The upstream switches all the same: that is nothing that was asked for.
    let refused = answer(&node, &request).await;
    assert_eq!(refused.status, 502);
    assert_eq!(refused.json().unwrap()["code"], "upstream_failed");
}

#[tokio::test]
async fn handshakes_that_are_none_are_refused() {
    let server = TunnelServer::start().await;
    let node = node(&server.url(), "", "websocket: true").await;
    let good = handshake("/open/x", "");
    for (from, to, status, code) in [
        ("Connection: Upgrade\r\n", "", 400, "bad_request"),
        (
            "Connection: Upgrade",
            "Connection: close",
            400,
            "bad_request",
        ),
        (
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Version: 8",
            426,
            "upgrade_required",
        ),
        ("Sec-WebSocket-Version: 13\r\n", "", 426, "upgrade_required"),
        (KEY, "dG9vIHNob3J0", 400, "bad_request"),
        (KEY, "not base64", 400, "bad_request"),
        (
            "Sec-WebSocket-Version",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version",
            400,
            "bad_request",
        ),
        (
            "Upgrade: websocket\r\n",
            "Upgrade: websocket\r\nContent-Length: 1\r\n",
            400,
            "bad_request",
        ),
        (
            "Upgrade: websocket\r\n",
            "Upgrade: websocket\r\nTransfer-Encoding: chunked\r\n",
            400,
            "bad_request",
        ),
    ] {
        let request = good.replace(from, to);
        assert_ne!(request, good);
        let refused = answer(&node, &request).await;
        assert_eq!(refused.status, status, "{to}");
        assert_eq!(refused.json().unwrap()["code"], code, "{to}");
        let version = refused.head.field("sec-websocket-version");
        assert_eq!(version, (status == 426).then_some("13"), "{to}");
    }
    assert!(server.heads().is_empty());
    // Wishes for something else are not granted, and hurt nothing.
    for other in ["Upgrade: h2c", "Upgrade: foo/2"] {
        let request = good
            .replace("Upgrade: websocket", other)
            .replace(&format!("Sec-WebSocket-Key: {KEY}\r\n"), "");
        assert_eq!(answer(&node, &request).await.text(), "plain", "{other}");
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_agree_as_it_should_gets_no_tunnel() {
    let bad = |fields: &str| {
        let head = format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n");
        Script::new().write(head).wait_until_closed()
    };
    let accept = format!("sec-websocket-accept: {ACCEPT}\r\n");
    for script in [
        bad(&format!("upgrade: websocket\r\n{accept}")),
        bad(&format!("connection: upgrade\r\n{accept}")),
        bad("upgrade: websocket\r\nconnection: upgrade\r\n"),
        bad("upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: AAAA\r\n"),
        bad(&format!("upgrade: h2c\r\nconnection: upgrade\r\n{accept}")),
        bad(&format!(
            "upgrade: websocket\r\nconnection: upgrade\r\n{accept}sec-websocket-protocol: unasked\r\n"
        )),
    ] {
        let upstream = Upstream::scripted(script.clone()).await;
        let node = node(&upstream.url(), "", "websocket: true").await;
        // What was sent ahead is no part of a tunnel, nor a request that reaches the upstream.
        let ahead = "GET /open/hidden HTTP/1.1\r\nHost: a\r\n\r\n";
        let request = handshake("/open/x", "") + ahead;
        let refused = answer(&node, &request).await;
        assert_eq!(refused.status, 502, "{script:?}");
        until("the upstream is left", || upstream.left() >= 1).await;
    }
}

#[tokio::test]
async fn an_upstream_may_refuse_and_the_connection_goes_on() {
    let upstream = Upstream::scripted(Script::answer("404 Not Found", &[], "none")).await;
    let node = node(&upstream.url(), "", "websocket: true").await;
    let mut client = connect(&node).await;
    for _ in 0..2 {
        client.send(handshake("/open/x", "")).await.unwrap();
        let refused = client.answer().await.unwrap();
        assert_eq!((refused.status, refused.text()), (404, "none".to_owned()));
        assert_eq!(refused.head.field("upgrade"), None);
    }
}

#[tokio::test]
async fn a_route_has_its_own_say() {
    let server = TunnelServer::start().await;
    let routes = r#"websocket: true
    routes:
      - { match: { path: /tunnel } }
      - { match: { path: /plain }, websocket: false }"#;
    let node = node(&server.url(), "", routes).await;
    let mut client = open(&node, &handshake("/open/tunnel", "")).await;
    passes(&mut client, b"x").await;
    assert_eq!(
        answer(&node, &handshake("/open/plain", "")).await.status,
        502
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_that_does_not_read_holds_the_other_back() {
    const LARGE: u64 = 64 * 1024 * 1024;
    let server = TunnelServer::that(Then::Stall).await;
    let node = node(&server.url(), "", "websocket: true").await;
    let mut client = open(&node, &handshake("/open/x", "")).await;
    let before = node.peak_bytes();
    let piece = vec![b'x'; 256 * 1024];
    let sending = async {
        for _ in 0..LARGE / 256 / 1024 {
            client.send(&piece).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    let sent = tokio::time::timeout(Duration::from_secs(2), sending).await;
    assert!(sent.is_err());
    // The kernel adds up what its processors counted now and then: a peak may be told a little late.
    let growth = node.peak_bytes().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "{growth}");
}

#[tokio::test(flavor = "multi_thread")]
async fn much_passes_both_ways_at_once_and_whole() {
    const PIECES: u32 = 4096;
    let server = TunnelServer::start().await;
    let node = node(&server.url(), "", "websocket: true").await;
    let mut client = open(&node, &handshake("/open/x", "")).await;
    let mut sender = open(&node, &handshake("/open/y", "")).await;
    let before = node.peak_bytes();
    // Both tunnels at once; each piece is as long as no buffer, and tells its place.
    let piece = |at: u32| at.to_be_bytes().repeat(4001);
    for at in 0..PIECES {
        for tunnel in [&mut client, &mut sender] {
            tunnel.send(piece(at)).await.unwrap();
        }
        for tunnel in [&mut client, &mut sender] {
            assert_eq!(tunnel.bytes(4 * 4001).await.unwrap(), piece(at), "{at}");
        }
    }
    // The kernel adds up what its processors counted now and then: a peak may be told a little late.
    let growth = node.peak_bytes().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "{growth}");
}

#[tokio::test]
async fn what_the_upstream_sent_last_arrives() {
    let server = TunnelServer::that(Then::Greet).await;
    let node = node(&server.url(), "", "websocket: true").await;
    let mut client = open(&node, &handshake("/open/x", "")).await;
    assert_eq!(client.rest().await.unwrap(), b"hello and goodbye");
    drop(client);
    assert_eq!(logged(&node).await["bytes_out"], 17);
}

#[tokio::test]
async fn who_is_through_still_hears_the_other_side() {
    let server = TunnelServer::start().await;
    let node = node(&server.url(), "", "websocket: true").await;
    let mut client = open(&node, &handshake("/open/x", "")).await;
    client.send("last words").await.unwrap();
    client.finish_sending().await.unwrap();
    assert_eq!(client.rest().await.unwrap(), b"last words");
    assert_eq!(logged(&node).await.get("code"), None);
}

#[tokio::test]
async fn a_quiet_tunnel_is_closed_in_time_and_a_busy_one_is_not() {
    let server = TunnelServer::start().await;
    let node = node(&server.url(), "", "websocket: { idle_timeout: 1s }").await;
    let mut quiet = open(&node, &handshake("/open/quiet", "")).await;
    let mut busy = open(&node, &handshake("/open/busy", "")).await;
    let closed = Cell::new(false);
    let waiting = async {
        assert!(quiet.is_closed_within(Duration::from_secs(20)).await);
        closed.set(true);
    };
    let moving = async {
        while !closed.get() {
            passes(&mut busy, b"still here").await;
        }
    };
    tokio::join!(waiting, moving);
    // It outlives the one that was quiet from the same moment on.
    passes(&mut busy, b"and still").await;
    let line = logged(&node).await;
    assert_eq!(line["path"], "/open/quiet");
    let because = line["because"].as_str().unwrap();
    assert!(because.contains("nothing passed"), "{because}");
}

#[tokio::test]
async fn an_upstream_that_breaks_off_is_to_blame() {
    let script = Script::new()
        .write(format!("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {ACCEPT}\r\n\r\nhello"))
        .pause(Duration::from_millis(200))
        .reset();
    let upstream = Upstream::scripted(script).await;
    let node = node(&upstream.url(), "", "websocket: true").await;
    let mut client = open(&node, &handshake("/open/x", "")).await;
    // What came with the answer's head is the tunnel's.
    assert_eq!(client.bytes(5).await.unwrap(), b"hello");
    assert!(client.is_closed_within(Duration::from_secs(5)).await);
    let line = logged(&node).await;
    assert_eq!(line["code"], "upstream_failed");
    assert_eq!(line["blame"], "upstream");
}

#[tokio::test]
async fn tunnels_count_as_calls_in_flight() {
    let server = TunnelServer::start().await;
    let node = node(
        &server.url(),
        "limits: { calls_in_flight: 2 }",
        "websocket: true",
    )
    .await;
    let first = open(&node, &handshake("/open/x", "")).await;
    let second = open(&node, &handshake("/open/x", "")).await;
    let refused = answer(&node, &handshake("/open/x", "")).await;
    assert_eq!(refused.json().unwrap()["code"], "overloaded");
    drop(first);
    until("a tunnel is gone", || server.open() == 1).await;
    open(&node, &handshake("/open/x", "")).await;
    drop(second);
}

#[tokio::test]
async fn tunnels_outlast_a_shutdown_no_longer_than_calls() {
    let server = TunnelServer::start().await;
    let node = node(
        &server.url(),
        "limits: { shutdown_timeout: 2s }",
        "websocket: true",
    )
    .await;
    let mut client = open(&node, &handshake("/open/x", "")).await;
    // A frame that is long under way: nothing can be said before it ends.
    passes(&mut client, b"\x82\x7f\0\0\0\0\x7f\xff\xff\xff").await;
    node.signal("TERM");
    // It goes on for as long as calls may.
    passes(&mut client, b"still here").await;
    let log = std::fs::File::open(node.folder().join("access.log")).unwrap();
    assert!(client.is_closed_within(Duration::from_secs(10)).await);
    let (status, _) = node.stop().await;
    assert!(status.success());
    let text = std::io::read_to_string(log).unwrap();
    assert!(text.contains("\"code\":\"shutting_down\""), "{text}");
}
