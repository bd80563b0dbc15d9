//! Where calls go: spread, checked, tried again, found by name.

use super::{Example, call};
use keyward_testkit::{Upstream, free_addresses, until};

#[tokio::test]
async fn canary() {
    let next = Upstream::echo().await;
    let address = next.address().to_string();
    let moved = [("127.0.0.1:9001", address.as_str())];
    let example = Example::with("canary.yaml", &moved, &[]).await;
    for number in 0..100 {
        let answer = example.get(&format!("/prices/{number}"), None, "").await;
        assert_eq!(answer.status, 200, "{}", example.process.log());
    }
    let share = next.received().len();
    assert!((8..=12).contains(&share), "{share} %");
    assert_eq!(example.upstream.received().len(), 100 - share);
    for _ in 0..10 {
        example.get("/prices/7", None, "X-Canary: always\r\n").await;
    }
    assert_eq!(next.received().len(), share + 10);
    assert_eq!(next.received()[0].head.field("x-canary"), None);
}

#[tokio::test]
async fn balancing() {
    let second = Upstream::echo().await;
    let address = second.address().to_string();
    let moved = [("127.0.0.1:9001", address.as_str())];
    let example = Example::with("balancing.yaml", &moved, &[]).await;
    for _ in 0..60 {
        assert_eq!(example.get("/orders/7", None, "").await.status, 200);
    }
    let [first, other] = [&example.upstream, &second].map(|upstream| upstream.received().len());
    assert!(first > other && other > 5, "{first} and {other}");
    for _ in 0..20 {
        assert_eq!(example.get("/search/x", None, "").await.status, 200);
    }
    let both = [&example.upstream, &second].map(|upstream| {
        let received = upstream.received();
        received
            .iter()
            .filter(|call| call.target() == "/search/x")
            .count()
    });
    // Whichever answers sooner, the other was asked too.
    assert!(
        both[0] + both[1] == 20 && both[0] > 0 && both[1] > 0,
        "{both:?}"
    );
    let places = |upstream: &Upstream| -> Vec<String> {
        let received = upstream.received().into_iter();
        let tenant = |head: &keyward_testkit::Head| head.field("x-tenant").map(str::to_owned);
        received
            .filter_map(|received| tenant(&received.head))
            .collect()
    };
    for tenant in 0..20 {
        for _ in 0..3 {
            let header = format!("X-Tenant: {tenant}\r\n");
            assert_eq!(example.get("/carts/7", None, &header).await.status, 200);
        }
    }
    let (one, two) = (places(&example.upstream), places(&second));
    assert_eq!(one.len() + two.len(), 60);
    assert!(!one.is_empty() && !two.is_empty());
    assert!(one.iter().all(|tenant| !two.contains(tenant)));
}

#[tokio::test]
async fn health_checks() {
    let [gone] = free_addresses();
    let address = gone.to_string();
    let moved = [("127.0.0.1:9001", address.as_str())];
    let example = Example::with("health-checks.yaml", &moved, &[]).await;
    for _ in 0..10 {
        assert_eq!(example.get("/orders/7", None, "").await.status, 200);
    }
    let healthy = |target: &str| {
        format!(
            "keyward_upstream_healthy{{team=\"default\",upstream=\"orders\",target=\"http://{target}\"}}"
        )
    };
    let (dead, well) = (
        healthy(&address),
        healthy(&example.upstream.address().to_string()),
    );
    until("who is well is told", async || {
        let page = example.process.operations_get("/metrics").await.unwrap();
        let page = page.text();
        let asked = example.upstream.received();
        let asked = asked.iter().any(|asked| asked.target() == "/healthz");
        asked && page.contains(&format!("{dead} 0")) && page.contains(&format!("{well} 1"))
    })
    .await;
    // The same is found out of `mail`, which is only connected to.
    let by_connecting = |target: &str| healthy(target).replace("\"orders\"", "\"mail\"");
    let (dead, well) = (
        by_connecting(&address),
        by_connecting(&example.upstream.address().to_string()),
    );
    until("who takes connections is told", async || {
        let page = example.process.operations_get("/metrics").await.unwrap();
        let page = page.text();
        page.contains(&format!("{dead} 0")) && page.contains(&format!("{well} 1"))
    })
    .await;
    assert_eq!(example.get("/mail/7", None, "").await.status, 200);
}

#[tokio::test]
async fn retries() {
    use keyward_testkit::Script;
    let busy = Script::answer("503 Service Unavailable", &[], "no");
    let busy = Upstream::scripted(busy).await;
    let address = busy.address().to_string();
    let moved = [("127.0.0.1:9001", address.as_str())];
    let example = Example::with("retries.yaml", &moved, &[]).await;
    for _ in 0..6 {
        assert_eq!(example.get("/orders/7", None, "").await.status, 200);
    }
    let before = busy.received().len();
    assert!(before > 0);
    let mut told = 0;
    for _ in 0..6 {
        let post = "POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}";
        told += usize::from(call(example.process.gateway(), post).await.status == 503);
    }
    assert_eq!(busy.received().len(), before + told);
}

#[tokio::test]
async fn names() {
    let orders = Upstream::echo().await;
    let port = orders.address().port();
    let address = format!("localhost:{port}");
    let example = Example::with("names.yaml", &[("localhost:9000", &address)], &[]).await;
    for _ in 0..4 {
        assert_eq!(example.get("/orders/7", None, "").await.status, 200);
    }
    let received = orders.received();
    assert_eq!(received.len(), 4);
    assert_eq!(received[0].head.field("host"), Some(address.as_str()));
    // One that nobody knows costs its own calls alone, and says so in the log.
    let answer = example.get("/elsewhere/7", None, "").await;
    super::assert_refused(&answer, 502, "upstream_unreachable");
    until("what can't be resolved is told", async || {
        example.process.log().contains("orders.invalid")
    })
    .await;
}
