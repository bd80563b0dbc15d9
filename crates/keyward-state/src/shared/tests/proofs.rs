//! Proofs that two nodes remember together.

use super::*;
use crate::replay::Use;

const WINDOW: Duration = Duration::from_secs(65);

async fn used(node: &TestNode, holder: &[u8], identifier: &[u8]) -> Option<Use> {
    node.worker
        .first_use(holder, identifier, WINDOW, OnOutage::Refuse)
        .await
}

#[tokio::test]
async fn what_one_node_has_seen_no_other_takes() {
    let redis = RedisServer::start().await;
    locally(async {
        let one = TestNode::join(&redis, 1).await;
        let other = TestNode::join(&redis, 2).await;
        assert_eq!(used(&one, b"key", b"a").await, Some(Use::First));
        assert_eq!(one.state.counts().answered, 1, "one round trip");
        assert_eq!(used(&other, b"key", b"a").await, Some(Use::Again));
        assert_eq!(used(&one, b"key", b"a").await, Some(Use::Again));
        // It is kept for no longer than it must be, and tells nobody's key.
        let kept = name(&redis, "proof");
        assert!(!kept.contains("key"), "{kept}");
        let left = redis.command(&format!("PTTL {kept}"));
        let left: u64 = left.trim().trim_start_matches(':').parse().unwrap();
        assert!((1..=65_000).contains(&left), "{left}");
        for (holder, identifier) in [(&b"key"[..], &b"b"[..]), (b"keya", b""), (b"", b"keya")] {
            let found = used(&other, holder, identifier).await;
            assert_eq!(found, Some(Use::First), "{holder:?} {identifier:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn of_many_nodes_that_ask_at_once_one_is_the_first() {
    let redis = RedisServer::start().await;
    locally(async {
        let mut nodes = Vec::new();
        for number in 0..4 {
            nodes.push(TestNode::join(&redis, number).await);
        }
        for number in 0_u32..200 {
            let identifier = number.to_be_bytes();
            let [a, b, c, d] = &nodes[..] else {
                panic!("four");
            };
            let found = tokio::join!(
                used(a, b"key", &identifier),
                used(b, b"key", &identifier),
                used(c, b"key", &identifier),
                used(d, b"key", &identifier),
            );
            let found = [found.0, found.1, found.2, found.3];
            let firsts = found.iter().filter(|use_| **use_ == Some(Use::First));
            assert_eq!(firsts.count(), 1, "{found:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_outage_does_what_is_said_and_what_was_lost_is_known() {
    let mut redis = RedisServer::start().await;
    locally(async {
        let node = TestNode::join(&redis, 1).await;
        let since = node.worker.remembers_since().unwrap();
        assert_eq!(used(&node, b"key", b"a").await, Some(Use::First));
        redis.kill();
        assert_eq!(used(&node, b"key", b"b").await, None);
        let locally = node
            .worker
            .first_use(b"key", b"c", WINDOW, OnOutage::AllowLocally);
        assert_eq!(locally.await, Some(Use::First));
        assert_eq!(node.worker.remembers_since(), None);
        let counts = node.state.counts();
        assert_eq!((counts.unavailable, counts.allowed_locally), (1, 1));
        redis.bring_back().await;
        until_connected(&[&node]).await;
        // It has forgotten `a`, and whoever asks can tell that it may have.
        assert!(node.worker.remembers_since().unwrap() > since);
        assert_eq!(used(&node, b"key", b"a").await, Some(Use::First));
    })
    .await;
}
