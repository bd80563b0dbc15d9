//! One fetch for many who wait, shown by what reaches the upstream.

use super::{Origin, answer, call};
use crate::gateway::open_node::until;
use crate::node::{Node, Plan, request};
use keyward_testkit::RawClient;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// An upstream that answers when it is let.
pub(in crate::policies) struct Gate {
    address: SocketAddr,
    arrived: Arc<AtomicUsize>,
    pub(in crate::policies) heads: Arc<Semaphore>,
    pub(in crate::policies) rests: Arc<Semaphore>,
    _open: JoinSet<()>,
}

impl Gate {
    /// Answers with these headers and a body of ten bytes, the second half of which waits by itself.
    pub(in crate::policies) async fn start(headers: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let arrived = Arc::new(AtomicUsize::new(0));
        let (heads, rests) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (count, let_heads, let_rests) =
            (Arc::clone(&arrived), Arc::clone(&heads), Arc::clone(&rests));
        let mut open = JoinSet::new();
        open.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let count = Arc::clone(&count);
                let (heads, rests) = (Arc::clone(&let_heads), Arc::clone(&let_rests));
                connections.spawn(async move {
                    let mut stream = BufReader::new(stream);
                    let mut line = String::new();
                    while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                        if line != "\r\n" {
                            line.clear();
                            continue;
                        }
                        line.clear();
                        count.fetch_add(1, Ordering::SeqCst);
                        heads.acquire().await.unwrap().forget();
                        let head = format!(
                            "HTTP/1.1 200 OK\r\n{headers}\r\nContent-Length: 10\r\n\r\nfirst"
                        );
                        if stream.write_all(head.as_bytes()).await.is_err() {
                            return;
                        }
                        rests.acquire().await.unwrap().forget();
                        if stream.write_all(b"-half").await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self {
            address,
            arrived,
            heads,
            rests,
            _open: open,
        }
    }

    pub(in crate::policies) fn arrived(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }

    pub(in crate::policies) async fn node(&self, policy: &str) -> Node {
        self.node_with("workers: 2", policy).await
    }

    /// The same with other settings.
    pub(in crate::policies) async fn node_with(&self, settings: &str, policy: &str) -> Node {
        Plan::default()
            .settings(settings)
            .upstream("gate", &[format!("http://{}", self.address)], "")
            .api_at(
                "open",
                "/open",
                "gate",
                &format!("authentication: none, {policy}"),
            )
            .start()
            .await
    }
}

/// Waits until so many calls are in flight.
pub(in crate::policies) async fn in_flight(node: &Node, calls: u64) {
    let waiting = async {
        loop {
            let page = node
                .process
                .operations_get("/metrics")
                .await
                .unwrap()
                .text();
            let now: f64 = page
                .lines()
                .filter(|line| line.starts_with("keyward_worker_calls_in_flight{"))
                .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
                .sum();
            if now as u64 == calls {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    assert!(waited.is_ok(), "{calls} calls in flight");
}

async fn begin(node: &Node) -> RawClient {
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    client
        .send(request("GET", "/open/x", &[], ""))
        .await
        .unwrap();
    client
}

#[tokio::test]
async fn many_who_ask_at_once_are_one_request_to_the_upstream() {
    let gate = Gate::start("Cache-Control: max-age=60").await;
    let node = gate.node("cache: true").await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(begin(&node).await);
    }
    in_flight(&node, 20).await;
    gate.heads.add_permits(1);
    gate.rests.add_permits(1);
    let mut collapsed = 0;
    for client in &mut clients {
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.text(), "first-half");
        let status = answer.head.field("cache-status").unwrap();
        collapsed += usize::from(status.contains("collapsed"));
    }
    assert_eq!((gate.arrived(), collapsed), (1, 19));
}

#[tokio::test]
async fn those_who_wait_for_what_can_t_be_kept_do_not_stand_in_line() {
    let gate = Gate::start("Cache-Control: no-store").await;
    let node = gate.node("cache: true").await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(begin(&node).await);
    }
    in_flight(&node, 10).await;
    assert_eq!(gate.arrived(), 1);
    // The first answer shows that it is nobody else's: all others go on at once, none of them answered yet.
    gate.heads.add_permits(1);
    until("all are at the upstream", || gate.arrived() == 10).await;
    gate.heads.add_permits(9);
    gate.rests.add_permits(10);
    for client in &mut clients {
        assert_eq!(client.answer().await.unwrap().text(), "first-half");
    }
}

#[tokio::test]
async fn a_fetch_whose_client_leaves_before_the_answer_is_handed_over() {
    let gate = Gate::start("Cache-Control: max-age=60").await;
    let node = gate.node("cache: true").await;
    let first = begin(&node).await;
    until("the fetch has begun", || gate.arrived() == 1).await;
    let mut second = begin(&node).await;
    in_flight(&node, 2).await;
    drop(first);
    until("the second has taken over", || gate.arrived() == 2).await;
    // The first request's answer goes nowhere.
    gate.heads.add_permits(2);
    gate.rests.add_permits(2);
    assert_eq!(second.answer().await.unwrap().text(), "first-half");
}

#[tokio::test]
async fn a_fetch_whose_client_leaves_in_the_middle_goes_on() {
    let gate = Gate::start("Cache-Control: max-age=60").await;
    let node = gate.node("cache: true").await;
    let mut first = begin(&node).await;
    until("the fetch has begun", || gate.arrived() == 1).await;
    let mut second = begin(&node).await;
    in_flight(&node, 2).await;
    gate.heads.add_permits(1);
    // The answer has begun.
    first.bytes(12).await.unwrap();
    drop(first);
    in_flight(&node, 1).await;
    gate.rests.add_permits(1);
    assert_eq!(second.answer().await.unwrap().text(), "first-half");
    let third = call(&node, "/open/x", "GET").await;
    assert!(
        third
            .head
            .field("cache-status")
            .unwrap()
            .starts_with("keyward; hit")
    );
    assert_eq!(gate.arrived(), 1);
}

#[tokio::test]
async fn who_has_waited_long_enough_asks_by_itself() {
    let gate = Gate::start("Cache-Control: max-age=60").await;
    let node = gate.node("cache: { wait: 100ms }").await;
    let mut first = begin(&node).await;
    until("the fetch has begun", || gate.arrived() == 1).await;
    let mut second = begin(&node).await;
    until("the second asks too", || gate.arrived() == 2).await;
    gate.heads.add_permits(2);
    gate.rests.add_permits(2);
    for client in [&mut first, &mut second] {
        assert_eq!(client.answer().await.unwrap().text(), "first-half");
    }
}

#[tokio::test]
async fn what_is_fetched_behind_a_call_for_less_is_kept_as_a_whole() {
    let origin = Origin::start().await;
    let node = Plan::default()
        .settings("workers: 1")
        .upstream("origin", &[origin.upstream.url()], "")
        .api_at(
            "open",
            "/open",
            "origin",
            "authentication: none, cache: true",
        )
        .start()
        .await;
    for (path, less) in [("/head", "HEAD"), ("/range", "GET\nRange: bytes=0-1")] {
        let stale = "Cache-Control: max-age=60, stale-while-revalidate=3600\nAge: 100";
        let fresh = "Cache-Control: max-age=3600";
        origin.answers(
            path,
            vec![answer("200 OK", stale, 1), answer("200 OK", fresh, 2)],
        );
        let target = format!("/open{path}");
        call(&node, &target, "GET").await;
        call(&node, &target, less).await;
        until("it is asked for anew", || origin.received(path).len() == 2).await;
        let renewed = async {
            while call(&node, &target, "GET").await.text() != "body 2" {
                tokio::task::yield_now().await;
            }
        };
        let renewed = tokio::time::timeout(Duration::from_secs(20), renewed).await;
        assert!(renewed.is_ok(), "{less}");
        let received = origin.received(path);
        assert_eq!(received.len(), 2, "{less}: it was not kept");
        assert_eq!(received[1].method(), "GET", "{less}");
        assert_eq!(received[1].head.field("range"), None, "{less}");
    }
}
