//! The equipment does what it says.

use crate::{ChaosProxy, Direction, RawClient, Script, Upstream, Weather, raw_exchange};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn an_echo_tells_what_arrived_in_order() {
    let upstream = Upstream::echo().await;
    let mut client = RawClient::connect(upstream.address()).await.unwrap();
    for _ in 0..2 {
        client
            .send(
                "POST /a?b=c HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nx-a: 2\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-T: t\r\n\r\n",
            )
            .await
            .unwrap();
        let echo = client.answer().await.unwrap().json().unwrap();
        assert_eq!(echo["method"], "POST");
        assert_eq!(
            (&echo["path"], &echo["query"]),
            (&json!("/a"), &json!("b=c"))
        );
        assert_eq!(
            echo["headers"],
            json!([
                ["Host", "x"],
                ["X-A", "1"],
                ["x-a", "2"],
                ["Transfer-Encoding", "chunked"]
            ])
        );
        assert_eq!(echo["trailers"], json!([["X-T", "t"]]));
        assert_eq!(echo["body"]["length"], 5);
        // SHA-256 of "abcde".
        assert_eq!(
            echo["body"]["sha256"],
            "36bbe50ed96841d10443bcb670d6554f0a34b761be67ec9c4a8ad2c0c44ca42c"
        );
    }
    assert_eq!((upstream.connections(), upstream.received().len()), (1, 2));
}

#[tokio::test]
async fn scripts_are_followed() {
    let get = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    let upstream = Upstream::scripts(vec![
        Script::answer("201 Created", &[("x-a", "1")], "made"),
        Script::chunked("200 OK", &[], &["a", "bc"], &[("x-t", "t")]),
        Script::long(100_000),
        Script::new()
            .write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort")
            .close(),
        Script::new().reset(),
    ])
    .await;
    let mut client = RawClient::connect(upstream.address()).await.unwrap();
    for (status, body) in [
        (201, "made".to_owned()),
        (200, "abc".to_owned()),
        (200, "x".repeat(100_000)),
    ] {
        client.send(get).await.unwrap();
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.status, answer.text()), (status, body));
    }
    client.send(get).await.unwrap();
    assert_eq!(
        client.answer().await.unwrap_err().kind(),
        std::io::ErrorKind::UnexpectedEof
    );
    let mut client = RawClient::connect(upstream.address()).await.unwrap();
    client.send(get).await.unwrap();
    assert_eq!(
        client.answer().await.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed() {
    let upstream = Upstream::scripted(Script::new().wait_until_closed()).await;
    let mut client = RawClient::connect(upstream.address()).await.unwrap();
    client
        .send("GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    assert!(client.is_silent_for(Duration::from_millis(50)).await);
    assert_eq!((upstream.left(), upstream.open_connections()), (0, 1));
    drop(client);
    while upstream.left() == 0 || upstream.open_connections() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn two_requests_in_one_write_get_two_answers() {
    let upstream = Upstream::echo().await;
    let request = "GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(2);
    let answers = raw_exchange(upstream.address(), request).await.unwrap();
    assert_eq!(answers.len(), 2);
}

#[tokio::test]
async fn the_weather_changes_what_passes() {
    let upstream = Upstream::scripted(Script::answer("200 OK", &[], "0123456789")).await;
    let proxy = ChaosProxy::before(upstream.address()).await;
    let get = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    // The head of the answer has 39 bytes.
    for (weather, expected) in [
        (Weather::default(), Ok("0123456789")),
        (
            Weather {
                garble_at: Some(40),
                direction: Direction::ToClient,
                ..Weather::default()
            },
            Ok("0\u{11}23456789"),
        ),
        (
            Weather {
                cut_after: Some(45),
                direction: Direction::ToClient,
                ..Weather::default()
            },
            Err(()),
        ),
        (
            Weather {
                cut_after: Some(3),
                direction: Direction::ToServer,
                ..Weather::default()
            },
            Err(()),
        ),
        (
            Weather {
                refuse: true,
                ..Weather::default()
            },
            Err(()),
        ),
        (
            Weather {
                piece_max: Some(1),
                ..Weather::default()
            },
            Ok("0123456789"),
        ),
    ] {
        proxy.set(weather);
        let mut client = RawClient::connect(proxy.address()).await.unwrap();
        let _refused = client.send(get).await;
        let answer = client.answer().await;
        assert_eq!(
            answer.as_ref().map(|answer| answer.text()).map_err(|_| ()),
            expected.map(str::to_owned),
            "{weather:?}"
        );
    }
    proxy.set(Weather {
        black_hole: true,
        ..Weather::default()
    });
    let mut client = RawClient::connect(proxy.address()).await.unwrap();
    client.send(get).await.unwrap();
    assert!(client.is_silent_for(Duration::from_millis(50)).await);
}

#[test]
fn no_port_is_given_twice() {
    let ports: [u16; 64] = crate::free_ports();
    let others: [u16; 64] = crate::free_ports();
    let all: std::collections::BTreeSet<u16> = ports.into_iter().chain(others).collect();
    assert_eq!(all.len(), 128);
    for port in all {
        let lock = std::env::temp_dir().join("keyward-testkit-ports");
        let lock = std::fs::File::open(lock.join(port.to_string())).unwrap();
        assert!(lock.try_lock().is_err(), "{port} is free for other tests");
    }
}
