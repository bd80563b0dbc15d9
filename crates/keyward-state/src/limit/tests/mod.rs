mod budgets;
mod properties;
mod shares;

use super::*;
use keyward_model::id::TeamId;
use keyward_model::limit::{Allowance, Period, Quota, RateLimit};
use keyward_model::{Moment, Timestamp};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// What was kept, as it comes back at the next start.
fn stored(kept: KeptQuota) -> KeptSpending {
    KeptSpending {
        digest: kept.digest,
        period: kept.period,
        window: kept.used.window,
        amount: kept.used.requests.into(),
    }
}

const SECOND: u64 = 1_000_000_000;

fn gcra(requests: u32, per: Duration, burst: u32) -> Rule {
    Rule::new(&Allowance::Rate(RateLimit {
        requests: NonZeroU32::new(requests).unwrap(),
        per,
        burst: NonZeroU32::new(burst).unwrap(),
    }))
}

/// So long after the clocks' start, which was on 2026-01-01.
fn at(nanos: u64) -> Now {
    Now {
        moment: Moment::from_nanos(nanos),
        civil: Timestamp::from_seconds(1_767_225_600).plus(Duration::from_nanos(nanos)),
    }
}

fn cell_of(
    limits: &LimitCells,
    rule: Rule,
    counted: &[Counted<'_>],
    now: Now,
) -> Result<Arc<Cell>, crate::Error> {
    let key = LimitKey {
        team: TeamId::DEFAULT,
        team_name: "default",
        limit: "api/v1/limit-1",
        rule,
        counted,
    };
    limits.cell(&key, now)
}

fn subject_cell(
    limits: &LimitCells,
    rule: Rule,
    subject: &str,
    now: Now,
) -> Result<Arc<Cell>, crate::Error> {
    cell_of(limits, rule, &[subject_of(subject)], now)
}

fn subject_of(subject: &str) -> Counted<'_> {
    Counted::Subject {
        issuer: "https://issuer.example",
        subject,
    }
}

fn limits(cells_max: usize) -> LimitCells {
    LimitCells::new(NonZeroUsize::new(cells_max).unwrap())
}

#[test]
fn a_burst_passes_at_once_and_then_one_each_interval() {
    let limit = gcra(10, Duration::from_secs(1), 3);
    let cell = Cell::idle();
    let mut remaining = Vec::new();
    for _ in 0..3 {
        match cell.take(&limit, at(SECOND)).unwrap() {
            Decision::Allowed {
                remaining: left, ..
            } => remaining.push(left),
            Decision::Refused { .. } => panic!("refused within the burst"),
        }
    }
    assert_eq!(remaining, [2, 1, 0]);
    let refused = |retry_ms, reset_ms| Decision::Refused {
        retry_after: Duration::from_millis(retry_ms),
        reset: Duration::from_millis(reset_ms),
    };
    assert_eq!(cell.take(&limit, at(SECOND)), Ok(refused(100, 300)));
    let later = SECOND + 60_000_000;
    assert_eq!(cell.take(&limit, at(later)), Ok(refused(40, 240)));
    assert!(
        cell.take(&limit, at(SECOND + 100_000_000))
            .unwrap()
            .is_allowed()
    );
    assert!(
        !cell
            .take(&limit, at(SECOND + 199_999_999))
            .unwrap()
            .is_allowed()
    );
    assert!(
        cell.take(&limit, at(SECOND + 200_000_000))
            .unwrap()
            .is_allowed()
    );
}

#[test]
fn the_ends_of_the_range_hold() {
    let slowest = gcra(1, Duration::MAX, u32::MAX);
    let fastest = gcra(u32::MAX, Duration::from_nanos(1), u32::MAX);
    for limit in [slowest, fastest] {
        for now in [0, 1, SECOND, u64::MAX] {
            let cell = Cell::idle();
            assert!(
                cell.take(&limit, at(now)).unwrap().is_allowed(),
                "{limit:?} at {now}"
            );
        }
    }
    let cell = Cell::idle();
    assert!(cell.take(&slowest, at(u64::MAX)).unwrap().is_allowed());
    assert!(!cell.take(&slowest, at(u64::MAX)).unwrap().is_allowed());
}

#[test]
fn an_exact_number_passes_under_many_threads() {
    const THREADS: usize = 8;
    const CALLS: usize = 20_000;
    const BURST: u32 = 10_007;
    let limit = gcra(1, Duration::from_secs(3_600), BURST);
    let limits = limits(64);
    let passed = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let cell = subject_cell(&limits, limit, "alice", at(5)).unwrap();
                for _ in 0..CALLS {
                    if cell.take(&limit, at(5)).unwrap().is_allowed() {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(passed.into_inner(), BURST);
}

#[test]
fn an_exact_number_passes_while_calls_are_given_back() {
    const BURST: u32 = 500;
    let first = gcra(1, Duration::from_secs(3_600), 5_000);
    let second = gcra(1, Duration::from_secs(3_600), BURST);
    let (first_cell, second_cell) = (Cell::idle(), Cell::idle());
    let passed = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    let pair = [(&first_cell, &first), (&second_cell, &second)];
                    match take_all(&pair, at(7), |_, _| {}) {
                        Admission::Allowed => {
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                        Admission::Refused { .. } => {}
                        Admission::Evicted { .. } => panic!("nothing evicts here"),
                    }
                }
            });
        }
    });
    assert_eq!(passed.into_inner(), BURST);
    // What the refused calls took of the first was given back: exactly the rest is there.
    let mut rest = 0;
    while first_cell.take(&first, at(7)).unwrap().is_allowed() {
        rest += 1;
    }
    assert_eq!(rest, 5_000 - BURST);
}

#[test]
fn a_refused_call_uses_nothing_of_the_limits_before() {
    let wide = gcra(10, Duration::from_secs(1), 10);
    let narrow = gcra(1, Duration::from_secs(1), 1);
    let (wide_cell, narrow_cell) = (Cell::idle(), Cell::idle());
    let pair = [(&wide_cell, &wide), (&narrow_cell, &narrow)];
    assert_eq!(take_all(&pair, at(SECOND), |_, _| {}), Admission::Allowed);
    for _ in 0..50 {
        let mut told = Vec::new();
        let admission = take_all(&pair, at(SECOND), |index, _| told.push(index));
        assert_eq!(
            admission,
            Admission::Refused {
                index: 1,
                retry_after: Duration::from_secs(1),
                reset: Duration::from_secs(1)
            }
        );
        assert_eq!(told, [0]);
    }
    match wide_cell.take(&wide, at(SECOND)).unwrap() {
        Decision::Allowed { remaining, .. } => assert_eq!(remaining, 8),
        Decision::Refused { .. } => panic!("refused calls used the limit up"),
    }
}

#[test]
fn giving_back_what_time_gave_back_already_lets_no_more_pass() {
    let limit = gcra(1, Duration::from_secs(1), 1);
    let cell = Cell::idle();
    let Ok(Decision::Allowed { taken, .. }) = cell.take(&limit, at(0)) else {
        panic!("refused at first");
    };
    let much_later = at(2 * SECOND + 1);
    assert!(cell.take(&limit, much_later).unwrap().is_allowed());
    cell.give_back(&limit, taken);
    assert!(!cell.take(&limit, much_later).unwrap().is_allowed());
}

#[test]
fn one_subject_has_one_cell_and_others_their_own() {
    let limit = gcra(5, Duration::from_secs(1), 5);
    let limits = limits(1_000);
    let counted = [subject_of("alice")];
    let alice = LimitKey {
        team: TeamId::DEFAULT,
        team_name: "default",
        limit: "api/v1/limit-1",
        rule: limit,
        counted: &counted,
    };
    let cell = limits.cell(&alice, at(0)).unwrap();
    assert!(Arc::ptr_eq(&cell, &limits.cell(&alice, at(0)).unwrap()));
    let name = alice.shared_name("keyward");
    let with = |counted| LimitKey { counted, ..alice };
    for other in [
        with(&[subject_of("bob")]),
        LimitKey {
            rule: gcra(6, Duration::from_secs(1), 6),
            ..alice
        },
        LimitKey {
            team: TeamId::from_u128(2),
            ..alice
        },
        LimitKey {
            limit: "api/v1/limit-2",
            ..alice
        },
        with(&[Counted::Route("/x")]),
        with(&[Counted::Api]),
        with(&[]),
        with(&[subject_of("alice"), Counted::Route("/x")]),
        with(&[Counted::Client {
            issuer: "https://issuer.example",
            client: "alice",
        }]),
        with(&[Counted::Subject {
            issuer: "https://issuer.examplea",
            subject: "lice",
        }]),
        with(&[Counted::Claim {
            issuer: "https://issuer.example",
            name: "sub",
            value: "alice",
        }]),
        with(&[Counted::Header {
            name: "x-tenant",
            value: b"alice",
        }]),
        with(&[Counted::Team(TeamId::DEFAULT)]),
        with(&[Counted::Issuer("https://issuer.example")]),
        with(&[Counted::address("192.0.2.1".parse().unwrap())]),
    ] {
        assert!(
            !Arc::ptr_eq(&cell, &limits.cell(&other, at(0)).unwrap()),
            "{other:?}"
        );
        assert_ne!(other.shared_name("keyward"), name, "{other:?}");
    }
    assert!(name.starts_with("keyward:{default}:api/v1/limit-1:rate-200ms-x5:"));
    assert!(!name.contains("alice"), "{name}");
}

#[test]
fn addresses_are_counted_by_whoever_has_them() {
    let counted = |text: &str| Counted::address(text.parse().unwrap());
    for (one, other, same) in [
        ("192.0.2.1", "192.0.2.1", true),
        ("192.0.2.1", "192.0.2.2", false),
        ("192.0.2.1", "::ffff:192.0.2.1", true),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::", true),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
    ] {
        assert_eq!(counted(one) == counted(other), same, "{one} and {other}");
    }
}

#[test]
fn an_evicted_cell_sends_its_holder_back_to_the_index() {
    let limit = gcra(1, Duration::from_secs(1), 1);
    let limits = limits(64);
    let held = subject_cell(&limits, limit, "alice", at(0)).unwrap();
    let Ok(Decision::Allowed { taken, .. }) = held.take(&limit, at(0)) else {
        panic!("refused at first");
    };
    // Others fill the bound until alice's cell, idle since a second, is swept.
    for n in 0..10_000 {
        let name = format!("subject-{n}");
        let now = at(SECOND + n * 10_000_000);
        if let Ok(cell) = subject_cell(&limits, limit, &name, now) {
            let _ = cell.take(&limit, now);
        }
        if held.take(&limit, at(0)) == Err(Evicted) {
            break;
        }
    }
    assert_eq!(held.take(&limit, at(200 * SECOND)), Err(Evicted));
    let fresh = subject_cell(&limits, limit, "alice", at(200 * SECOND)).unwrap();
    assert!(!Arc::ptr_eq(&held, &fresh));
    assert!(fresh.take(&limit, at(200 * SECOND)).unwrap().is_allowed());
    held.give_back(&limit, taken);
    assert_eq!(held.take(&limit, at(200 * SECOND)), Err(Evicted));
}

#[test]
fn a_routes_cell_stays_while_someone_holds_it() {
    let limit = gcra(1, Duration::from_secs(1), 1);
    let limits = limits(64);
    let held = cell_of(&limits, limit, &[Counted::Route("/x")], at(0)).unwrap();
    for n in 0..1_000 {
        let name = format!("subject-{n}");
        let _ = subject_cell(&limits, limit, &name, at(n * SECOND));
    }
    assert!(held.take(&limit, at(2_000 * SECOND)).is_ok());
}

#[test]
fn eviction_in_the_middle_of_calls_lets_no_more_pass() {
    const STEP: u64 = SECOND / 20;
    const WINDOW: u64 = 2 * SECOND;
    // In a window the whole burst, ten at the rate, and one that began to be free before it.
    const PER_WINDOW: u64 = 2 + 10 + 1;
    let limit = gcra(5, Duration::from_secs(1), 2);
    // One cell a shard, so that each new subject sweeps. Alice calls, rests, calls.
    let limits = LimitCells::new(NonZeroUsize::MIN);
    let (time, passed, evicted) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (limits, time, passed, evicted) = (&limits, &time, &passed, &evicted);
            scope.spawn(move || {
                let mut held = None;
                for n in 0..20_000 {
                    let nanos = time.fetch_add(STEP, Ordering::SeqCst);
                    let now = at(nanos);
                    if nanos / WINDOW % 2 == 1 {
                        let name = format!("{thread}-{n}");
                        let _ = subject_cell(limits, limit, &name, now);
                        continue;
                    }
                    let Some(cell) = held
                        .take()
                        .or_else(|| subject_cell(limits, limit, "alice", now).ok())
                    else {
                        continue;
                    };
                    match cell.take(&limit, now) {
                        Ok(Decision::Allowed { .. }) => {
                            passed.fetch_add(1, Ordering::SeqCst);
                            held = Some(cell);
                        }
                        Ok(Decision::Refused { .. }) => held = Some(cell),
                        Err(Evicted) => {
                            evicted.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
    });
    let (windows, passed) = (time.into_inner() / (2 * WINDOW) + 1, passed.into_inner());
    assert!(
        evicted.into_inner() > 0,
        "nothing was evicted: this showed nothing"
    );
    assert!(
        passed > windows,
        "{passed} calls passed in {windows} windows"
    );
    assert!(
        passed <= windows * PER_WINDOW,
        "{passed} calls passed in {windows} windows"
    );
}

#[test]
fn cells_that_have_long_been_idle_do_not_pile_up() {
    let limit = gcra(1, Duration::from_millis(1), 1);
    let limits = limits(1 << 16);
    for n in 0..100_000_u64 {
        let name = format!("subject-{n}");
        let now = at(n * 1_000_000_000);
        let cell = subject_cell(&limits, limit, &name, now).unwrap();
        assert!(cell.take(&limit, now).unwrap().is_allowed());
    }
    assert!(limits.len() <= 64 * 65, "{} cells are left", limits.len());
}

#[test]
fn subjects_that_call_in_turn_keep_their_cells_while_there_is_room() {
    let limit = gcra(1, Duration::from_millis(1), 1);
    let limits = limits(1 << 16);
    let name = |n: u64| format!("subject-{n}");
    let first = |n: u64| {
        let now = at(n * 1_000_000);
        let cell = subject_cell(&limits, limit, &name(n), now).unwrap();
        assert!(cell.take(&limit, now).unwrap().is_allowed());
        cell
    };
    let cells: Vec<_> = (0..10_000).map(first).collect();
    for (n, cell) in (0..).zip(&cells) {
        let now = at((10_000 + n) * 1_000_000);
        assert!(cell.take(&limit, now).unwrap().is_allowed());
        let same = subject_cell(&limits, limit, &name(n), now).unwrap();
        assert!(Arc::ptr_eq(cell, &same));
    }
}

fn quota(requests: u32, per: Period) -> Rule {
    Rule::new(&Allowance::Quota(Quota {
        requests: NonZeroU32::new(requests).unwrap(),
        per,
    }))
}

/// Whether one passes at this second since 1970.
fn passes(cell: &Cell, rule: &Rule, seconds: i64) -> bool {
    let now = Now {
        moment: Moment::default(),
        civil: Timestamp::from_seconds(seconds),
    };
    cell.take(rule, now).unwrap().is_allowed()
}

#[test]
fn a_quota_begins_anew_with_the_month_and_not_before() {
    // 2028-02-29T23:59:58Z, of a leap year.
    const LAST: i64 = 1_835_481_598;
    let rule = quota(2, Period::Month);
    let cell = Cell::idle();
    assert!(passes(&cell, &rule, LAST - 28 * 86_400));
    assert!(passes(&cell, &rule, LAST));
    assert!(!passes(&cell, &rule, LAST + 1));
    assert!(passes(&cell, &rule, LAST + 2));
    // A clock that is set back finds the newer window, and gets nothing more of it than there is.
    assert!(passes(&cell, &rule, LAST));
    assert!(!passes(&cell, &rule, LAST));
    assert!(!passes(&cell, &rule, LAST + 2));
}

#[test]
fn a_quota_says_what_is_left_and_when_it_begins_anew() {
    let rule = quota(2, Period::Day);
    let cell = Cell::idle();
    let now = Now {
        moment: Moment::default(),
        civil: Timestamp::from_seconds(86_400 + 3_600),
    };
    let left = Duration::from_secs(23 * 3_600);
    match cell.take(&rule, now).unwrap() {
        Decision::Allowed {
            remaining,
            reset,
            taken,
        } => {
            assert_eq!((remaining, reset), (1, left));
            cell.give_back(&rule, taken);
        }
        Decision::Refused { .. } => panic!("refused at first"),
    }
    assert!(cell.take(&rule, now).unwrap().is_allowed());
    assert!(cell.take(&rule, now).unwrap().is_allowed());
    assert_eq!(
        cell.take(&rule, now).unwrap(),
        Decision::Refused {
            retry_after: left,
            reset: left
        }
    );
}

#[test]
fn calls_under_way_are_counted_until_they_end() {
    let rule = Rule::new(&Allowance::Concurrency(NonZeroU32::new(2).unwrap()));
    let cell = Cell::idle();
    assert!(cell.take(&rule, at(0)).unwrap().is_allowed());
    assert!(cell.take(&rule, at(0)).unwrap().is_allowed());
    assert!(!cell.take(&rule, at(1 << 60)).unwrap().is_allowed());
    cell.end();
    assert!(cell.take(&rule, at(0)).unwrap().is_allowed());
    assert!(!cell.take(&rule, at(0)).unwrap().is_allowed());
}

#[test]
fn a_cell_in_use_is_not_evicted_whatever_its_limit() {
    let calls = Rule::new(&Allowance::Concurrency(NonZeroU32::new(2).unwrap()));
    let monthly = quota(1, Period::Month);
    let limits = limits(64);
    let under_way = subject_cell(&limits, calls, "alice", at(0)).unwrap();
    let used = subject_cell(&limits, monthly, "alice", at(0)).unwrap();
    assert!(under_way.take(&calls, at(0)).unwrap().is_allowed());
    assert!(used.take(&monthly, at(0)).unwrap().is_allowed());
    for n in 0..1_000 {
        let name = format!("subject-{n}");
        let _ = subject_cell(&limits, calls, &name, at(n * SECOND));
    }
    assert!(under_way.take(&calls, at(0)).is_ok());
    assert!(used.take(&monthly, at(0)).is_ok());
    // When the call has ended and the month is over, they are.
    under_way.end();
    under_way.end();
    for n in 0..1_000 {
        let name = format!("later-{n}");
        let _ = subject_cell(&limits, calls, &name, at((40 * 86_400 + n) * SECOND));
    }
    assert_eq!(under_way.take(&calls, at(0)), Err(Evicted));
    assert_eq!(used.take(&monthly, at(0)), Err(Evicted));
}

#[test]
fn what_was_kept_of_quotas_is_restored_and_two_processes_add_up() {
    let rule = quota(10, Period::Month);
    let secret = [7; 16];
    let before = limits(64).with_secret(&secret);
    let cell = subject_cell(&before, rule, "alice", at(0)).unwrap();
    for _ in 0..3 {
        assert!(cell.take(&rule, at(0)).unwrap().is_allowed());
    }
    let [kept] = before.unkept()[..] else {
        panic!("one was counted");
    };
    assert_eq!(kept.used.requests, 3);
    before.kept(&kept, Some(3));
    assert!(before.unkept().is_empty());
    // One that could not be kept is kept with the next.
    assert!(cell.take(&rule, at(0)).unwrap().is_allowed());
    let [lost] = before.unkept()[..] else {
        panic!("one was counted");
    };
    before.kept(&lost, None);
    assert!(cell.take(&rule, at(0)).unwrap().is_allowed());
    assert_eq!(before.unkept()[0].used.requests, 2);

    let after = limits(64).with_secret(&secret);
    assert_eq!(after.restore([kept].into_iter().map(stored)), 0);
    let restored = subject_cell(&after, rule, "alice", at(1)).unwrap();
    match restored.take(&rule, at(1)).unwrap() {
        Decision::Allowed { remaining, .. } => assert_eq!(remaining, 6),
        Decision::Refused { .. } => panic!("refused"),
    }
    let [mine] = after.unkept()[..] else {
        panic!("one was counted");
    };
    assert_eq!(mine.used.requests, 1);
    // The one before has kept two more meanwhile: 3 + 2 + 1.
    after.kept(&mine, Some(6));
    match restored.take(&rule, at(1)).unwrap() {
        Decision::Allowed { remaining, .. } => assert_eq!(remaining, 3),
        Decision::Refused { .. } => panic!("refused"),
    }
    assert_eq!(after.unkept()[0].used.requests, 1);
}

#[test]
fn a_restored_cell_of_an_api_stays_while_it_is_held() {
    let rule = quota(10, Period::Month);
    let secret = [7; 16];
    let before = limits(64).with_secret(&secret);
    let cell = cell_of(&before, rule, &[Counted::Api], at(0)).unwrap();
    assert!(cell.take(&rule, at(0)).unwrap().is_allowed());
    let after = limits(64).with_secret(&secret);
    assert_eq!(after.restore(before.unkept().into_iter().map(stored)), 0);
    let held = cell_of(&after, rule, &[Counted::Api], at(1)).unwrap();
    // A month later it is idle, and more come than there is room for.
    let later = at(40 * 86_400 * SECOND);
    for number in 0..1_000 {
        // Some find no room: it is the sweep that matters.
        let _room = subject_cell(&after, rule, &format!("subject-{number}"), later);
    }
    assert!(held.take(&rule, later).unwrap().is_allowed());
}
