//! Each way of spreading calls, with a target that is dead, fails fast or comes back.

use super::{answering, dead, metric, node, plan, until};
use crate::node::{Node, Plan, check_passed, check_problem};
use crate::token::Issuer;
use keyward_jose::SignatureAlgorithm;
use keyward_testkit::{Script, Upstream};

/// The ways that look at how targets do.
const WATCHFUL: [&str; 2] = ["least_requests", "latency"];

#[tokio::test]
async fn a_dead_target_costs_no_call_however_targets_are_chosen() {
    let echo = Upstream::echo().await;
    let gone = dead();
    for balance in WATCHFUL {
        for method in ["GET", "POST"] {
            let targets = [gone.clone(), echo.url()];
            let node = node(&targets, &format!("balance: {balance}")).await;
            for _ in 0..40 {
                check_passed(&node.call(method, "/many/x", &[], "").await);
            }
            // By latency it may be asked too seldom to be left out: that costs nobody anything.
            if balance == "least_requests" {
                let ejected = metric(&node.process, "ejections_total", Some(&gone)).await;
                assert!(ejected >= 1, "{balance} {method}");
            }
            let under_way = metric(&node.process, "in_flight", Some(&gone)).await;
            assert_eq!(under_way, 0, "{balance} {method}");
        }
    }
}

#[tokio::test]
async fn a_target_that_fails_fast_does_not_draw_the_calls() {
    for balance in WATCHFUL {
        let failing = answering("500 Internal Server Error").await;
        let slower = Upstream::scripted(
            Script::new()
                .pause(std::time::Duration::from_millis(3))
                .write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood"),
        )
        .await;
        let rest = format!("balance: {balance}, ejection: {{ failures: 3, statuses: [500] }}");
        let node = node(&[failing.url(), slower.url()], &rest).await;
        let mut failed = 0;
        for _ in 0..60 {
            failed += usize::from(node.get("/many/x", &[]).await.status != 200);
        }
        assert_eq!(failed, failing.received().len(), "{balance}");
        // Three in a row, and no more while it is out. By latency it may have lost its share before.
        assert!((1..=3).contains(&failed), "{balance}: {failed} of 60");
    }
}

#[tokio::test]
async fn of_targets_the_slow_one_gets_few_calls_by_latency() {
    let slow = Upstream::scripted(
        Script::new()
            .pause(std::time::Duration::from_millis(100))
            .write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nslow"),
    )
    .await;
    let echo = Upstream::echo().await;
    let node = node(&[slow.url(), echo.url()], "balance: latency").await;
    for _ in 0..60 {
        check_passed(&node.get("/many/x", &[]).await);
    }
    // Each is asked at least once, since nothing is known of it before.
    let slow = slow.received().len();
    assert!((1..=15).contains(&slow), "{slow} of 60");
}

/// How many of a hundred calls a target gets that has just come back, with this `slow_start`.
async fn share_of_one_that_comes_back(slow_start: &str) -> usize {
    let back = Upstream::scripts(vec![
        Script::answer("500 Internal Server Error", &[], ""),
        Script::answer("200 OK", &[], "well"),
    ])
    .await;
    let echo = Upstream::echo().await;
    let rest = format!(
        "health_check: {{ http: {{ path: /up }}, interval: 1s, unhealthy: 1, healthy: 1 }}{slow_start}"
    );
    let node = plan(&[back.url(), echo.url()], &rest)
        .settings("access_log: { destination: off }")
        .start()
        .await;
    until(&node.process, "healthy", &back.url(), 0).await;
    until(&node.process, "healthy", &back.url(), 1).await;
    let calls = || {
        let received = back.received().into_iter();
        received.filter(|call| call.target() != "/up").count()
    };
    let before = calls();
    for _ in 0..100 {
        check_passed(&node.get("/many/x", &[]).await);
    }
    calls() - before
}

#[tokio::test]
async fn a_target_that_comes_back_gets_little_at_first_and_its_share_without_a_slow_start() {
    let slowly = share_of_one_that_comes_back(", slow_start: 1h").await;
    // A tenth of its weight: 1 of 11.
    assert!((5..=14).contains(&slowly), "{slowly} of 100");
    let at_once = share_of_one_that_comes_back("").await;
    assert!((45..=55).contains(&at_once), "{at_once} of 100");
}

#[tokio::test]
async fn a_canary_that_is_dead_costs_its_own_share_and_nothing_else() {
    let gone = dead();
    let node = Plan::default()
        .settings("workers: 1")
        .upstream("next", std::slice::from_ref(&gone), "")
        .resource("- { kind: api, name: prices, version: v1, state: published, base_path: /prices, authentication: none, routes: [ { split: [ { upstream: echo, weight: 90 }, { upstream: next, weight: 10, when: { headers: { x-canary: always } } } ] } ] }")
        .start()
        .await;
    let mut failed = 0;
    for number in 0..100 {
        let answer = node.get(&format!("/prices/{number}"), &[]).await;
        if answer.status == 200 {
            check_passed(&answer);
        } else {
            check_problem(&answer, 502, "upstream_unreachable");
            failed += 1;
        }
    }
    assert!((8..=12).contains(&failed), "{failed} %");
    assert_eq!(node.upstream.received().len(), 100 - failed);
    for _ in 0..5 {
        let answer = node.get("/prices/7", &[("X-Canary", "always")]).await;
        check_problem(&answer, 502, "upstream_unreachable");
    }
    // Who asks for it by name gets it or nothing: an answer of the old version would be taken for the new one's.
    assert_eq!(node.upstream.received().len(), 100 - failed);
}

/// Three targets that say which they are.
async fn named_targets() -> Vec<Upstream> {
    let mut targets = Vec::new();
    for name in ["a", "b", "c"] {
        targets.push(Upstream::scripted(Script::answer("200 OK", &[], name)).await);
    }
    targets
}

/// Which target each of twelve callers gets, who all come four times.
async fn targets_of(
    node: &Node,
    headers: impl Fn(usize) -> Vec<(&'static str, String)>,
) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for round in 0..4 {
        for caller in 0..12 {
            let headers = headers(caller);
            let headers: Vec<(&str, &str)> = headers
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            let answer = node.get("/many/x", &headers).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            if round == 0 {
                found.push(answer.text());
            } else {
                assert_eq!(
                    found[caller],
                    answer.text(),
                    "caller {caller} in round {round}"
                );
            }
        }
    }
    // Of twelve more than one target has some.
    assert!(found.iter().any(|target| *target != found[0]), "{found:?}");
    found
}

#[tokio::test]
async fn callers_keep_their_target_by_a_cookie() {
    let targets = named_targets().await;
    let urls: Vec<String> = targets.iter().map(Upstream::url).collect();
    let node = node(&urls, "balance: { consistent_hash: { cookie: session } }").await;
    let of = |place: &'static str| {
        move |caller: usize| {
            let cookie = match place {
                "alone" => format!("session=caller-{caller}"),
                _ => format!("other={caller}x; session=caller-{caller}; session2=z"),
            };
            vec![("Cookie", cookie)]
        }
    };
    // Its own value decides, whatever stands beside it.
    assert_eq!(
        targets_of(&node, of("alone")).await,
        targets_of(&node, of("beside")).await
    );
}

#[tokio::test]
async fn callers_keep_their_target_by_their_subject() {
    let targets = named_targets().await;
    let urls: Vec<String> = targets.iter().map(Upstream::url).collect();
    let issuer = Issuer::new("main", SignatureAlgorithm::Es256);
    let node = Plan::default()
        .settings("workers: 2")
        .resource(issuer.resource(""))
        .upstream("many", &urls, "balance: { consistent_hash: subject }")
        .api_at("many", "/many", "many", &issuer.authentication(""))
        .start()
        .await;
    // Another token of the same subject each time: it is who calls that decides.
    let number = std::cell::Cell::new(0);
    targets_of(&node, |caller| {
        number.set(number.get() + 1);
        let claims = issuer.claims().with_subject(format!("caller-{caller}"));
        let token = issuer.sign(&claims.with("jti", number.get().to_string().into()).unwrap());
        vec![("Authorization", format!("Bearer {token}"))]
    })
    .await;
}
