//! Idempotency keys of two nodes that share them in Redis.

use super::cache::coalescing::{Gate, in_flight};
use super::{Call, Table};
use crate::gateway::open_node::until;
use crate::node::{Node, check_problem, request};
use keyward_testkit::{RawClient, RedisServer};

const SHARE: &str = "idempotency: { anonymous: share }";

fn settings(redis: &RedisServer) -> String {
    format!(
        "workers: 2\nshared_state: {{ url: \"{}\", timeout: 5s }}",
        redis.url()
    )
}

/// Two nodes in front of the gate.
async fn two_nodes(redis: &RedisServer, gate: &Gate, policy: &str) -> [Node; 2] {
    let settings = settings(redis);
    let (one, other) = tokio::join!(
        gate.node_with(&settings, policy),
        gate.node_with(&settings, policy)
    );
    for node in [&one, &other] {
        until_connected(node, 2).await;
    }
    [one, other]
}

async fn until_connected(node: &Node, workers: usize) {
    keyward_testkit::until("the node knows how the server is", async || {
        let page = node.process.operations_get("/metrics").await.unwrap();
        let told = format!("\nkeyward_shared_state_connected {workers}\n");
        page.text().contains(&told)
    })
    .await;
}

fn post(key: &str, body: &str) -> Call {
    Call::new("POST", "/open/x")
        .header("Idempotency-Key", key)
        .body(body)
}

async fn begin(node: &Node, key: &str) -> RawClient {
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    let key = [("Idempotency-Key", key)];
    client
        .send(request("POST", "/open/x", &key, "body"))
        .await
        .unwrap();
    client
}

/// Asks again until the call is no longer under way.
async fn asked_until_answered(node: &Node, key: &str) -> keyward_testkit::Answer {
    loop {
        let answer = begin(node, key).await.answer().await.unwrap();
        if answer.status != 409 || !answer.text().contains("under_way") {
            return answer;
        }
    }
}

/// Lets the gate answer so many calls.
fn open(gate: &Gate, calls: usize) {
    gate.heads.add_permits(calls);
    gate.rests.add_permits(calls);
}

#[tokio::test]
async fn what_one_node_has_done_no_other_does_again() {
    let mut redis = RedisServer::start().await;
    let gate = Gate::start("X-Made: 1").await;
    let [one, other] = two_nodes(&redis, &gate, SHARE).await;
    let mut table = Table::new("idempotency", "nodes").headers(&["idempotent-replayed", "x-made"]);
    let mut first = begin(&one, "one").await;
    until("it is at the upstream", || gate.arrived() == 1).await;
    let sent = |key: &str| format!("`POST /open/x` with the key `{key}`");
    for (case, node, body) in [
        (
            "at the other node, while the first node does it",
            &other,
            "body",
        ),
        (
            "there, another request with the same key",
            &other,
            "another",
        ),
    ] {
        let answer = post("one", body).send(node).await;
        table.add(case, &sent("one"), &answer);
    }
    open(&gate, 1);
    let answer = first.answer().await.unwrap();
    table.add("at the first node", &sent("one"), &answer);
    let answer = asked_until_answered(&other, "one").await;
    assert_eq!(answer.text(), "first-half");
    table.add("at the other node, when it is done", &sent("one"), &answer);
    let answer = post("one", "another").send(&other).await;
    table.add("then another request with it", &sent("one"), &answer);
    assert_eq!(gate.arrived(), 1);

    redis.kill();
    for node in [&one, &other] {
        until_connected(node, 0).await;
    }
    for (case, node, key) in [
        ("Redis is gone: a new key", &one, "two"),
        ("a key that the node has used itself", &one, "one"),
        ("one that another node has used", &other, "one"),
    ] {
        let answer = post(key, "body").send(node).await;
        table.add(case, &sent(key), &answer);
    }
    assert_eq!(gate.arrived(), 1);
    redis.bring_back().await;
    for node in [&one, &other] {
        until_connected(node, 2).await;
    }
    open(&gate, 1);
    let answer = post("two", "body").send(&other).await;
    table.add("Redis is back: the new key", &sent("two"), &answer);
    assert_eq!(gate.arrived(), 2);
    table.finish();
}

#[tokio::test]
async fn with_allow_locally_each_node_goes_by_its_own_memory_in_an_outage() {
    let mut redis = RedisServer::start().await;
    let gate = Gate::start("X-Made: 1").await;
    let policy = "idempotency: { anonymous: share, on_outage: allow_locally }";
    let [one, other] = two_nodes(&redis, &gate, policy).await;
    redis.kill();
    for node in [&one, &other] {
        until_connected(node, 0).await;
    }
    open(&gate, 2);
    for (node, replayed) in [(&one, None), (&one, Some("true")), (&other, None)] {
        let answer = post("one", "body").send(node).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.head.field("idempotent-replayed"), replayed);
    }
    assert_eq!(gate.arrived(), 2);
}

#[tokio::test]
async fn of_many_calls_at_once_at_two_nodes_one_is_done() {
    const CALLS: usize = 20;
    let redis = RedisServer::start().await;
    let gate = Gate::start("X-Made: 1").await;
    let nodes = two_nodes(&redis, &gate, SHARE).await;
    let mut clients = Vec::new();
    for _ in 0..CALLS {
        for node in &nodes {
            clients.push(begin(node, "one").await);
        }
    }
    open(&gate, 1);
    let (mut done, mut others) = (0, 0);
    for client in &mut clients {
        let answer = client.answer().await.unwrap();
        match answer.status {
            200 if answer.head.field("idempotent-replayed").is_none() => done += 1,
            200 => others += 1,
            _ => {
                check_problem(&answer, 409, "idempotent_call_under_way");
                others += 1;
            }
        }
    }
    assert_eq!((done, others, gate.arrived()), (1, 2 * CALLS - 1, 1));
}

#[tokio::test]
async fn a_node_that_drains_finishes_the_call_of_a_client_that_left_and_tells_the_others() {
    let redis = RedisServer::start().await;
    let gate = Gate::start("X-Made: 1").await;
    let [one, other] = two_nodes(&redis, &gate, SHARE).await;
    let client = begin(&one, "one").await;
    until("it is at the upstream", || gate.arrived() == 1).await;
    drop(client);
    in_flight(&one, 1).await;
    one.process.signal("TERM");
    until("it drains", || one.process.log().contains("shutting down")).await;
    let meanwhile = begin(&other, "one").await.answer().await.unwrap();
    check_problem(&meanwhile, 409, "idempotent_call_under_way");
    open(&gate, 1);
    let (status, log) = one.process.stop().await;
    assert!(status.success(), "{log}");
    let answer = asked_until_answered(&other, "one").await;
    assert_eq!(answer.text(), "first-half");
    assert_eq!(answer.head.field("idempotent-replayed"), Some("true"));
    assert_eq!(gate.arrived(), 1);
}

#[tokio::test]
async fn of_a_node_that_is_killed_nobody_can_tell_what_it_has_done() {
    for (on_unknown, arrived) in [("keep", 1), ("release", 2)] {
        let redis = RedisServer::start().await;
        let gate = Gate::start("X-Made: 1").await;
        let policy = format!("idempotency: {{ anonymous: share, on_unknown: {on_unknown} }}");
        let [one, other] = two_nodes(&redis, &gate, &policy).await;
        let client = begin(&one, "one").await;
        until("it is at the upstream", || gate.arrived() == 1).await;
        one.process.signal("KILL");
        drop(client);
        // Until its claim lapses, the call counts as under way.
        let meanwhile = begin(&other, "one").await.answer().await.unwrap();
        check_problem(&meanwhile, 409, "idempotent_call_under_way");
        let names = redis.command("KEYS *:held");
        let held = names.lines().find(|line| line.ends_with(":held")).unwrap();
        assert!(redis.command(&format!("DEL {held}")).starts_with(":1"));
        // For the one that was killed too: it waits for its turn first.
        open(&gate, 2);
        let answer = begin(&other, "one").await.answer().await.unwrap();
        match on_unknown {
            "keep" => check_problem(&answer, 409, "idempotent_answer_lost"),
            _ => assert_eq!(answer.text(), "first-half"),
        }
        assert_eq!(gate.arrived(), arrived, "{on_unknown}");
    }
}
