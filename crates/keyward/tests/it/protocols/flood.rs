//! Clients of HTTP/2 that ask for much work with few bytes.

use super::Http2Node;
use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frames, GET, HEADERS, Outcome,
    PING, POST, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame,
};
use keyward_testkit::{Script, Upstream};
use std::time::Duration;

/// What the process may grow by under any of these.
const GROWTH_MAX: u64 = 32 * 1024 * 1024;

/// Sends the same again and again until the server ends it; whether it does within so many bytes.
async fn flood(frames: &mut Frames, bytes: &[u8], most: usize) -> Outcome {
    // Many at once, as an attacker would.
    let times = (64 * 1024 / bytes.len()).max(1);
    let batch = bytes.repeat(times);
    let mut sent = 0;
    while sent < most {
        if frames.write(&batch).await.is_err() {
            break;
        }
        sent += batch.len();
        if let Some(outcome) = frames.gone().await {
            return outcome;
        }
    }
    frames.gone().await.unwrap_or(Outcome::Closed)
}

/// That the node serves others, and has not grown.
async fn is_well(node: &Http2Node, before: u64) {
    let mut frames = node.frames().await;
    let nowhere = [&GET[..3], &[(":path", "/nowhere")]].concat();
    frames.head(1, &nowhere, true).await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(404));
    let growth = node.process.peak_bytes().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "{growth}");
}

#[tokio::test]
async fn frames_that_lead_to_nothing_end_the_connection() {
    let node = Http2Node::before(Upstream::echo().await).await;
    let before = node.process.peak_bytes();
    let priority = frame(2, 0, 1, &[0, 0, 0, 0, 1]);
    let window = frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes());
    for (what, bytes) in [
        ("PING", frame(PING, 0, 0, b"12345678")),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        ("PRIORITY", priority),
        ("WINDOW_UPDATE", window),
        ("an unknown kind", frame(0xee, 0, 0, &[0; 100])),
    ] {
        let mut frames = node.frames().await;
        let outcome = flood(&mut frames, &bytes, 64 << 20).await;
        assert!(
            matches!(outcome, Outcome::GoAway(ENHANCE_YOUR_CALM)),
            "{what}: {outcome:?}"
        );
    }
    is_well(&node, before).await;
}

#[tokio::test]
async fn calls_that_are_reset_at_once_end_the_connection() {
    let node = Http2Node::before(Upstream::scripted(Script::new().wait_until_closed()).await).await;
    let before = node.process.peak_bytes();
    // Each reset comes in the same packet as its call (CVE-2023-44487).
    let mut frames = node.frames().await;
    let mut outcome = None;
    let mut stream = 1;
    while outcome.is_none() && stream < 100_000 {
        let mut batch = Vec::new();
        for _ in 0..100 {
            batch.extend(frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                stream,
                &block(&GET),
            ));
            batch.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            stream += 2;
        }
        if frames.write(&batch).await.is_err() {
            break;
        }
        outcome = frames.gone().await;
    }
    assert_eq!(outcome, Some(Outcome::GoAway(ENHANCE_YOUR_CALM)));
    assert!(stream < 10_000, "{stream}");
    // And each after its call was begun, which is counted by ourselves.
    let mut frames = node.frames().await;
    let mut outcome = None;
    let mut stream = 1;
    while outcome.is_none() && stream < 2000 {
        frames.head(stream, &GET, true).await;
        let ping = frame(PING, 0, 0, b"whenread");
        frames.write(&ping).await.unwrap();
        // The answer to it shows that the call was begun.
        if let Err(error) = frames.next_of(PING).await {
            panic!("{error}: after {stream}");
        }
        let reset = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        if frames.write(&reset).await.is_err() {
            break;
        }
        outcome = frames.gone().await;
        stream += 2;
    }
    assert_eq!(outcome, Some(Outcome::GoAway(ENHANCE_YOUR_CALM)));
    assert!(stream > 300, "{stream}");
    is_well(&node, before).await;
}

#[tokio::test]
async fn a_head_that_goes_on_forever_ends_the_connection() {
    let node = Http2Node::before(Upstream::echo().await).await;
    let before = node.process.peak_bytes();
    // CVE-2024-27316: the head never ends, and each part of it is small or empty.
    for payload in [
        Vec::new(),
        block(&[("x-a", "1")]),
        block(&[("x-a", &"a".repeat(8000))]),
    ] {
        let mut frames = node.frames().await;
        let head = frame(HEADERS, END_STREAM, 1, &block(&GET));
        frames.write(&head).await.unwrap();
        let more = frame(CONTINUATION, 0, 1, &payload);
        let outcome = flood(&mut frames, &more, 64 << 20).await;
        assert!(matches!(outcome, Outcome::GoAway(_)), "{outcome:?}");
    }
    is_well(&node, before).await;
}

#[tokio::test]
async fn a_head_that_unfolds_into_much_is_refused() {
    let node = Http2Node::before(Upstream::echo().await).await;
    let before = node.process.peak_bytes();
    let mut frames = node.frames().await;
    // One field of 4 KB is put into the table, and meant again by one byte, 10,000 times.
    let value = "a".repeat(3900);
    let mut head = block(&GET);
    head.extend(block(&[("x-bomb", &value)]));
    let literal = head.len() - block(&[("x-bomb", &value)]).len();
    head[literal] = 0x40;
    head.extend(vec![0xbe; 10_000]);
    frames
        .frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)
        .await
        .unwrap();
    let outcome = frames.outcome(1).await;
    assert!(
        matches!(
            outcome,
            Outcome::GoAway(ENHANCE_YOUR_CALM) | Outcome::Reset(_)
        ),
        "{outcome:?}"
    );
    assert!(node.upstream.received().is_empty());
    is_well(&node, before).await;
}

#[tokio::test]
async fn empty_pieces_of_a_body_end_the_connection() {
    let node = Http2Node::before(Upstream::echo().await).await;
    let before = node.process.peak_bytes();
    for payload in [&b""[..], b"x"] {
        let script = Script::without_reading_the_body().pause(Duration::from_secs(60));
        let stuck = Http2Node::before(Upstream::scripted(script).await).await;
        let node = if payload.is_empty() { &node } else { &stuck };
        let mut frames = node.frames().await;
        frames.head(1, &POST, false).await;
        let outcome = flood(&mut frames, &frame(DATA, 0, 1, payload), 256 << 20).await;
        assert!(matches!(outcome, Outcome::GoAway(_)), "{outcome:?}");
    }
    is_well(&node, before).await;
}

#[tokio::test]
async fn pings_beside_a_long_call_do_not_end_it() {
    let node = Http2Node::before(Upstream::scripted(Script::new().wait_until_closed()).await).await;
    let mut frames = node.frames().await;
    frames.head(1, &GET, true).await;
    for _ in 0..1000 {
        frames.frame(PING, 0, 0, b"keepopen").await.unwrap();
        assert_eq!(frames.next_of(PING).await.unwrap().payload, b"keepopen");
    }
    assert_eq!(frames.gone().await, None);
}
