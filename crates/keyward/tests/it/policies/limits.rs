//! Rates, quotas and calls under way: what passes, and what those are told that don't.

use super::table::seconds;
use super::{Call, Table};
use crate::node::{Node, Plan, request};
use crate::token::{AUDIENCE, Issuer};
use keyward_jose::SignatureAlgorithm as A;
use keyward_testkit::{RawClient, RedisServer, Script, Upstream, until};
use serde_json::json;

/// `"name";r=2;t=17` with the seconds named: they are other ones each time.
fn told(value: &str) -> String {
    let members = value.split(", ").map(|member| {
        let parts = member.split(';').map(|part| match part.split_once('=') {
            Some(("t", number)) => format!("t={}", seconds(number)),
            Some(_) | None => part.to_owned(),
        });
        parts.collect::<Vec<_>>().join(";")
    });
    members.collect::<Vec<_>>().join(", ")
}

/// With what matters of limits.
fn of_limits(table: Table) -> Table {
    table
        .headers(&["ratelimit", "retry-after"])
        .masking("ratelimit", told)
        .masking("retry-after", seconds)
}

async fn drive(table: &mut Table, node: &Node, cases: &[(&str, &str)]) {
    for (case, path) in cases {
        table.drive(node, case, Call::get(path)).await;
    }
}

#[tokio::test]
async fn rates_quotas_and_several_at_once() {
    let rate = "rate_limits: [ { name: rate, by: api, requests: 2, per: 1h } ]";
    let node = Plan::default()
        .settings("workers: 2")
        .api("rate", &format!("authentication: none, {rate}"))
        .api("burst", "authentication: none, rate_limits: [ { name: burst, by: api, requests: 1000, per: 1h, burst: 1 } ]")
        .api("quota", "authentication: none, quotas: [ { name: monthly, by: api, requests: 2, per: month } ]")
        .api("both", "authentication: none, rate_limits: [ { name: rate, by: api, requests: 3, per: 1h } ], quotas: [ { name: weekly, by: api, requests: 1, per: week } ]")
        .api("named", "authentication: none, rate_limits: [ { by: address, requests: 9, per: 1m }, { by: api, requests: 9, per: 1s } ], quotas: [ { by: api, requests: 9, per: day } ]")
        .api(
            "routes",
            &format!(
                "authentication: none, {rate}, routes: [ \
                 {{ name: own, match: {{ path: /own }}, quotas: [ {{ name: own, by: route, requests: 1, per: month }} ] }}, \
                 {{ name: fixed, match: {{ path: /fixed }}, respond: {{ status: 200, body: hello }} }} ]"
            ),
        )
        .start()
        .await;
    let mut table = of_limits(Table::new("limits", "rates-and-quotas"));
    drive(
        &mut table,
        &node,
        &[
            ("the first of two an hour", "/rate/x"),
            ("the second", "/rate/x"),
            ("the third", "/rate/x"),
            ("a burst of one: the first", "/burst/x"),
            ("the second at once, of 1,000 an hour", "/burst/x"),
            ("the first of two a month", "/quota/x"),
            ("the second of the month", "/quota/x"),
            ("the third of the month", "/quota/x"),
            ("a rate of three and a quota of one", "/both/x"),
            ("the quota refuses", "/both/x"),
            ("and again: the rate has lost nothing by it", "/both/x"),
            (
                "limits without names are called by what they count",
                "/named/x",
            ),
            (
                "a route takes from its API's limits and then from its own",
                "/routes/own",
            ),
            ("its own refuses", "/routes/own"),
            (
                "the API's limit has lost nothing by it; an answer of the gateway's own counts too",
                "/routes/fixed",
            ),
            ("the API's is used up", "/routes/fixed"),
            ("no route: nothing is taken", "/routes/none"),
        ],
    )
    .await;
    table.finish();
}

/// More subjects than one limit counts, and enough that no part of the index has room for another one of it.
const FLOOD: usize = 3_000;

#[tokio::test]
async fn a_limit_whose_subjects_are_invented_keeps_those_of_no_other_out() {
    let one = |name: &str, by: &str| {
        format!(
            "authentication: none, rate_limits: [ {{ name: {name}, by: {by}, requests: 2, per: 1h }} ]"
        )
    };
    let node = Plan::default()
        .settings("workers: 1\nlimits: { counted_subjects: 1024 }\ntrusted_proxies: [ 127.0.0.1 ]")
        .api("open", &one("by-header", "\"header:x-project\""))
        .api("other", &one("by-address", "address"))
        .api("all", &one("all", "api"))
        .start()
        .await;
    let mut table = of_limits(Table::new("limits", "flooded-limit"));
    let of = |path: &str, project: &str| Call::get(path).header("X-Project", project);
    let from = |path: &str, address: &str| Call::get(path).header("X-Forwarded-For", address);
    for (case, call) in [
        ("before the flood", of("/open/x", "early")),
        ("of another limit", from("/other/x", "192.0.2.1")),
    ] {
        assert_eq!(table.drive(&node, case, call).await.status, 200);
    }
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    let mut kept_out = 0;
    for number in 0..FLOOD {
        let project = format!("invented-{number}");
        let headers = [("X-Project", &*project), ("Connection", "keep-alive")];
        let call = request("GET", "/open/x", &headers, "");
        client.send(call).await.unwrap();
        let answer = client.answer().await.unwrap();
        if answer.status == 503 {
            kept_out += 1;
        }
    }
    // A quarter of 1,024 is counted, and nobody else.
    assert!((FLOOD - 256..FLOOD - 200).contains(&kept_out), "{kept_out}");
    for (case, call, status) in [
        ("one that is not counted yet", of("/open/x", "late"), 503),
        ("one from before goes on", of("/open/x", "early"), 200),
        ("and is counted as before", of("/open/x", "early"), 429),
        (
            "of another limit, one from before goes on",
            from("/other/x", "192.0.2.1"),
            200,
        ),
        ("counted as before", from("/other/x", "192.0.2.1"), 429),
        (
            "of another limit, one that is not counted yet",
            from("/other/x", "192.0.2.2"),
            200,
        ),
        (
            "what counts all callers together has room",
            Call::get("/all/x"),
            200,
        ),
    ] {
        assert_eq!(
            table.drive(&node, case, call).await.status,
            status,
            "{case}"
        );
    }
    let page = node.process.operations_get("/metrics").await.unwrap();
    assert!(
        page.text()
            .contains("\nkeyward_counted_subjects_max 1024\n")
    );
    table.finish();
}

#[tokio::test]
async fn whom_a_limit_counts() {
    let issuer = Issuer::new("main", A::Es256);
    let guarded = format!("authentication: {{ issuers: [main], audience: {AUDIENCE} }}");
    let one =
        |by: &str| format!("rate_limits: [ {{ name: one, by: {by}, requests: 1, per: 1h }} ]");
    let mut plan = Plan::default()
        .settings("workers: 2\ntrusted_proxies: [ 127.0.0.1 ]")
        .resource(issuer.resource(""));
    for (name, by) in [
        ("subject", "subject"),
        ("client", "client"),
        ("tenant", "\"claim:tenant\""),
        ("project", "[ subject, \"header:x-project\" ]"),
    ] {
        plan = plan.api(name, &format!("{guarded}, {}", one(by)));
    }
    let node = plan
        .api(
            "address",
            &format!("authentication: none, {}", one("address")),
        )
        .api(
            "header",
            &format!("authentication: none, {}", one("\"header:x-project\"")),
        )
        .api(
            "nobody",
            &format!("authentication: none, {}", one("subject")),
        )
        .api(
            "scope",
            &format!(
                "{guarded}, authorization: {{ scopes: [write] }}, {}",
                one("subject")
            ),
        )
        .start()
        .await;
    let token = |subject: &str, tenant: &str| {
        let claims = issuer.claims().with_subject(subject);
        let claims = claims
            .with("client_id", json!("app"))
            .and_then(|claims| claims.with("tenant", json!(tenant)));
        issuer.sign(&claims.unwrap())
    };
    let (alice, bob) = (token("alice", "blue"), token("bob", "blue"));
    let (again, red) = (token("alice", "blue"), token("alice", "red"));
    let without = issuer.token_of("carol");
    let writing = issuer.claims().with_subject("alice");
    let writing = issuer.sign(&writing.with_scopes(["write"]));
    let mut table = of_limits(
        Table::new("limits", "subjects")
            .naming(&alice, "ALICE_OF_BLUE")
            .naming(&bob, "BOB_OF_BLUE")
            .naming(&again, "ALICE_OF_BLUE_ANEW")
            .naming(&red, "ALICE_OF_RED")
            .naming(&without, "CAROL_OF_NONE")
            .naming(&writing, "ALICE_WHO_WRITES"),
    );
    let from = |path: &str, address: &str| Call::get(path).header("X-Forwarded-For", address);
    for (case, call) in [
        ("by subject", Call::get("/subject/x").bearer(&alice)),
        (
            "the same subject with another token",
            Call::get("/subject/x").bearer(&again),
        ),
        ("another subject", Call::get("/subject/x").bearer(&bob)),
        ("by client", Call::get("/client/x").bearer(&alice)),
        (
            "another subject of the same client",
            Call::get("/client/x").bearer(&bob),
        ),
        ("by a claim", Call::get("/tenant/x").bearer(&alice)),
        (
            "another subject with the same value",
            Call::get("/tenant/x").bearer(&bob),
        ),
        ("another value", Call::get("/tenant/x").bearer(&red)),
        (
            "without the claim: by the caller itself",
            Call::get("/tenant/x").bearer(&without),
        ),
        (
            "the caller itself again",
            Call::get("/tenant/x").bearer(&without),
        ),
        (
            "by subject and header",
            Call::get("/project/x")
                .bearer(&alice)
                .header("X-Project", "a"),
        ),
        (
            "another header",
            Call::get("/project/x")
                .bearer(&alice)
                .header("X-Project", "b"),
        ),
        (
            "the first header again",
            Call::get("/project/x")
                .bearer(&alice)
                .header("X-Project", "a"),
        ),
        (
            "the same header, another subject",
            Call::get("/project/x")
                .bearer(&bob)
                .header("X-Project", "a"),
        ),
        (
            "by address, behind a trusted proxy",
            from("/address/x", "192.0.2.1"),
        ),
        ("the same address", from("/address/x", "192.0.2.1")),
        ("another address", from("/address/x", "192.0.2.2")),
        ("an IPv6 address", from("/address/x", "2001:db8::1")),
        (
            "another one of the same /64 network",
            from("/address/x", "2001:db8::2"),
        ),
        ("of another network", from("/address/x", "2001:db8:0:1::1")),
        (
            "by a header alone",
            Call::get("/header/x").header("X-Project", "a"),
        ),
        (
            "the same value, from whoever",
            from("/header/x", "192.0.2.9").header("X-Project", "a"),
        ),
        (
            "without the header: by address",
            from("/header/x", "192.0.2.9"),
        ),
        ("that address again", from("/header/x", "192.0.2.9")),
        (
            "by subject, where nobody has one: by address",
            from("/nobody/x", "192.0.2.1"),
        ),
        (
            "the address of nobody again",
            from("/nobody/x", "192.0.2.1"),
        ),
        ("without a token: nothing is taken", Call::get("/scope/x")),
        (
            "without the scope: nothing is taken",
            Call::get("/scope/x").bearer(&alice),
        ),
        (
            "the same caller with the scope: its first",
            Call::get("/scope/x").bearer(&writing),
        ),
        ("and its second", Call::get("/scope/x").bearer(&writing)),
    ] {
        table.drive(&node, case, call).await;
    }
    table.finish();
}

#[tokio::test]
async fn calls_under_way() {
    let upstream = Upstream::scripted(
        Script::new()
            .write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nbegin\r\n")
            .wait_until_closed(),
    )
    .await;
    let node = Plan::default()
        .settings("workers: 2")
        .upstream("endless", &[upstream.url()], "")
        .api_at(
            "slow",
            "/slow",
            "endless",
            "authentication: none, concurrency: [ { name: one, by: api, calls: 1 } ]",
        )
        .api(
            "quick",
            "authentication: none, concurrency: [ { name: one, by: api, calls: 1 } ]",
        )
        .start()
        .await;
    let mut table = of_limits(Table::new("limits", "calls-under-way"));
    drive(
        &mut table,
        &node,
        &[
            ("one at a time", "/quick/x"),
            ("the next, when the first has ended", "/quick/x"),
        ],
    )
    .await;
    let mut first = RawClient::connect(node.gateway()).await.unwrap();
    first
        .send(request("GET", "/slow/x", &[], ""))
        .await
        .unwrap();
    assert_eq!(first.bytes(12).await.unwrap(), b"HTTP/1.1 200");
    drive(
        &mut table,
        &node,
        &[("while another's answer is still on its way", "/slow/x")],
    )
    .await;
    table.finish();
}

#[tokio::test]
async fn what_is_shared_is_away_and_comes_back() {
    let mut redis = RedisServer::start().await;
    let node = Plan::default()
        .settings(&format!("workers: 1\nshared_state: {}", redis.url()))
        .api("locally", "authentication: none, rate_limits: [ { name: rate, by: api, requests: 3, per: 1h } ]")
        .api("refuse", "authentication: none, rate_limits: [ { name: strict, by: api, requests: 3, per: 1h, on_outage: refuse } ]")
        .api("quota", "authentication: none, quotas: [ { name: monthly, by: api, requests: 2, per: month } ]")
        .api("calls", "authentication: none, concurrency: [ { name: one, by: api, calls: 1 } ]")
        .start()
        .await;
    let mut table = of_limits(Table::new("limits", "shared"));
    drive(
        &mut table,
        &node,
        &[
            ("the first of three an hour", "/locally/x"),
            (
                "the same of a limit that refuses without Redis",
                "/refuse/x",
            ),
            ("the first of two a month", "/quota/x"),
            ("a call that ends", "/calls/x"),
        ],
    )
    .await;
    redis.kill();
    drive(
        &mut table,
        &node,
        &[
            (
                "Redis is gone: `allow_locally` goes on from what was known",
                "/locally/x",
            ),
            ("the third", "/locally/x"),
            ("the fourth", "/locally/x"),
            ("`refuse` lets nothing pass", "/refuse/x"),
            ("a quota goes on too", "/quota/x"),
            ("and ends", "/quota/x"),
            ("calls under way are this node's alone", "/calls/x"),
        ],
    )
    .await;
    redis.bring_back().await;
    until("the node is connected again", async || {
        let page = node.process.operations_get("/metrics").await.unwrap();
        page.text().contains("\nkeyward_shared_state_connected 1\n")
    })
    .await;
    drive(
        &mut table,
        &node,
        &[
            (
                "Redis is back, with nothing in it: the quota's count is told to it",
                "/quota/x",
            ),
            ("the rate's too", "/locally/x"),
            ("`refuse` passes again", "/refuse/x"),
        ],
    )
    .await;
    table.finish();
}
