//! How connections of HTTP/3 end, and calls on them, and how they move.

use super::peer::{self, GET, headers};
use super::{Http3Node, certificate, get};
use crate::gateway::open_node::until;
use crate::running::{edit, until_metric};
use keyward_testkit::{Http3Client, Http3Connect, Script, Upstream, read_http3};
use quinn::ConnectionError;
use serde_json::json;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

/// The code that a connection was closed with.
pub(super) fn closed_with(error: &ConnectionError) -> Option<u64> {
    let ConnectionError::ApplicationClosed(close) = error else {
        return None;
    };
    Some(close.error_code.into_inner())
}

#[tokio::test]
async fn a_call_that_is_broken_off_is_broken_off_at_the_upstream() {
    let node = Http3Node::before(Upstream::scripted(Script::new().wait_until_closed()).await).await;
    let mut client = node.connect().await;
    let mut stream = client.send(get("/open/x")).await.unwrap();
    stream.finish().await.unwrap();
    until("the call arrives", || node.upstream.received().len() == 1).await;
    stream.stop_sending(h3::error::Code::H3_REQUEST_CANCELLED);
    drop(stream);
    until("the upstream is left", || node.upstream.left() == 1).await;
    until("the call is logged", || node.logged().len() == 1).await;
    let line = node.logged().remove(0);
    assert_eq!(line["code"], "client_left");
    assert_eq!(line["blame"], "caller");
    // Its connection goes on.
    assert_eq!(client.call(get("/nowhere"), b"").await.status, 404);
}

#[tokio::test]
async fn a_connection_that_closes_ends_all_its_calls() {
    let node = Http3Node::before(Upstream::scripted(Script::new().wait_until_closed()).await).await;
    let mut client = node.connect().await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = client.send(get("/open/x")).await.unwrap();
        stream.finish().await.unwrap();
        streams.push(stream);
    }
    until("the calls arrive", || node.upstream.received().len() == 3).await;
    client.quic().close(0x100_u32.into(), b"");
    until("the upstream is left", || node.upstream.left() == 3).await;
    until("the calls are logged", || node.logged().len() == 3).await;
    assert!(
        node.logged()
            .iter()
            .all(|line| line["code"] == "client_left")
    );
}

#[tokio::test]
async fn a_node_that_goes_down_finishes_what_was_begun_and_says_goodbye() {
    let script = Script::new()
        .write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n")
        .pause(Duration::from_secs(1))
        .write("done");
    let node = Http3Node::before(Upstream::scripted(script).await).await;
    let mut client = node.connect().await;
    let mut idle = node.connect().await;
    assert_eq!(idle.call(get("/nowhere"), b"").await.status, 404);
    let mut stream = client.send(get("/open/x")).await.unwrap();
    stream.finish().await.unwrap();
    until("the call arrives", || node.upstream.received().len() == 1).await;
    node.process.signal("TERM");
    let reply = read_http3(&mut stream).await.unwrap();
    assert_eq!(reply.body, b"done");
    drop(stream);
    // Nothing is cut: both connections are closed, and told that there is no error.
    for client in [&client, &idle] {
        assert_eq!(closed_with(&client.ended().await), Some(0x100));
    }
    let (status, log) = node.process.stop().await;
    assert!(status.success(), "{log}");
}

#[tokio::test]
async fn a_node_that_goes_down_takes_no_new_connection() {
    let script = Script::new()
        .write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n")
        .pause(Duration::from_secs(2))
        .write("done");
    let node = Http3Node::before(Upstream::scripted(script).await).await;
    let mut client = node.connect().await;
    let mut stream = client.send(get("/open/x")).await.unwrap();
    stream.finish().await.unwrap();
    until("the call arrives", || node.upstream.received().len() == 1).await;
    node.process.signal("TERM");
    let refused = async {
        loop {
            match Http3Client::connect(node.how()).await {
                Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(error) => return error,
            }
        }
    };
    let refused = tokio::time::timeout(Duration::from_secs(10), refused).await;
    assert!(matches!(
        refused.unwrap(),
        ConnectionError::ConnectionClosed(_)
    ));
    assert_eq!(read_http3(&mut stream).await.unwrap().body, b"done");
}

#[tokio::test]
async fn calls_that_outlast_the_shutdown_are_cut() {
    let script = Script::new()
        .write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nd")
        .wait_until_closed();
    let node = Http3Node::with(
        Upstream::scripted(script).await,
        "limits: { shutdown_timeout: 1s }",
        "",
    )
    .await;
    let mut client = node.connect().await;
    let mut stream = client.send(get("/open/x")).await.unwrap();
    stream.finish().await.unwrap();
    stream.recv_response().await.unwrap();
    let folder = node.process.folder();
    let log = std::fs::File::open(folder.join("access.log")).unwrap();
    let (status, _) = node.process.stop().await;
    assert!(status.success());
    while let Ok(piece) = stream.recv_data().await {
        assert!(piece.is_some(), "it ended as if it were whole");
    }
    let text = std::io::read_to_string(log).unwrap();
    assert!(text.contains("\"code\":\"shutting_down\""), "{text}");
}

#[tokio::test]
async fn a_connection_without_a_call_is_closed_in_time() {
    let node = Http3Node::with(Upstream::echo().await, "limits: { head_timeout: 1s }", "").await;
    let mut client = node.connect().await;
    assert_eq!(client.call(get("/open/x"), b"").await.status, 200);
    assert_eq!(closed_with(&client.ended().await), Some(0x100));
}

#[tokio::test]
async fn a_connection_hears_of_its_end_before_it_comes() {
    let node = Http3Node::with(Upstream::echo().await, "limits: { head_timeout: 1s }", "").await;
    let case = json!({ "requests": [ { "parts": [headers(&GET)] } ], "until_closed": true });
    let outcome = peer::run(&node, &[case]).await.remove(0);
    assert_eq!(outcome["closed"], 0x100, "{outcome}");
    // First that it should begin no more calls, then which were taken: those before the second stream.
    let told = outcome["control"].as_str().unwrap();
    assert!(told.ends_with("0708fffffffffffffffc070104"), "{outcome}");
}

#[tokio::test]
async fn who_stops_our_control_stream_is_let_go() {
    let node = Http3Node::with(Upstream::echo().await, "limits: { head_timeout: 1s }", "").await;
    // Without a call, and with one.
    let cases = [
        json!({ "silent": true, "stops_control": 0, "until_closed": true }),
        json!({ "silent": true, "stops_control": 0, "requests": [ { "parts": [headers(&GET)] } ], "until_closed": true }),
    ];
    for outcome in peer::run(&node, &cases).await {
        assert_eq!(outcome["closed"], 0x104, "{outcome}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stopped_our_control_stream_is_let_go_when_the_node_goes_down() {
    let script = Script::new()
        .write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n")
        .pause(Duration::from_secs(1))
        .write("done");
    let node = Http3Node::before(Upstream::scripted(script).await).await;
    let case = json!({
        "silent": true, "stops_control": 0, "requests": [ { "parts": [headers(&GET)] } ], "until_closed": true,
    });
    let cases = [case];
    let going_down = async {
        until("the call arrives", || node.upstream.received().len() == 1).await;
        node.process.signal("TERM");
    };
    let (outcomes, ()) = tokio::join!(peer::run(&node, &cases), going_down);
    assert_eq!(outcomes[0]["closed"], 0x104, "{}", outcomes[0]);
}

#[tokio::test]
async fn a_node_that_goes_down_leaves_its_port_when_its_last_client_has_left() {
    let node = Http3Node::with(
        Upstream::scripted(Script::new().wait_until_closed()).await,
        "limits: { shutdown_timeout: 60s }",
        "",
    )
    .await;
    let mut client = node.connect().await;
    assert_eq!(client.call(get("/nowhere"), b"").await.status, 404);
    // A call over TCP that has no end keeps the node.
    let mut calling = node.call_by_curl();
    until("the call arrives", || node.upstream.received().len() == 1).await;
    let port = node.process.gateway();
    assert!(UdpSocket::bind(port).is_err());
    node.process.signal("TERM");
    assert_eq!(closed_with(&client.ended().await), Some(0x100));
    drop(client);
    until("the port is free", || UdpSocket::bind(port).is_ok()).await;
    assert!(calling.try_wait().unwrap().is_none());
    calling.kill().unwrap();
    calling.wait().unwrap();
}

#[tokio::test]
async fn a_head_that_does_not_come_is_answered_in_time() {
    let node = Http3Node::with(Upstream::echo().await, "limits: { head_timeout: 1s }", "").await;
    let client = node.connect().await;
    let (mut send, mut receive) = client.quic().open_bi().await.unwrap();
    // A header section of ten bytes, of which one comes.
    send.write_all(&[0x01, 0x0a, 0x00]).await.unwrap();
    let answer = receive.read_to_end(64 * 1024).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.contains("request_timeout"), "{answer}");
    until("the call is logged", || node.logged().len() == 1).await;
    assert_eq!(node.logged()[0]["status"], 408);
    assert_eq!(node.logged()[0]["protocol"], "HTTP/3");
}

#[tokio::test]
async fn no_more_calls_are_begun_than_the_bound_allows() {
    let node = Http3Node::with(
        Upstream::scripted(Script::new().wait_until_closed()).await,
        "limits: { http3: { streams: 3 } }",
        "",
    )
    .await;
    let mut client = node.connect().await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = client.send(get("/open/x")).await.unwrap();
        stream.finish().await.unwrap();
        streams.push(stream);
    }
    until("the calls arrive", || node.upstream.received().len() == 3).await;
    {
        let fourth = tokio::time::timeout(Duration::from_millis(500), client.send(get("/nowhere")));
        assert!(fourth.await.is_err());
    }
    drop(streams.pop());
    until("the upstream is left", || node.upstream.left() == 1).await;
    assert_eq!(client.call(get("/nowhere"), b"").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_goes_on_when_its_client_comes_from_another_port() {
    let echo = Upstream::echo().await;
    let api = "authentication: none";
    let node = Http3Node::serving(echo, "", "workers: 4", api, "", &[]).await;
    let mut client = node.connect().await;
    // Each time another of the four workers gets the packets, but for one time in four.
    for _ in 0..12 {
        client.move_to(Ipv4Addr::LOCALHOST);
        assert_eq!(client.call(get("/open/x"), b"").await.status, 200);
    }
    assert_eq!(node.upstream.received().len(), 12);
    let metrics = node.process.operations_get("/metrics").await.unwrap();
    let opened = "keyward_connections_total 1";
    assert!(
        metrics.text().lines().any(|line| line == opened),
        "{}",
        metrics.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn at_another_address_calls_go_on_and_no_new_one_is_taken() {
    let script = Script::new()
        .write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n")
        .pause(Duration::from_secs(1))
        .write("done");
    let echo = Upstream::scripted(script).await;
    let api = "authentication: none";
    let node = Http3Node::serving(echo, "", "workers: 4", api, "", &[]).await;
    let mut client = node.connect().await;
    let mut stream = client.send(get("/open/x")).await.unwrap();
    stream.finish().await.unwrap();
    until("the call arrives", || node.upstream.received().len() == 1).await;
    client.move_to(Ipv4Addr::new(127, 0, 0, 2));
    // What it claims to be by its address is believed after a handshake alone.
    assert!(client.try_call(get("/open/y"), b"").await.is_err());
    assert_eq!(read_http3(&mut stream).await.unwrap().body, b"done");
    assert_eq!(node.upstream.received().len(), 1);
    drop(stream);
    assert_eq!(closed_with(&client.ended().await), Some(0x100));
}

#[tokio::test]
async fn a_changed_certificate_is_shown_to_the_next_connection() {
    let node = Http3Node::before(Upstream::echo().await).await;
    let mut before = node.connect().await;
    assert_eq!(before.call(get("/open/x"), b"").await.status, 200);
    let issued = certificate(super::HOST);
    let folder = node.process.folder();
    std::fs::write(folder.join("tls.key"), issued.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("tls.pem"), issued.cert.pem()).unwrap();
    let mut after = connect_believing(&node, &issued.cert.pem()).await;
    assert_eq!(after.call(get("/open/x"), b"").await.status, 200);
    // Who was connected before stays so.
    assert_eq!(before.call(get("/open/x"), b"").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_alone_can_follow_leaves_certificates_as_they_were() {
    let node = Http3Node::before(Upstream::echo().await).await;
    let tls = "certificates: [ { certificate: tls.pem, key: tls.key } ]";
    let obtained = "certificates: [ { acme: { names: [gateway.test], directory: \"https://127.0.0.1:1/d\" } } ]";
    let mut revision = 1;
    for (from, to) in [
        (tls, obtained),
        (obtained, tls),
        ("http3: true", "http3: false"),
    ] {
        edit(&node.process, |text| text.replace(from, to));
        revision += 1;
        until_metric(&node.process, "keyward_revision", revision).await;
        // As before, over both.
        assert_eq!(
            node.connect().await.call(get("/open/x"), b"").await.status,
            200
        );
        let by_tcp = node.call_by_curl().wait().unwrap();
        assert!(by_tcp.success(), "{from}: {by_tcp}");
    }
    // A certificate that changes in its files is shown over HTTP/3 too, which goes on until the next start.
    let issued = certificate(super::HOST);
    let folder = node.process.folder();
    std::fs::write(folder.join("tls.key"), issued.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("tls.pem"), issued.cert.pem()).unwrap();
    let mut after = connect_believing(&node, &issued.cert.pem()).await;
    assert_eq!(after.call(get("/open/x"), b"").await.status, 200);
}

/// A connection to a node that shows a certificate of this root, when it does.
async fn connect_believing(node: &Http3Node, root: &str) -> Http3Client {
    let connecting = async {
        loop {
            let how = Http3Connect::to(node.process.gateway(), super::HOST, root);
            match Http3Client::connect(how).await {
                Ok(client) => return client,
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    };
    let connecting = tokio::time::timeout(Duration::from_secs(20), connecting);
    connecting.await.unwrap()
}

#[tokio::test]
async fn under_load_clients_have_to_prove_their_address() {
    let node = Http3Node::before(Upstream::echo().await).await;
    let case = json!({ "half_open": 300, "requests": [ { "parts": [headers(&GET)] } ] });
    let outcome = peer::run(&node, &[case]).await.remove(0);
    // A sixteenth of 4,096 handshakes may be unfinished before it is asked for.
    assert!(outcome["answered"].as_u64() > Some(250), "{outcome}");
    let retries = outcome["retries"].as_u64().unwrap();
    assert!((1..=50).contains(&retries), "{outcome}");
    // Who proves it is served.
    assert_eq!(peer::status(&outcome), Some(200), "{outcome}");
}

#[tokio::test]
async fn a_process_that_takes_over_serves_at_the_same_port() {
    let mut node = Http3Node::before(Upstream::echo().await).await;
    let mut before = node.connect().await;
    assert_eq!(before.call(get("/open/x"), b"").await.status, 200);
    let status = node.process.take_over().await;
    assert!(status.success(), "{}", node.process.log());
    assert_eq!(closed_with(&before.ended().await), Some(0x100));
    let mut after = node.connect().await;
    assert_eq!(after.call(get("/open/x"), b"").await.status, 200);
}
