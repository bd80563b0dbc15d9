//! Calls for which two may be asked at once, and both be paid.

use super::*;

/// A model whose second target is asked beside the first when that says nothing; the first one's key has a limit too.
fn hedged(first: &Upstream, second: &Upstream, limits: &str) -> Plan {
    let key = "{ key: sk-one, quotas: [ { tokens: 100000, per: month } ] }";
    Plan::default()
        .settings("workers: 1\naccess_log: { format: json }")
        .resource(priced("one", &first.url(), key))
        .resource(priced("two", &second.url(), key))
        .resource("- { kind: model, name: fast, hedge: { after: 20ms }, targets: [ { provider: one, model: gpt-5-mini } ], fallbacks: [ { provider: two, model: gpt-5-mini } ] }")
        .resource(limited(limits))
}

#[tokio::test]
async fn a_call_that_may_ask_two_at_once_holds_for_both() {
    let back = Upstream::choosing(|_| took(1, 1)).await;
    let limits = "quotas: [ { name: tokens, by: api, tokens: 100000, per: month } ]";
    let alone = plan(&back.url(), limits).start().await;
    let node = hedged(&back, &back, limits).start().await;
    let held = 100_000 - left(&call(&alone, 500).await, "tokens");
    assert!(held > 500, "{held}");
    assert_eq!(100_000 - left(&call(&node, 500).await, "tokens"), 2 * held);
    // What was held for nobody is there again.
    let after = call(&node, 500).await;
    assert_eq!(100_000 - left(&after, "tokens"), 2 + 2 * held);
}

#[tokio::test]
async fn the_slower_of_two_counts_as_what_it_was_asked_and_the_quicker_as_it_says() {
    let silent = Upstream::choosing(|_| Script::new().wait_until_closed()).await;
    let back = Upstream::choosing(|_| took(7, 9)).await;
    let limits = "quotas: [ { name: tokens, by: api, tokens: 100000, per: month } ]";
    let node = hedged(&silent, &back, limits).start().await;
    let first = call(&node, 500).await;
    check_passed(&first);
    assert_eq!(
        first.head.field("keyward-attempts"),
        Some("one/gpt-5-mini cancelled, two/gpt-5-mini 200")
    );
    let logged = logged(&node).await;
    assert_eq!(logged["provider"], "two");
    assert_eq!(logged["output_tokens"], 9);
    assert_eq!(logged["tokens_estimated"], true);
    let input = logged["input_tokens"].as_u64().unwrap();
    assert!((8..60).contains(&input), "{logged}");
    let next = call(&node, 500).await;
    assert_eq!(left(&first, "tokens") - left(&next, "tokens"), input + 9);
}

#[tokio::test]
async fn a_caller_who_leaves_while_two_are_asked_pays_for_both() {
    let silent = Upstream::choosing(|_| Script::new().wait_until_closed()).await;
    let other = Upstream::choosing(|_| Script::new().wait_until_closed()).await;
    let limits = "quotas: [ { name: tokens, by: api, tokens: 100000, per: month } ]";
    let node = hedged(&silent, &other, limits).start().await;
    let text = request(
        "POST",
        CHAT,
        &[("Content-Type", "application/json")],
        &asking(500).to_string(),
    );
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    client.send(text).await.unwrap();
    until("both are asked", async || {
        silent.received().len() == 1 && other.received().len() == 1
    })
    .await;
    drop(client);
    let log = || node.process.log();
    until("the call is written down", async || {
        log().contains("client_left")
    })
    .await;
    let logged = logged(&node).await;
    assert_eq!(logged["output_tokens"], 1_000, "{logged}");
}
