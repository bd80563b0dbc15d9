//! Budgets that two nodes count together.

use super::*;
use crate::limit::{Account, Claimed, Spending, Spent};
use keyward_model::limit::{Budget, LimitSubject, Span, Unit, Unpriced};
use keyward_testkit::until;
use std::num::NonZeroU64;

fn budget(unit: Unit, amount: u64, over: Span) -> Spending {
    Spending::new(&Budget {
        name: "budget".parse().unwrap(),
        by: Box::new([LimitSubject::Key]),
        unit,
        amount: NonZeroU64::new(amount).unwrap(),
        over,
        on_outage: OnOutage::default(),
        unpriced: Unpriced::default(),
        lower_max_tokens: false,
    })
}

fn monthly(unit: Unit, amount: u64) -> Spending {
    budget(unit, amount, Span::Window(Period::Month))
}

fn slowly(amount: u64) -> Spending {
    let burst = NonZeroU64::new(amount).unwrap();
    let per = Duration::from_secs(86_400);
    budget(Unit::Tokens, amount, Span::Rate { per, burst })
}

impl TestNode {
    fn account(&self, rule: Spending) -> Arc<Account> {
        let key = LimitKey {
            team: TeamId::DEFAULT,
            team_name: "default",
            limit: "ai/v1/budget",
            rule,
            counted: &[Counted::Issuer("https://issuer.example")],
        };
        self.cells.account(&key, self.now()).unwrap()
    }

    async fn hold(&self, rules: &[Spending], amount: u64, on_outage: OnOutage) -> SharedHolding {
        let claims = rules.iter().map(|rule| SharedClaim {
            claim: Claimed {
                account: self.account(*rule),
                rule: *rule,
                amount,
            },
            on_outage,
        });
        let now = self.now();
        self.worker.hold_all(claims.collect(), now).await
    }

    /// What is held, and how much is left of the first.
    async fn held(&self, rule: Spending, amount: u64) -> (SharedHolds, u64) {
        match self.hold(&[rule], amount, OnOutage::AllowLocally).await {
            SharedHolding::Held { holds, left } => (holds, left[0].0),
            other @ (SharedHolding::Refused { .. }
            | SharedHolding::Unavailable { .. }
            | SharedHolding::Evicted { .. }) => panic!("{other:?}"),
        }
    }

    async fn refused(&self, rule: Spending, amount: u64) -> Spent {
        match self.hold(&[rule], amount, OnOutage::AllowLocally).await {
            SharedHolding::Refused { spent, .. } => spent,
            other @ (SharedHolding::Held { .. }
            | SharedHolding::Unavailable { .. }
            | SharedHolding::Evicted { .. }) => panic!("{other:?}"),
        }
    }

    fn settle(&self, holds: SharedHolds, took: u64) {
        holds.settle(self.now(), |_, _| took);
    }
}

#[tokio::test]
async fn what_one_node_holds_is_not_there_for_the_other_until_it_is_settled() {
    locally(async {
        let redis = RedisServer::start().await;
        let (one, other) = (
            TestNode::join(&redis, 1).await,
            TestNode::join(&redis, 2).await,
        );
        for rule in [monthly(Unit::Tokens, 100), slowly(100)] {
            let (holds, left) = one.held(rule, 60).await;
            assert_eq!(left, 40);
            assert_eq!(other.refused(rule, 41).await.left, 40);
            one.settle(holds, 10);
            until("the server has heard of it", async || {
                one.worker.budgets.len() == 0
            })
            .await;
            let (holds, left) = other.held(rule, 90).await;
            assert_eq!(left, 0);
            // What it is told next goes out before the next question, over the same connection.
            other.settle(holds, 0);
            let (holds, left) = other.held(rule, 90).await;
            assert_eq!(left, 0);
            other.settle(holds, 90);
            assert_eq!(other.refused(rule, 1).await.left, 0);
        }
    })
    .await;
}

#[tokio::test]
async fn a_hundred_calls_of_two_nodes_never_pass_a_budget() {
    locally(async {
        let redis = RedisServer::start().await;
        let (one, other) = (
            TestNode::join(&redis, 1).await,
            TestNode::join(&redis, 2).await,
        );
        let rules = [
            monthly(Unit::Tokens, 1_000),
            slowly(5_000),
            monthly(Unit::Requests, 2_000),
        ];
        let calls = (0..100).map(|call| {
            let node = if call % 2 == 0 { &one } else { &other };
            async move {
                match node.hold(&rules, 50, OnOutage::AllowLocally).await {
                    SharedHolding::Held { holds, .. } => {
                        tokio::task::yield_now().await;
                        node.settle(holds, 49);
                        1
                    }
                    SharedHolding::Refused { index, .. } => {
                        assert_eq!(index, 0);
                        0
                    }
                    other @ (SharedHolding::Unavailable { .. } | SharedHolding::Evicted { .. }) => {
                        panic!("{other:?}")
                    }
                }
            }
        });
        let mut passed = 0;
        let set = LocalSet::new();
        let mut calls: Vec<_> = calls.map(Box::pin).collect();
        set.run_until(async {
            passed = join_all(&mut calls).await;
        })
        .await;
        assert_eq!(passed, 20);
        for node in [&one, &other] {
            until("all are settled", async || node.worker.budgets.len() == 0).await;
        }
        assert_eq!(one.refused(rules[0], 21).await.left, 20);
        // What the first refused has taken nothing of the others.
        assert_eq!(one.refused(rules[1], 5_000).await.left, 5_000 - 20 * 49);
    })
    .await;
}

/// Polls all at once.
async fn join_all(calls: &mut [std::pin::Pin<Box<impl Future<Output = usize>>>]) -> usize {
    let mut outcomes: Vec<Option<usize>> = vec![None; calls.len()];
    std::future::poll_fn(|waking| {
        for (call, outcome) in calls.iter_mut().zip(&mut outcomes) {
            if outcome.is_none()
                && let std::task::Poll::Ready(passed) = call.as_mut().poll(waking)
            {
                *outcome = Some(passed);
            }
        }
        if outcomes.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    outcomes.into_iter().flatten().sum()
}

/// Where holds stand.
fn places(redis: &RedisServer) -> Vec<String> {
    let names = redis.command("KEYS test:*:holds");
    let names = names.lines().filter(|line| line.starts_with("test:"));
    names.map(str::to_owned).collect()
}

/// The time of all that is held there comes.
fn lapse(redis: &RedisServer, place: &str) {
    let members = redis.command(&format!("ZRANGE {place} 0 -1"));
    for member in members.lines().filter(|line| line.contains('|')) {
        let _none_new = redis.command(&format!("ZADD {place} 1 {member}"));
    }
}

#[tokio::test]
async fn what_a_killed_node_held_is_there_again_after_a_while() {
    locally(async {
        let redis = RedisServer::start().await;
        let (dead, other) = (
            TestNode::alone(&redis, 1).await,
            TestNode::join(&redis, 2).await,
        );
        for rule in [monthly(Unit::Tokens, 100), slowly(100)] {
            // Nobody renews it, and nobody tells of its end.
            let (_stands, _) = dead.held(rule, 100).await;
            assert_eq!(other.refused(rule, 1).await.left, 0);
            for place in places(&redis) {
                lapse(&redis, &place);
            }
            let (holds, left) = other.held(rule, 100).await;
            assert_eq!(left, 0);
            other.settle(holds, 100);
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_killed_node_held_is_there_again_though_another_budget_refuses() {
    locally(async {
        let redis = RedisServer::start().await;
        let (dead, other) = (
            TestNode::alone(&redis, 1).await,
            TestNode::join(&redis, 2).await,
        );
        let (wide, tight) = (monthly(Unit::Tokens, 100), slowly(10));
        let (_stands, _) = dead.held(wide, 100).await;
        for place in places(&redis) {
            lapse(&redis, &place);
        }
        // It looks at both, and the second refuses.
        let both = [wide, tight];
        let refused = other.hold(&both, 50, OnOutage::AllowLocally).await;
        assert!(matches!(refused, SharedHolding::Refused { .. }));
        let (_, left) = other.held(wide, 100).await;
        assert_eq!(left, 0);
    })
    .await;
}

#[tokio::test]
async fn what_a_call_holds_is_put_back_where_nobody_could_renew_it() {
    locally(async {
        let redis = RedisServer::start().await;
        let node = TestNode::alone(&redis, 1).await;
        let client = Client::open(redis.url()).unwrap();
        let connection = client.get_multiplexed_async_connection();
        let mut connection = connection.await.unwrap();
        for rule in [monthly(Unit::Tokens, 100), slowly(100)] {
            let (holds, _) = node.held(rule, 90).await;
            for lost in [false, true] {
                if lost {
                    let _gone = redis.command("FLUSHALL");
                } else {
                    for place in places(&redis) {
                        lapse(&redis, &place);
                    }
                    // Others see it lapse.
                    let (small, left) = node.held(rule, 1).await;
                    assert_eq!(left, 99);
                    node.settle(small, 0);
                }
                node.worker.budgets.renew(&mut connection).await.unwrap();
                assert_eq!(node.refused(rule, 20).await.left, 10, "lost: {lost}");
            }
            node.settle(holds, 0);
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_told_again_counts_once() {
    locally(async {
        let redis = RedisServer::start().await;
        let node = TestNode::alone(&redis, 1).await;
        let rule = monthly(Unit::Tokens, 100);
        let (holds, _) = node.held(rule, 50).await;
        node.settle(holds, 30);
        let again: Vec<_> = node.worker.budgets.waiting_now();
        let (small, left) = node.held(rule, 1).await;
        assert_eq!(left, 69);
        // The answer was lost, and all is told again.
        node.worker.budgets.wait_again(again);
        node.settle(small, 0);
        let (_, left) = node.held(rule, 1).await;
        assert_eq!(left, 69);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_has_lost_all_hears_what_was_spent() {
    locally(async {
        let redis = RedisServer::start().await;
        let node = TestNode::join(&redis, 1).await;
        // Money is told in units of 10⁻⁹ dollars.
        let rule = monthly(Unit::Cost, 100_000_000);
        let (holds, left) = node.held(rule, 60_000_000).await;
        assert_eq!(left, 40_000_000);
        node.settle(holds, 50_000_001);
        let (holds, left) = node.held(rule, 1_000).await;
        assert_eq!(left, 49_998_000);
        node.settle(holds, 0);
        until("the server has heard of it", async || {
            node.worker.budgets.len() == 0
        })
        .await;
        let _ok = redis.command("FLUSHALL");
        let spent = node.refused(rule, 50_000_000).await;
        assert_eq!(spent.left, 49_999_000);
    })
    .await;
}

#[tokio::test]
async fn an_outage_refuses_or_counts_here_and_is_told_afterwards() {
    locally(async {
        let mut redis = RedisServer::start().await;
        let (one, other) = (
            TestNode::join(&redis, 1).await,
            TestNode::join(&redis, 2).await,
        );
        let rule = monthly(Unit::Tokens, 100);
        let (before, _) = one.held(rule, 40).await;
        redis.kill();
        until("the outage is known", async || !one.worker.is_connected()).await;
        let strict = one.hold(&[rule], 1, OnOutage::Refuse).await;
        assert!(
            matches!(strict, SharedHolding::Unavailable { index: 0 }),
            "{strict:?}"
        );
        // From what is known here.
        assert_eq!(one.refused(rule, 61).await.left, 60);
        let (during, left) = one.held(rule, 60).await;
        assert_eq!(left, 0);
        one.settle(before, 30);
        one.settle(during, 50);
        redis.bring_back().await;
        until("the server has heard of it", async || {
            one.worker.budgets.len() == 0
        })
        .await;
        until_connected(&[&other]).await;
        assert_eq!(other.refused(rule, 21).await.left, 20);
    })
    .await;
}

/// Against the account of one node, which has tests of its own.
#[test]
fn the_script_lets_pass_what_one_node_would() {
    #[derive(Clone, Debug)]
    enum Step {
        Hold(u64),
        Settle(usize, u64),
    }
    let steps = prop::collection::vec(
        prop_oneof![
            (0_u64..120).prop_map(Step::Hold),
            (any::<usize>(), 0_u64..=100).prop_map(|(which, percent)| Step::Settle(which, percent)),
        ],
        1..40,
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let redis = runtime.block_on(RedisServer::start());
    let mut runner = TestRunner::new(Config::with_cases(40));
    let outcome = runner.run(&steps, |steps| {
        let _ok = redis.command("FLUSHALL");
        runtime.block_on(locally(async {
            let node = TestNode::alone(&redis, 1).await;
            let rule = monthly(Unit::Tokens, 300);
            let alone = LimitCells::default();
            let key = LimitKey {
                team: TeamId::DEFAULT,
                team_name: "default",
                limit: "ai/v1/budget",
                rule,
                counted: &[Counted::Api],
            };
            let account = alone.account(&key, node.now()).unwrap();
            let mut under_way = Vec::new();
            for step in &steps {
                let now = node.now();
                match step {
                    Step::Hold(amount) => {
                        let there = node.hold(&[rule], *amount, OnOutage::Refuse).await;
                        let here = account.hold(&rule, *amount, now).unwrap();
                        match (there, here) {
                            (
                                SharedHolding::Held { holds, left },
                                crate::limit::Verdict::Held {
                                    hold, left: own, ..
                                },
                            ) => {
                                assert_eq!(left[0].0, own);
                                under_way.push((holds, hold));
                            }
                            (
                                SharedHolding::Refused { spent, .. },
                                crate::limit::Verdict::Refused(own),
                            ) => assert_eq!(spent.left, own.left),
                            (there, here) => panic!("{there:?} {here:?}"),
                        }
                    }
                    Step::Settle(which, percent) => {
                        if !under_way.is_empty() {
                            let (holds, hold) = under_way.swap_remove(which % under_way.len());
                            let took = hold.amount * percent / 100;
                            node.settle(holds, took);
                            account.settle(&rule, hold, took, now);
                        }
                    }
                }
            }
        }));
        Ok(())
    });
    outcome.unwrap();
}
