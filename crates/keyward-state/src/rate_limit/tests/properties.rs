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

proptest! {
    #[test]
    fn a_cell_decides_as_a_waiting_line_does(
        requests in 1_u32..50,
        burst in 1_u32..20,
        steps in prop::collection::vec(0_u64..400_000_000, 1..200),
    ) {
        let limit = gcra(requests, Duration::from_secs(1), burst);
        let interval = u64::try_from(limit.interval().as_nanos()).unwrap();
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
            let interval = u64::try_from(limit.interval().as_nanos()).unwrap();
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
