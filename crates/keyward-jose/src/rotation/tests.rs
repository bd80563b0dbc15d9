use super::{KeyState, Rotation, RotationEntry, RotationPolicy};
use crate::NumericDate;
use proptest::prelude::*;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const START: NumericDate = NumericDate(1_700_000_000);

fn policy() -> RotationPolicy {
    RotationPolicy::new(HOUR, 30 * DAY, DAY).unwrap()
}

fn state(rotation: &Rotation<u32>, id: u32, now: NumericDate) -> KeyState {
    let entry = rotation.entries().iter().find(|entry| entry.id == id);
    entry.unwrap().state(now)
}

/// Keys 1 (active since `START`) and 2 (waiting, ready from an hour later).
fn two_keys() -> Rotation<u32> {
    let mut rotation = Rotation::new(policy());
    rotation.publish(1, START).unwrap();
    rotation.publish(2, START).unwrap();
    rotation
}

#[test]
fn first_key_of_a_new_set_signs_at_once() {
    let mut rotation = Rotation::new(policy());
    assert_eq!(rotation.signing_key(START), None);
    assert!(rotation.wants_key());
    rotation.publish(1, START).unwrap();
    assert_eq!(rotation.signing_key(START), Some(&1));
    assert!(rotation.wants_key());
}

#[test]
fn keys_go_through_their_states_in_time() {
    let mut rotation = two_keys();
    assert!(!rotation.wants_key());
    let change = START.plus(30 * DAY);
    assert_eq!(rotation.next_change(START), Some(change));
    assert!(!rotation.advance(change.minus(1)));
    assert_eq!(rotation.signing_key(change.minus(1)), Some(&1));
    assert!(rotation.advance(change));
    assert_eq!(rotation.signing_key(change), Some(&2));
    assert_eq!(state(&rotation, 1, change), KeyState::Retiring);
    assert_eq!(state(&rotation, 2, change), KeyState::Active);
    assert_eq!(rotation.published(change).collect::<Vec<_>>(), [&1, &2]);
    assert!(rotation.wants_key());
    let over = change.plus(DAY);
    assert_eq!(rotation.next_change(change), Some(over));
    assert_eq!(state(&rotation, 1, over.minus(1)), KeyState::Retiring);
    assert_eq!(state(&rotation, 1, over), KeyState::Retired);
    assert_eq!(rotation.published(over).collect::<Vec<_>>(), [&2]);
    assert_eq!(rotation.forget_retired(over), [1]);
    assert_eq!(rotation.forget_retired(over), [0; 0]);
}

#[test]
fn key_does_not_sign_before_the_caches_know_it() {
    let mut rotation = Rotation::new(policy());
    rotation.publish(1, START).unwrap();
    let late = START.plus(30 * DAY).minus(10);
    rotation.publish(2, late).unwrap();
    for seconds in [0, 10, HOUR - 1] {
        rotation.advance(late.plus(seconds));
        assert_eq!(rotation.signing_key(late.plus(seconds)), Some(&1));
    }
    rotation.advance(late.plus(HOUR));
    assert_eq!(rotation.signing_key(late.plus(HOUR)), Some(&2));
    // A clock that goes back.
    assert_eq!(rotation.signing_key(late), None);
}

#[test]
fn withdrawn_key_is_replaced_at_once_by_one_that_is_ready() {
    let mut rotation = two_keys();
    let now = START.plus(2 * HOUR);
    rotation.withdraw(&1, now).unwrap();
    assert_eq!(rotation.signing_key(now), Some(&2));
    assert_eq!(rotation.published(now).collect::<Vec<_>>(), [&2]);
    assert_eq!(state(&rotation, 1, now), KeyState::Withdrawn);
    assert!(rotation.withdraw(&1, now).is_err());
    assert!(rotation.withdraw(&7, now).is_err());
    assert!(rotation.publish(1, now).is_err());
}

#[test]
fn a_key_is_activated_when_it_is_ready_and_not_before() {
    let mut rotation = two_keys();
    let early = rotation.activate(&2, START.plus(60)).unwrap_err();
    assert!(early.to_string().contains("3540 s"), "{early}");
    let now = START.plus(HOUR);
    for id in [1, 7] {
        assert!(rotation.activate(&id, now).is_err(), "{id}");
    }
    rotation.activate(&2, now).unwrap();
    assert_eq!(rotation.signing_key(now), Some(&2));
    assert_eq!(state(&rotation, 1, now), KeyState::Retiring);
    assert_eq!(rotation.entries()[0].retired_at, Some(now.plus(DAY)));
    // It signs for its whole time from now on.
    rotation.publish(3, now).unwrap();
    assert!(!rotation.advance(START.plus(30 * DAY)));
    assert!(rotation.advance(now.plus(30 * DAY)));
}

#[test]
fn the_active_key_retires_once_another_is_ready() {
    let mut rotation = two_keys();
    for (id, at) in [(1, START.plus(60)), (2, START.plus(HOUR)), (7, START)] {
        assert!(rotation.retire(&id, at).is_err(), "{id}");
    }
    rotation.retire(&1, START.plus(HOUR)).unwrap();
    assert_eq!(rotation.signing_key(START.plus(HOUR)), Some(&2));
    assert!(rotation.retire(&2, START.plus(HOUR)).is_err());
}

#[test]
fn what_winds_down_signs_no_more_and_its_tokens_stay_good() {
    let mut rotation = two_keys();
    let now = START.plus(2 * HOUR);
    assert!(rotation.wind_down(now));
    assert_eq!(rotation.signing_key(now), None);
    assert_eq!(rotation.published(now).collect::<Vec<_>>(), [&1]);
    assert_eq!(state(&rotation, 1, now.plus(DAY)), KeyState::Retired);
    assert_eq!(state(&rotation, 2, now), KeyState::Withdrawn);
    let restored = Rotation::restore(policy(), rotation.entries().to_vec()).unwrap();
    assert_eq!(restored, rotation);
    assert!(!rotation.wind_down(now));
    // One that comes afterwards waits as any.
    rotation.publish(3, now).unwrap();
    assert_eq!(rotation.signing_key(now), None);
    assert_eq!(rotation.signing_key(now.plus(HOUR)), None);
    rotation.advance(now.plus(HOUR));
    assert_eq!(rotation.signing_key(now.plus(HOUR)), Some(&3));
}

#[test]
fn nothing_signs_after_a_withdrawal_until_a_key_is_ready() {
    let mut rotation = two_keys();
    let now = START.plus(60);
    rotation.withdraw(&1, now).unwrap();
    assert_eq!(rotation.signing_key(now), None);
    assert_eq!(rotation.next_change(now), Some(START.plus(HOUR)));
    rotation.advance(START.plus(HOUR));
    assert_eq!(rotation.signing_key(START.plus(HOUR)), Some(&2));
}

#[test]
fn set_whose_keys_were_all_withdrawn_is_not_new() {
    let mut rotation = Rotation::new(policy());
    rotation.publish(1, START).unwrap();
    rotation.withdraw(&1, START.plus(DAY)).unwrap();
    let later = START.plus(90 * DAY);
    assert_eq!(rotation.forget_retired(later), [0; 0]);
    rotation.publish(2, later).unwrap();
    assert_eq!(rotation.signing_key(later), None);
    rotation.advance(later.plus(HOUR));
    assert_eq!(rotation.signing_key(later.plus(HOUR)), Some(&2));
}

#[test]
fn impossible_sets_are_not_restored() {
    let good = two_keys().entries().to_vec();
    assert_eq!(Rotation::restore(policy(), good.clone()), Ok(two_keys()));
    let check = |change: fn(&mut [RotationEntry<u32>])| {
        let mut entries = good.clone();
        change(&mut entries);
        let error = Rotation::restore(policy(), entries).unwrap_err();
        assert_eq!(error.code(), "rotation");
    };
    check(|entries| entries[1].id = 1);
    check(|entries| entries[1].activated_at = Some(START.plus(DAY)));
    check(|entries| entries[1].activated_at = Some(START));
    check(|entries| entries[1].retiring_at = Some(START.plus(DAY)));
    check(|entries| entries[0].retiring_at = Some(START.plus(DAY)));
    check(|entries| entries[1].withdrawn_at = Some(START.minus(1)));
    check(|entries| {
        entries[0].activated_at = Some(START.plus(DAY));
        entries[0].withdrawn_at = Some(START.plus(DAY - 1));
    });
    check(|entries| {
        entries[0].retiring_at = Some(START.plus(DAY));
        entries[0].retired_at = Some(START.plus(2 * DAY));
        entries[0].withdrawn_at = Some(START.plus(DAY - 1));
    });
}

#[test]
fn withdrawal_with_a_clock_that_went_back_can_be_restored() {
    let mut rotation = two_keys();
    rotation.withdraw(&1, START.minus(DAY)).unwrap();
    assert_eq!(state(&rotation, 1, START), KeyState::Withdrawn);
    let entries = rotation.entries().to_vec();
    assert_eq!(Rotation::restore(policy(), entries), Ok(rotation));
}

#[test]
fn first_key_that_joins_a_published_set_waits_until_the_caches_know_it() {
    for mut rotation in [
        Rotation::joining(policy()),
        Rotation::restore(policy(), Vec::new()).unwrap(),
    ] {
        rotation.publish(1, START).unwrap();
        assert_eq!(rotation.signing_key(START), None);
        assert_eq!(rotation.published(START).collect::<Vec<_>>(), [&1]);
        rotation.advance(START.plus(HOUR - 1));
        assert_eq!(rotation.signing_key(START.plus(HOUR - 1)), None);
        rotation.advance(START.plus(HOUR));
        assert_eq!(rotation.signing_key(START.plus(HOUR)), Some(&1));
    }
}

#[test]
fn key_outlives_the_longest_token_that_it_signed_under_any_policy() {
    let shorter = RotationPolicy::new(HOUR, 30 * DAY, 60).unwrap();
    let longer = RotationPolicy::new(HOUR, 30 * DAY, 7 * DAY).unwrap();
    let change = START.plus(30 * DAY);
    let check = |policies: &[RotationPolicy], life: u64| {
        let mut rotation = two_keys();
        for policy in policies {
            rotation = Rotation::restore(*policy, rotation.entries().to_vec()).unwrap();
        }
        let mut withdrawn = rotation.clone();
        rotation.advance(change);
        let over = change.plus(life);
        assert_eq!(rotation.entries()[0].retired_at, Some(over));
        assert_eq!(state(&rotation, 1, over.minus(1)), KeyState::Retiring);
        withdrawn.withdraw(&1, START.plus(HOUR)).unwrap();
        let over = START.plus(HOUR).plus(life);
        assert_eq!(withdrawn.forget_retired(over.minus(1)), [0; 0]);
        assert_eq!(withdrawn.forget_retired(over), [1]);
    };
    check(&[], DAY);
    check(&[shorter], DAY);
    check(&[longer], 7 * DAY);
    check(&[longer, shorter], 7 * DAY);
}

#[test]
fn policy_that_leaves_no_time_to_get_known_is_refused() {
    assert!(RotationPolicy::new(HOUR, HOUR - 1, 0).is_err());
    assert!(RotationPolicy::new(0, 0, 0).is_err());
    assert!(RotationPolicy::new(HOUR, HOUR, 0).is_ok());
}

/// A verifier that keeps its copy of the set for as long as it may.
struct Cache {
    fetched_at: NumericDate,
    keys: Vec<u32>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A year with a caller who comes at odd times, two verifiers that cache, tokens of all lives, and now
    /// and then a withdrawal: no verifier meets a key that it does not know, but for a withdrawn one.
    #[test]
    fn caching_verifier_never_meets_an_unknown_key(
        max_age in 60_u64..2 * DAY,
        active_days in 3_u64..60,
        token_life in 60_u64..3 * DAY,
        steps in prop::collection::vec((1_u64..2 * DAY, any::<u8>()), 400),
    ) {
        let policy = RotationPolicy::new(max_age, active_days * DAY, token_life).unwrap();
        let mut rotation = Rotation::new(policy);
        let mut next_id = 0;
        let mut now = START;
        let mut withdrawn = Vec::new();
        let mut tokens: Vec<(u32, NumericDate)> = Vec::new();
        let mut caches: Vec<Cache> = Vec::new();
        for (pause, dice) in steps {
            if now > START.plus(365 * DAY) {
                break;
            }
            rotation.advance(now);
            while rotation.wants_key() {
                next_id += 1;
                rotation.publish(next_id, now).unwrap();
            }
            if dice < 4 && let Some(active) = rotation.signing_key(now).copied() {
                rotation.withdraw(&active, now).unwrap();
                withdrawn.push(active);
            }
            if dice > 200 {
                for id in rotation.forget_retired(now) {
                    prop_assert!(!tokens.iter().any(|(key, until)| *key == id && *until > now));
                }
            }
            let published: Vec<u32> = rotation.published(now).copied().collect();
            if caches.is_empty() {
                caches.extend([0, 1].map(|_| Cache { fetched_at: now, keys: published.clone() }));
            }
            if let Some(key) = rotation.signing_key(now).copied() {
                let entry = rotation.entries().iter().find(|entry| entry.id == key).unwrap();
                let known_for = now.seconds_since(entry.published_at).unsigned_abs();
                prop_assert!(key == 1 || known_for >= max_age);
                tokens.push((key, now.plus(token_life)));
            } else {
                prop_assert!(!withdrawn.is_empty());
            }
            tokens.retain(|(_, until)| *until > now);
            for (at, cache) in caches.iter_mut().enumerate() {
                // One of them fetches only when it must, the other also when it feels like it.
                let age = now.seconds_since(cache.fetched_at).unsigned_abs();
                if age >= max_age || (at == 1 && dice % 3 == 0) {
                    *cache = Cache { fetched_at: now, keys: published.clone() };
                }
                for (key, _) in &tokens {
                    prop_assert!(cache.keys.contains(key) || withdrawn.contains(key));
                }
            }
            now = now.plus(pause.min(max_age * 3));
        }
        // Two are published at the start; each key that takes over makes room for another.
        prop_assert!(next_id > 2 || now < START.plus((active_days + 5) * DAY));
    }
}
