use super::*;
use crate::upstream::UpstreamGuard;
use crate::upstream::state::UpstreamState;
use keyward_model::resource::raw::{Node, Problems, read_resource};
use keyward_model::resource::upstream::{Ejection, HealthCheck, HealthProbe};
use keyward_model::resource::{Resource, Spec};
use keyward_model::{Clock, Origin, SystemClock};
use serde_json::{Value as Json, json};
use std::num::NonZeroU32;
use std::sync::Arc;

const NOW: Moment = Moment::from_nanos(1_000_000_000_000);

fn plan(targets: &[(&str, u32)], rest: &Json) -> Arc<UpstreamPlan> {
    let targets: Vec<_> = targets
        .iter()
        .map(|(host, weight)| json!({ "url": format!("http://{host}"), "weight": weight }))
        .collect();
    let mut json = json!({ "kind": "upstream", "name": "u", "targets": targets });
    let members = json.as_object_mut().unwrap();
    members.extend(rest.as_object().unwrap().clone());
    let mut problems = Problems::new();
    let read = read_resource(Node::from_json(&json), Origin::File, &mut problems);
    let resource: Resource = read.unwrap_or_else(|| panic!("{problems:?}")).resource;
    let Spec::Upstream(declared) = &resource.spec else {
        panic!("no upstream")
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let guard = Arc::new(UpstreamGuard::default());
    let mut state = UpstreamState::default();
    UpstreamPlan::new(&resource, declared, &mut state, &guard, &clock, None).unwrap()
}

fn at(turn: u32, key: Option<u64>) -> Circumstances {
    Circumstances {
        now: NOW,
        turn,
        key,
    }
}

/// How many of so many calls each target gets.
fn shares(plan: &UpstreamPlan, calls: u32) -> Vec<u32> {
    let mut shares = vec![0; plan.targets.len()];
    for turn in 0..calls {
        if let Some(target) = plan.choose(&Tried::default(), &at(turn, None)) {
            shares[target] += 1;
        }
    }
    shares
}

fn state(plan: &UpstreamPlan, target: usize) -> &Arc<crate::upstream::state::TargetState> {
    plan.state(target).unwrap()
}

fn eject(plan: &UpstreamPlan, target: usize) {
    let policy = Ejection {
        failures: NonZeroU32::MIN,
        ..Ejection::default()
    };
    assert!(state(plan, target).ejection.failed(NOW, &policy));
}

fn make_ill(plan: &UpstreamPlan, target: usize) {
    let check = HealthCheck {
        probe: HealthProbe::Tcp,
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        healthy: NonZeroU32::MIN,
        unhealthy: NonZeroU32::MIN,
    };
    assert!(state(plan, target).health.answered(false, NOW, &check));
}

#[track_caller]
fn check_shares(found: &[u32], expected: &[u32]) {
    let near = found
        .iter()
        .zip(expected)
        .all(|(found, expected)| found.abs_diff(*expected) <= 2);
    assert!(near, "{found:?}, not {expected:?}");
}

#[test]
fn round_robin_gives_each_its_share() {
    check_shares(&shares(&plan(&[("a", 1)], &json!({})), 10), &[10]);
    let two = plan(&[("a", 3), ("b", 1)], &json!({}));
    check_shares(&shares(&two, 400), &[300, 100]);
    let four = plan(&[("a", 1), ("b", 1), ("c", 1), ("d", 5)], &json!({}));
    check_shares(&shares(&four, 800), &[100, 100, 100, 500]);
}

#[test]
fn targets_that_are_out_leave_their_share_to_the_others() {
    let plan = plan(&[("a", 1), ("b", 1), ("c", 2), ("d", 1)], &json!({}));
    eject(&plan, 0);
    check_shares(&shares(&plan, 400), &[0, 100, 200, 100]);
    make_ill(&plan, 1);
    check_shares(&shares(&plan, 300), &[0, 0, 200, 100]);
}

#[test]
fn when_too_many_are_out_all_are_used_but_another_attempt_goes_to_one_that_is_well() {
    let plan = plan(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)], &json!({}));
    for target in 0..3 {
        eject(&plan, target);
    }
    check_shares(&shares(&plan, 400), &[100, 100, 100, 100]);
    let mut tried = Tried::default();
    tried.add(1);
    for turn in 0..100 {
        assert_eq!(plan.choose(&tried, &at(turn, None)), Some(3));
    }
    tried.add(3);
    let left = plan.choose(&tried, &at(0, None)).unwrap();
    assert!(left == 0 || left == 2);
    tried.add(0);
    tried.add(2);
    assert_eq!(plan.choose(&tried, &at(0, None)), None);
}

#[test]
fn a_target_is_asked_again_only_where_retries_are_written_of() {
    let mut tried = Tried::default();
    tried.add(0);
    let silent = plan(&[("a", 1)], &json!({}));
    assert_eq!(silent.choose(&tried, &at(0, None)), None);
    let written = json!({ "retries": { "attempts": 2 } });
    assert_eq!(
        plan(&[("a", 1)], &written).choose(&tried, &at(0, None)),
        Some(0)
    );
    let two = plan(&[("a", 1), ("b", 1)], &written);
    assert_eq!(two.choose(&tried, &at(0, None)), Some(1));
    tried.add(1);
    assert!(two.choose(&tried, &at(0, None)).is_some());
}

#[test]
fn of_two_the_one_with_fewer_calls_is_taken() {
    let plan = plan(
        &[("a", 1), ("b", 1), ("c", 1)],
        &json!({ "balance": "least_requests" }),
    );
    for _ in 0..10 {
        state(&plan, 0).call_begins();
    }
    let found = shares(&plan, 300);
    // The busy one is never the better of two.
    assert_eq!(found[0], 0, "{found:?}");
    assert!(found[1] > 100 && found[2] > 100, "{found:?}");
}

#[test]
fn of_two_the_one_that_answers_sooner_is_taken() {
    let plan = plan(&[("a", 1), ("b", 1)], &json!({ "balance": "latency" }));
    state(&plan, 0).latency.took(Duration::from_millis(50), NOW);
    state(&plan, 1).latency.took(Duration::from_millis(10), NOW);
    assert_eq!(shares(&plan, 100), [0, 100]);
    for _ in 0..9 {
        state(&plan, 1).call_begins();
    }
    assert_eq!(shares(&plan, 100), [100, 0]);
}

#[test]
fn keys_keep_their_target_when_another_one_is_out() {
    let hash = json!({ "balance": { "consistent_hash": { "header": "x-tenant" } } });
    let plan = plan(&[("a", 1), ("b", 1), ("c", 2)], &hash);
    let place = |key: u64| {
        let key = Some(crate::upstream::hash_of(&key.to_be_bytes()));
        let places: Vec<_> = (0..3)
            .map(|turn| plan.choose(&Tried::default(), &at(turn, key)).unwrap())
            .collect();
        assert!(places.iter().all(|place| *place == places[0]));
        places[0]
    };
    let before: Vec<_> = (0..4000).map(place).collect();
    for (target, expected) in [1000, 1000, 2000].into_iter().enumerate() {
        let share = before.iter().filter(|place| **place == target).count();
        assert!(share.abs_diff(expected) < 150, "{target}: {share}");
    }
    eject(&plan, 0);
    for (key, before) in before.iter().enumerate() {
        let now = place(key as u64);
        assert!(if *before == 0 {
            now != 0
        } else {
            now == *before
        });
    }
    // Without a key they are spread.
    assert!(shares(&plan, 90).iter().skip(1).all(|share| *share > 20));
}

#[test]
fn a_target_that_comes_back_gets_its_share_step_by_step() {
    let plan = plan(&[("a", 1), ("b", 1)], &json!({ "slow_start": "100s" }));
    eject(&plan, 0);
    let back = state(&plan, 0).ejection.until();
    for (seconds, expected) in [(0, 50), (10, 50), (50, 166), (90, 236), (100, 250)] {
        let now = back.plus(Duration::from_secs(seconds));
        let mut share = 0;
        for turn in 0..500 {
            let circumstances = Circumstances {
                now,
                turn,
                key: None,
            };
            let chosen = plan.choose(&Tried::default(), &circumstances);
            share += usize::from(chosen == Some(0));
        }
        assert!(share.abs_diff(expected) < 10, "{seconds}: {share}");
    }
}

#[test]
fn a_target_with_an_open_breaker_is_never_called() {
    let breaker = json!({ "breaker": { "calls": 1, "percent": 1, "open": "5s" } });
    let plan = plan(&[("a", 1), ("b", 1)], &breaker);
    let policy = plan.declared.breaker.clone().unwrap();
    let open = |target: usize| {
        let state = state(&plan, target);
        let passage = state.breaker.enter(NOW).unwrap();
        assert!(state.breaker.failed(passage, NOW, &policy));
    };
    open(0);
    check_shares(&shares(&plan, 100), &[0, 100]);
    assert_eq!(plan.spared_for(NOW), None);
    open(1);
    assert_eq!(shares(&plan, 100), [0, 0]);
    assert_eq!(plan.spared_for(NOW), Some(Duration::from_secs(5)));
}

#[test]
fn with_nobody_waiting_the_weights_decide() {
    let balance = json!({ "balance": "least_requests" });
    let plan = plan(&[("a", 3), ("b", 1)], &balance);
    check_shares(&shares(&plan, 400), &[300, 100]);
}
