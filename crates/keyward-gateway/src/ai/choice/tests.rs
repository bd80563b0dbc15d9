//! Orders of models whose targets are in a known state.

use super::super::facts::Needs;
use super::*;
use crate::metrics::ModelMetrics;
use crate::upstream::hash_of;
use keyward_llm::Target;
use keyward_model::resource::provider::ProviderEjection;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

fn target(name: &str) -> AiTarget {
    AiTarget {
        context: None,
        provider: 0,
        asked: Target {
            model: name.to_owned(),
            ..Target::default()
        },
        price: None,
        price_revision: 0,
        lacks: Needs::default(),
        reasons: false,
        mode: None,
        hash: hash_of(name.as_bytes()),
        state: Arc::default(),
        of_provider: Arc::default(),
        metrics: Arc::new(ModelMetrics::new(1)),
        ejection: Some(ProviderEjection::default()),
    }
}

fn member(place: usize, weight: u32) -> Member {
    Member {
        weight: NonZeroU32::new(weight).unwrap(),
        when: TargetCondition::default(),
        to: To::Target(place),
    }
}

/// A model of so many targets, all chosen from, with these weights.
fn model(choose: ModelChoice, weights: &[u32]) -> ModelPlan {
    let members = weights.iter().enumerate();
    ModelPlan {
        budgets: Box::default(),
        has_key_budgets: false,
        guard: None,
        cache: None,
        name: "fast".into(),
        targets: (0..weights.len())
            .map(|place| target(&format!("m{place}")))
            .collect(),
        root: Group {
            choose,
            chosen: weights.len(),
            members: members
                .map(|(place, weight)| member(place, *weight))
                .collect(),
        },
        looks_for: Needs::default(),
        sticky: Box::default(),
        hedge: None,
        attempts: 4,
        scopes: BTreeSet::new(),
        access: Box::default(),
    }
}

const NOW: Moment = Moment::from_nanos(1_000_000_000_000);

fn order_at(model: &ModelPlan, now: Moment, turn: u32, key: Option<u64>) -> Vec<usize> {
    let look = Look {
        now,
        turn,
        streamed: true,
        fits: &|when| when.min_input_tokens < 100,
        key: &|_| key,
        cost: &|target| match target.asked.model.as_str() {
            "m0" => Some(30),
            "m1" => Some(10),
            "m2" => None,
            _ => Some(20),
        },
        lacks: &|target| !target.lacks.is_empty(),
    };
    model.order(&look).into_vec()
}

fn order(model: &ModelPlan, turn: u32) -> Vec<usize> {
    order_at(model, NOW, turn, None)
}

/// How often each target comes first, of a thousand calls.
fn firsts(model: &ModelPlan) -> Vec<u32> {
    let mut counts = vec![0; model.targets.len()];
    for turn in 0..1_000 {
        counts[order(model, turn)[0]] += 1;
    }
    counts
}

#[test]
fn the_first_comes_by_weight_and_all_others_follow() {
    let model = model(ModelChoice::Weighted, &[3, 1]);
    let counts = firsts(&model);
    assert!((740..=760).contains(&counts[0]), "{counts:?}");
    for turn in 0..10 {
        let mut all = order(&model, turn);
        all.sort_unstable();
        assert_eq!(all, [0, 1]);
    }
}

#[test]
fn the_soonest_is_asked_and_those_of_which_nothing_is_known_are_tried() {
    let model = model(ModelChoice::Latency, &[1, 1, 1]);
    let took = |place: usize, ms| {
        let state = &model.targets[place].state;
        state.first_token.took(Duration::from_millis(ms), NOW);
    };
    took(0, 300);
    took(1, 100);
    assert_eq!(order(&model, 7), [2, 1, 0], "nothing is known of the third");
    // While a call tries it, others wait for what it finds out.
    model.targets[2].state.in_flight.store(1, Ordering::Relaxed);
    assert_eq!(order(&model, 7), [1, 0, 2]);
    model.targets[2].state.in_flight.store(0, Ordering::Relaxed);
    took(2, 200);
    assert_eq!(order(&model, 7), [1, 2, 0]);
    // Calls that wait there count.
    model.targets[1].state.in_flight.store(2, Ordering::Relaxed);
    assert_eq!(order(&model, 7), [2, 0, 1]);
    // What was slow is tried again when that is long ago.
    let later = NOW.plus(Duration::from_secs(200));
    let state = &model.targets[1].state;
    state.in_flight.store(0, Ordering::Relaxed);
    state.first_token.took(Duration::from_millis(100), later);
    model.targets[2]
        .state
        .first_token
        .took(Duration::from_millis(200), later);
    assert_eq!(order_at(&model, later, 7, None)[0], 0);
}

#[test]
fn of_two_the_one_with_fewer_calls_is_asked() {
    let model = model(ModelChoice::Busy, &[1, 1]);
    model.targets[0].state.in_flight.store(5, Ordering::Relaxed);
    assert_eq!(firsts(&model), [0, 1_000]);
    model.targets[1].state.in_flight.store(5, Ordering::Relaxed);
    let counts = firsts(&model);
    assert!((400..=600).contains(&counts[0]), "{counts:?}");
}

#[test]
fn the_cheapest_is_asked_first_and_what_has_no_price_last() {
    let model = model(ModelChoice::Cost, &[1, 1, 1, 1]);
    for turn in 0..20 {
        assert_eq!(order(&model, turn), [1, 3, 0, 2]);
    }
}

#[test]
fn what_is_alike_goes_to_the_same_target_whatever_becomes_of_others() {
    let three = model(ModelChoice::Sticky(Sticky::User), &[1, 1, 1]);
    let two = model(ModelChoice::Sticky(Sticky::User), &[1, 1]);
    let mut counts = [0; 3];
    for user in 0..1_000_u64 {
        let key = Some(hash_of(&user.to_le_bytes()));
        let first = order_at(&three, NOW, 1, key)[0];
        assert_eq!(order_at(&three, NOW, 2, key)[0], first);
        counts[first] += 1;
        if first < 2 {
            assert_eq!(order_at(&two, NOW, 3, key)[0], first);
        }
    }
    assert!(counts.iter().all(|count| *count > 250), "{counts:?}");
    // Who is not known is asked for by weight.
    let counts = firsts(&two);
    assert!((400..=600).contains(&counts[0]), "{counts:?}");
}

#[test]
fn conditions_leave_targets_out_and_fallbacks_come_in_their_order() {
    let mut model = model(ModelChoice::Weighted, &[1, 1, 1, 1]);
    model.root.chosen = 2;
    model.root.members[1].when.min_input_tokens = 1_000;
    for turn in 0..20 {
        assert_eq!(order(&model, turn), [0, 2, 3]);
    }
    model.root.members[0].when.min_input_tokens = 1_000;
    model.root.members[2].when.min_input_tokens = 1_000;
    model.root.members[3].when.min_input_tokens = 1_000;
    assert!(order(&model, 1).is_empty());
}

#[test]
fn what_fails_comes_after_the_others_and_what_can_not_last_of_all() {
    let mut model = model(ModelChoice::Weighted, &[1, 1, 1]);
    model.root.chosen = 1;
    let policy = ProviderEjection::default();
    for _ in 0..policy.failures.get() {
        model.targets[0].state.outage.failed(NOW, &policy);
    }
    assert_eq!(order(&model, 1), [1, 2, 0]);
    model.targets[1].lacks = Needs::of([keyward_model::resource::AskedAbility::Vision]);
    assert_eq!(order(&model, 1), [2, 0, 1]);
    // Its time is over: one call tries it, and the others go elsewhere until that is known.
    let later = NOW.plus(policy.time);
    assert_eq!(order_at(&model, later, 1, None), [0, 2, 1]);
    assert_eq!(order_at(&model, later, 1, None), [2, 0, 1]);
    model.targets[0].state.outage.succeeded(later);
    assert_eq!(order_at(&model, later, 1, None), [0, 2, 1]);
    // A provider that can't be reached takes all its models along.
    for _ in 0..policy.failures.get() {
        model.targets[2].of_provider.outage.failed(later, &policy);
    }
    assert_eq!(order_at(&model, later, 1, None), [0, 2, 1]);
    model.targets[1].lacks = Needs::default();
    assert_eq!(order_at(&model, later, 1, None), [0, 1, 2]);
}

#[test]
fn a_named_model_s_targets_stand_in_its_place_and_none_comes_twice() {
    let mut outer = model(ModelChoice::Weighted, &[1, 1, 1]);
    let inner = Group {
        choose: ModelChoice::Cost,
        members: Box::new([member(0, 1), member(1, 1), member(2, 1)]),
        chosen: 2,
    };
    outer.root.members = Box::new([
        Member {
            to: To::Group(Box::new(inner)),
            ..member(0, 1)
        },
        member(0, 1),
    ]);
    outer.root.chosen = 1;
    assert_eq!(order(&outer, 1), [1, 0, 2]);
}
