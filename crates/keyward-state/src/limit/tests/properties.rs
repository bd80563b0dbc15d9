use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

/// The algorithm as a waiting line: a call that passes stands in it until one interval after the call
/// before it has left, and `burst` calls have room.
#[derive(Default)]
struct Line {
    leaves_at: VecDeque<u64>,
}

impl Line {
    fn take(&mut self, interval: u64, burst: usize, now: u64) -> bool {
        while self.leaves_at.front().is_some_and(|at| *at <= now) {
            self.leaves_at.pop_front();
        }
        let room = self.leaves_at.len() < burst;
        if room {
            let free_at = self.leaves_at.back().map_or(now, |last| *last);
            self.leaves_at.push_back(free_at + interval);
        }
        room
    }
}

fn interval_of(rule: Rule) -> u64 {
    let Rule::Rate(gcra) = rule else {
        panic!("{rule} is no rate");
    };
    u64::try_from(gcra.interval().as_nanos()).unwrap()
}

proptest! {
    #[test]
    fn a_cell_decides_as_a_waiting_line_does(
        requests in 1_u32..50,
        burst in 1_u32..20,
        steps in prop::collection::vec(0_u64..400_000_000, 1..200),
    ) {
        let limit = gcra(requests, Duration::from_secs(1), burst);
        let interval = interval_of(limit);
        let places = usize::try_from(burst).unwrap();
        let (cell, mut line, mut now) = (Cell::idle(), Line::default(), 0);
        for step in steps {
            now += step;
            let decision = cell.take(&limit, at(now)).unwrap();
            let retried = match decision {
                Decision::Allowed { .. } => None,
                Decision::Refused { retry_after, .. } => {
                    Some(now + u64::try_from(retry_after.as_nanos()).unwrap())
                }
            };
            prop_assert_eq!(decision.is_allowed(), line.take(interval, places, now));
            // What is promised as the time to come again holds, and a nanosecond earlier does not.
            if let Some(again) = retried {
                prop_assert!(!cell.take(&limit, at(again - 1)).unwrap().is_allowed());
                prop_assert!(cell.take(&limit, at(again)).unwrap().is_allowed());
                prop_assert!(line.take(interval, places, again));
                now = again;
            }
        }
    }

    #[test]
    fn never_more_than_the_burst_and_the_rate_pass(
        requests in 1_u32..100,
        burst in 1_u32..20,
        steps in prop::collection::vec(0_u64..50_000_000, 1..300),
    ) {
        let limit = gcra(requests, Duration::from_secs(1), burst);
        let (cell, mut now, mut passed) = (Cell::idle(), 0, 0_u64);
        for step in steps {
            now += step;
            passed += u64::from(cell.take(&limit, at(now)).unwrap().is_allowed());
            let interval = interval_of(limit);
            prop_assert!(passed <= u64::from(burst) + now / interval);
        }
    }

    #[test]
    fn giving_back_restores_what_was_there(
        burst in 2_u32..20,
        before in 0_u32..10,
        now in 0_u64..SECOND,
    ) {
        let limit = gcra(10, Duration::from_secs(1), burst);
        let cell = Cell::idle();
        for _ in 0..before {
            let _ = cell.take(&limit, at(now));
        }
        let left = |cell: &Cell| match cell.take(&limit, at(now)) {
            Ok(Decision::Allowed { remaining, taken, .. }) => {
                cell.give_back(&limit, taken);
                Some(remaining)
            }
            Ok(Decision::Refused { .. }) | Err(Evicted) => None,
        };
        let first = left(&cell);
        prop_assert_eq!(first, left(&cell));
        prop_assert_eq!(first.is_some(), before < burst);
    }
}

proptest! {
    #[test]
    fn a_quota_decides_as_a_list_of_calls_does(
        requests in 1_u32..8,
        period in prop::sample::select(&Period::ALL[..]),
        steps in prop::collection::vec((0_i64..40_000, any::<bool>()), 1..200),
    ) {
        let rule = quota(requests, period);
        let (cell, mut passed, mut seconds) = (Cell::idle(), Vec::new(), 1_770_000_000);
        for (step, given_back) in steps {
            seconds += step;
            let civil = Timestamp::from_seconds(seconds);
            let window = period.window(civil).number;
            let used = passed.iter().filter(|other| **other == window).count();
            let now = Now { moment: Moment::default(), civil };
            match cell.take(&rule, now).unwrap() {
                Decision::Allowed { remaining, taken, .. } => {
                    prop_assert_eq!(used + 1 + remaining as usize, requests as usize);
                    if given_back {
                        cell.give_back(&rule, taken);
                    } else {
                        passed.push(window);
                    }
                }
                Decision::Refused { retry_after, .. } => {
                    prop_assert_eq!(used, requests as usize);
                    prop_assert_eq!(civil.plus(retry_after), period.window(civil).ends);
                }
            }
        }
    }
}
