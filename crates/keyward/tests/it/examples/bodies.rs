//! What becomes of bodies on their way.

use super::{Example, assert_refused};
use crate::coding::{packed, text, unpacked};
use crate::gateway::node::call;
use keyward_testkit::{Script, Upstream};

#[tokio::test]
async fn mirroring() {
    let next = Upstream::echo().await;
    let address = next.address().to_string();
    let moved = [("127.0.0.1:9001", address.as_str())];
    let example = Example::with("mirroring.yaml", &moved, &[]).await;
    for number in 0..100 {
        let answer = example.get(&format!("/prices/{number}"), None, "").await;
        assert_eq!(answer.status, 200, "{}", example.process.log());
    }
    assert_eq!(example.upstream.received().len(), 100);
    let told = async {
        loop {
            let page = example.process.operations_get("/metrics").await.unwrap();
            let page = page.text();
            let told = page
                .lines()
                .filter(|line| line.starts_with("keyward_mirrored_total"))
                .find_map(|line| line.split_once("outcome=\"answered\"} ")?.1.parse().ok());
            let told: usize = told.unwrap();
            if told > 0 && told == next.received().len() {
                return told;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let told = tokio::time::timeout(std::time::Duration::from_secs(20), told).await;
    let told = told.unwrap();
    assert!((8..=12).contains(&told), "{told} %");
    let copy = next.received().remove(0).head;
    assert_eq!(copy.field("x-environment"), Some("trial"));
    assert_eq!(copy.field("x-keyward-mirrored"), Some("true"));
}

#[tokio::test]
async fn compression() {
    let text = text();
    let json = [("content-type", "application/json")];
    let catalogue = Upstream::scripted(Script::answer("200 OK", &json, &text)).await;
    let readings = Upstream::echo().await;
    let addresses = [&catalogue, &readings].map(|upstream| upstream.address().to_string());
    let moved = [
        ("127.0.0.1:9000", addresses[0].as_str()),
        ("127.0.0.1:9001", addresses[1].as_str()),
    ];
    let example = Example::with("compression.yaml", &moved, &[]).await;
    for (path, asked, expected) in [
        ("/catalogue/7", "deflate, gzip, br, zstd", Some("zstd")),
        ("/catalogue/7", "gzip, deflate", Some("gzip")),
        ("/catalogue/account", "gzip, br, zstd", None),
    ] {
        let header = format!("Accept-Encoding: {asked}\r\n");
        let answer = example.get(path, None, &header).await;
        assert_eq!(answer.head.field("content-encoding"), expected, "{path}");
        assert_eq!(unpacked(expected, &answer.body), text.as_bytes());
    }
    let send = async |coding: &str, body: &[u8]| {
        let head = format!(
            "POST /readings HTTP/1.1\r\nHost: a\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        call(example.process.gateway(), [head.as_bytes(), body].concat()).await
    };
    let answer = send("gzip", &packed("gzip", text.as_bytes())).await;
    assert_eq!(answer.status, 200, "{}", example.process.log());
    assert_eq!(readings.received()[0].body_length, text.len() as u64);
    let answer = send("br", &packed("br", text.as_bytes())).await;
    assert_refused(&answer, 415, "unsupported_coding");
    let answer = send("gzip", &packed("gzip", &[0; 900_000])).await;
    assert_refused(&answer, 413, "body_too_large");
    assert_eq!(readings.received().len(), 1);
}
