//! What one node does and no other is to do as well.

use super::refusing_server::{cut, tell};
use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn ask(node: &TestNode, request: u8, take_over: bool) -> Claimed {
    let claiming = Claiming {
        name: "key",
        request: &[request; 32],
        keep: DAY,
        take_over,
        on_outage: OnOutage::Refuse,
    };
    node.worker.claim(claiming).await
}

#[track_caller]
fn now(claimed: Claimed) -> Claim {
    match claimed {
        Claimed::Now(claim) => claim,
        other @ (Claimed::Before { .. } | Claimed::Locally | Claimed::Unavailable) => {
            panic!("{other:?}")
        }
    }
}

#[track_caller]
fn before(claimed: Claimed) -> (u8, ClaimState) {
    match claimed {
        Claimed::Before { request, state } => (request[0], state),
        other @ (Claimed::Now(_) | Claimed::Locally | Claimed::Unavailable) => {
            panic!("{other:?}")
        }
    }
}

fn held(redis: &RedisServer) -> String {
    redis.command("EXISTS test:idempotency:{key}:held")
}

#[tokio::test]
async fn a_claim_is_its_holders_until_it_says_what_became_of_it() {
    let redis = RedisServer::start().await;
    locally(async {
        let one = TestNode::join(&redis, 1).await;
        let other = TestNode::join(&redis, 2).await;
        let claim = now(ask(&one, 7, false).await);
        for node in [&one, &other] {
            for take_over in [false, true] {
                let found = before(ask(node, 7, take_over).await);
                assert_eq!(found, (7, ClaimState::UnderWay));
            }
        }
        claim.settle(b"done", DAY).await;
        assert_eq!(held(&redis).trim(), ":0");
        // Which request it was for is known too.
        let found = before(ask(&other, 7, true).await);
        assert_eq!(found, (7, ClaimState::Settled(b"done".to_vec())));
        // Another request is not told what came of it.
        let found = before(ask(&other, 8, true).await);
        assert_eq!(found, (7, ClaimState::Settled(Vec::new())));
        let left = redis.command("PTTL test:idempotency:{key}");
        let left: u64 = left.trim().trim_start_matches(':').parse().unwrap();
        assert!((1..=86_400_000).contains(&left), "{left}");
    })
    .await;
}

#[tokio::test]
async fn what_is_given_back_is_free_again() {
    let redis = RedisServer::start().await;
    locally(async {
        let one = TestNode::join(&redis, 1).await;
        let other = TestNode::join(&redis, 2).await;
        now(ask(&one, 7, false).await).release().await;
        assert_eq!(redis.command("DBSIZE").trim(), ":0");
        let claim = now(ask(&other, 8, false).await);
        assert_eq!(before(ask(&one, 8, false).await).1, ClaimState::UnderWay);
        claim.release().await;
    })
    .await;
}

#[tokio::test]
async fn a_claim_that_nobody_holds_is_abandoned_and_taken_over_where_that_is_wanted() {
    let redis = RedisServer::start().await;
    locally(async {
        let one = TestNode::join(&redis, 1).await;
        let other = TestNode::join(&redis, 2).await;
        let claim = now(ask(&one, 7, false).await);
        tell(&redis, "DEL test:idempotency:{key}:held");
        assert_eq!(before(ask(&other, 7, false).await).1, ClaimState::Abandoned);
        // Another request takes nothing over.
        assert_eq!(
            before(ask(&other, 8, true).await),
            (7, ClaimState::Abandoned)
        );
        // A renewal that comes late holds it again.
        assert!(claim.renew().await);
        assert_eq!(before(ask(&other, 7, true).await).1, ClaimState::UnderWay);
        tell(&redis, "DEL test:idempotency:{key}:held");
        let newer = now(ask(&other, 7, true).await);
        // What its first holder says now is about something else.
        claim.settle(b"late", DAY).await;
        assert_eq!(before(ask(&one, 7, true).await).1, ClaimState::UnderWay);
        newer.settle(b"done", DAY).await;
        let found = before(ask(&one, 7, true).await).1;
        assert_eq!(found, ClaimState::Settled(b"done".to_vec()));
    })
    .await;
}

#[tokio::test]
async fn what_could_not_be_told_is_told_when_the_server_is_back() {
    let redis = RedisServer::start().await;
    locally(async {
        let one = TestNode::join(&redis, 1).await;
        let other = TestNode::join(&redis, 2).await;
        let claim = now(ask(&one, 7, false).await);
        redis.signal("STOP");
        claim.settle(b"done", DAY).await;
        assert!(matches!(ask(&one, 7, false).await, Claimed::Unavailable));
        redis.signal("CONT");
        keyward_testkit::until("it is told", async || !one.worker.claims.any()).await;
        until_connected(&[&other]).await;
        let found = before(ask(&other, 7, false).await).1;
        assert_eq!(found, ClaimState::Settled(b"done".to_vec()));
    })
    .await;
}

#[tokio::test]
async fn a_claim_whose_answer_did_not_come_is_given_back() {
    let redis = RedisServer::start().await;
    locally(async {
        let one = TestNode::join(&redis, 1).await;
        let other = TestNode::join(&redis, 2).await;
        redis.signal("STOP");
        assert!(matches!(ask(&one, 7, false).await, Claimed::Unavailable));
        // The server gets the question when it goes on, and then hears that nobody waits for it.
        redis.signal("CONT");
        keyward_testkit::until("it is given back", async || {
            one.worker.is_connected() && !one.worker.claims.any()
        })
        .await;
        until_connected(&[&other]).await;
        now(ask(&other, 8, false).await).release().await;
    })
    .await;
}

#[tokio::test]
async fn what_the_server_refuses_to_take_waits_until_it_takes_it() {
    let redis = RedisServer::start().await;
    locally(async {
        let one = TestNode::join(&redis, 1).await;
        let claim = now(ask(&one, 7, false).await);
        tell(&redis, "ACL SETUSER default -evalsha");
        claim.settle(b"done", DAY).await;
        assert!(one.worker.claims.any());
        // Nor is the connection given up for it again and again.
        until_connected(&[&one]).await;
        let number = one.state.counts().outages;
        keyward_testkit::until("it was refused once more", async || {
            one.worker.tells_that_claims_fail()
        })
        .await;
        assert!(one.worker.claims.any());
        assert_eq!(one.state.counts().outages, number);
        tell(&redis, "ACL SETUSER default +evalsha");
        keyward_testkit::until("it is told", async || !one.worker.claims.any()).await;
        let found = before(ask(&one, 7, false).await).1;
        assert_eq!(found, ClaimState::Settled(b"done".to_vec()));
    })
    .await;
}

#[tokio::test]
async fn of_a_claim_in_whose_place_something_else_stands_nothing_is_told() {
    let redis = RedisServer::start().await;
    locally(async {
        let one = TestNode::join(&redis, 1).await;
        let claim = now(ask(&one, 7, false).await);
        tell(&redis, "DEL test:idempotency:{key}");
        tell(&redis, "LPUSH test:idempotency:{key} nonsense");
        claim.settle(b"done", DAY).await;
        keyward_testkit::until("nothing waits", async || !one.worker.claims.any()).await;
        assert_eq!(one.state.counts().outages, 0);
    })
    .await;
}

#[test]
fn older_servers_say_of_a_script_that_something_else_stands_there() {
    for (code, text, wrong_type) in [
        ("WRONGTYPE", "Operation against a key", true),
        (
            "ERR",
            "Error running script: @user_script:3: WRONGTYPE Operation",
            true,
        ),
        (
            "ERR",
            "Error running script: @user_script:3: unknown command",
            false,
        ),
        ("NOPERM", "this user has no permissions: WRONGTYPE", false),
    ] {
        let error = redis::make_extension_error(code.to_owned(), Some(text.to_owned()));
        let found = slots::is_wrong_type(&error);
        assert_eq!(found, wrong_type, "{code} {text}");
    }
}

fn left(redis: &RedisServer, name: &str) -> i64 {
    let left = redis.command(&format!("PTTL {name}"));
    left.trim().trim_start_matches(':').parse().unwrap()
}

#[tokio::test]
async fn a_renewal_holds_a_claim_that_was_lost_and_none_that_is_anothers() {
    let redis = RedisServer::start().await;
    locally(async {
        let one = TestNode::join(&redis, 1).await;
        let other = TestNode::join(&redis, 2).await;
        let claim = now(ask(&one, 7, false).await);
        for command in ["FLUSHALL", "PEXPIRE test:idempotency:{key}:held 5000"] {
            tell(&redis, command);
            assert!(claim.renew().await);
            let held = left(&redis, "test:idempotency:{key}:held");
            assert!((20_000..=30_000).contains(&held), "{command}: {held}");
            let kept = left(&redis, "test:idempotency:{key}");
            assert!(
                (86_000_000..=86_400_000).contains(&kept),
                "{command}: {kept}"
            );
            assert_eq!(before(ask(&other, 7, true).await).1, ClaimState::UnderWay);
        }
        tell(&redis, "FLUSHALL");
        let newer = now(ask(&other, 8, false).await);
        assert!(!claim.renew().await);
        claim.settle(b"late", DAY).await;
        assert_eq!(before(ask(&one, 8, false).await), (8, ClaimState::UnderWay));
        // What is done is known, also where the server has lost that it was begun.
        tell(&redis, "FLUSHALL");
        newer.settle(b"done", DAY).await;
        let found = before(ask(&one, 8, false).await).1;
        assert_eq!(found, ClaimState::Settled(b"done".to_vec()));
    })
    .await;
}

#[tokio::test]
async fn a_server_that_has_lost_claims_has_them_with_the_next_connection() {
    let redis = RedisServer::start().await;
    locally(async {
        let one = TestNode::join(&redis, 1).await;
        let claim = now(ask(&one, 7, false).await);
        tell(&redis, "FLUSHALL");
        cut(&redis, &one).await;
        until_connected(&[&one]).await;
        let held = left(&redis, "test:idempotency:{key}:held");
        assert!((20_000..=30_000).contains(&held), "{held}");
        claim.release().await;
        cut(&redis, &one).await;
        until_connected(&[&one]).await;
        assert_eq!(redis.command("DBSIZE").trim(), ":0");
    })
    .await;
}

#[tokio::test]
async fn a_claim_that_comes_after_its_own_release_locks_nothing() {
    let redis = RedisServer::start().await;
    locally(async {
        let client = Client::open(redis.url()).unwrap();
        let mut to = client.get_multiplexed_async_connection().await.unwrap();
        let late = [&b"u"[..], &[7; 32], b"late"].concat();
        let settle = redis::Script::new(include_str!("../settle.lua"));
        let mut settle = settle.prepare_invoke();
        settle
            .key("test:idempotency:{key}")
            .key("test:idempotency:{key}:held");
        settle.arg(&*late).arg("").arg(1);
        assert_eq!(settle.invoke_async::<u64>(&mut to).await, Ok(1));
        let kept = left(&redis, "test:idempotency:{key}");
        assert!((50_000..=60_000).contains(&kept), "{kept}");
        let claim = redis::Script::new(include_str!("../claim.lua"));
        let mut claim = claim.prepare_invoke();
        claim
            .key("test:idempotency:{key}")
            .key("test:idempotency:{key}:held");
        claim.arg(&*late).arg(86_400_000).arg(30_000).arg(0);
        let found = claim
            .invoke_async::<Option<Vec<u8>>>(&mut to)
            .await
            .unwrap();
        assert_eq!(found, Some([&b"r"[..], &[7; 32]].concat()));
        assert_eq!(held(&redis).trim(), ":0");
        // Others pass over it.
        let one = TestNode::join(&redis, 1).await;
        now(ask(&one, 7, false).await).release().await;
        assert_eq!(redis.command("DBSIZE").trim(), ":0");
    })
    .await;
}

/// A node that keeps no connection by itself, a claim of it, and the connection lost.
async fn cut_off(redis: &RedisServer) -> (TestNode, Claim) {
    let one = TestNode::alone(redis, 1).await;
    let claim = now(ask(&one, 7, false).await);
    one.worker.lost(0, "by a test");
    (one, claim)
}

#[tokio::test]
async fn what_waits_is_told_in_turns() {
    let redis = RedisServer::start().await;
    let (one, claim) = cut_off(&redis).await;
    for (outcome, count) in [(vec![], 150), (vec![0; 200 << 10], 3)] {
        for _ in 0..count {
            claim.settle(&outcome, DAY).await;
        }
    }
    let client = Client::open(redis.url()).unwrap();
    let mut to = client.get_multiplexed_async_connection().await.unwrap();
    for left in [53, 1, 0, 0] {
        one.worker.claims.tell(&mut to).await.unwrap();
        assert_eq!(one.worker.claims.len(), left);
    }
}

#[tokio::test]
async fn at_the_end_a_node_connects_once_more_for_all_that_waits() {
    let redis = RedisServer::start().await;
    let (one, claim) = cut_off(&redis).await;
    for _ in 0..250 {
        claim.settle(b"done", DAY).await;
    }
    one.worker.finish().await;
    assert_eq!(one.worker.claims.len(), 0);
    let found = before(ask(&one, 7, false).await).1;
    assert_eq!(found, ClaimState::Settled(b"done".to_vec()));
}

#[tokio::test]
async fn at_the_end_a_server_that_is_gone_is_tried_once() {
    let mut redis = RedisServer::start().await;
    let (one, claim) = cut_off(&redis).await;
    redis.kill();
    claim.settle(b"done", DAY).await;
    one.worker.finish().await;
    assert_eq!(one.state.counts().unreachable, 1);
}
