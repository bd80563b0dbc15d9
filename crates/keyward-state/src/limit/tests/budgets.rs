//! Budgets: what calls hold and what they took.

use super::*;
use keyward_model::id::CredentialId;
use keyward_model::limit::{Budget, LimitSubject, OnOutage, Span, Unit, Unpriced};
use proptest::prelude::*;
use smallvec::SmallVec;
use std::num::NonZeroU64;

const HOUR: Duration = Duration::from_secs(3_600);

fn budget(unit: Unit, amount: u64, over: Span) -> Spending {
    Spending::new(&Budget {
        name: "tokens".parse().unwrap(),
        by: Box::new([LimitSubject::Key]),
        unit,
        amount: NonZeroU64::new(amount).unwrap(),
        over,
        on_outage: OnOutage::default(),
        unpriced: Unpriced::default(),
        lower_max_tokens: false,
    })
}

fn hourly(amount: u64) -> Spending {
    budget(Unit::Tokens, amount, Span::Window(Period::Hour))
}

fn per_second(amount: u64, burst: u64) -> Spending {
    let burst = NonZeroU64::new(burst).unwrap();
    let per = Duration::from_secs(1);
    budget(Unit::Tokens, amount, Span::Rate { per, burst })
}

fn at(time: Duration) -> Now {
    Now {
        moment: Moment::default().plus(time),
        civil: Timestamp::from_seconds(1_800_000_000).plus(time),
    }
}

fn key<'a>(rule: Spending, counted: &'a [Counted<'a>]) -> LimitKey<'a, Spending> {
    LimitKey {
        team: TeamId::DEFAULT,
        team_name: "default",
        limit: "ai/v1/tokens",
        rule,
        counted,
    }
}

fn account(cells: &LimitCells, rule: Spending, who: u128) -> Arc<Account> {
    let counted = [Counted::Key(CredentialId::from_u128(who))];
    cells
        .account(&key(rule, &counted), at(Duration::ZERO))
        .unwrap()
}

#[track_caller]
fn held(account: &Account, rule: &Spending, amount: u64, now: Now) -> (Hold, u64) {
    match account.hold(rule, amount, now).unwrap() {
        Verdict::Held { hold, left, .. } => (hold, left),
        Verdict::Refused(spent) => panic!("{amount} is refused: {spent:?}"),
    }
}

#[track_caller]
fn refused(account: &Account, rule: &Spending, amount: u64, now: Now) -> Spent {
    match account.hold(rule, amount, now).unwrap() {
        Verdict::Held { left, .. } => panic!("{amount} is held, and {left} left"),
        Verdict::Refused(spent) => spent,
    }
}

#[test]
fn what_is_held_is_not_there_for_others_and_what_was_not_taken_comes_back() {
    let cells = LimitCells::default();
    let rule = hourly(100);
    let account = account(&cells, rule, 1);
    let now = at(Duration::ZERO);
    let (one, left) = held(&account, &rule, 60, now);
    assert_eq!(left, 40);
    assert_eq!(refused(&account, &rule, 41, now).left, 40);
    let (other, left) = held(&account, &rule, 40, now);
    assert_eq!(left, 0);
    account.settle(&rule, one, 10, now);
    account.settle(&rule, other, 40, now);
    let (_, left) = held(&account, &rule, 50, now);
    assert_eq!(left, 0);
    // What takes nothing passes all the same.
    let (_, left) = held(&account, &rule, 0, now);
    assert_eq!(left, 0);
}

#[test]
fn a_call_counts_in_the_window_in_which_it_began() {
    let cells = LimitCells::default();
    let rule = hourly(100);
    let account = account(&cells, rule, 1);
    let now = at(Duration::ZERO);
    let (early, _) = held(&account, &rule, 100, now);
    assert_eq!(
        refused(&account, &rule, 1, now).retry_after,
        Duration::from_secs(1)
    );
    let next = at(HOUR);
    let (late, left) = held(&account, &rule, 30, next);
    assert_eq!(left, 70);
    account.settle(&rule, early, 100, next);
    account.settle(&rule, late, 30, next);
    let spent = refused(&account, &rule, 71, next);
    assert_eq!((spent.left, spent.retry_after), (70, spent.reset));
}

#[test]
fn a_month_ends_with_the_calendar() {
    let cells = LimitCells::default();
    let rule = budget(Unit::Cost, 1_000, Span::Window(Period::Month));
    let account = account(&cells, rule, 1);
    // 2026-11-30T23:59:59Z
    let last = Timestamp::from_seconds(1_796_083_199);
    let now = Now {
        moment: Moment::default(),
        civil: last,
    };
    let (hold, _) = held(&account, &rule, 1_000, now);
    account.settle(&rule, hold, 1_000, now);
    assert_eq!(
        refused(&account, &rule, 1, now).reset,
        Duration::from_secs(1)
    );
    let december = Now {
        civil: last.plus(Duration::from_secs(1)),
        ..now
    };
    let (_, left) = held(&account, &rule, 1_000, december);
    assert_eq!(left, 0);
    // A clock that goes back makes no month begin anew.
    assert_eq!(refused(&account, &rule, 1, now).left, 0);
}

#[test]
fn a_rate_gives_back_evenly_what_was_taken_and_at_once_what_was_not() {
    let cells = LimitCells::default();
    let rule = per_second(100, 200);
    let account = account(&cells, rule, 1);
    let now = at(Duration::ZERO);
    let (hold, left) = held(&account, &rule, 200, now);
    assert_eq!(left, 0);
    // What is held does not come back by waiting.
    let later = at(Duration::from_secs(5));
    assert_eq!(refused(&account, &rule, 1, later).left, 0);
    account.settle(&rule, hold, 150, later);
    let spent = refused(&account, &rule, 100, later);
    assert_eq!(spent.left, 50);
    assert_eq!(spent.retry_after, Duration::from_millis(500));
    let (_, left) = held(&account, &rule, 100, at(Duration::from_millis(5_500)));
    assert_eq!(left, 0);
}

#[test]
fn several_budgets_are_held_together_or_not_at_all() {
    let cells = LimitCells::default();
    let (wide, narrow) = (hourly(100), per_second(10, 10));
    let (one, other) = (account(&cells, wide, 1), account(&cells, narrow, 1));
    let claim = |account: &Arc<Account>, rule, amount| Claimed {
        account: Arc::clone(account),
        rule,
        amount,
    };
    let now = at(Duration::ZERO);
    let claims: SmallVec<[Claimed; 4]> = [claim(&one, wide, 50), claim(&other, narrow, 11)]
        .into_iter()
        .collect();
    let Holding::Refused { index: 1, spent } = hold_all(claims, now) else {
        panic!("there are ten");
    };
    assert_eq!(spent.left, 10);
    let claims: SmallVec<[Claimed; 4]> = [claim(&one, wide, 100), claim(&other, narrow, 10)]
        .into_iter()
        .collect();
    let Holding::Held { holds, left } = hold_all(claims, now) else {
        panic!("what was held of the first is there again");
    };
    assert!(left.iter().all(|(left, _)| *left == 0));
    holds.settle(now, |rule, _| if *rule == wide { 1 } else { 0 });
    assert_eq!(held(&one, &wide, 99, now).1, 0);
    assert_eq!(held(&other, &narrow, 10, now).1, 0);
}

#[test]
fn what_is_lost_on_the_way_counts_as_taken() {
    let cells = LimitCells::default();
    let rule = hourly(100);
    let account = account(&cells, rule, 1);
    let now = at(Duration::ZERO);
    let claim = Claimed {
        account: Arc::clone(&account),
        rule,
        amount: 60,
    };
    let Holding::Held { holds, .. } = hold_all([claim].into_iter().collect(), now) else {
        panic!("there is room");
    };
    drop(holds);
    assert_eq!(refused(&account, &rule, 41, now).left, 40);
}

/// However many threads hold and settle at once, what is held and spent stays within the budget.
#[test]
fn a_hundred_calls_at_once_never_pass_a_budget() {
    let cells = LimitCells::default();
    let rule = hourly(1_000);
    let account = account(&cells, rule, 1);
    let now = at(Duration::ZERO);
    let (spent, passed) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..100_u64 {
            let (account, spent, passed) = (&account, &spent, &passed);
            scope.spawn(move || {
                // Each may take 50, and takes nearly that.
                if let Verdict::Held { hold, .. } = account.hold(&rule, 50, now).unwrap() {
                    let took = 45 + thread % 6;
                    passed.fetch_add(1, Ordering::Relaxed);
                    spent.fetch_add(took, Ordering::Relaxed);
                    account.settle(&rule, hold, took, now);
                }
            });
        }
    });
    let spent = spent.into_inner();
    assert!(spent <= 1_000, "{spent}");
    assert!(passed.into_inner() >= 20);
    assert_eq!(account.spent(), spent);
}

#[test]
fn what_was_spent_and_what_is_held_outlives_the_process() {
    let secret = [7; 16];
    let rule = hourly(100);
    let now = at(Duration::ZERO);
    let before = LimitCells::default().with_secret(&secret);
    let one = account(&before, rule, 1);
    let (hold, _) = held(&one, &rule, 60, now);
    let [kept] = before.unkept_spending()[..] else {
        panic!("one has something");
    };
    assert_eq!(kept.amount, 60);
    // Another process has spent 5 of the same.
    before.kept_spending(&kept, Some(65));
    assert!(before.unkept_spending().is_empty());
    assert_eq!(refused(&one, &rule, 40, now).left, 35);
    one.settle(&rule, hold, 20, now);
    let [less] = before.unkept_spending()[..] else {
        panic!("it took less than it held");
    };
    assert_eq!(less.amount, -40);
    // It can't be kept, and is sent again.
    before.kept_spending(&less, None);
    assert_eq!(before.unkept_spending(), [less]);
    before.kept_spending(&less, Some(25));
    assert_eq!(refused(&one, &rule, 76, now).left, 75);

    let after = LimitCells::default().with_secret(&secret);
    let all = KeptSpending { amount: 25, ..kept };
    assert_eq!(after.restore([all].into_iter()), 0);
    let one = account(&after, rule, 1);
    assert_eq!(refused(&one, &rule, 76, now).left, 75);
    assert!(after.unkept_spending().is_empty());
    let (_, left) = held(&one, &rule, 75, now);
    assert_eq!(left, 0);
}

#[test]
fn an_account_is_forgotten_when_that_changes_nothing() {
    let max = NonZeroUsize::new(64).unwrap();
    let cells = LimitCells::new(max);
    let rule = hourly(100);
    let now = at(Duration::ZERO);
    let mut accounts = Vec::new();
    for who in 0..10_000 {
        let counted = [Counted::Key(CredentialId::from_u128(who))];
        if let Ok(account) = cells.account(&key(rule, &counted), now) {
            let (hold, _) = held(&account, &rule, 10, now);
            accounts.push((account, hold));
        }
    }
    assert!(cells.len() <= 64, "{}", cells.len());
    let (first, hold) = accounts.swap_remove(0);
    first.settle(&rule, hold, 10, now);
    // The windows of all are over, and of all but the first something is still held.
    let later = at(HOUR * 2);
    for who in 20_000..30_000 {
        let counted = [Counted::Key(CredentialId::from_u128(who))];
        let _full = cells.account(&key(rule, &counted), later);
    }
    assert!(first.hold(&rule, 1, later).is_err());
    for (account, _) in &accounts {
        assert!(account.hold(&rule, 1, later).is_ok());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Hold(u64),
    Settle(usize, u64),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0_u64..120).prop_map(Step::Hold),
        (any::<usize>(), 0_u64..=100).prop_map(|(which, percent)| Step::Settle(which, percent)),
        (0_u64..2_000).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    /// Against a list of calls, each with what it holds or took and when.
    #[test]
    fn a_window_lets_pass_what_a_ledger_would(steps in steps()) {
        let rule = hourly(300);
        let cells = LimitCells::default();
        let account = account(&cells, rule, 1);
        let mut seconds = 0_u64;
        // Of each call: its window, what counts for it, and its hold until it has ended.
        let mut ledger: Vec<(u64, u64, Option<Hold>)> = Vec::new();
        for step in steps {
            let now = at(Duration::from_secs(seconds));
            let window = Period::Hour.window(now.civil).number.into();
            match step {
                Step::Wait(more) => seconds += more,
                Step::Hold(amount) => {
                    let used: u64 = ledger
                        .iter()
                        .filter(|(of, _, _)| *of == window)
                        .map(|(_, amount, _)| amount)
                        .sum();
                    prop_assert!(used <= 300);
                    match account.hold(&rule, amount, now).unwrap() {
                        Verdict::Held { hold, left, .. } => {
                            prop_assert_eq!(left, 300 - used - amount);
                            ledger.push((window, amount, Some(hold)));
                        }
                        Verdict::Refused(spent) => {
                            prop_assert!(used + amount > 300);
                            prop_assert_eq!(spent.left, 300 - used);
                        }
                    }
                }
                Step::Settle(which, percent) => {
                    let count = ledger.len().max(1);
                    if let Some((_, amount, hold)) = ledger.get_mut(which % count)
                        && let Some(hold) = hold.take()
                    {
                        *amount = hold.amount * percent / 100;
                        account.settle(&rule, hold, *amount, now);
                    }
                }
            }
        }
    }

    /// One unit comes back in each nanosecond, so that a whole number says how much is owed.
    #[test]
    fn a_rate_lets_pass_what_a_bucket_would(steps in steps()) {
        let rule = per_second(1_000_000_000, 300);
        let cells = LimitCells::default();
        let account = account(&cells, rule, 1);
        let (mut nanos, mut owed) = (0_u64, 0_u64);
        let mut under_way: Vec<Hold> = Vec::new();
        for step in steps {
            let now = at(Duration::from_nanos(nanos));
            match step {
                Step::Wait(more) => {
                    nanos += more;
                    owed = owed.saturating_sub(more);
                }
                Step::Hold(amount) => {
                    let holds: u64 = under_way.iter().map(|hold| hold.amount).sum();
                    let room = 300_u64.saturating_sub(owed + holds);
                    match account.hold(&rule, amount, now).unwrap() {
                        Verdict::Held { hold, left, .. } => {
                            prop_assert_eq!(left, room - amount);
                            under_way.push(hold);
                        }
                        Verdict::Refused(spent) => {
                            prop_assert!(amount > room);
                            prop_assert_eq!(spent.left, room);
                        }
                    }
                }
                Step::Settle(which, percent) => {
                    if !under_way.is_empty() {
                        let hold = under_way.swap_remove(which % under_way.len());
                        let took = hold.amount * percent / 100;
                        owed += took;
                        account.settle(&rule, hold, took, now);
                    }
                }
            }
        }
    }
}
