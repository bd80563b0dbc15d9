//! Calls that are sent again with their keys are done once, seen from the upstream.

use super::cache::coalescing::{Gate, in_flight};
use super::{Call, Table};
use crate::gateway::open_node::until;
use crate::node::{Node, Plan, check_problem, request};
use crate::running::{edit, until_metric};
use crate::token::Issuer;
use keyward_jose::SignatureAlgorithm as A;
use keyward_testkit::{RawClient, Received, Script, Upstream, free_ports};

const HEADERS: &[&str] = &[
    "idempotent-replayed",
    "retry-after",
    "location",
    "set-cookie",
    "content-type",
];
const SHARE: &str = "authentication: none, idempotency: { anonymous: share }";

/// An upstream that does something by the last part of the path.
async fn origin() -> Upstream {
    Upstream::choosing(|received: &Received| {
        let path = received.target().split('?').next().unwrap();
        match path.rsplit('/').next().unwrap() {
            "refused" => Script::answer("422 Unprocessable Content", &[], "no"),
            "broken" => Script::answer("500 Internal Server Error", &[], "oops"),
            "too-many" => Script::answer("429 Too Many Requests", &[("Retry-After", "1")], ""),
            "unavailable" => Script::answer("503 Service Unavailable", &[], ""),
            "large" => Script::answer("201 Created", &[], "x".repeat(5000)),
            "grows" => {
                let piece = "x".repeat(3000);
                Script::chunked("201 Created", &[], &[&*piece, &*piece], &[])
            }
            "trailers" => Script::chunked("201 Created", &[], &["made"], &[("X-Sum", "1")]),
            "events" => Script::chunked(
                "200 OK",
                &[("Content-Type", "text/event-stream")],
                &["data: 1\n\n"],
                &[],
            ),
            "half" => Script::new()
                .write("HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\nmade")
                .close(),
            "closes" => Script::new().close(),
            "silent" => Script::new().wait_until_closed(),
            "garbled" => Script::new().write("HTTP/1.1 2x1 What\r\n\r\n").close(),
            _ => Script::answer(
                "201 Created",
                &[
                    ("Location", "/payments/17"),
                    ("Set-Cookie", "seen=1"),
                    ("Content-Type", "text/plain"),
                ],
                "made",
            ),
        }
    })
    .await
}

async fn node(origin: &Upstream, idempotency: &str) -> Node {
    Plan::default()
        .settings("workers: 2")
        .upstream("origin", &[origin.url()], "response_timeout: 400ms")
        .api_at(
            "pay",
            "/pay",
            "origin",
            &format!("authentication: none, idempotency: {{ anonymous: share, {idempotency} }}"),
        )
        .start()
        .await
}

fn post(target: &str, key: &str) -> Call {
    Call::new("POST", target)
        .header("Idempotency-Key", key)
        .body("{\"amount\":5}")
}

#[tokio::test]
async fn a_key_names_one_request() {
    let origin = origin().await;
    let node = node(&origin, "max_body: 1KiB, required: true").await;
    let mut table = Table::new("idempotency", "keys")
        .headers(HEADERS)
        .upstream_headers(&["idempotency-key"]);
    let long = "k".repeat(256);
    let plain = Call::new("POST", "/pay").body("{\"amount\":5}");
    for (case, call) in [
        ("the first call with a key", post("/pay", "\"k-1\"")),
        ("the same again", post("/pay", "\"k-1\"")),
        ("the same, without quotes", post("/pay", "k-1")),
        (
            "another body",
            Call::new("POST", "/pay")
                .header("Idempotency-Key", "\"k-1\"")
                .body("{\"amount\":6}"),
        ),
        ("another path", post("/pay/other", "\"k-1\"")),
        ("another query", post("/pay?x=1", "\"k-1\"")),
        (
            "another method",
            Call::new("PATCH", "/pay")
                .header("Idempotency-Key", "\"k-1\"")
                .body("{\"amount\":5}"),
        ),
        (
            "another content type",
            post("/pay", "\"k-1\"").header("Content-Type", "application/json"),
        ),
        (
            "other headers make no other request",
            post("/pay", "\"k-1\"").header("User-Agent", "second-try/1.0"),
        ),
        ("another key", post("/pay", "\"k-2\"")),
        (
            "without a body",
            Call::new("POST", "/pay").header("Idempotency-Key", "k-3"),
        ),
        (
            "that again",
            Call::new("POST", "/pay").header("Idempotency-Key", "k-3"),
        ),
        ("no key where one is required", plain),
        ("an empty key", post("/pay", "\"\"")),
        ("256 characters", post("/pay", &long)),
        ("a quote that is not closed", post("/pay", "\"k-4")),
        ("a list", post("/pay", "\"a\", \"b\"")),
        ("a list without quotes", post("/pay", "a, b")),
        (
            "two fields",
            post("/pay", "k-4").header("Idempotency-Key", "k-4"),
        ),
        (
            "a body that is too large",
            Call::new("POST", "/pay")
                .header("Idempotency-Key", "k-5")
                .body(&"x".repeat(1025)),
        ),
        (
            "a method that is done twice without harm",
            Call::new("PUT", "/pay")
                .header("Idempotency-Key", "k-6")
                .body("5"),
        ),
        (
            "needs no key, and its key does nothing",
            Call::new("PUT", "/pay")
                .header("Idempotency-Key", "k-6")
                .body("5"),
        ),
        ("nor does GET", Call::get("/pay")),
    ] {
        table.drive_to(&node, &origin, case, call).await;
    }
    table.finish();
    let page = node
        .process
        .operations_get("/metrics")
        .await
        .unwrap()
        .text();
    for line in [
        "keyward_policy_decisions_total{policy=\"idempotency\",decision=\"first\"} 3",
        "keyward_policy_decisions_total{policy=\"idempotency\",decision=\"replayed\"} 4",
        "keyward_policy_decisions_total{policy=\"idempotency\",decision=\"reused\"} 5",
        "keyward_policy_decisions_total{policy=\"idempotency\",decision=\"refused\"} 7",
        "keyward_idempotency_keys 3",
    ] {
        assert!(page.contains(&format!("{line}\n")), "{line}\n{page}");
    }
}

#[tokio::test]
async fn what_is_given_again() {
    let origin = origin().await;
    let node = node(&origin, "max_answer: 4KiB").await;
    let mut table = Table::new("idempotency", "answers").headers(HEADERS);
    for (path, what) in [
        ("/pay/refused", "an answer of 4xx"),
        ("/pay/broken", "an answer of 500"),
        ("/pay/unavailable", "an answer of 503"),
        ("/pay/too-many", "429, which says that nothing was done"),
        ("/pay/large", "an answer that is too large to be kept"),
        ("/pay/grows", "one that turns out to be"),
        ("/pay/trailers", "one with trailers"),
        ("/pay/events", "a stream of events"),
        ("/pay/half", "one that breaks off"),
        ("/pay/closes", "an upstream that closes instead"),
        ("/pay/garbled", "an upstream that can't be understood"),
        ("/pay/silent", "an upstream that says nothing in time"),
    ] {
        if path == "/pay/half" {
            // There is no whole answer to tell of.
            let mut client = RawClient::connect(node.gateway()).await.unwrap();
            let key = [("Idempotency-Key", path)];
            client
                .send(request("POST", path, &key, "{\"amount\":5}"))
                .await
                .unwrap();
            assert!(client.answer().await.is_err());
        } else {
            table.drive_to(&node, &origin, what, post(path, path)).await;
        }
        let again = format!("{what}, asked for again");
        table
            .drive_to(&node, &origin, &again, post(path, path))
            .await;
    }
    table.finish();
}

#[tokio::test]
async fn what_is_done_again_where_that_is_wanted() {
    let origin = origin().await;
    let node = node(&origin, "release: [503], on_unknown: release").await;
    let mut table = Table::new("idempotency", "released").headers(HEADERS);
    for (path, what) in [
        ("/pay/unavailable", "503, with `release: [503]`"),
        ("/pay/too-many", "429, which is not in that list"),
        (
            "/pay/closes",
            "no answer at all, with `on_unknown: release`",
        ),
        ("/pay/silent", "none in time, with `on_unknown: release`"),
    ] {
        table.drive_to(&node, &origin, what, post(path, path)).await;
        let again = format!("{what}: again");
        table
            .drive_to(&node, &origin, &again, post(path, path))
            .await;
    }
    table.finish();
}

#[tokio::test]
async fn nobody_gets_what_another_one_was_answered() {
    let issuer = Issuer::new("main", A::Es256);
    let origin = origin().await;
    let authentication = issuer.authentication("");
    let methods = format!(
        "authentication: [ {{ issuers: [{}], audience: test-api }}, {{ anonymous: true }} ]",
        issuer.name
    );
    let node = Plan::default()
        .settings("workers: 1")
        .resource(issuer.resource(""))
        .upstream("origin", &[origin.url()], "")
        .api_at(
            "guarded",
            "/guarded",
            "origin",
            &format!("{authentication}, idempotency: true"),
        )
        .api_at("open", "/open", "origin", SHARE)
        .api_at(
            "refuses",
            "/refuses",
            "origin",
            &format!("{methods}, idempotency: {{ anonymous: refuse }}"),
        )
        .api_at(
            "ignores",
            "/ignores",
            "origin",
            &format!("{methods}, idempotency: {{ anonymous: ignore, required: true }}"),
        )
        .start()
        .await;
    let (alice, bob) = (issuer.token_of("alice"), issuer.token_of("bob"));
    let renewed = issuer.sign(
        &issuer
            .claims()
            .with_subject("alice")
            .with_scopes(["read", "more"]),
    );
    let mut table = Table::new("idempotency", "callers")
        .headers(&["idempotent-replayed"])
        .naming(&alice, "ALICE")
        .naming(&bob, "BOB")
        .naming(&renewed, "ALICE-RENEWED");
    let with = |target: &str, token: &str| post(target, "\"order-17\"").bearer(token);
    let session = |session: &str| post("/open", "\"order-17\"").header("Cookie", session);
    for (case, call) in [
        ("a caller", with("/guarded", &alice)),
        ("the same", with("/guarded", &alice)),
        (
            "the same, whose token was renewed",
            with("/guarded", &renewed),
        ),
        ("another caller with the same key", with("/guarded", &bob)),
        ("the same key in another API", with("/refuses", &alice)),
        (
            "nobody, where authentication is asked for",
            post("/guarded", "\"order-17\""),
        ),
        (
            "nobody, with `anonymous: refuse`",
            post("/refuses", "\"order-17\""),
        ),
        (
            "without a key that does not matter",
            Call::new("POST", "/refuses").body("5"),
        ),
        (
            "nobody, with `anonymous: ignore`",
            post("/ignores", "\"order-17\""),
        ),
        ("that again", post("/ignores", "\"order-17\"")),
        ("`anonymous: share`, with a session", session("s=1")),
        ("the same session", session("s=1")),
        ("another session", session("s=2")),
        ("none", post("/open", "\"order-17\"")),
        ("none again", post("/open", "\"order-17\"")),
    ] {
        table.drive_to(&node, &origin, case, call).await;
    }
    table.finish();
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

#[tokio::test]
async fn of_many_calls_at_once_one_is_done() {
    const CALLS: usize = 50;
    let gate = Gate::start("X-Made: 1").await;
    let node = gate.node("idempotency: { anonymous: share }").await;
    let mut clients = Vec::new();
    for _ in 0..CALLS {
        clients.push(begin(&node, "one").await);
    }
    // All others are answered while the one that reached the upstream waits there.
    let others = format!(
        "keyward_policy_decisions_total{{policy=\"idempotency\",decision=\"under_way\"}} {}\n",
        CALLS - 1
    );
    keyward_testkit::until("all others are told to wait", async || {
        let page = node.process.operations_get("/metrics").await.unwrap();
        page.text().contains(&others)
    })
    .await;
    gate.heads.add_permits(1);
    gate.rests.add_permits(1);
    let (mut done, mut conflicts) = (0, 0);
    for client in &mut clients {
        let answer = client.answer().await.unwrap();
        if answer.status == 200 {
            assert_eq!(answer.text(), "first-half");
            assert_eq!(answer.head.field("idempotent-replayed"), None);
            done += 1;
        } else {
            check_problem(&answer, 409, "idempotent_call_under_way");
            assert_eq!(answer.head.field("retry-after"), Some("1"));
            conflicts += 1;
        }
    }
    assert_eq!((done, conflicts, gate.arrived()), (1, CALLS - 1, 1));
    let mut again = begin(&node, "one").await;
    let answer = again.answer().await.unwrap();
    assert_eq!(answer.text(), "first-half");
    assert_eq!(answer.head.field("x-made"), Some("1"));
    assert_eq!(answer.head.field("idempotent-replayed"), Some("true"));
    assert_eq!(gate.arrived(), 1);
}

/// Asks again until there is an answer.
async fn asked_until_answered(node: &Node) -> keyward_testkit::Answer {
    loop {
        let answer = begin(node, "one").await.answer().await.unwrap();
        if answer.status != 409 {
            return answer;
        }
        check_problem(&answer, 409, "idempotent_call_under_way");
    }
}

#[tokio::test]
async fn a_call_whose_client_leaves_goes_on_and_is_not_done_twice() {
    // Before its answer has begun, and in the middle of that.
    for has_begun in [false, true] {
        let gate = Gate::start("X-Made: 1").await;
        let node = gate.node("idempotency: { anonymous: share }").await;
        let mut first = begin(&node, "one").await;
        until("it is at the upstream", || gate.arrived() == 1).await;
        if has_begun {
            gate.heads.add_permits(1);
            first.bytes(12).await.unwrap();
        }
        drop(first);
        let second = begin(&node, "one").await.answer().await.unwrap();
        check_problem(&second, 409, "idempotent_call_under_way");
        in_flight(&node, 1).await;
        gate.heads.add_permits(1);
        gate.rests.add_permits(1);
        let answer = asked_until_answered(&node).await;
        assert_eq!(answer.text(), "first-half");
        assert_eq!(answer.head.field("idempotent-replayed"), Some("true"));
        assert_eq!(gate.arrived(), 1);
        in_flight(&node, 0).await;
    }
}

#[tokio::test]
async fn a_key_is_free_again_when_nothing_was_sent() {
    let [port] = free_ports();
    let node = Plan::default()
        .settings("workers: 1")
        .upstream(
            "late",
            &[format!("http://127.0.0.1:{port}")],
            "retries: none",
        )
        .api_at("open", "/open", "late", SHARE)
        .start()
        .await;
    for _ in 0..2 {
        let answer = post("/open", "one").send(&node).await;
        check_problem(&answer, 502, "upstream_unreachable");
        assert_eq!(answer.head.field("idempotent-replayed"), None);
    }
    let late = Upstream::echo_at(([127, 0, 0, 1], port).into()).await;
    for replayed in [None, Some("true")] {
        let answer = post("/open", "one").send(&node).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.head.field("idempotent-replayed"), replayed);
    }
    assert_eq!(late.received().len(), 1);
}

#[tokio::test]
async fn where_there_is_no_memory_calls_are_refused_and_nothing_is_forgotten() {
    let issuer = Issuer::new("main", A::Es256);
    let gate = Upstream::scripted(Script::new().wait_until_closed()).await;
    let node = Plan::default()
        .settings("workers: 1\nlimits: { idempotency_size: 16MiB }")
        .resource(issuer.resource(""))
        .upstream("gate", &[gate.url()], "response_timeout: 60s")
        .api_at(
            "large",
            "/large",
            "gate",
            &format!(
                "{}, idempotency: {{ max_answer: 4MiB }}",
                issuer.authentication("")
            ),
        )
        .start()
        .await;
    let call = |subject: &str, key: &str| post("/large", key).bearer(&issuer.token_of(subject));
    let mut open = Vec::new();
    for subject in ["a", "b", "c"] {
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        let bearer = format!("Bearer {}", issuer.token_of(subject));
        let headers = [("Idempotency-Key", "1"), ("Authorization", &*bearer)];
        client
            .send(request("POST", "/large", &headers, "{\"amount\":5}"))
            .await
            .unwrap();
        open.push(client);
    }
    until("three are at the upstream", || gate.received().len() == 3).await;
    let mut table = Table::new("idempotency", "memory")
        .headers(&["retry-after"])
        .naming(&issuer.url, "ISSUER");
    for (case, told, subject, key) in [
        (
            "half of the memory is one caller's",
            "another key of a caller whose first call holds room for 4 MiB of 16 MiB",
            "a",
            "2",
        ),
        (
            "all of it is taken",
            "the first key of a fourth caller, while three hold room",
            "d",
            "1",
        ),
        (
            "what is remembered stays so",
            "the key of a call that is under way",
            "b",
            "1",
        ),
    ] {
        let answer = call(subject, key).send(&node).await;
        table.add(case, told, &answer);
    }
    table.finish();
    assert_eq!(gate.received().len(), 3);
}

#[tokio::test]
async fn keys_are_remembered_over_a_reload() {
    let origin = origin().await;
    let node = node(&origin, "keep: 1h").await;
    assert_eq!(post("/pay", "one").send(&node).await.status, 201);
    edit(&node.process, |text| text.replace("keep: 1h", "keep: 2h"));
    until_metric(&node.process, "keyward_revision", 2).await;
    let again = post("/pay", "one").send(&node).await;
    assert_eq!(again.head.field("idempotent-replayed"), Some("true"));
    assert_eq!(origin.received().len(), 1);
}
