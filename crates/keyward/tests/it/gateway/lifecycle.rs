//! Starting, stopping, starting again.

use super::node::{call, get};
use super::open_node::{OpenNode, lines, until};
use keyward_testkit::{RawClient, Script, Upstream};
use std::time::{Duration, Instant};

const JWKS: &str = "/.well-known/jwks.json";

#[tokio::test]
async fn a_call_in_flight_is_finished_and_logged_while_new_ones_are_turned_away() {
    let slow = Script::new()
        .pause(Duration::from_secs(2))
        .write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone");
    let OpenNode { process, upstream } = OpenNode::before(Upstream::scripted(slow).await).await;
    let (gateway, operations) = (process.gateway(), process.operations());
    let mut idle = RawClient::connect(gateway).await.unwrap();
    let mut client = RawClient::connect(gateway).await.unwrap();
    client.send(get("/open/slow", None, "")).await.unwrap();
    until("the call arrives", || upstream.received().len() == 1).await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    // Its own folder goes with the process: this name for the log stays.
    std::fs::hard_link(process.folder().join("access.log"), &log).unwrap();
    let stopping = tokio::spawn(process.stop());
    assert!(idle.is_closed_within(Duration::from_secs(1)).await);
    assert!(RawClient::connect(gateway).await.is_err());
    assert_eq!(call(operations, get("/readyz", None, "")).await.status, 503);
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "done"));
    let (status, told) = stopping.await.unwrap();
    assert_eq!(status.code(), Some(0), "{told}");
    let lines = lines(folder.path());
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(
        (&lines[0]["path"], &lines[0]["status"]),
        (&"/open/slow".into(), &200.into())
    );
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "how long a process takes to end is what is asked"
)]
async fn a_call_that_does_not_finish_is_cut_at_the_bound() {
    let OpenNode { process, upstream } = OpenNode::with(
        Upstream::scripted(Script::new().wait_until_closed()).await,
        "limits: { shutdown_timeout: 1s }",
        "",
        "",
    )
    .await;
    let mut client = RawClient::connect(process.gateway()).await.unwrap();
    client.send(get("/open/endless", None, "")).await.unwrap();
    until("the call arrives", || upstream.received().len() == 1).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::hard_link(
        process.folder().join("access.log"),
        folder.path().join("access.log"),
    )
    .unwrap();
    let begun = Instant::now();
    let (status, told) = process.stop().await;
    let took = begun.elapsed();
    assert_eq!(status.code(), Some(0), "{told}");
    assert!(
        (Duration::from_millis(900)..Duration::from_secs(10)).contains(&took),
        "{took:?}"
    );
    assert!(client.answer().await.is_err());
    let lines = lines(folder.path());
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(
        (&lines[0]["code"], &lines[0]["blame"]),
        (&"shutting_down".into(), &"us".into()),
        "{lines:?}"
    );
}

#[tokio::test]
async fn keys_stay_over_a_restart() {
    let mut node = OpenNode::before(Upstream::echo().await).await;
    let before = node.get(JWKS).await.json().unwrap();
    let keys = before["keys"].as_array().unwrap();
    let algorithms: Vec<_> = keys.iter().map(|key| key["alg"].as_str()).collect();
    assert!(algorithms.contains(&Some("ES256")) && algorithms.contains(&Some("RS256")));
    for key in keys {
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(key.get(private).is_none(), "{private}");
        }
    }
    node.process.restart().await;
    assert_eq!(node.get(JWKS).await.json().unwrap(), before);
}

#[tokio::test]
async fn the_key_set_can_be_kept_and_asked_for_again() {
    let node = OpenNode::before(Upstream::echo().await).await;
    let first = node.get(JWKS).await;
    assert_eq!(first.status, 200);
    assert_eq!(
        first.head.field("content-type"),
        Some("application/jwk-set+json")
    );
    let kept = first.head.field("cache-control").unwrap();
    assert!(
        kept.contains("public") && kept.contains("max-age="),
        "{kept}"
    );
    let tag = first.head.field("etag").unwrap();
    let asked = async |method: &str, tags: &str| {
        let mut client = node.connect().await;
        let lines = if tags.is_empty() {
            String::new()
        } else {
            format!("If-None-Match: {tags}\r\n")
        };
        let request = get(JWKS, None, &lines).replacen("GET", method, 1);
        client.send(request).await.unwrap();
        if method == "HEAD" {
            client.answer_to_head().await.unwrap()
        } else {
            client.answer().await.unwrap()
        }
    };
    for (tags, status) in [
        (tag.to_owned(), 304),
        (format!("\"other\", W/{tag}"), 304),
        ("*".to_owned(), 304),
        ("\"other\"".to_owned(), 200),
    ] {
        let again = asked("GET", &tags).await;
        assert_eq!(again.status, status, "{tags}");
        assert_eq!(again.head.field("etag"), Some(tag), "{tags}");
        assert_eq!(again.body.is_empty(), status == 304, "{tags}");
    }
    let head = asked("HEAD", "").await;
    let length = first.body.len().to_string();
    assert_eq!(
        (head.status, head.head.field("content-length")),
        (200, Some(length.as_str()))
    );
    assert_eq!(asked("POST", "").await.status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_come_and_go_leave_no_descriptors_behind() {
    let node = OpenNode::before(Upstream::echo().await).await;
    let descriptors = || {
        let folder = format!("/proc/{}/fd", node.process.pid());
        std::fs::read_dir(folder).unwrap().count()
    };
    assert_eq!(node.get("/open/x").await.status, 200);
    let before = descriptors();
    for round in 0..50 {
        let mut open = Vec::new();
        for number in 0..20 {
            let mut client = node.connect().await;
            let sent = match number % 5 {
                0 => "",
                1 => "GET /open/x HT",
                2 => "nonsense\r\n\r\n",
                3 => "POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\npart",
                _ => "GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n",
            };
            client.send(sent).await.unwrap();
            if number % 10 == 4 {
                assert_eq!(client.answer().await.unwrap().status, 200, "{round}");
            }
            open.push(client);
        }
    }
    // Connections to the upstream may wait for their next call: no more than ran at one time.
    let bound = before + 20;
    until("the descriptors are given back", || descriptors() <= bound).await;
    assert_eq!(node.get("/open/x").await.status, 200);
}
