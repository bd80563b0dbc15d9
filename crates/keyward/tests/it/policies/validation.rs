//! Requests that are held against a description: what passes, and what is told of what does not.

use super::{Call, Table};
use crate::coding::packed;
use crate::node::{Node, Plan, check_problem, request};
use keyward_model::ApiKey;
use keyward_testkit::{Answer, RawClient, Upstream, until};

const ORDERS: &str = r##"
openapi: 3.1.0
info: { title: Orders, version: "1" }
paths:
  /orders:
    parameters:
      - { name: x-region, in: header, schema: { enum: [eu, us] } }
    get:
      parameters:
        - { name: limit, in: query, schema: { type: integer, minimum: 1, maximum: 100 } }
        - { name: state, in: query, schema: { type: array, items: { enum: [open, paid] }, maxItems: 2 } }
        - { name: ids, in: query, explode: false, schema: { type: array, items: { type: integer } } }
        - { name: since, in: query, required: true, schema: { type: string, format: date } }
        - name: filter
          in: query
          style: deepObject
          schema:
            type: object
            properties:
              state: { enum: [open, paid] }
              ids: { type: array, items: { type: integer }, maxItems: 2 }
              price: { type: object, properties: { from: { type: number } }, additionalProperties: false }
            additionalProperties: false
        - { name: exact, in: query, content: { application/json: { schema: { type: object, required: [name] } } } }
        - { name: plain, in: query, content: { text/plain: { schema: { type: string, maxLength: 3 } } } }
        - { name: session, in: cookie, schema: { type: string, minLength: 8 } }
      responses: { 200: { description: a list } }
    post:
      requestBody:
        required: true
        content:
          application/json: { schema: { $ref: "#/components/schemas/Order" } }
          text/plain: {}
  /orders/{id}:
    get:
      parameters: [ { $ref: "#/components/parameters/Id" } ]
    patch:
      parameters: [ { $ref: "#/components/parameters/Id" } ]
      requestBody:
        content:
          "application/*+json": { schema: { type: object, minProperties: 1 } }
  /orders/mine:
    get: {}
  /files:
    post:
      requestBody:
        content:
          "*/*": { schema: { type: object, required: [name] } }
  /search:
    get:
      parameters:
        - { name: limit, in: query, schema: { anyOf: [ { type: integer, maximum: 9 }, { type: "null" } ] } }
        - { name: level, in: query, schema: { enum: [1, 2] } }
        - { name: ids, in: query, schema: { anyOf: [ { type: array, items: { type: integer } }, { type: "null" } ] } }
        - { name: code, in: query, schema: { oneOf: [ { type: integer, maximum: 9 }, { type: string, pattern: "^[0-9]{5}$" } ] } }
        - { name: where, in: query, required: true, schema: { type: object, properties: { city: {} } } }
        - { name: X-Api-Key, in: header, required: true, schema: { type: string } }
components:
  parameters:
    Id: { name: id, in: path, required: true, schema: { type: string, pattern: "^[a-z]{3}-[0-9]+$" } }
  schemas:
    Order:
      type: object
      required: [id, items, customer]
      additionalProperties: false
      properties:
        id: { type: string, readOnly: true }
        customer: { type: string, format: email }
        note: { type: string, maxLength: 20, pattern: "^(a+)+$" }
        items:
          type: array
          minItems: 1
          uniqueItems: true
          items: { $ref: "#/components/schemas/Item" }
    Item:
      type: object
      required: [sku, count]
      properties:
        sku: { type: string }
        count: { type: integer, exclusiveMinimum: 0 }
        parts: { type: array, items: { $ref: "#/components/schemas/Item" } }
"##;

const OLD: &str = r#"
openapi: 3.0.3
info: { title: Old, version: "1" }
paths:
  /old:
    post:
      requestBody:
        content:
          application/json:
            schema:
              type: object
              properties:
                name: { type: string, nullable: true }
                share: { type: number, minimum: 0, exclusiveMinimum: true }
"#;

fn key() -> String {
    ApiKey::from_random(&[1; 32]).reveal().to_owned()
}

async fn node() -> Node {
    Plan::default()
        .settings("workers: 1")
        .resource(format!("- {{ kind: credential, name: billing, api_key: {} }}", key()))
        .api("keyed", "authentication: { api_key: { header: X-Api-Key } }, validation: { openapi: \"${FILE:orders.yaml}\", unknown_query: refuse }")
        .api("large", "authentication: none, validation: { openapi: \"${FILE:orders.yaml}\", max_body: 8MiB }")
        .file("orders.yaml", ORDERS)
        .file("old.yaml", OLD)
        .api("api", "authentication: none, validation: { openapi: \"${FILE:orders.yaml}\", unknown_query: refuse }")
        .api("lenient", "authentication: none, validation: { openapi: \"${FILE:orders.yaml}\", unknown_operations: allow, max_errors: 2, max_body: 1KiB, max_depth: 4 }")
        .api("old", "authentication: none, keep_base_path: true, validation: { openapi: \"${FILE:old.yaml}\" }")
        .api("schema", "authentication: none, validation: { schema: { type: object, required: [name], properties: { name: { type: string } } } }")
        .start()
        .await
}

fn json(path: &str, body: &str) -> Call {
    Call::new("POST", path)
        .header("content-type", "application/json")
        .body(body)
}

/// What the problem's `errors` say: where, and what.
fn told(answer: &Answer) -> String {
    let Ok(problem) = answer.json() else {
        return String::new();
    };
    let errors = problem["errors"].as_array().cloned().unwrap_or_default();
    let line = |error: &serde_json::Value| {
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        format!(
            "{} {}{}: {}",
            text("in"),
            text("name"),
            text("pointer"),
            text("detail")
        )
    };
    errors.iter().map(line).collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn requests_have_to_fit_their_description() {
    const GOOD: &str = r#"{"customer":"a@b.example","items":[{"sku":"x","count":1}]}"#;
    let node = node().await;
    let key = key();
    let keyed = |target: &str| Call::get(target).header("x-api-key", &key);
    let mut table = Table::new("validation", "requests")
        .headers(&["allow"])
        .naming(&key, "KEY");
    let mut told_of = Vec::new();
    for (case, call, errors) in [
        (
            "a query that fits",
            Call::get("/api/orders?since=2026-01-31&limit=10"),
            "",
        ),
        (
            "a parameter is missing",
            Call::get("/api/orders?limit=10"),
            "query since: it is missing",
        ),
        (
            "a number is none",
            Call::get("/api/orders?since=2026-01-31&limit=ten"),
            "query limit: value is not of type \"integer\"",
        ),
        (
            "a number is out of bounds",
            Call::get("/api/orders?since=2026-01-31&limit=101"),
            "query limit: value is greater than the maximum of 100",
        ),
        (
            "a date is none",
            Call::get("/api/orders?since=yesterday"),
            "query since: value is not a \"date\"",
        ),
        (
            "a parameter is sent twice",
            Call::get("/api/orders?since=2026-01-31&since=2026-02-01"),
            "query since: it was sent more than once",
        ),
        (
            "a list, each by itself",
            Call::get("/api/orders?since=2026-01-31&state=open&state=paid"),
            "",
        ),
        (
            "a list with a stranger in it",
            Call::get("/api/orders?since=2026-01-31&state=open&state=lost"),
            "query state/1: value is not one of \"open\" or \"paid\"",
        ),
        (
            "a list in one text",
            Call::get("/api/orders?since=2026-01-31&ids=1,2,x"),
            "query ids/2: value is not of type \"integer\"",
        ),
        (
            "an object in brackets",
            Call::get(
                "/api/orders?since=2026-01-31&filter[state]=open&filter[ids]=1&filter[ids]=2",
            ),
            "",
        ),
        (
            "with an object in it, escaped",
            Call::get("/api/orders?since=2026-01-31&filter%5Bprice%5D%5Bfrom%5D=1.5"),
            "",
        ),
        (
            "with a value that does not fit",
            Call::get("/api/orders?since=2026-01-31&filter[state]=lost"),
            "query filter/state: ",
        ),
        (
            "with a member that is not described",
            Call::get("/api/orders?since=2026-01-31&filter[admin]=true"),
            "query filter: Additional properties are not allowed",
        ),
        (
            "with a value deep inside that does not fit",
            Call::get("/api/orders?since=2026-01-31&filter[price][from]=low"),
            "query filter/price/from: ",
        ),
        (
            "with a list that is too long",
            Call::get(
                "/api/orders?since=2026-01-31&filter[ids][]=1&filter[ids][]=2&filter[ids][]=3",
            ),
            "query filter/ids: ",
        ),
        (
            "with a member twice",
            Call::get("/api/orders?since=2026-01-31&filter[state]=open&filter[state]=paid"),
            "query filter/state: it was sent more than once",
        ),
        (
            "an object without its brackets",
            Call::get("/api/orders?since=2026-01-31&filter=open"),
            "query filter: it is written in another way",
        ),
        (
            "with brackets that do not close",
            Call::get("/api/orders?since=2026-01-31&filter[state=open"),
            "query filter: it is written in another way",
        ),
        (
            "JSON in a parameter",
            Call::get("/api/orders?since=2026-01-31&exact=%7B%22nam%22%3A1%7D"),
            "query exact: \"name\" is a required property",
        ),
        (
            "what is not described, where it is refused",
            Call::get("/api/orders?since=2026-01-31&admin=true"),
            "query admin: it is not described",
        ),
        (
            "the same, where it is not",
            Call::get("/lenient/orders?since=2026-01-31&admin=true"),
            "",
        ),
        (
            "a header",
            Call::get("/api/orders?since=2026-01-31").header("x-region", "mars"),
            "header x-region: value is not one of \"eu\" or \"us\"",
        ),
        (
            "a cookie",
            Call::get("/api/orders?since=2026-01-31").header("cookie", "session=short"),
            "cookie session: value is shorter than 8 characters",
        ),
        ("a path that fits", Call::get("/api/orders/abc-7"), ""),
        (
            "a path that does not",
            Call::get("/api/orders/7"),
            "path id: value does not match \"^[a-z]{3}-[0-9]+$\"",
        ),
        (
            "a path that is no parameter",
            Call::get("/api/orders/mine"),
            "",
        ),
        ("the same, escaped", Call::get("/api/orders/%6Dine"), ""),
        (
            "the same, with what some servers take for a parameter of the path",
            Call::get("/api/orders/mine;x=1"),
            "",
        ),
        (
            "such a one behind a value",
            Call::get("/api/orders/abc-7;x=1"),
            "path id: it has a `;`, where some servers end it",
        ),
        (
            "JSON in a parameter that is sent twice",
            Call::get("/api/orders?since=2026-01-31&exact=%7B%22name%22%3A1%7D&exact=1"),
            "query exact: it was sent more than once",
        ),
        (
            "plain text in a parameter",
            Call::get("/api/orders?since=2026-01-31&plain=abcd"),
            "query plain: value is longer than 3 characters",
        ),
        ("a number or nothing", keyed("/keyed/search?limit=5"), ""),
        (
            "a number or nothing, out of bounds",
            keyed("/keyed/search?limit=10"),
            "query limit: value is not valid under any of the schemas",
        ),
        ("one of some numbers", keyed("/keyed/search?level=2"), ""),
        ("a list or nothing", keyed("/keyed/search?ids=1&ids=2"), ""),
        (
            "a text that looks like a number",
            keyed("/keyed/search?code=89073"),
            "",
        ),
        (
            "an object whose members stand by themselves",
            keyed("/keyed/search?city=Ulm"),
            "",
        ),
        (
            "a member that it has not",
            keyed("/keyed/search?town=Ulm"),
            "query town: it is not described",
        ),
        (
            "HEAD where GET is described",
            Call::new("HEAD", "/api/orders?since=2026-01-31"),
            "",
        ),
        ("a path that is not described", Call::get("/api/users"), ""),
        (
            "the same, where it is allowed",
            Call::get("/lenient/users"),
            "",
        ),
        (
            "a method that is not described",
            Call::new("DELETE", "/api/orders"),
            "",
        ),
        ("a body that fits", json("/api/orders", GOOD), ""),
        (
            "a body is missing",
            Call::new("POST", "/api/orders").header("content-type", "application/json"),
            "body : it is missing",
        ),
        (
            "a member of the wrong type",
            json(
                "/api/orders",
                r#"{"customer":"a@b.example","items":[{"sku":"x","count":"1"}]}"#,
            ),
            "body /items/0/count: value is not of type \"integer\"",
        ),
        (
            "a member that nobody knows",
            json(
                "/api/orders",
                r#"{"customer":"a@b.example","items":[{"sku":"x","count":1}],"admin":true}"#,
            ),
            "body : Additional properties are not allowed ('admin' was unexpected)",
        ),
        (
            "a member that stands twice",
            json(
                "/api/orders",
                r#"{"customer":"a@b.example","customer":"c@d.example","items":[]}"#,
            ),
            "body : a member stands twice in one object at line 1, column",
        ),
        (
            "no e-mail address",
            json(
                "/api/orders",
                r#"{"customer":"nobody","items":[{"sku":"x","count":1}]}"#,
            ),
            "body /customer: value is not a \"email\"",
        ),
        (
            "a list whose members are not distinct",
            json(
                "/api/orders",
                r#"{"customer":"a@b.example","items":[{"sku":"x","count":1},{"sku":"x","count":1}]}"#,
            ),
            "body /items: value has non-unique elements",
        ),
        (
            "a schema that refers to itself",
            json(
                "/api/orders",
                r#"{"customer":"a@b.example","items":[{"sku":"x","count":1,"parts":[{"sku":"y","count":0}]}]}"#,
            ),
            "body /items/0/parts/0/count: value is less than or equal to the minimum of 0",
        ),
        (
            "no JSON",
            json("/api/orders", "customer=a"),
            "body : it is no JSON at line 1, column 1",
        ),
        (
            "more mistakes than are told",
            json("/lenient/orders", r#"{"customer":1,"items":1,"note":1}"#),
            "told 2",
        ),
        (
            "a body that nests too deep",
            json("/lenient/orders", "[[[[[[]]]]]]"),
            "body : it nests deeper than is taken here",
        ),
        (
            "a body that is too large",
            json("/lenient/orders", &format!("\"{}\"", "x".repeat(1100))),
            "",
        ),
        (
            "a media type with a suffix",
            Call::new("PATCH", "/api/orders/abc-7")
                .header("content-type", "application/merge-patch+json")
                .body("{}"),
            "body : value has less than 1 property",
        ),
        (
            "a media type that is not described",
            Call::new("POST", "/api/orders")
                .header("content-type", "text/html")
                .body("<p>"),
            "",
        ),
        (
            "one that is described and not JSON passes",
            Call::new("POST", "/api/orders")
                .header("content-type", "text/plain")
                .body("hello"),
            "",
        ),
        (
            "JSON of a range of media types",
            json("/api/files", r#"{"nam":"a"}"#),
            "body : \"name\" is a required property",
        ),
        (
            "what is not JSON of a range of media types passes",
            Call::new("POST", "/api/files")
                .header("content-type", "text/plain")
                .body("hello"),
            "",
        ),
        (
            "two media types",
            json("/api/orders", GOOD).header("content-type", "text/plain"),
            "",
        ),
        (
            "JSON in another charset",
            Call::new("POST", "/api/orders")
                .header("content-type", "application/json; charset=utf-7")
                .body(GOOD),
            "",
        ),
        (
            "a body in a coding",
            json("/api/orders", "xx").header("content-encoding", "gzip"),
            "",
        ),
        (
            "OpenAPI 3.0: nothing where it may be nothing",
            json("/old/old", r#"{"name":null,"share":0.5}"#),
            "",
        ),
        (
            "OpenAPI 3.0: a bound that is excluded",
            json("/old/old", r#"{"share":0}"#),
            "body /share: value is less than or equal to the minimum of 0",
        ),
        (
            "a JSON Schema: a body that fits",
            json("/schema/x", r#"{"name":"a"}"#),
            "",
        ),
        (
            "a JSON Schema: one that does not",
            json("/schema/x", r#"{"nam":"a"}"#),
            "body : \"name\" is a required property",
        ),
        (
            "a JSON Schema: a call without a body",
            Call::get("/schema/x"),
            "",
        ),
        (
            "a JSON Schema: a form where JSON is asked for",
            Call::new("POST", "/schema/x")
                .header("content-type", "application/x-www-form-urlencoded")
                .body("name=a"),
            "",
        ),
    ] {
        let answer = table.drive(&node, case, call).await;
        told_of.push((case, told(&answer), errors));
    }
    for (case, told, expected) in told_of {
        match expected.strip_prefix("told ") {
            Some(count) => assert_eq!(
                told.split("; ").count().to_string(),
                count,
                "{case}: {told}"
            ),
            None if expected.is_empty() => assert_eq!(told, "", "{case}"),
            None => assert!(told.contains(expected), "{case}: {told}"),
        }
    }
    table.finish();
}

#[tokio::test]
async fn hostile_bodies_take_bounded_work_and_name_nothing_of_theirs() {
    let node = node().await;
    let orders = |items: &[String], more: &str| {
        format!(
            r#"{{"customer":"a@b.example","items":[{}]{more}}}"#,
            items.join(",")
        )
    };
    let headers = [("content-type", "application/json")];
    // A pattern that makes other engines go on for ever; more members than are looked through, each of which is
    // wrong.
    let item = r#"{"sku":"x","count":1}"#.to_owned();
    let note = format!(r#","note":"{}!""#, "a".repeat(40));
    let pattern = orders(&[item], &note);
    let wrong = orders(&vec!["0".to_owned(); 400_000], "");
    for (body, mistakes) in [(pattern, 2), (wrong, 1)] {
        let answer = node.call("POST", "/api/orders", &headers, &body).await;
        check_problem(&answer, 400, "validation_failed");
        let problem = answer.json().unwrap();
        let errors = problem["errors"].as_array();
        assert_eq!(errors.map(Vec::len), Some(mistakes), "{problem}");
    }
    assert_eq!(node.upstream.received().len(), 0);
    // A list that fits only if its members are distinct: each has to be compared with all others.
    let distinct: Vec<String> = (0..100_000)
        .map(|number| format!(r#"{{"sku":"{number}","count":1}}"#))
        .collect();
    let body = orders(&distinct, "");
    let answer = node.call("POST", "/large/orders", &headers, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // A body of which nobody says how long it is, in pieces.
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    let head = request(
        "POST",
        "/api/orders",
        &[
            ("content-type", "application/json"),
            ("transfer-encoding", "chunked"),
        ],
        "",
    );
    client.send(head).await.unwrap();
    let pieces = [
        r#"{"customer":"a@b.exa"#,
        r#"mple","items":[{"sku":"x","#,
        r#""count":1}]}"#,
    ];
    for piece in pieces {
        client
            .send(format!("{:x}\r\n{piece}\r\n", piece.len()))
            .await
            .unwrap();
    }
    client.send("0\r\n\r\n").await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 200);
    let received = node.last_received();
    let whole = pieces.concat();
    let length = whole.len().to_string();
    assert_eq!(received.head.field("content-length"), Some(&*length));
    assert_eq!(received.body, whole.as_bytes());
}

/// The beginning of a call with a body of so many bytes.
fn beginning(path: &str, length: usize) -> String {
    let length = length.to_string();
    let fields = [
        ("content-type", "application/json"),
        ("content-length", &*length),
    ];
    request("POST", path, &fields, "")
}

#[tokio::test]
async fn a_body_that_does_not_come_is_waited_for_as_long_as_a_call_may_take() {
    let elsewhere = Upstream::echo().await;
    let node = Plan::default()
        .settings("workers: 1")
        .upstream("brief", &[elsewhere.url()], "total_timeout: 300ms")
        .api_at(
            "late",
            "/late",
            "brief",
            "authentication: none, idle_body_timeout: 1h, validation: { schema: { type: object } }",
        )
        .start()
        .await;
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    client.send(beginning("/late/x", 2)).await.unwrap();
    client.send("{").await.unwrap();
    let answer = client.answer().await.unwrap();
    check_problem(&answer, 408, "request_timeout");
    assert_eq!(elsewhere.received().len(), 0);
}

#[tokio::test]
async fn one_route_does_not_take_the_memory_of_all() {
    const LARGEST: usize = 16 << 20;
    let validation =
        "authentication: none, validation: { schema: { type: array }, max_body: 16MiB }";
    let node = Plan::default()
        .settings("workers: 1")
        .api("one", validation)
        .api("other", validation)
        .start()
        .await;
    let headers = [("content-type", "application/json")];
    let body = "[        ]";
    let answers = async |path: &str| node.call("POST", path, &headers, body).await;
    let full = async || {
        let answer = answers("/one/x").await;
        answer.status == 503 && answer.text().contains("being looked into")
    };
    // Four bodies that lack their last byte hold all that a route may have. A worker that is busy with the others may
    // refuse one, or lose patience with it: then another takes its place.
    let spaces = " ".repeat(LARGEST - 1);
    let mut held = Vec::new();
    while held.len() < 4 || !full().await {
        assert!(held.len() < 40, "the memory of a route has no end");
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        let head = client.send(beginning("/one/x", LARGEST)).await;
        if head.is_ok() && client.send(&spaces).await.is_ok() {
            held.push(client);
        }
    }
    until("the other has", async || {
        answers("/other/x").await.status == 200
    })
    .await;
    assert!(full().await);
    drop(held);
    until("it comes back", async || {
        answers("/one/x").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_body_is_decompressed_before_it_is_looked_into() {
    let node = Plan::default()
        .settings("workers: 1")
        .api("coded", "authentication: none, decompression: true, validation: { schema: { type: object, required: [name] } }")
        .start()
        .await;
    for (body, status) in [(r#"{"name":"a"}"#, 200), (r#"{"nam":"a"}"#, 400)] {
        let coded = packed("gzip", body.as_bytes());
        let length = coded.len().to_string();
        let fields = [
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
            ("content-length", &*length),
        ];
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        let head = request("POST", "/coded/x", &fields, "");
        client.send(head).await.unwrap();
        client.send(coded).await.unwrap();
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    assert_eq!(node.last_received().body, br#"{"name":"a"}"#);
}
