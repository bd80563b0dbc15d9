//! Where upstreams of teams may lead.

use super::{Asked, Managed, back, expect, open_api, until_logged};
use crate::node::{Plan, check_problem};
use serde_json::{Value, json};

#[tokio::test]
async fn a_team_reaches_what_an_operator_opens_and_nothing_else_of_this_machine() {
    let managed = Managed::start(Plan::default()).await;
    managed.team_at("red", &["/red"]).await;
    let publisher = managed
        .member("red", "paul", "publisher", &["read", "write"])
        .await;
    let send = async |method: &'static str, path: &str, body: Value, status: u16| {
        let asked = Asked::new(method, path)
            .by(&publisher)
            .body(body)
            .header("if-match", "*");
        expect(&managed.send(asked).await, status)
    };
    send("POST", "/teams/red/upstreams", back(&managed), 201).await;
    send("POST", "/teams/red/apis", open_api("red"), 201).await;
    let call = async || managed.node.get("/red/metrics", &[]).await;
    assert_eq!(call().await.status, 200, "127.0.0.1 is open to teams");

    let open = managed.node.upstream.url();
    let port = open.rsplit(':').next().unwrap();
    let node = &managed.node.process;
    let [gateway, operations] = [node.gateway(), node.operations()].map(|one| one.port());
    for address in [
        format!("127.0.0.2:{port}"),
        format!("[::1]:{port}"),
        format!("[::ffff:127.0.0.2]:{port}"),
        "169.254.169.254".to_owned(),
        // What is open of the machine does not open the node's own listeners, under any name.
        format!("127.0.0.1:{gateway}"),
        format!("127.0.0.1:{operations}"),
        format!("localhost:{operations}"),
        format!("[::ffff:127.0.0.1]:{operations}"),
        format!("0.0.0.0:{operations}"),
    ] {
        let targets = json!({ "targets": [{ "url": format!("http://{address}") }] });
        send("PATCH", "/teams/red/upstreams/back", targets, 200).await;
        let answer = call().await;
        check_problem(&answer, 502, "upstream_unreachable");
        assert!(!answer.text().contains(&address), "{}", answer.text());
        assert!(!answer.text().contains("keyward_"), "{address}");
    }
    until_logged(&managed, "upstreams: an operator opens it").await;
}
