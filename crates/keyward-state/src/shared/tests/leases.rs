//! High rates, of which nodes take a part at once.

use super::*;

#[tokio::test]
async fn a_high_rate_is_leased_and_no_more_passes_than_may() {
    let redis = RedisServer::start().await;
    locally(async {
        let one = TestNode::join(&redis, 1).await;
        let other = TestNode::join(&redis, 2).await;
        // 20,000 a second: a lease is 20 calls at most.
        let rule = rate(20_000, Duration::from_secs(1), 20_000);
        let clock = SystemClock::new();
        let begun = clock.moment();
        let (first, second) = tokio::join!(one.passed(rule, 30_000), other.passed(rule, 30_000));
        let took = clock.moment().since(begun);
        let passed = f64::from(first + second);
        let may = 20_000.0 + 20_000.0 * took.as_secs_f64();
        // One lease of each node may be used late, and one may be lost.
        assert!(passed <= may + 40.0, "{passed} of {may} in {took:?}");
        let counts = one.state.counts();
        // How many, depends on how fast this machine is just now.
        assert!(counts.leased > counts.answered / 10, "{counts:?}");
        println!("{passed} of {may:.0} in {took:?}; {counts:?}");
    })
    .await;
}

#[test]
fn what_is_no_address_is_refused_without_repeating_it() {
    for url in ["redis://:hunter2@", "nonsense", "redis://h:port"] {
        let settings = SharedSettings {
            url: Secret::new(url.to_owned()),
            authorities: None,
            wait: WAIT_DEFAULT,
            prefix: PREFIX_DEFAULT.into(),
        };
        let error = SharedState::new(&settings, NodeId::from_u128(1)).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
