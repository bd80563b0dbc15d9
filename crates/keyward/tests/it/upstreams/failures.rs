//! Targets that are dead, break off, send garbage or are slow.

use super::{answering, breaking, dead, metric, node};
use crate::node::{Node, check_passed, check_problem, request};
use keyward_testkit::{RawClient, Script, Upstream};
use std::collections::HashMap;
use std::time::Duration;

const CLIENTS: usize = 8;
const CALLS: usize = 40;

/// Calls from several clients at once, each call to a path of its own. The statuses by how often they came.
async fn load(node: &Node, method: &'static str) -> HashMap<u16, usize> {
    let gateway = node.gateway();
    let clients = (0..CLIENTS).map(|client| {
        tokio::spawn(async move {
            let mut statuses = Vec::new();
            for call in 0..CALLS {
                let mut connection = RawClient::connect(gateway).await.unwrap();
                let body = if method == "POST" { "once" } else { "" };
                let path = format!("/many/{client}/{call}");
                let bytes = request(method, &path, &[], body);
                connection.send(bytes).await.unwrap();
                statuses.push(connection.answer().await.unwrap().status);
            }
            statuses
        })
    });
    let mut counts = HashMap::new();
    for client in clients.collect::<Vec<_>>() {
        for status in client.await.unwrap() {
            *counts.entry(status).or_default() += 1;
        }
    }
    counts
}

fn all_passed() -> HashMap<u16, usize> {
    HashMap::from([(200, CLIENTS * CALLS)])
}

#[tokio::test]
async fn with_half_of_the_targets_dead_no_call_fails() {
    let (one, two) = (Upstream::echo().await, Upstream::echo().await);
    let targets = [one.url(), dead(), two.url(), dead()];
    for method in ["GET", "POST"] {
        let node = node(&targets, "").await;
        assert_eq!(load(&node, method).await, all_passed(), "{method}");
        for target in [&targets[1], &targets[3]] {
            let ejected = metric(&node.process, "ejections_total", Some(target)).await;
            assert!(ejected >= 1, "{target}");
        }
        assert!(metric(&node.process, "retries_total", None).await >= 10);
        for target in &targets {
            assert_eq!(metric(&node.process, "in_flight", Some(target)).await, 0);
        }
    }
}

#[tokio::test]
async fn when_targets_break_off_safe_calls_pass_and_others_are_not_repeated() {
    let (one, two) = (Upstream::echo().await, Upstream::echo().await);
    let (three, four) = (breaking(&one).await, breaking(&two).await);
    let targets = [one.url(), three.url(), two.url(), four.url()];
    let first = node(&targets, "").await;
    assert_eq!(load(&first, "GET").await, all_passed());

    let second = node(&targets, "").await;
    let counts = load(&second, "POST").await;
    let (passed, failed) = (counts[&200], counts.get(&502).copied().unwrap_or_default());
    assert_eq!(passed + failed, CLIENTS * CALLS, "{counts:?}");
    // Soon nobody goes there any more.
    assert!(failed < 60, "{counts:?}");
    let mut seen = HashMap::new();
    for received in one.received().into_iter().chain(two.received()) {
        if received.method() == "POST" {
            *seen.entry(received.target().to_owned()).or_insert(0) += 1;
        }
    }
    assert_eq!(seen.len(), passed);
    assert!(seen.values().all(|times| *times == 1));
}

#[tokio::test]
async fn garbage_is_no_answer_and_another_target_is_asked() {
    let garbage = Upstream::scripted(Script::new().write("\0\u{1}HTTP garbage\r\n\r\n").close());
    let (garbage, echo) = (garbage.await, Upstream::echo().await);
    let node = node(&[garbage.url(), echo.url()], "").await;
    for _ in 0..10 {
        check_passed(&node.get("/many/x", &[]).await);
    }
    let received = garbage.received().len();
    assert!((1..=5).contains(&received), "{received}");
    let answer = node.call("POST", "/many/x", &[], "once").await;
    check_passed(&answer);
}

#[tokio::test]
async fn a_target_that_is_slow_is_given_up_for_another_where_that_is_safe() {
    let slow = Upstream::scripted(Script::new().pause(Duration::from_secs(30))).await;
    let echo = Upstream::echo().await;
    let rest = "response_timeout: 300ms, retries: { on: [timeout] }, ejection: none";
    let node = node(&[slow.url(), echo.url()], rest).await;
    for _ in 0..4 {
        check_passed(&node.get("/many/x", &[]).await);
    }
    let safe = slow.received().len();
    assert!(safe >= 1);
    let mut late = 0;
    for _ in 0..4 {
        let answer = node.call("POST", "/many/x", &[], "once").await;
        if answer.status != 200 {
            check_problem(&answer, 504, "upstream_timeout");
            late += 1;
        }
    }
    assert_eq!(slow.received().len(), safe + late);
    assert_eq!(echo.received().len(), 4 + 4 - late);
}

#[tokio::test]
async fn an_answer_that_is_cut_reaches_nobody_twice_and_takes_its_target_out() {
    let cut = Upstream::scripted(
        Script::new()
            .write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart")
            .reset(),
    )
    .await;
    let echo = Upstream::echo().await;
    let node = node(&[cut.url(), echo.url()], "ejection: { failures: 3 }").await;
    let mut broken = 0;
    for _ in 0..30 {
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        client
            .send(request("GET", "/many/x", &[], ""))
            .await
            .unwrap();
        match client.answer().await {
            Ok(answer) => check_passed(&answer),
            Err(_) => broken += 1,
        }
    }
    assert_eq!((broken, cut.received().len()), (3, 3));
    assert_eq!(metric(&node.process, "ejected", Some(&cut.url())).await, 1);
}

#[tokio::test]
async fn statuses_that_say_so_are_retried_and_the_last_one_is_told() {
    let busy = answering("503 Service Unavailable").await;
    let echo = Upstream::echo().await;
    let rest = "retries: { on: [503], backoff: 1ms }";
    let first = node(&[busy.url(), echo.url()], rest).await;
    for _ in 0..20 {
        check_passed(&first.get("/many/x", &[]).await);
    }
    // Where nobody is better, the target's own answer is the client's.
    let rest = "retries: { attempts: 3, on: [503], backoff: 1ms }";
    let second = node(&[busy.url()], rest).await;
    let before = busy.received().len();
    let answer = second.get("/many/x", &[]).await;
    assert_eq!((answer.status, answer.text().as_str()), (503, "no"));
    assert_eq!(busy.received().len(), before + 3);
    let answer = second.call("POST", "/many/x", &[], "once").await;
    assert_eq!(answer.status, 503);
    assert_eq!(busy.received().len(), before + 4);
    // Statuses that nobody wrote of are answers like any other.
    let third = node(&[busy.url(), echo.url()], "").await;
    let mut told = 0;
    for _ in 0..4 {
        told += usize::from(third.get("/many/x", &[]).await.status == 503);
    }
    assert!(told > 0);
}

#[tokio::test]
async fn a_budget_bounds_what_an_upstream_in_trouble_gets() {
    let busy = answering("503 Service Unavailable").await;
    let rest = "retries: { on: [503], backoff: 0ms, budget: { percent: 0, floor: 2, window: 1h } }";
    let node = node(&[busy.url()], rest).await;
    for _ in 0..10 {
        assert_eq!(node.get("/many/x", &[]).await.status, 503);
    }
    assert_eq!(busy.received().len(), 12);
    assert_eq!(metric(&node.process, "retries_total", None).await, 2);
}

#[tokio::test]
async fn a_call_has_an_end_whatever_moves() {
    let mut trickle = Script::new().write("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
    for _ in 0..100 {
        trickle = trickle.write("x").pause(Duration::from_millis(100));
    }
    let trickle = Upstream::scripted(trickle).await;
    let first = node(&[trickle.url()], "total_timeout: 500ms").await;
    let mut client = RawClient::connect(first.gateway()).await.unwrap();
    client
        .send(request("GET", "/many/x", &[], ""))
        .await
        .unwrap();
    let whole = tokio::time::timeout(Duration::from_secs(5), client.answer()).await;
    assert!(whole.unwrap().is_err());

    let mute = Upstream::scripted(Script::new().wait_until_closed()).await;
    let rest = "total_timeout: 500ms, retries: { on: [timeout] }";
    let second = node(&[mute.url()], rest).await;
    check_problem(&second.get("/many/x", &[]).await, 504, "upstream_timeout");
    assert_eq!(mute.received().len(), 1);
}

#[tokio::test]
async fn a_caller_who_is_slow_speaks_against_no_target() {
    // One that answers before it has the whole body, and waits for the rest then.
    let early = Upstream::scripted(
        Script::without_reading_the_body()
            .write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nea")
            .wait_until_closed(),
    )
    .await;
    let rest = "total_timeout: 300ms, ejection: { failures: 1 }, breaker: { calls: 1, percent: 1 }";
    let targets = [early.url(), early.url().replace("127.0.0.1", "localhost")];
    let node = node(&targets, rest).await;
    let head = "POST /many/x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\npart";
    for _ in 0..4 {
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        client.send(head).await.unwrap();
        assert!(client.answer().await.is_err());
    }
    let mute = Upstream::scripted(Script::without_reading_the_body().wait_until_closed()).await;
    let targets = [mute.url(), mute.url().replace("127.0.0.1", "localhost")];
    let other = super::node(&targets, rest).await;
    for _ in 0..4 {
        let mut client = RawClient::connect(other.gateway()).await.unwrap();
        client.send(head).await.unwrap();
        check_problem(&client.answer().await.unwrap(), 408, "request_timeout");
    }
    for (node, upstream) in [(&node, &early), (&other, &mute)] {
        let url = upstream.url();
        assert_eq!(metric(&node.process, "healthy", Some(&url)).await, 1);
    }
}
