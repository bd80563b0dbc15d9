//! Answers that are held against a description: what reaches the caller, and what the log tells of the rest.

use super::{Call, Table};
use crate::node::{Node, Plan, request};
use crate::protocols::client::{Http2Client, get};
use crate::protocols::configuration;
use keyward_model::{Clock as _, SystemClock};
use keyward_testkit::{KeywardProcess, RawClient, Received, Script, Upstream, until};
use std::time::Duration;

const ORDERS: &str = r##"
openapi: 3.1.0
info: { title: Orders, version: "1" }
paths:
  /orders/{what}:
    parameters: [ { name: what, in: path, required: true, schema: { type: string } } ]
    get:
      responses:
        200:
          description: an order
          headers:
            x-version: { required: true, schema: { type: integer } }
            Content-Length: { required: true, schema: { type: integer, maximum: 0 } }
            Keep-Alive: { required: true, schema: { type: string } }
            Request-Id: { required: true, schema: { type: string } }
            x-parts: { schema: { type: array, items: { type: integer } } }
            set-cookie: { schema: { type: string, pattern: "^[a-z]+=[0-9]+($|;)" } }
          content:
            application/json: { schema: { $ref: "#/components/schemas/Order" } }
            text/plain: {}
        4XX:
          description: what is wrong
          content:
            application/json: { schema: { type: object, required: [error] } }
        204: { description: nothing }
  /kept:
    get: &kept
      responses:
        200: { description: one, content: { application/json: { schema: { $ref: "#/components/schemas/Order" } } } }
        4XX: { description: wrong, content: { application/json: { schema: { type: object, required: [error] } } } }
    post: *kept
components:
  schemas:
    Order:
      type: object
      required: [id, password]
      additionalProperties: false
      properties:
        id: { type: integer, readOnly: true }
        password: { type: string, writeOnly: true }
        note: { type: string, maxLength: 5 }
"##;

/// A body whose values are known again.
const WRONG: &str = "{\"id\":\"hunter2\",\"secret\":\"hunter2\"}";

const VERSION: (&str, &str) = ("X-Version", "3");

/// An upstream that answers by the last part of the path.
async fn origin() -> Upstream {
    let json = ("Content-Type", "application/json");
    Upstream::choosing(move |received: &Received| {
        let path = received.target().split('?').next().unwrap();
        let good = "{\"id\":7,\"note\":\"short\"}";
        let ok = "200 OK";
        match path.rsplit('/').next().unwrap() {
            "wrong" => Script::answer(ok, &[json, VERSION], WRONG),
            "no-json" => Script::answer(ok, &[json, VERSION], "<html>"),
            "twice" => Script::answer(ok, &[json, VERSION], "{\"id\":7,\"id\":8}"),
            "text" => Script::answer(ok, &[("Content-Type", "text/plain"), VERSION], "seven"),
            "xml" => Script::answer(ok, &[("Content-Type", "text/xml"), VERSION], "<id/>"),
            "empty" => Script::answer(ok, &[json, VERSION], ""),
            "headless" => Script::answer(ok, &[json], good),
            "parts" => {
                let parts = [json, VERSION, ("X-Parts", "1, 2"), ("X-Parts", "3")];
                Script::answer(ok, &parts, good)
            }
            "bad-parts" => {
                let parts = [json, VERSION, ("X-Parts", "1, 2"), ("X-Parts", "three")];
                Script::answer(ok, &parts, good)
            }
            "cookies" => {
                let dated = ("Set-Cookie", "a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT");
                Script::answer(ok, &[json, VERSION, dated, ("Set-Cookie", "b=2")], good)
            }
            "bad-cookies" => {
                let cookies = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=two")];
                Script::answer(ok, &[json, VERSION, cookies[0], cookies[1]], good)
            }
            "badly-headed" => Script::answer(ok, &[json, ("X-Version", "new")], good),
            "chunked" => Script::chunked(ok, &[json, VERSION], &["{\"id\"", ":7}"], &[]),
            "chunked-wrong" => Script::chunked(ok, &[json, VERSION], &["{\"id\"", ":\"7\"}"], &[]),
            "large" => {
                let note = "x".repeat(2_000);
                Script::answer(
                    ok,
                    &[json, VERSION],
                    format!("{{\"id\":7,\"note\":\"{note}\"}}"),
                )
            }
            "coded" => Script::answer(
                ok,
                &[json, VERSION, ("Content-Encoding", "gzip")],
                "not looked into",
            ),
            "breaks-off" => Script::new()
                .write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Version: new\r\nContent-Length: 10\r\n\r\n{\"id\"")
                .close(),
            "nothing" => Script::answer("204 No Content", &[], ""),
            "missing" => Script::answer("404 Not Found", &[json], "{\"error\":\"none\"}"),
            "badly-missing" => Script::answer("404 Not Found", &[json], "{\"problem\":\"none\"}"),
            "broken" => Script::answer("500 Internal Server Error", &[], "oops"),
            "part" => {
                let part = ("Content-Range", "bytes 0-3/20");
                Script::answer("206 Partial Content", &[json, VERSION, part], "{\"id")
            }
            "unchanged" => Script::answer("304 Not Modified", &[], ""),
            "moved" => Script::answer("302 Found", &[("Location", "/elsewhere")], ""),
            _ => Script::answer(ok, &[json, VERSION], good),
        }
    })
    .await
}

async fn node(origin: &Upstream) -> Node {
    let api = |answers: &str| {
        format!(
            "authentication: none, validation: {{ openapi: \"${{FILE:orders.yaml}}\", unknown_operations: allow, max_body: 1KiB, answers: {answers} }}"
        )
    };
    Plan::default()
        .settings("workers: 1\naccess_log: { destination: off }")
        .file("orders.yaml", ORDERS)
        .upstream("origin", &[origin.url()], "")
        .api_at("refuse", "/refuse", "origin", &api("refuse"))
        .api_at("report", "/report", "origin", &api("report"))
        .api_at("ignore", "/ignore", "origin", &api("ignore"))
        .start()
        .await
}

/// How many of these were counted.
async fn counted(node: &Node, decision: &str) -> u64 {
    let page = node.process.operations_get("/metrics").await.unwrap();
    let name =
        format!("keyward_policy_decisions_total{{policy=\"validation\",decision=\"{decision}\"}} ");
    let text = page.text();
    let line = text.lines().find_map(|line| line.strip_prefix(&*name));
    line.map_or(0, |number| number.parse().unwrap())
}

#[tokio::test]
async fn answers_have_to_fit_their_description_or_are_told_of() {
    let origin = origin().await;
    let node = node(&origin).await;
    let mut table = Table::new("validation", "answers").headers(&["content-type", "x-version"]);
    let mut expected = 0;
    for (what, case, misfits) in [
        ("good", "an answer that fits", false),
        ("wrong", "a body that does not", true),
        ("no-json", "a body that is no JSON", true),
        ("twice", "a member that stands twice", true),
        ("text", "another media type that is described", false),
        ("xml", "one that is not", true),
        ("empty", "no body", true),
        ("headless", "a header that is missing", true),
        ("badly-headed", "a header that does not fit", true),
        ("parts", "a list in two headers", false),
        ("bad-parts", "one with a member that does not fit", true),
        ("cookies", "several cookies", false),
        ("bad-cookies", "one of them that does not fit", true),
        ("chunked", "a body of unknown length", false),
        ("chunked-wrong", "one that does not fit", true),
        ("nothing", "a status without a body", false),
        ("missing", "an error that is described", false),
        ("badly-missing", "an error that does not fit", true),
        ("broken", "an error that is not described", false),
        ("moved", "another status that is not described", true),
    ] {
        let call = |api: &str| Call::get(&format!("/{api}/orders/{what}"));
        let refuse = format!("{case}, `refuse`");
        let answer = table
            .drive_to(&node, &origin, &refuse, call("refuse"))
            .await;
        assert_eq!(answer.text().contains("invalid_answer"), misfits, "{what}");
        expected += u64::from(misfits);
        // As it came, whatever it is, and told of where it does not fit.
        let reported = call("report").send(&node).await;
        let ignored = call("ignore").send(&node).await;
        assert_eq!(reported.status, ignored.status, "{what}");
        assert_eq!(reported.body, ignored.body, "{what}");
        expected += u64::from(misfits);
        until("it is counted", async || {
            counted(&node, "answer_misfits").await >= expected
        })
        .await;
        assert_eq!(counted(&node, "answer_misfits").await, expected, "{what}");
    }
    for (what, case) in [
        ("large", "a body that is too large to be looked into"),
        ("coded", "a body that is coded"),
    ] {
        let call = |api: &str| Call::get(&format!("/{api}/orders/{what}"));
        let refuse = format!("{case}, `refuse`");
        let answer = table
            .drive_to(&node, &origin, &refuse, call("refuse"))
            .await;
        assert_eq!(answer.status, 502);
        let before = counted(&node, "answer_unread").await;
        let report = format!("{case}, `report`");
        let answer = table
            .drive_to(&node, &origin, &report, call("report"))
            .await;
        assert_eq!(answer.status, 200);
        until("it is counted", async || {
            counted(&node, "answer_unread").await == before + 1
        })
        .await;
    }
    for (what, case, refused) in [
        ("part", "a part, which was not asked for", 502),
        ("unchanged", "304", 304),
    ] {
        let before = counted(&node, "answer_misfits").await;
        let call = |api: &str| Call::get(&format!("/{api}/orders/{what}"));
        let refuse = format!("{case}, `refuse`");
        let answer = table
            .drive_to(&node, &origin, &refuse, call("refuse"))
            .await;
        assert_eq!(answer.status, refused, "{what}");
        let report = format!("{case}, `report`");
        let answer = table
            .drive_to(&node, &origin, &report, call("report"))
            .await;
        assert!(answer.status < 400, "{what}");
        let misfits = before + u64::from(refused == 502);
        assert_eq!(counted(&node, "answer_misfits").await, misfits, "{what}");
    }
    let head = Call::new("HEAD", "/refuse/orders/good");
    table
        .drive_to(&node, &origin, "HEAD: its head alone", head)
        .await;
    let other = Call::new("POST", "/refuse/orders/wrong");
    table
        .drive_to(&node, &origin, "an operation that is not described", other)
        .await;
    table.finish();
    let log = node.process.log();
    assert!(
        log.contains("an answer does not fit the API's description"),
        "{log}"
    );
    // What a value was is nobody's business but the upstream's.
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn an_upstream_that_is_asked_for_what_can_be_looked_into_gets_no_coding_and_no_range() {
    let origin = origin().await;
    let node = node(&origin).await;
    for (api, asked) in [("refuse", false), ("report", true), ("ignore", true)] {
        let call = Call::get(&format!("/{api}/orders/good"))
            .header("Accept-Encoding", "gzip")
            .header("Range", "bytes=0-3");
        assert_eq!(call.send(&node).await.status, 200);
        let head = origin.received().pop().unwrap().head;
        assert_eq!(head.field("accept-encoding").is_some(), asked, "{api}");
        assert_eq!(head.field("range").is_some(), asked, "{api}");
    }
}

#[tokio::test]
async fn the_log_tells_of_one_answer_of_a_route_in_a_second_and_how_many_it_left_out() {
    const CALLS: u64 = 200;
    let origin = origin().await;
    let node = node(&origin).await;
    let clock = SystemClock::new();
    let begun = clock.moment();
    for _ in 0..CALLS {
        let answer = Call::get("/report/orders/wrong").send(&node).await;
        assert_eq!(answer.status, 200);
    }
    until("all are counted", async || {
        counted(&node, "answer_misfits").await == CALLS
    })
    .await;
    let counted_at = clock.moment();
    let lines = || {
        let log = node.process.log();
        let lines = log
            .lines()
            .filter(|line| line.contains("an answer does not fit"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let most = counted_at.since(begun).as_secs() + 1;
    let told = lines();
    assert!((1..=most).contains(&(told.len() as u64)), "{told:#?}");
    assert!(told[0].contains("body at `/id`"), "{told:#?}");
    // One more, when another may be told of, tells of all that were left out.
    until("a second has passed", async || {
        clock.moment().since(counted_at) > Duration::from_secs(1)
    })
    .await;
    Call::get("/report/orders/wrong").send(&node).await;
    until("it is told of", async || lines().len() > told.len()).await;
    let told = lines();
    let untold: u64 = told.iter().map(|line| untold(line)).sum();
    assert_eq!(untold + told.len() as u64, CALLS + 1, "{told:#?}");
}

/// How many a line says that the log has left out.
fn untold(line: &str) -> u64 {
    let (_, rest) = line.split_once("untold").unwrap();
    let rest = rest.trim_start_matches(['"', '=', ':', ' ']);
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

#[tokio::test]
async fn answers_are_looked_at_over_http2_too() {
    let origin = origin().await;
    for (answers, misfit) in [("refuse", 502), ("report", 200)] {
        let validation =
            format!("validation: {{ openapi: \"${{FILE:orders.yaml}}\", answers: {answers} }}");
        let protocols = "[http1, http2]";
        let configuration = configuration(&origin.url(), protocols, "", &validation);
        let binary = env!("CARGO_BIN_EXE_keyward");
        let files = [("orders.yaml", ORDERS)];
        let process = KeywardProcess::start_configured(binary, &configuration, &[], &files).await;
        let mut client = Http2Client::connect(process.gateway()).await;
        for (what, status) in [
            ("good", 200),
            ("wrong", misfit),
            ("chunked", 200),
            ("chunked-wrong", misfit),
        ] {
            let call = get(&format!("/open/orders/{what}"));
            let reply = client.call(call, b"").await;
            assert_eq!(reply.status, status, "{answers}: {what}");
            let refused = String::from_utf8_lossy(&reply.body).contains("invalid_answer");
            assert_eq!(refused, status == 502, "{answers}: {what}");
        }
    }
}

#[tokio::test]
async fn what_a_refused_answer_has_done_is_done() {
    let json = ("Content-Type", "application/json");
    let origin = Upstream::choosing(move |received: &Received| {
        let fresh = ("Cache-Control", "max-age=3600");
        match (received.method(), received.target().ends_with("busy")) {
            ("GET", _) => Script::answer("200 OK", &[json, fresh], "{\"id\":7}"),
            (_, false) => Script::answer("200 OK", &[json], "{\"id\":\"7\"}"),
            (_, true) => Script::answer("429 Too Many Requests", &[json], "{}"),
        }
    })
    .await;
    let node = Plan::default()
        .settings("workers: 1")
        .file("orders.yaml", ORDERS)
        .upstream("origin", &[origin.url()], "")
        .api_at(
            "kept",
            "/api",
            "origin",
            "authentication: none, cache: true, idempotency: { anonymous: share, on_unknown: release }, validation: { openapi: \"${FILE:orders.yaml}\", answers: refuse }",
        )
        .start()
        .await;
    let called = |call: Call, times: usize, what: &'static str| {
        let (node, origin) = (&node, &origin);
        async move {
            let before = origin.received().len();
            let answer = call.send(node).await;
            assert_eq!(origin.received().len() - before, times, "{what}");
            answer.status
        }
    };
    let get = || Call::get("/api/kept");
    let post = |target: &str, key: &str| {
        Call::new("POST", target)
            .header("Idempotency-Key", key)
            .body("5")
    };
    assert_eq!(called(get(), 1, "it is fetched").await, 200);
    assert_eq!(called(get(), 0, "it is kept").await, 200);
    let refused = called(post("/api/kept", "k-1"), 1, "it is done").await;
    assert_eq!(refused, 502);
    assert_eq!(called(get(), 1, "what was kept is stale").await, 200);
    let again = called(post("/api/kept", "k-1"), 0, "it is not done again").await;
    assert_eq!(again, 502);
    // A status that says that nothing was done is believed, whatever comes with it.
    for _ in 0..2 {
        let busy = called(post("/api/kept?busy", "k-2"), 1, "it was not done").await;
        assert_eq!(busy, 502);
    }
}

#[tokio::test]
async fn headers_are_told_of_where_the_body_has_no_end() {
    let origin = origin().await;
    let node = node(&origin).await;
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    let call = request("GET", "/report/orders/breaks-off", &[], "");
    client.send(call).await.unwrap();
    assert!(client.answer().await.is_err());
    until("it is counted", async || {
        counted(&node, "answer_misfits").await == 1
    })
    .await;
    let log = node.process.log();
    assert!(log.contains("header `x-version`"), "{log}");
}
