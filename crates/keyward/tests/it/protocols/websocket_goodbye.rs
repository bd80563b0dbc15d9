//! Tunnels of a node that goes away: what their clients are told, and what is counted of them.

use super::tunnel_server::TunnelServer;
use super::websocket::{handshake, logged, node, open, passes};

/// 1001, by a server.
const GOING_AWAY: &[u8] = b"\x88\x02\x03\xe9";
/// The same as a client says it, under a mask of nothing.
const ANSWERED: &[u8] = b"\x88\x82\0\0\0\0\x03\xe9";

#[tokio::test]
async fn a_client_is_told_at_once_where_no_frame_is_under_way() {
    let server = TunnelServer::start().await;
    let node = node(&server.url(), "", "websocket: true").await;
    let mut quiet = open(&node, &handshake("/open/quiet", "")).await;
    let mut client = open(&node, &handshake("/open/x", "")).await;
    passes(&mut client, b"\x82\x05hello").await;
    let log = std::fs::File::open(node.folder().join("access.log")).unwrap();
    node.signal("TERM");
    for client in [&mut quiet, &mut client] {
        assert_eq!(client.bytes(4).await.unwrap(), GOING_AWAY);
        // What is answered reaches the upstream, which closes; what it sends is for nobody any more.
        client.send(ANSWERED).await.unwrap();
        client.finish_sending().await.unwrap();
        assert_eq!(client.rest().await.unwrap(), b"");
    }
    let (status, told) = node.stop().await;
    assert!(status.success(), "{told}");
    // Its folder is gone with the node.
    let log = std::io::read_to_string(log).unwrap();
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line.get("code"), None, "nobody's fault: {line}");
        let because = line["because"].as_str().unwrap();
        assert!(because.contains("this node goes away"), "{because}");
    }
    assert_eq!(log.lines().count(), 2);
}

#[tokio::test]
async fn a_frame_under_way_is_ended_before_the_client_is_told() {
    let server = TunnelServer::start().await;
    let node = node(&server.url(), "", "websocket: true").await;
    let mut quiet = open(&node, &handshake("/open/quiet", "")).await;
    let mut client = open(&node, &handshake("/open/x", "")).await;
    passes(&mut client, b"\x82\x01a\x82\x0aabc").await;
    node.signal("TERM");
    // The node's only worker knows, once another tunnel was told.
    assert_eq!(quiet.bytes(4).await.unwrap(), GOING_AWAY);
    passes(&mut client, b"def").await;
    // The end of this frame, and one more that comes too late.
    client.send(b"ghij\x82\x01x").await.unwrap();
    assert_eq!(client.bytes(4).await.unwrap(), b"ghij");
    assert_eq!(client.bytes(4).await.unwrap(), GOING_AWAY);
    for client in [&mut quiet, &mut client] {
        client.finish_sending().await.unwrap();
        assert_eq!(client.rest().await.unwrap(), b"");
    }
    assert!(node.stop().await.0.success());
}

#[tokio::test]
async fn how_long_a_tunnel_stood_is_no_latency() {
    let server = TunnelServer::start().await;
    let node = node(&server.url(), "", "websocket: true").await;
    let mut client = open(&node, &handshake("/open/x", "")).await;
    passes(&mut client, b"hello").await;
    drop(client);
    logged(&node).await;
    let count = async |name: &str, label: &str| {
        let page = node.operations_get("/metrics").await.unwrap().text();
        let line = page.lines().find(|line| {
            line.starts_with(name) && line.contains("api=\"open\"") && line.contains(label)
        });
        let value = line.unwrap_or_else(|| panic!("no {name} in\n{page}"));
        value.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(count("keyward_requests_total", "status=\"1xx\"").await, 1);
    assert_eq!(count("keyward_request_duration_seconds_count", "").await, 0);
    assert_eq!(count("keyward_first_byte_seconds_count", "").await, 1);
}
