//! The examples called by curl, as their comments say: a client that is not ours.

use super::Example;
use keyward_testkit::{Script, Upstream, free_addresses};
use std::process::{Command, Output};

/// What a call by curl came to.
struct Called {
    status: u16,
    head: String,
    body: String,
}

impl Called {
    fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Calls the example's gateway with these arguments before the URL.
async fn curl(example: &Example, path: &str, arguments: &[&str]) -> Called {
    let url = format!("http://{}{path}", example.process.gateway());
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--include", "--max-time", "20"])
        .args(arguments)
        .arg(url);
    let run = move || command.output().unwrap();
    let output: Output = tokio::task::spawn_blocking(run).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    let (head, body) = said.split_once("\r\n\r\n").expect(&said);
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Called {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

#[tokio::test]
async fn routing_by_curl() {
    let search = Upstream::echo().await;
    let address = search.address().to_string();
    let moved = [("127.0.0.1:9001", address.as_str())];
    let example = Example::with("routing.yaml", &moved, &[]).await;
    let shop = "Host: shop.example.com";
    for (path, arguments, status, target) in [
        (
            "/shop/orders/7?debug=1&a=b",
            &[][..],
            200,
            "/internal/orders/7?a=b&view=full",
        ),
        ("/shop/orders", &["--data", "{}"], 200, "/orders"),
        (
            "/shop/search/shoes",
            &["--header", "X-Preview: 1"],
            200,
            "/preview/shoes",
        ),
        ("/shop/orders/7", &["--request", "DELETE"], 405, ""),
        ("/shop/orders/7/lines", &[], 404, ""),
        // Two readings of one path reach nobody, and curl sends them as they are if asked to.
        ("/shop/orders/%2e%2e/7", &["--path-as-is"], 400, ""),
    ] {
        let arguments = [&["--header", shop], arguments].concat();
        let called = curl(&example, path, &arguments).await;
        assert_eq!(called.status, status, "{path} {}", called.body);
        if status == 200 {
            let echo: serde_json::Value = serde_json::from_str(&called.body).unwrap();
            assert_eq!(echo["target"], target, "{path}");
        } else {
            assert_eq!(
                called.field("content-type"),
                Some("application/problem+json")
            );
        }
    }
}

#[tokio::test]
async fn redirects_by_curl() {
    let example = Example::run("redirects.yaml").await;
    for (path, status, location) in [
        ("/old/7?x=y", 308, "/orders/7?x=y"),
        ("/docs/intro", 302, "//docs.example.com/v2/intro"),
    ] {
        let called = curl(&example, path, &[]).await;
        assert_eq!(
            (called.status, called.field("location")),
            (status, Some(location))
        );
    }
    let closed = curl(&example, "/orders/closed/7", &[]).await;
    assert_eq!(
        (closed.status, closed.field("retry-after")),
        (503, Some("3600"))
    );
    assert_eq!(closed.body, "Closed for an hour; come back later.\n");
    assert_eq!(curl(&example, "/orders", &[]).await.status, 404);
}

#[tokio::test]
async fn retries_by_curl() {
    let busy = Script::answer("503 Service Unavailable", &[], "no");
    let busy = Upstream::scripted(busy).await;
    let address = busy.address().to_string();
    let moved = [("127.0.0.1:9001", address.as_str())];
    let example = Example::with("retries.yaml", &moved, &[]).await;
    for _ in 0..6 {
        assert_eq!(curl(&example, "/orders/7", &[]).await.status, 200);
    }
    let before = busy.received().len();
    assert!(before > 0);
    let mut told = 0;
    for _ in 0..6 {
        let posted = curl(&example, "/orders", &["--data", "{}"]).await;
        told += usize::from(posted.status == 503);
    }
    assert_eq!(busy.received().len(), before + told);
}

#[tokio::test]
async fn balancing_by_curl() {
    let [gone] = free_addresses();
    let address = gone.to_string();
    let moved = [("127.0.0.1:9001", address.as_str())];
    let example = Example::with("balancing.yaml", &moved, &[]).await;
    for path in ["/orders/7", "/search/x", "/carts/7"] {
        for tenant in 0..4 {
            let header = format!("X-Tenant: {tenant}");
            let called = curl(&example, path, &["--header", &header]).await;
            assert_eq!(called.status, 200, "{path} {}", called.body);
        }
    }
}

#[tokio::test]
async fn bounds_by_curl() {
    let second = Upstream::echo().await;
    let address = second.address().to_string();
    let moved = [("127.0.0.1:9001", address.as_str())];
    let example = Example::with("open-api.yaml", &moved, &[]).await;
    let body = |bytes: usize| {
        let path = example.process.folder().join("body");
        std::fs::write(&path, vec![b'x'; bytes]).unwrap();
        format!("@{}", path.display())
    };
    for (bytes, status) in [(65_536, 200), (65_537, 413)] {
        let data = body(bytes);
        let called = curl(&example, "/catalogue/7", &["--data-binary", &data]).await;
        assert_eq!(called.status, status, "{bytes}");
        // Without a length known beforehand it is the same.
        let chunked = [
            "--header",
            "Transfer-Encoding: chunked",
            "--data-binary",
            &data,
        ];
        let called = curl(&example, "/catalogue/7", &chunked).await;
        assert_eq!(called.status, status, "{bytes} in chunks");
    }
}
