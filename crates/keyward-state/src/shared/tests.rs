mod budgets;
mod claims;
mod leases;
mod proofs;
mod refusing_server;

use super::query::{Answer, Ask, Query};
use super::*;
use crate::limit::{
    Admission, Cell, Counted, Decision, LimitCells, LimitKey, Now, Rule, Used, take_all,
};
use keyward_model::id::TeamId;
use keyward_model::limit::{Allowance, OnOutage, Period, Quota, RateLimit};
use keyward_model::{Clock, Moment, SystemClock, Timestamp};
use keyward_testkit::RedisServer;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::num::NonZeroU32;
use std::rc::Rc;
use tokio::task::LocalSet;

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn rate(requests: u32, per: Duration, burst: u32) -> Rule {
    Rule::new(&Allowance::Rate(RateLimit {
        requests: number(requests),
        per,
        burst: number(burst),
    }))
}

fn quota(requests: u32, per: Period) -> Rule {
    Rule::new(&Allowance::Quota(Quota {
        requests: number(requests),
        per,
    }))
}

fn calls(calls: u32) -> Rule {
    Rule::new(&Allowance::Concurrency(number(calls)))
}

/// One node of a deployment.
struct TestNode {
    cells: LimitCells,
    worker: Rc<SharedWorker>,
    state: Arc<SharedState>,
}

impl TestNode {
    async fn join(redis: &RedisServer, number: u128) -> Self {
        let node = Self::alone(redis, number).await;
        tokio::task::spawn_local(Rc::clone(&node.worker).keep());
        node
    }

    /// One whose connection nobody keeps.
    async fn alone(redis: &RedisServer, number: u128) -> Self {
        let settings = SharedSettings {
            url: Secret::new(redis.url()),
            authorities: None,
            wait: Duration::from_secs(1),
            prefix: "test".into(),
        };
        let state = SharedState::new(&settings, NodeId::from_u128(number)).unwrap();
        let worker = SharedWorker::new(Arc::clone(&state), Arc::new(SystemClock::new()), 0);
        worker.begin().await;
        Self {
            cells: LimitCells::default().shared_under("test".into()),
            worker,
            state,
        }
    }

    fn cell(&self, rule: Rule, now: Now) -> Arc<Cell> {
        let key = LimitKey {
            team: TeamId::DEFAULT,
            team_name: "default",
            limit: "api/v1/limit",
            rule,
            counted: &[Counted::Issuer("https://issuer.example")],
        };
        self.cells.cell(&key, now).unwrap()
    }

    fn now(&self) -> Now {
        // A clock's start is not another's: as the gateway has it, one clock per node.
        Now::of(&*self.worker.clock())
    }

    async fn take(&self, rule: Rule, on_outage: OnOutage) -> SharedAdmission {
        let now = self.now();
        let cell = self.cell(rule, now);
        let limits = [SharedLimit {
            cell: &cell,
            rule: &rule,
            on_outage,
        }];
        self.worker.take_all(&limits, now).await
    }

    /// How many of so many calls pass.
    async fn passed(&self, rule: Rule, calls: u32) -> u32 {
        let mut passed = 0;
        for _ in 0..calls {
            match self.take(rule, OnOutage::AllowLocally).await {
                SharedAdmission::Allowed { .. } => passed += 1,
                SharedAdmission::Refused { .. } => {}
                other @ (SharedAdmission::Unavailable { .. } | SharedAdmission::Evicted { .. }) => {
                    panic!("{other:?}")
                }
            }
        }
        passed
    }
}

async fn locally(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

/// The only name that contains this.
fn name(redis: &RedisServer, part: &str) -> String {
    let names = redis.command(&format!("KEYS test:*{part}*"));
    let mut names = names.lines().filter(|line| line.starts_with("test:"));
    let name = names.next().unwrap().to_owned();
    assert_eq!(names.next(), None);
    name
}

async fn until_connected(nodes: &[&TestNode]) {
    keyward_testkit::until("they are connected", async || {
        nodes.iter().all(|node| node.worker.is_connected())
    })
    .await;
}

/// What a history does at one step.
#[derive(Clone, Debug)]
struct Step {
    pause_us: u64,
    /// Which of the limits the call takes from.
    limits: Vec<bool>,
}

/// The limits of a history. Intervals are whole microseconds, which both count in.
fn rules() -> Vec<Rule> {
    vec![
        rate(10, Duration::from_secs(1), 3),
        rate(4, Duration::from_secs(1), 1),
        quota(5, Period::Minute),
        quota(9, Period::Hour),
        quota(20, Period::Week),
        quota(40, Period::Month),
        calls(1_000_000),
    ]
}

#[tokio::test]
async fn the_script_decides_as_memory_does_whatever_the_history() {
    let redis = RedisServer::start().await;
    let client = Client::open(redis.url()).unwrap();
    let connection = client.get_multiplexed_async_connection().await.unwrap();
    let runtime = tokio::runtime::Handle::current();
    let steps = prop::collection::vec(
        (
            prop_oneof![0_u64..400_000, 0_u64..20_000_000, 0_u64..900_000_000_000],
            prop::collection::vec(any::<bool>(), 7),
        )
            .prop_map(|(pause_us, limits)| Step { pause_us, limits }),
        1..80,
    );
    tokio::task::spawn_blocking(move || {
        let mut runner = TestRunner::new(Config {
            cases: 60,
            failure_persistence: None,
            ..Config::default()
        });
        let history = std::cell::Cell::new(0);
        runner
            .run(&steps, |steps| {
                history.set(history.get() + 1);
                let outcome = runtime.block_on(compare(&steps, history.get(), connection.clone()));
                prop_assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
                Ok(())
            })
            .unwrap();
    })
    .await
    .unwrap();
}

/// The same history in memory and by the script: the same calls pass, and the same is told of each.
async fn compare(
    steps: &[Step],
    history: u32,
    mut connection: redis::aio::MultiplexedConnection,
) -> Result<(), String> {
    // Late in a February, so that months end too.
    let mut micros = 1_772_300_000_000_000_i64;
    let rules = rules();
    let cells: Vec<Cell> = rules.iter().map(|_| Cell::idle()).collect();
    for (at, step) in steps.iter().enumerate() {
        micros += i64::try_from(step.pause_us).unwrap();
        let now = Now {
            moment: Moment::from_nanos(u64::try_from(micros).unwrap() * 1_000),
            civil: Timestamp::from_micros(micros),
        };
        let taking: Vec<usize> = (0..rules.len())
            .filter(|index| step.limits[*index])
            .collect();
        let pairs: Vec<_> = taking
            .iter()
            .map(|index| (&cells[*index], &rules[*index]))
            .collect();
        let mut told = Vec::new();
        let admission = take_all(&pairs, now, |_, decision| {
            if let Decision::Allowed {
                remaining, reset, ..
            } = decision
            {
                told.push((*remaining, *reset));
            }
        });
        let asks: Vec<(String, Ask)> = taking
            .iter()
            .map(|index| {
                let ask = match rules[*index] {
                    Rule::Rate(gcra) => Ask::Rate {
                        gcra,
                        want: 1,
                        ahead: Duration::ZERO,
                    },
                    Rule::Quota(quota) => Ask::Quota {
                        quota,
                        owed: Used::default(),
                        known: Used::default(),
                    },
                    Rule::Concurrency(calls) => Ask::Calls {
                        calls,
                        kept_for: Duration::from_secs(1 << 30),
                        slot: format!("{at}").into(),
                    },
                };
                (format!("history-{history}:{index}"), ask)
            })
            .collect();
        let named = asks.iter().map(|(name, ask)| (name.as_str(), ask));
        let answer = Query::new(Some(micros), named)
            .ask(&mut connection)
            .await
            .map_err(|error| error.to_string())?;
        let same = match (&admission, &answer) {
            (Admission::Allowed, Answer::Granted(granted)) => {
                granted.len() == told.len()
                    && granted
                        .iter()
                        .zip(&told)
                        .all(|(granted, (remaining, reset))| {
                            granted.calls == 1
                                && granted.remaining == *remaining
                                && granted.reset == *reset
                        })
            }
            (
                Admission::Refused {
                    index,
                    retry_after,
                    reset,
                },
                Answer::Refused {
                    index: refusing,
                    retry_after: retry,
                    reset: whole,
                    used: _,
                },
            ) => index == refusing && retry_after == retry && reset == whole,
            (
                Admission::Allowed | Admission::Refused { .. } | Admission::Evicted { .. },
                Answer::Granted(_) | Answer::Refused { .. },
            ) => false,
        };
        if !same {
            return Err(format!(
                "step {at} at {micros} of {taking:?}: memory {admission:?} {told:?}, script {answer:?}"
            ));
        }
    }
    Ok(())
}

#[tokio::test]
async fn two_nodes_share_each_kind_of_limit_exactly() {
    let redis = RedisServer::start().await;
    locally(async {
        let one = TestNode::join(&redis, 1).await;
        let other = TestNode::join(&redis, 2).await;
        let hourly = rate(1, Duration::from_secs(3_600), 50);
        let monthly = quota(30, Period::Month);
        for (rule, limit) in [(hourly, 50), (monthly, 30)] {
            let (first, second) = tokio::join!(one.passed(rule, 60), other.passed(rule, 60));
            assert_eq!(first + second, limit, "{rule}");
            assert!(first > 0 && second > 0, "{first} and {second}");
        }
        let counts = one.state.counts();
        assert_eq!((counts.connected, counts.outages, counts.late), (1, 0, 0));
        // Once refused, nobody asks again for what can't have changed.
        assert!(counts.known_refusals > 0, "{counts:?}");
        // Every name expires.
        for name in redis
            .command("KEYS *")
            .lines()
            .filter(|line| line.starts_with("test:"))
        {
            let left = redis.command(&format!("PTTL {name}"));
            assert!(
                left.trim_start_matches(':').trim().parse::<i64>().unwrap() > 0,
                "{name}: {left}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn slots_are_shared_and_come_back_when_calls_end() {
    let redis = RedisServer::start().await;
    locally(async {
        let one = TestNode::join(&redis, 1).await;
        let other = TestNode::join(&redis, 2).await;
        let two = calls(2);
        let SharedAdmission::Allowed { slots: first, .. } =
            one.take(two, OnOutage::AllowLocally).await
        else {
            panic!("refused at first");
        };
        let SharedAdmission::Allowed { slots: second, .. } =
            other.take(two, OnOutage::AllowLocally).await
        else {
            panic!("refused the second");
        };
        for node in [&one, &other] {
            assert_eq!(node.passed(two, 5).await, 0);
        }
        drop(first);
        one.cell(two, one.now()).end();
        keyward_testkit::until("the slot comes back", async || {
            other.passed(two, 1).await == 1
        })
        .await;
        drop(second);
    })
    .await;
}

#[tokio::test]
async fn an_outage_is_noticed_once_and_what_passed_meanwhile_is_told_afterwards() {
    let mut redis = RedisServer::start().await;
    locally(async {
        let one = TestNode::join(&redis, 1).await;
        let other = TestNode::join(&redis, 2).await;
        let monthly = quota(100, Period::Month);
        assert_eq!(one.passed(monthly, 10).await, 10);
        assert_eq!(other.passed(monthly, 10).await, 10);
        redis.kill();
        // From what was known: the first heard of 10, the second of 20.
        assert_eq!(one.passed(monthly, 20).await, 20);
        assert_eq!(other.passed(monthly, 30).await, 30);
        let refused = one.take(monthly, OnOutage::Refuse).await;
        assert!(
            matches!(refused, SharedAdmission::Unavailable { index: 0 }),
            "{refused:?}"
        );
        let counts = one.state.counts();
        assert_eq!((counts.outages, counts.connected), (1, 0), "{counts:?}");
        assert_eq!((counts.allowed_locally, counts.unavailable), (20, 1));
        assert!(
            counts.failed + counts.late <= 1,
            "each call asked: {counts:?}"
        );

        redis.bring_back().await;
        keyward_testkit::until("both are connected again", async || {
            one.worker.is_connected() && other.worker.is_connected()
        })
        .await;
        // Redis has lost its count; the nodes tell it: 20 known, 20 and 30 since.
        let first = one.passed(monthly, 1).await;
        let second = other.passed(monthly, 100).await;
        let third = one.passed(monthly, 100).await;
        // The first asked before the second had told what it knew: that ten had passed of which the first had
        // not heard. And of the two calls that noticed the outage nobody knows whether they were counted.
        let all = 20 + 20 + 30 + first + second + third;
        assert!((100..=112).contains(&all), "{all}");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_costs_one_bounded_wait() {
    let redis = RedisServer::start().await;
    locally(async {
        let node = TestNode::join(&redis, 1).await;
        let hourly = rate(1, Duration::from_secs(3_600), 1_000);
        assert_eq!(node.passed(hourly, 1).await, 1);
        redis.signal("STOP");
        let clock = SystemClock::new();
        let begun = clock.moment();
        assert_eq!(node.passed(hourly, 200).await, 200);
        let took = clock.moment().since(begun);
        let counts = node.state.counts();
        // 200 waits would be 200 s.
        assert!(took < Duration::from_secs(60), "{took:?}");
        assert_eq!((counts.late, counts.outages), (1, 1), "{counts:?}");
        redis.signal("CONT");
        keyward_testkit::until("it is connected again", async || node.worker.is_connected()).await;
        assert_eq!(node.passed(hourly, 1).await, 1);
    })
    .await;
}

#[tokio::test]
async fn what_an_outage_used_up_is_told_by_whoever_knows_and_kept_though_it_refuses() {
    let mut redis = RedisServer::start().await;
    locally(async {
        let one = TestNode::join(&redis, 1).await;
        let other = TestNode::join(&redis, 2).await;
        let rules = [
            quota(10, Period::Month),
            rate(10, Duration::from_secs(3_600), 10),
        ];
        for rule in rules {
            assert_eq!(one.passed(rule, 2).await, 2);
            assert_eq!(other.passed(rule, 2).await, 2);
        }
        redis.kill();
        for rule in rules {
            assert_eq!(other.passed(rule, 12).await, 6, "{rule}");
        }
        keyward_testkit::until("the first one notices it", async || {
            !one.worker.is_connected()
        })
        .await;
        redis.bring_back().await;
        until_connected(&[&one, &other]).await;
        let third = TestNode::join(&redis, 3).await;
        for rule in rules {
            // The server, which forgot them, hears it from the node that knows, and refuses all others.
            assert_eq!(other.passed(rule, 1).await, 0, "{rule}");
            assert_eq!(one.passed(rule, 10).await, 0, "{rule}");
            assert_eq!(third.passed(rule, 10).await, 0, "{rule}");
        }
        // It has heard of the quota: nobody asks again.
        let before = other.state.counts();
        assert_eq!(other.passed(rules[0], 5).await, 0);
        let after = other.state.counts();
        assert_eq!(after.answered, before.answered);
        assert_eq!(after.known_refusals, before.known_refusals + 5);
    })
    .await;
}

#[tokio::test]
async fn a_question_without_an_answer_counts_once_at_most() {
    let redis = RedisServer::start().await;
    locally(async {
        let node = TestNode::join(&redis, 1).await;
        let monthly = quota(100, Period::Month);
        assert_eq!(node.passed(monthly, 3).await, 3);
        let name = name(&redis, "month");
        redis.signal("STOP");
        // The first waits in vain, and those behind it are not sent at all.
        assert_eq!(node.passed(monthly, 5).await, 5);
        redis.signal("CONT");
        keyward_testkit::until("the late question is counted", async || {
            redis.command(&format!("GET {name}")).contains(":4")
        })
        .await;
        until_connected(&[&node]).await;
        let SharedAdmission::Allowed { left, .. } = node.take(monthly, OnOutage::Refuse).await
        else {
            panic!("nine of a hundred");
        };
        assert_eq!(left[0].0, 100 - 9);
    })
    .await;
}

#[tokio::test]
async fn a_question_over_a_lost_connection_does_not_take_the_next_one_down() {
    let mut redis = RedisServer::start().await;
    locally(async {
        let node = TestNode::join(&redis, 1).await;
        redis.kill();
        // No call is needed to notice it.
        keyward_testkit::until("it is noticed", async || !node.worker.is_connected()).await;
        assert_eq!(node.state.counts().outages, 1);
        redis.bring_back().await;
        until_connected(&[&node]).await;
        node.worker
            .lost(0, "an answer over the first connection is late");
        assert!(node.worker.is_connected());
        node.worker.lost(1, "an answer over this one is late");
        assert!(!node.worker.is_connected());
        assert_eq!(node.state.counts().outages, 2);
    })
    .await;
}

#[tokio::test]
async fn a_remembered_refusal_says_when_a_call_can_pass() {
    let redis = RedisServer::start().await;
    locally(async {
        let node = TestNode::join(&redis, 1).await;
        let hourly = rate(2, Duration::from_secs(3_600), 2);
        assert_eq!(node.passed(hourly, 2).await, 2);
        for _ in 0..3 {
            let refused = node.take(hourly, OnOutage::Refuse).await;
            let SharedAdmission::Refused {
                retry_after, reset, ..
            } = refused
            else {
                panic!("{refused:?}");
            };
            assert!(
                (1_700..=1_801).contains(&retry_after.as_secs()),
                "{retry_after:?}"
            );
            assert!((3_500..=3_601).contains(&reset.as_secs()), "{reset:?}");
        }
        assert!(node.state.counts().known_refusals > 0);
    })
    .await;
}

#[tokio::test]
async fn slots_are_given_back_when_that_was_answered_and_where_there_is_one() {
    let redis = RedisServer::start().await;
    locally(async {
        let one = TestNode::join(&redis, 1).await;
        let other = TestNode::join(&redis, 2).await;
        let single = calls(1);
        let SharedAdmission::Allowed { slots, .. } = one.take(single, OnOutage::Refuse).await
        else {
            panic!("refused at first");
        };
        assert_eq!(one.state.counts().slots, 1);
        // Who was refused holds none, and has none to give back.
        assert_eq!(other.passed(single, 1).await, 0);
        assert!(!other.worker.slots.any_released());
        assert_eq!(other.state.counts().slots, 0);
        // One that can't be given back just now waits for that.
        redis.signal("STOP");
        drop(slots);
        one.cell(single, one.now()).end();
        keyward_testkit::until("it is noticed", async || !one.worker.is_connected()).await;
        assert!(one.worker.slots.any_released());
        redis.signal("CONT");
        keyward_testkit::until("it is given back", async || {
            !one.worker.slots.any_released()
        })
        .await;
        assert_eq!(one.state.counts().slots, 0);
    })
    .await;
}

#[tokio::test]
async fn a_caller_of_one_call_at_a_time_is_never_refused_for_its_last_one() {
    let redis = RedisServer::start().await;
    locally(async {
        let node = TestNode::join(&redis, 1).await;
        let single = calls(1);
        for call in 0..200 {
            let admission = node.take(single, OnOutage::Refuse).await;
            assert!(
                matches!(admission, SharedAdmission::Allowed { .. }),
                "call {call}: {admission:?}"
            );
            node.cell(single, node.now()).end();
        }
    })
    .await;
}

#[tokio::test]
async fn a_slot_that_nobody_renews_is_free_after_its_time() {
    let redis = RedisServer::start().await;
    let client = Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let begin = 1_772_300_000_000_000_i64;
    for (seconds, granted) in [(0, true), (29, false), (31, true), (60, false), (62, true)] {
        let ask = Ask::Calls {
            calls: number(1),
            kept_for: SLOT_LASTS,
            slot: format!("{seconds}").into(),
        };
        let answer = Query::new(
            Some(begin + seconds * 1_000_000),
            [("slots", &ask)].into_iter(),
        )
        .ask(&mut connection)
        .await
        .unwrap();
        assert_eq!(matches!(answer, Answer::Granted(_)), granted, "{seconds} s");
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_waits_for_the_end_of_the_window_that_counts() {
    let redis = RedisServer::start().await;
    let client = Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for (period, ends) in [
        (Period::Minute, "2026-12-31T23:58:00.000000Z"),
        (Period::Hour, "2027-01-01T00:00:00.000000Z"),
        (Period::Day, "2027-01-01T00:00:00.000000Z"),
        (Period::Week, "2027-01-04T00:00:00.000000Z"),
        (Period::Month, "2027-01-01T00:00:00.000000Z"),
    ] {
        let (rule, cell) = (quota(1, period), Cell::idle());
        let Rule::Quota(window) = rule else {
            panic!("`quota` makes quotas")
        };
        // 2026-12-31T23:57:04, and fifty days before.
        let late = 1_798_761_424_000_000_i64;
        let early = late - 50 * 86_400 * 1_000_000;
        let mut waits = Vec::new();
        for micros in [late, early] {
            let now = Now {
                moment: Moment::default(),
                civil: Timestamp::from_micros(micros),
            };
            let ask = Ask::Quota {
                quota: window,
                owed: Used::default(),
                known: Used::default(),
            };
            let answer = Query::new(Some(micros), [(period.as_str(), &ask)].into_iter())
                .ask(&mut connection)
                .await
                .unwrap();
            match (cell.take(&rule, now).unwrap(), answer) {
                (Decision::Allowed { reset, .. }, Answer::Granted(granted)) => {
                    assert_eq!(reset, granted[0].reset);
                }
                (
                    Decision::Refused { retry_after, .. },
                    Answer::Refused {
                        retry_after: shared,
                        ..
                    },
                ) => waits.push((now.civil.plus(retry_after), now.civil.plus(shared))),
                other => panic!("{other:?}"),
            }
        }
        let waits: Vec<_> = waits
            .iter()
            .map(|(here, shared)| (here.to_string(), shared.to_string()))
            .collect();
        assert_eq!(waits, [(ends.to_owned(), ends.to_owned())], "{period:?}");
    }
}
