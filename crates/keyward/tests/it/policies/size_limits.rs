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
