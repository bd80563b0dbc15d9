//! Limits that two nodes count together in one Redis.

use super::member;
use crate::node::{Node, Plan, check_passed, check_problem, request};
use crate::transport::Authority;
use keyward_model::{Clock as _, SystemClock};
use keyward_testkit::{RawClient, RedisServer, Script, Upstream, free_ports, until};
use std::process::Command;
use std::time::Duration;

/// Two nodes with the same APIs on one Redis.
async fn two_nodes(redis: &RedisServer, apis: &[(&str, &str)]) -> [Node; 2] {
    let (one, other) = tokio::join!(node(redis, apis), node(redis, apis));
    [one, other]
}

/// One of them. It waits longer than usual for an answer: what is counted here is not to depend on how busy this
/// machine is.
async fn node(redis: &RedisServer, apis: &[(&str, &str)]) -> Node {
    let settings = format!(
        "workers: 2\naccess_log: {{ destination: off }}\nshared_state: {{ url: \"{}\", timeout: 5s }}",
        redis.url()
    );
    let mut plan = Plan::default().settings(&settings);
    for (name, limits) in apis {
        plan = plan.api(name, &format!("authentication: none, {limits}"));
    }
    plan.start().await
}

/// The number of a metric without labels.
async fn metric(node: &Node, name: &str) -> u64 {
    let page = node.process.operations_get("/metrics").await.unwrap();
    let text = page.text();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name} ")))
        .unwrap_or_else(|| panic!("no {name} in\n{text}"));
    line.parse().unwrap()
}

async fn connected(nodes: &[Node; 2]) {
    for node in nodes {
        until("both workers are connected", async || {
            metric(node, "keyward_shared_state_connected").await == 2
        })
        .await;
    }
}

/// Makes so many calls over so many connections to each node, as fast as they are answered or, over each
/// connection, one in so long: how many passed at each, and how many were refused.
async fn flood(
    nodes: &[Node; 2],
    path: &str,
    connections: usize,
    each: usize,
    one_in: Option<Duration>,
) -> ([usize; 2], usize) {
    let text = request("GET", path, &[("Connection", "keep-alive")], "");
    let mut calling = tokio::task::JoinSet::new();
    for (index, node) in nodes.iter().enumerate() {
        for _ in 0..connections {
            let (address, text) = (node.gateway(), text.clone());
            calling.spawn(async move {
                let mut client = RawClient::connect(address).await.unwrap();
                let mut counts = [0, 0];
                // Those that are late are made up for.
                let mut due = one_in.map(tokio::time::interval);
                for _ in 0..each {
                    if let Some(due) = &mut due {
                        due.tick().await;
                    }
                    client.send(&text).await.unwrap();
                    match client.answer().await.unwrap().status {
                        200 => counts[0] += 1,
                        429 => counts[1] += 1,
                        other => panic!("{other}"),
                    }
                }
                (index, counts)
            });
        }
    }
    let (mut passed, mut refused) = ([0, 0], 0);
    for (index, counts) in calling.join_all().await {
        passed[index] += counts[0];
        refused += counts[1];
    }
    (passed, refused)
}

#[tokio::test]
async fn two_nodes_on_one_redis_let_through_what_one_would() {
    let redis = RedisServer::start().await;
    let nodes = two_nodes(
        &redis,
        &[
            (
                "hourly",
                "rate_limits: [ { by: address, requests: 100, per: 1h } ]",
            ),
            (
                "monthly",
                "quotas: [ { by: address, requests: 70, per: month } ]",
            ),
        ],
    )
    .await;
    connected(&nodes).await;
    for (path, limit) in [("/hourly/x", 100), ("/monthly/x", 70)] {
        let (passed, refused) = flood(&nodes, path, 10, 20, None).await;
        assert_eq!(passed.iter().sum::<usize>(), limit, "{path}: {passed:?}");
        assert_eq!(refused, 400 - limit);
        for node in &nodes {
            let answer = node.get(path, &[]).await;
            assert_eq!(answer.status, 429);
            assert!(answer.head.field("retry-after").is_some());
        }
    }
    // Nobody's address is told to Redis.
    let names = redis.command("KEYS *");
    assert!(
        names.contains("keyward:{default}:hourly/v1/address-1:rate-36s-x100:"),
        "{names}"
    );
    assert!(!names.contains("127.0.0.1"), "{names}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_a_second_is_a_thousand_a_second_over_both_nodes() {
    const BURST: f64 = 100.0;
    let redis = RedisServer::start().await;
    let limit = "rate_limits: [ { by: api, requests: 1000, per: 1s, burst: 100 } ]";
    let nodes = two_nodes(&redis, &[("fast", limit)]).await;
    connected(&nodes).await;
    let clock = SystemClock::new();
    let begun = clock.moment();
    // 32 connections, each of which calls every 6.4 ms: 5,000 calls a second.
    let pace = Duration::from_micros(6_400);
    let (passed, refused) = flood(&nodes, "/fast/x", 16, 500, Some(pace)).await;
    let took = clock.moment().since(begun).as_secs_f64();
    let all = passed.iter().sum::<usize>();
    let may = BURST + 1_000.0 * took;
    let offered = 16_000.0 / took;
    println!(
        "{offered:.0} calls a second over two nodes for {took:.2} s: {all} passed ({passed:?}), {may:.0} might: {:+.2} %",
        100.0 * (all as f64 / may - 1.0)
    );
    assert!(refused > 0 && all + refused == 16_000);
    // The burst and the rate, by Redis's clock; the rest is this test's own reading of time.
    assert!(all as f64 <= may + 2.0, "{all} of {may}");
    // A slow machine offers less at some time than may pass.
    if offered >= 2_000.0 {
        assert!(all as f64 >= 0.95 * may, "{all} of {may}");
    }
}

#[tokio::test]
async fn a_redis_that_dies_and_comes_back_does_to_each_limit_what_it_says() {
    const APIS: &[(&str, &str)] = &[
        (
            "locally",
            "rate_limits: [ { by: api, requests: 10, per: 1h } ]",
        ),
        (
            "refuse",
            "rate_limits: [ { name: strict, by: api, requests: 10, per: 1h, on_outage: refuse } ]",
        ),
        (
            "quota",
            "quotas: [ { by: api, requests: 10, per: month, on_outage: allow_locally } ]",
        ),
    ];
    let mut redis = RedisServer::start().await;
    let nodes = two_nodes(&redis, APIS).await;
    connected(&nodes).await;
    let [one, other] = &nodes;
    for path in ["/locally/x", "/refuse/x", "/quota/x"] {
        for _ in 0..2 {
            check_passed(&one.get(path, &[]).await);
            check_passed(&other.get(path, &[]).await);
        }
    }
    redis.kill();
    // Each node by itself, from the four that were known to have passed; the other knew of all four.
    for (path, code) in [
        ("/locally/x", "rate_limited"),
        ("/quota/x", "quota_exceeded"),
    ] {
        let mut passed = 0;
        for _ in 0..12 {
            let answer = other.get(path, &[]).await;
            match answer.status {
                200 => passed += 1,
                _ => check_problem(&answer, 429, code),
            }
        }
        assert_eq!(passed, 6, "{path}");
    }
    for _ in 0..5 {
        let answer = one.get("/refuse/x", &[]).await;
        check_problem(&answer, 503, "limits_unavailable");
        assert_eq!(answer.head.field("retry-after"), Some("1"));
        assert!(answer.text().contains("`strict`"));
    }
    // Also by workers that no call has come to.
    for node in &nodes {
        until("both workers have noticed it", async || {
            metric(node, "keyward_shared_state_connected").await == 0
        })
        .await;
    }
    assert_eq!(metric(one, "keyward_shared_state_outages_total").await, 2);

    redis.bring_back().await;
    connected(&nodes).await;
    // All ten were used: the server, which forgot them, is told so by the node that knows, and all others hear it.
    let third = node(&redis, APIS).await;
    for node in [other, one, &third] {
        check_problem(&node.get("/quota/x", &[]).await, 429, "quota_exceeded");
        check_problem(&node.get("/locally/x", &[]).await, 429, "rate_limited");
    }
    check_passed(&one.get("/refuse/x", &[]).await);
    assert_eq!(metric(one, "keyward_shared_state_connected").await, 2);
}

#[tokio::test]
async fn a_node_that_finds_no_redis_starts_and_joins_when_there_is_one() {
    let mut redis = RedisServer::start().await;
    redis.kill();
    let nodes = two_nodes(
        &redis,
        &[(
            "strict",
            "rate_limits: [ { by: api, requests: 1, per: 1h, on_outage: refuse } ]",
        )],
    )
    .await;
    check_problem(
        &nodes[0].get("/strict/x", &[]).await,
        503,
        "limits_unavailable",
    );
    redis.bring_back().await;
    connected(&nodes).await;
    check_passed(&nodes[0].get("/strict/x", &[]).await);
    check_problem(&nodes[1].get("/strict/x", &[]).await, 429, "rate_limited");
    assert!(
        nodes[0]
            .process
            .log()
            .contains("the shared state can't be reached")
    );
}

#[tokio::test]
async fn calls_under_way_are_counted_over_both_nodes() {
    let redis = RedisServer::start().await;
    let upstream = Upstream::scripted(
        Script::new()
            .write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nbegin\r\n")
            .wait_until_closed(),
    )
    .await;
    let plan = || {
        Plan::default()
            .settings(&format!("workers: 1\nshared_state: {}", redis.url()))
            .upstream("endless", &[upstream.url()], "")
            .api_at(
                "slow",
                "/slow",
                "endless",
                "authentication: none, concurrency: [ { name: two, by: api, calls: 2 } ]",
            )
            .start()
    };
    let (one, other) = tokio::join!(plan(), plan());
    let begin = async |node: &Node| {
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        client
            .send(request("GET", "/slow/x", &[], ""))
            .await
            .unwrap();
        let status = client.bytes(12).await.unwrap();
        (client, String::from_utf8(status).unwrap())
    };
    let (first, status) = begin(&one).await;
    assert_eq!(status, "HTTP/1.1 200");
    let (_second, status) = begin(&other).await;
    assert_eq!(status, "HTTP/1.1 200");
    for node in [&one, &other] {
        let refused = node.get("/slow/x", &[]).await;
        check_problem(&refused, 429, "too_many_calls");
        assert_eq!(member(&refused, "two", "r"), Some(0));
    }
    drop(first);
    until("the first one's slot is free", async || {
        begin(&other).await.1 == "HTTP/1.1 200"
    })
    .await;
}

#[tokio::test]
async fn a_password_is_given_and_told_nobody() {
    let redis = RedisServer::start_with(&["--requirepass", "hunter2"]).await;
    let url = redis
        .url()
        .replace("redis://", "redis://:${FILE:password}@");
    let node = Plan::default()
        .settings(&format!(
            "workers: 1\nshared_state: {{ url: \"{url}\", timeout: 250ms, prefix: mine }}"
        ))
        .file("password", "hunter2\n")
        .api(
            "api",
            "authentication: none, rate_limits: [ { by: api, requests: 1, per: 1h, on_outage: refuse } ]",
        )
        .start()
        .await;
    check_passed(&node.get("/api/x", &[]).await);
    check_problem(&node.get("/api/x", &[]).await, 429, "rate_limited");
    assert!(!node.process.log().contains("hunter2"));

    let url = redis.url().replace("redis://", "redis://:hunter3@");
    let refused = Plan::default()
        .settings(&format!(
            "workers: 1\nshared_state: {{ url: \"{url}\", timeout: 250ms }}"
        ))
        .api(
            "api",
            "authentication: none, rate_limits: [ { by: api, requests: 1, per: 1h, on_outage: refuse } ]",
        )
        .start()
        .await;
    check_problem(&refused.get("/api/x", &[]).await, 503, "limits_unavailable");
    let log = refused.process.log();
    assert!(log.contains("the shared state can't be reached"), "{log}");
    assert!(!log.contains("hunter"), "{log}");
    let configuration = refused.process.folder().join("keyward.yaml");
    let checked = Command::new(env!("CARGO_BIN_EXE_keyward"))
        .args(["check", "--json", "--config"])
        .arg(configuration)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&checked.stdout).into_owned()
        + &String::from_utf8_lossy(&checked.stderr);
    assert!(told.contains(&redis.address().to_string()), "{told}");
    assert!(!told.contains("hunter"), "{told}");
}

#[tokio::test]
async fn redis_is_asked_over_tls_where_its_certificate_is_good() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let issued = authority.issue(&["127.0.0.1"]);
    let certificate = authority.file("redis.pem", &issued.certificate);
    let key = authority.file("redis.key", &issued.key);
    let [port] = free_ports();
    let redis = RedisServer::start_with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        certificate.to_str().unwrap(),
        "--tls-key-file",
        key.to_str().unwrap(),
        "--tls-auth-clients",
        "no",
    ])
    .await;
    let plan = |root: &str| {
        Plan::default()
            .settings(&format!(
                "workers: 1\nshared_state: {{ url: \"rediss://127.0.0.1:{port}\", ca: redis-ca.pem, timeout: 5s }}"
            ))
            .file("redis-ca.pem", root)
            .api(
                "api",
                "authentication: none, rate_limits: [ { by: api, requests: 1, per: 1h, on_outage: refuse } ]",
            )
            .start()
    };
    let node = plan(&authority.root).await;
    until("it is connected", async || {
        metric(&node, "keyward_shared_state_connected").await == 1
    })
    .await;
    check_passed(&node.get("/api/x", &[]).await);
    check_problem(&node.get("/api/x", &[]).await, 429, "rate_limited");
    assert!(redis.command("KEYS *").contains("api/v1"));

    let deceived = plan(&stranger.root).await;
    check_problem(
        &deceived.get("/api/x", &[]).await,
        503,
        "limits_unavailable",
    );
    assert_eq!(metric(&deceived, "keyward_shared_state_connected").await, 0);
}

#[tokio::test]
async fn something_else_under_a_limits_name_is_told_once_and_is_that_limits_outage() {
    let redis = RedisServer::start().await;
    let node = Plan::default()
        .settings(&format!(
            "workers: 1\nshared_state: {{ url: \"{}\", timeout: 5s }}",
            redis.url()
        ))
        .api(
            "api",
            "authentication: none, rate_limits: [ { by: api, requests: 100, per: 1h, on_outage: refuse } ]",
        )
        .api(
            "other",
            "authentication: none, rate_limits: [ { by: api, requests: 100, per: 1h, on_outage: refuse } ]",
        )
        .start()
        .await;
    check_passed(&node.get("/api/x", &[]).await);
    let names = redis.command("KEYS *");
    let name = names.lines().find(|line| line.contains("api/v1")).unwrap();
    assert!(redis.command(&format!("DEL {name}")).starts_with(":1"));
    assert!(redis.command(&format!("LPUSH {name} x")).starts_with(":1"));
    for _ in 0..5 {
        check_problem(&node.get("/api/x", &[]).await, 503, "limits_unavailable");
    }
    check_passed(&node.get("/other/x", &[]).await);
    let log = node.process.log();
    let told = log.matches("something else under a limit's name").count();
    assert_eq!(told, 1, "{log}");
    assert_eq!(metric(&node, "keyward_shared_state_connected").await, 1);
}
