//! Tunnels in streams of HTTP/2 (RFC 8441).

use super::client::{Http2Client, PATIENCE};
use super::tunnel_server::TunnelServer;
use super::websocket::{logged, node};
use super::websocket_guarded::guarded;
use bytes::Bytes;
use http::Request;

/// Asks for a tunnel over HTTP/2 (RFC 8441).
pub(crate) fn extended(protocol: &'static str, path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut builder = Request::builder()
        .method("CONNECT")
        .uri(format!("http://gateway.test{path}"))
        .extension(h2::ext::Protocol::from_static(protocol));
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap()
}

const VERSION: [(&str, &str); 1] = [("sec-websocket-version", "13")];

#[tokio::test]
async fn a_stream_of_http2_becomes_a_tunnel_too() {
    let server = TunnelServer::start().await;
    let node = node(&server.url(), "", "websocket: true").await;
    let mut client = Http2Client::connect(node.gateway()).await;
    client.until_extended_connect().await;
    let fields = [VERSION[0], ("sec-websocket-protocol", "chat")];
    let (answer, mut stream) = client
        .send(extended("websocket", "/open/x", &fields), false)
        .await;
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
    for name in ["upgrade", "connection", "sec-websocket-accept"] {
        assert!(!answer.headers().contains_key(name), "{name}");
    }
    let mut body = answer.into_body();
    for piece in ["one", "and another"] {
        stream
            .send_data(Bytes::from_static(piece.as_bytes()), false)
            .unwrap();
        let echo = tokio::time::timeout(PATIENCE, body.data()).await.unwrap();
        let echo = echo.unwrap().unwrap();
        body.flow_control().release_capacity(echo.len()).unwrap();
        assert_eq!(echo, piece);
    }
    let head = server.heads().remove(0);
    assert!(head.starts_with("get /x http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nsec-websocket-key: "), "{head}");
    // It ends as it does over HTTP/1.1.
    stream.send_data(Bytes::new(), true).unwrap();
    let end = async {
        while let Some(rest) = body.data().await {
            assert!(rest.unwrap().is_empty());
        }
    };
    tokio::time::timeout(PATIENCE, end).await.unwrap();
    let line = logged(&node).await;
    assert_eq!(
        (&line["status"], &line["protocol"]),
        (&101.into(), &"HTTP/2".into())
    );
    assert_eq!(
        (&line["bytes_in"], &line["bytes_out"]),
        (&14.into(), &14.into())
    );
}

#[tokio::test]
async fn a_tunnel_over_http2_is_refused_where_one_over_http1_is() {
    let server = TunnelServer::start().await;
    let open = node(&server.url(), "", "websocket: true").await;
    let plain = node(&server.url(), "", "").await;
    let evil = [VERSION[0], ("origin", "https://evil.example")];
    let (guarded, _) = guarded(&server, ", token: { cookie: session }", "true").await;
    for (node, request, status) in [
        (&open, extended("websocket", "/open/x", &[]), 426),
        (&open, extended("websocket", "/nowhere", &VERSION), 404),
        (&open, extended("connect-udp", "/open/x", &VERSION), 501),
        (&plain, extended("websocket", "/open/x", &VERSION), 502),
        (&guarded, extended("websocket", "/open/x", &evil), 403),
        (&guarded, extended("websocket", "/open/x", &VERSION), 401),
    ] {
        let mut client = Http2Client::connect(node.gateway()).await;
        client.until_extended_connect().await;
        let (answer, _stream) = client.send(request, false).await;
        let answer = tokio::time::timeout(PATIENCE, answer)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(answer.status(), status);
    }
}
