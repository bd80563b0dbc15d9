//! A server that is there, and says no.

use super::*;

/// A node that holds a slot, and the name under which it does.
async fn holding(redis: &RedisServer) -> (TestNode, Vec<HeldSlot>, String) {
    let node = TestNode::join(redis, 1).await;
    let SharedAdmission::Allowed { slots, .. } = node.take(calls(5), OnOutage::Refuse).await else {
        panic!("refused at first");
    };
    let held = name(redis, "calls");
    (node, slots, held)
}

pub(super) fn tell(redis: &RedisServer, command: &str) {
    let answer = redis.command(command);
    assert!(!answer.starts_with('-'), "{command}: {answer}");
}

/// Ends the node's connection, as a restart of the server would, and waits until it is noticed.
pub(super) async fn cut(redis: &RedisServer, node: &TestNode) {
    let before = node.state.counts().outages;
    tell(redis, "CLIENT KILL TYPE normal");
    keyward_testkit::until("the end of the connection is noticed", async || {
        node.state.counts().outages > before
    })
    .await;
}

/// That rates are counted by the server, by the node's own account and the server's.
async fn check_that_rates_are_shared(redis: &RedisServer, node: &TestNode) {
    let hourly = rate(5, Duration::from_secs(3_600), 5);
    let before = node.state.counts().answered;
    let admission = node.take(hourly, OnOutage::Refuse).await;
    assert!(
        matches!(admission, SharedAdmission::Allowed { .. }),
        "{admission:?}"
    );
    assert_eq!(node.state.counts().answered, before + 1);
    assert!(name(redis, "rate").starts_with("test:"));
}

#[tokio::test]
async fn something_else_under_a_slots_name_keeps_nobody_from_connecting_again() {
    let redis = RedisServer::start().await;
    locally(async {
        let (node, slots, held) = holding(&redis).await;
        tell(&redis, &format!("SET {held} nonsense"));
        cut(&redis, &node).await;
        until_connected(&[&node]).await;
        assert!(node.state.counts().slots_failed > 0);
        check_that_rates_are_shared(&redis, &node).await;
        // What is not there any more is not given back for ever.
        drop(slots);
        keyward_testkit::until("nothing waits to be given back", async || {
            !node.worker.slots.any_released()
        })
        .await;
        // And when the name is free again, so is the limit.
        tell(&redis, &format!("DEL {held}"));
        node.cell(calls(5), node.now()).end();
        let again = node.take(calls(5), OnOutage::Refuse).await;
        assert!(
            matches!(again, SharedAdmission::Allowed { .. }),
            "{again:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn slots_of_one_limit_that_fail_keep_no_others_from_being_renewed() {
    let redis = RedisServer::start().await;
    locally(async {
        let (node, _slots, held) = holding(&redis).await;
        let other = node.now();
        let key = LimitKey {
            team: TeamId::DEFAULT,
            team_name: "default",
            limit: "api/v1/other",
            rule: calls(5),
            counted: &[Counted::Issuer("https://issuer.example")],
        };
        let cell = node.cells.cell(&key, other).unwrap();
        let limits = [SharedLimit {
            cell: &cell,
            rule: &calls(5),
            on_outage: OnOutage::Refuse,
        }];
        let taken = node.worker.take_all(&limits, other).await;
        assert!(
            matches!(taken, SharedAdmission::Allowed { .. }),
            "{taken:?}"
        );
        let others = name(&redis, "other");
        tell(&redis, &format!("SET {held} nonsense"));
        tell(&redis, &format!("DEL {others}"));
        cut(&redis, &node).await;
        until_connected(&[&node]).await;
        assert_eq!(redis.command(&format!("ZCARD {others}")).trim(), ":1");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_lets_nobody_keep_slots_still_counts_rates() {
    let redis = RedisServer::start().await;
    locally(async {
        let (node, _slots, _) = holding(&redis).await;
        tell(&redis, "ACL SETUSER default -zadd");
        cut(&redis, &node).await;
        until_connected(&[&node]).await;
        assert!(node.state.counts().slots_failed > 0);
        check_that_rates_are_shared(&redis, &node).await;
    })
    .await;
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_tried_until_it_does() {
    let redis = RedisServer::start().await;
    locally(async {
        let (node, _slots, _) = holding(&redis).await;
        // A replica of a server that is not there.
        tell(&redis, "REPLICAOF 127.0.0.1 1");
        tell(&redis, "CONFIG SET replica-serve-stale-data yes");
        cut(&redis, &node).await;
        keyward_testkit::until("connecting has failed more than once", async || {
            node.state.counts().unreachable > 2
        })
        .await;
        assert!(!node.worker.is_connected());
        let refused = node.take(calls(5), OnOutage::Refuse).await;
        assert!(
            matches!(refused, SharedAdmission::Unavailable { index: 0 }),
            "{refused:?}"
        );
        tell(&redis, "REPLICAOF NO ONE");
        until_connected(&[&node]).await;
        check_that_rates_are_shared(&redis, &node).await;
    })
    .await;
}

#[tokio::test]
async fn a_server_that_may_forget_is_told_of_and_no_other() {
    let bounded = ["--maxmemory", "64mb"];
    for (policy, bounds, told) in [
        ("noeviction", &bounded[..], false),
        ("allkeys-lru", &[], false),
        ("allkeys-lru", &bounded, true),
        ("volatile-ttl", &bounded, true),
    ] {
        let policy = ["--maxmemory-policy", policy];
        let redis = RedisServer::start_with(&[&policy, bounds].concat()).await;
        locally(async {
            let node = TestNode::join(&redis, 1).await;
            until_connected(&[&node]).await;
            assert_eq!(node.state.counts().evicts, told, "{policy:?}");
            tell(&redis, "CONFIG SET maxmemory-policy noeviction");
            cut(&redis, &node).await;
            until_connected(&[&node]).await;
            assert!(!node.state.counts().evicts, "{policy:?}");
        })
        .await;
    }
}
