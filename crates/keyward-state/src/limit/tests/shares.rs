//! How many cells a limit may have beside the others, and what happens when it has them.

use super::*;
use crate::Error;

const CELLS: usize = 64 * 40;

/// A cell of the limit of this name.
fn cell_under(
    limits: &LimitCells,
    limit: &str,
    rule: Rule,
    counted: Counted<'_>,
    now: Now,
) -> Result<Arc<Cell>, Error> {
    let key = LimitKey {
        team: TeamId::DEFAULT,
        team_name: "default",
        limit,
        rule,
        counted: &[counted],
    };
    limits.cell(&key, now)
}

/// Subjects of a limit that are made up until none gets in any more: those that did.
fn flood(limits: &LimitCells, limit: &str, rule: Rule, now: Now) -> Vec<String> {
    let mut taken = Vec::new();
    for number in 0..5 * CELLS {
        let name = format!("{limit}-{number}");
        match cell_under(limits, limit, rule, subject_of(&name), now) {
            Ok(cell) if cell.take(&rule, now).unwrap().is_allowed() => taken.push(name),
            // It got in before.
            Ok(_) => {}
            Err(error) => assert_eq!(error, Error::ShareExhausted { limit: CELLS }),
        }
    }
    taken
}

#[test]
fn one_limits_flood_takes_a_quarter_at_most_and_forgets_nobody() {
    let limit = gcra(1, Duration::from_secs(60), 1);
    let limits = limits(CELLS);
    let bystander = cell_under(&limits, "other", limit, subject_of("bob"), at(0)).unwrap();
    assert!(bystander.take(&limit, at(0)).unwrap().is_allowed());
    let busy = flood(&limits, "flooded", limit, at(0));
    // Of each shard's 40, ten: what the hash spreads unevenly fills up with so many more.
    assert!(
        (CELLS / 5..=CELLS / 4).contains(&busy.len()),
        "{} cells",
        busy.len()
    );
    let later = at(SECOND);
    for name in &busy {
        let cell = cell_under(&limits, "flooded", limit, subject_of(name), later).unwrap();
        assert!(!cell.take(&limit, later).unwrap().is_allowed(), "{name}");
    }
    // The other limit counts its subjects as before, and takes new ones in.
    let same = cell_under(&limits, "other", limit, subject_of("bob"), later).unwrap();
    assert!(Arc::ptr_eq(&bystander, &same));
    assert!(!same.take(&limit, later).unwrap().is_allowed());
    for number in 0..CELLS / 10 {
        let name = format!("new-{number}");
        cell_under(&limits, "other", limit, subject_of(&name), later).unwrap();
    }
    // Of the flooded limit, what counts everybody together is not kept out.
    assert!(cell_under(&limits, "flooded", limit, Counted::Api, later).is_ok());
    // Once its subjects are idle, it has room again.
    let idle = at(61 * SECOND);
    assert!(cell_under(&limits, "flooded", limit, subject_of("late"), idle).is_ok());
    assert_eq!(
        cell_under(&limits, "other", limit, subject_of("bob"), idle)
            .unwrap()
            .take(&limit, idle)
            .map(|decision| decision.is_allowed()),
        Ok(true)
    );
}

#[test]
fn when_several_limits_are_flooded_another_finds_room() {
    let limit = gcra(1, Duration::from_secs(60), 1);
    let limits = limits(CELLS);
    for flooded in 0..6 {
        let taken = flood(&limits, &format!("flooded-{flooded}"), limit, at(0));
        assert!(!taken.is_empty(), "{flooded}");
        let calm = format!("calm-{flooded}");
        let cell = cell_under(&limits, &calm, limit, subject_of("alice"), at(0)).unwrap();
        assert!(cell.take(&limit, at(0)).unwrap().is_allowed());
    }
    assert!(limits.len() < CELLS, "{} cells", limits.len());
}

#[test]
fn a_flood_does_not_sweep_away_those_of_other_limits_who_rest() {
    let limit = gcra(1, Duration::from_millis(1), 1);
    let slow = gcra(1, Duration::from_secs(600), 1);
    let limits = limits(CELLS);
    let resting: Vec<_> = (0..100)
        .map(|number| {
            let name = format!("resting-{number}");
            let cell = cell_under(&limits, "calm", limit, subject_of(&name), at(0)).unwrap();
            assert!(cell.take(&limit, at(0)).unwrap().is_allowed());
            cell
        })
        .collect();
    for second in 1..50 {
        flood(&limits, "flooded", slow, at(second * SECOND));
    }
    for cell in resting {
        assert!(cell.take(&limit, at(50 * SECOND)).is_ok(), "it was evicted");
    }
}

#[test]
fn what_is_restored_of_quotas_counts_for_its_limit() {
    let monthly = quota(1, Period::Month);
    let secret = [7; 16];
    let before = limits(CELLS).with_secret(&secret);
    let taken = flood(&before, "flooded", monthly, at(0));
    let after = limits(CELLS).with_secret(&secret);
    assert_eq!(after.restore(before.unkept().into_iter().map(stored)), 0);
    assert_eq!(after.len(), taken.len());
    let more: Vec<_> = (0..5 * CELLS)
        .map(|number| format!("more-{number}"))
        .filter(|name| cell_under(&after, "flooded", monthly, subject_of(name), at(1)).is_ok())
        .collect();
    assert_eq!(more, Vec::<String>::new());
    assert!(cell_under(&after, "other", monthly, subject_of("bob"), at(1)).is_ok());
}

#[test]
fn what_two_limits_had_is_restored_in_whatever_order() {
    let monthly = quota(1, Period::Month);
    let secret = [7; 16];
    let before = limits(CELLS).with_secret(&secret);
    let first = flood(&before, "first", monthly, at(0));
    let of_first = before.unkept();
    let second = flood(&before, "second", monthly, at(0));
    let of_second = before.unkept();
    assert_eq!(
        (of_first.len(), of_second.len()),
        (first.len(), second.len())
    );
    let after = limits(CELLS).with_secret(&secret);
    assert_eq!(
        after.restore(of_second.into_iter().chain(of_first).map(stored)),
        0
    );
    for (limit, names) in [("first", first), ("second", second)] {
        for name in names {
            let cell = cell_under(&after, limit, monthly, subject_of(&name), at(1)).unwrap();
            assert!(!cell.take(&monthly, at(1)).unwrap().is_allowed(), "{name}");
        }
    }
}

#[test]
fn the_more_cells_are_swept_the_longer_it_is_until_the_next_time() {
    for (cells, millis) in [(0, 100), (10_000, 100), (16_384, 163), (1_000_000, 10_000)] {
        let pause = shard::pause_after(cells);
        assert_eq!(pause.as_millis(), millis, "{cells}");
    }
}

#[test]
fn at_the_bound_new_subjects_are_refused_and_no_busy_one_is_forgotten() {
    const SMALL: usize = 64;
    let limit = gcra(1, Duration::from_secs(60), 1);
    // One cell a shard, so that a single limit may fill it.
    let limits = limits(SMALL);
    let mut busy = Vec::new();
    let mut refused = 0;
    for n in 0..10 * SMALL {
        let name = format!("subject-{n}");
        match subject_cell(&limits, limit, &name, at(0)) {
            Ok(cell) => {
                assert!(cell.take(&limit, at(0)).unwrap().is_allowed());
                busy.push(name);
            }
            Err(error) => {
                assert_eq!(error, Error::CellsExhausted { limit: SMALL });
                refused += 1;
            }
        }
    }
    assert!(
        limits.len() <= SMALL && refused >= 9 * SMALL,
        "{} cells",
        limits.len()
    );
    for name in &busy {
        let cell = subject_cell(&limits, limit, name, at(SECOND)).unwrap();
        assert!(
            !cell.take(&limit, at(SECOND)).unwrap().is_allowed(),
            "{name} was forgotten"
        );
    }
    let route = [Counted::Route("/x")];
    assert!(
        cell_of(&limits, limit, &route, at(SECOND)).is_ok(),
        "a route's cell is always let in"
    );
    // Once they are idle there is room again.
    assert!(subject_cell(&limits, limit, "late", at(61 * SECOND)).is_ok());
}

#[test]
fn quotas_that_nodes_share_make_room_once_they_are_told() {
    let rule = quota(10, Period::Month);
    let limits = limits(64).shared_under("test".into());
    let later = |number: u64| at(SECOND * (number + 1));
    let told = |cell: &Cell| {
        let shared = cell.shared.as_ref().unwrap();
        shared.heard.store(1, Ordering::Relaxed);
    };
    let used = |number: u64| {
        let cell = subject_cell(&limits, rule, &format!("subject-{number}"), later(number))?;
        assert!(cell.take(&rule, later(number)).unwrap().is_allowed());
        Ok::<_, Error>(cell)
    };
    // What the server has not heard of stays.
    let untold: Vec<_> = (0..500).filter_map(|number| used(number).ok()).collect();
    assert!(limits.len() <= 64 && untold.len() == limits.len());
    for cell in &untold {
        assert!(cell.take(&rule, later(500)).unwrap().is_allowed());
        told(cell);
    }
    for number in 501..1_000 {
        let cell = used(number).unwrap();
        told(&cell);
    }
    assert!(limits.len() <= 64);
    assert!(
        untold
            .iter()
            .any(|cell| cell.take(&rule, later(1_000)).is_err())
    );
}
