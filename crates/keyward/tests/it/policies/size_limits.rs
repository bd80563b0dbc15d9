//! Bounds on what a call may be, and what is answered to one that is beyond them.

use super::{Call, Table};
use crate::node::Plan;
use keyward_testkit::RawClient;

fn url(bytes: usize) -> String {
    let begin = "/open/";
    format!("{begin}{}", "a".repeat(bytes - begin.len()))
}

#[tokio::test]
async fn what_is_larger_than_the_listener_takes() {
    let node = Plan::default()
        .settings("workers: 1\nlimits: { head_bytes: 16KiB }")
        .api("open", "authentication: none, max_body: 1KiB")
        .start()
        .await;
    let mut table = Table::new("size-limits", "listener");
    for (case, call) in [
        (
            "a body as large as may be",
            Call::new("POST", "/open/x").body(&"b".repeat(1024)),
        ),
        (
            "a body of one byte more",
            Call::new("POST", "/open/x").body(&"b".repeat(1025)),
        ),
        (
            "a URL that fits into the request line",
            Call::get(&url(8000)),
        ),
        ("a URL that does not", Call::get(&url(8200))),
        (
            "headers that fit",
            Call::get("/open/x").header("x-large", &"h".repeat(15_000)),
        ),
        (
            "headers that do not",
            Call::get("/open/x").header("x-large", &"h".repeat(17_000)),
        ),
    ] {
        table.drive(&node, case, call).await;
    }

    // A body whose length nobody tells is counted as it comes.
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    let chunk = format!("400\r\n{}\r\n", "b".repeat(1024));
    let text = format!(
        "POST /open/x HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"
    );
    let _refused = client.send(text).await;
    let answer = client.answer().await.unwrap();
    table.add(
        "a body without a length that turns out too large",
        "`POST /open/x`<br>`Transfer-Encoding: chunked`<br>two chunks of 1,024 bytes",
        &answer,
    );
    table.finish();
}

#[tokio::test]
async fn what_is_larger_than_an_api_or_a_route_takes() {
    let node = Plan::default()
        .settings("workers: 1")
        .api(
            "open",
            "authentication: none, size_limits: { body: 16, url: 40, headers: 200, header_fields: 5 }, routes: [ { name: all, match: { prefix: / } }, { name: upload, match: { path: /upload }, size_limits: { body: 64 } }, { name: any, match: { path: /any }, size_limits: none } ]",
        )
        .start()
        .await;
    let mut table = Table::new("size-limits", "routes");
    let post = |target: &str, bytes: usize| Call::new("POST", target).body(&"b".repeat(bytes));
    for (case, call) in [
        ("a body at the bound", post("/open/x", 16)),
        ("a body beyond it", post("/open/x", 17)),
        (
            "a route that takes more than its API",
            post("/open/upload", 64),
        ),
        (
            "a body beyond the route's own bound",
            post("/open/upload", 65),
        ),
        ("a route without bounds", post("/open/any", 200)),
        ("a URL at the bound", Call::get(&url(40))),
        ("a URL beyond it", Call::get(&url(41))),
        (
            "the query counts, with its question mark",
            Call::get(&format!("{}?a=b", url(37))),
        ),
        (
            "header fields at the bound: Host and Connection are two",
            Call::get("/open/x")
                .header("a", "1")
                .header("b", "2")
                .header("c", "3"),
        ),
        (
            "one field more",
            Call::get("/open/x")
                .header("a", "1")
                .header("b", "2")
                .header("c", "3")
                .header("d", "4"),
        ),
        (
            "a header section at the bound of 200 bytes",
            Call::get("/open/x").header("x-long", &"h".repeat(200 - 10 - 19 - 19)),
        ),
        (
            "one byte more of it",
            Call::get("/open/x").header("x-long", &"h".repeat(200 - 10 - 19 - 18)),
        ),
        (
            "a route with other bounds has none of its API's",
            Call::get(&format!("/open/upload?{}", "a".repeat(100))),
        ),
    ] {
        table.drive(&node, case, call).await;
    }
    for (case, path, chunks) in [
        ("chunks that come to the bound", "/open/x", 2),
        ("chunks that come to more", "/open/x", 3),
        ("chunks beyond the route's own bound", "/open/upload", 9),
    ] {
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        let text = format!(
            "POST {path} HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
            "8\r\n12345678\r\n".repeat(chunks)
        );
        let _refused = client.send(text).await;
        let answer = client.answer().await.unwrap();
        let sent =
            format!("`POST {path}`<br>`Transfer-Encoding: chunked`<br>{chunks} chunks of 8 bytes");
        table.add(case, &sent, &answer);
    }
    table.finish();
}

#[tokio::test]
async fn a_body_that_turns_out_too_large_never_seems_whole_to_the_upstream() {
    let node = Plan::default()
        .settings("workers: 1")
        .api(
            "open",
            "authentication: none, size_limits: { body: 100KiB }",
        )
        .start()
        .await;
    let chunk = format!("400\r\n{}\r\n", "b".repeat(1024));
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    let text = format!(
        "POST /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        chunk.repeat(101)
    );
    let _refused = client.send(text).await;
    let answer = client.answer().await.unwrap();
    crate::node::check_problem(&answer, 413, "body_too_large");
    assert!(
        node.upstream.received().is_empty(),
        "only whole requests are received"
    );
}
