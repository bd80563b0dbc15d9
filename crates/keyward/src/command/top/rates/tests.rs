use super::super::node::{Caller, Worker};
use super::super::table::{Size, picture};
use super::*;

fn look(at_s: u64, rows: &[(&str, [u64; 6], [u64; 4])]) -> Look {
    Look {
        version: "1.2.3".to_owned(),
        revision: 4,
        up_s: at_s,
        at_us: at_s * 1_000_000,
        latency_bounds_us: vec![1_000, 10_000, 100_000],
        workers: vec![Worker {
            connections: 5,
            in_flight: 2,
            delay_us: 1_500,
            busy_us: at_s * 250_000,
            unrouted: 0,
            shed: 0,
        }],
        calls: rows
            .iter()
            .map(|(api, classes, latency)| Calls {
                team: "default".to_owned(),
                api: (*api).to_owned(),
                version: "v1".to_owned(),
                route: None,
                classes: classes.to_vec(),
                bytes_in: 1000,
                bytes_out: 2000 * at_s,
                latency: latency.to_vec(),
            })
            .collect(),
        callers_over_s: 4.0,
        callers: vec![Caller {
            issuer: Some("https://issuer.example".to_owned()),
            name: "al\u{1b}[2Jice".to_owned(),
            calls: 8,
            failed: 2,
        }],
    }
}

#[test]
fn rates_are_of_what_went_on_in_between() {
    let before = look(10, &[("orders", [0, 0, 100, 0, 0, 0], [100, 0, 0, 0])]);
    let now = look(
        20,
        &[
            ("orders", [1, 0, 180, 0, 10, 9], [190, 9, 1, 0]),
            ("idle", [0; 6], [0; 4]),
            ("new", [0, 0, 5, 0, 0, 0], [0, 0, 0, 5]),
        ],
    );
    let rates = Rates::between(&before, &now);
    assert_eq!(rates.seconds, 10.0);
    let names: Vec<&str> = rates.rows.iter().map(|row| &*row.name).collect();
    assert_eq!(names, ["orders/v1", "new/v1"]);
    let orders = &rates.rows[0];
    assert_eq!(
        (orders.calls, orders.failed, orders.refused),
        (10.0, 0.1, 0.1)
    );
    // 90 of 100 within a millisecond.
    let p50 = orders.p50_ms.unwrap();
    assert!((p50 - 50.0 / 90.0).abs() < 1e-9, "{p50}");
    let p99 = orders.p99_ms.unwrap();
    assert!((p99 - 10.0).abs() < 1e-9, "{p99}");
    assert_eq!(orders.bytes_out, 2000.0);
    // What is beyond the last bound is told as that.
    assert_eq!(rates.rows[1].p50_ms, Some(100.0));
    assert_eq!((rates.all.calls, rates.load), (10.5, 0.25));
    assert_eq!(
        (rates.callers[0].calls, rates.callers[0].failed),
        (2.0, 0.25)
    );
}

#[test]
fn a_node_that_was_started_anew_counts_from_nothing() {
    let before = look(1000, &[("orders", [0, 0, 100, 0, 0, 0], [100, 0, 0, 0])]);
    let now = look(2, &[("orders", [0, 0, 20, 0, 0, 0], [20, 0, 0, 0])]);
    let rates = Rates::between(&before, &now);
    assert_eq!((rates.all.calls, rates.seconds), (10.0, 2.0));
}

#[test]
fn nothing_between_two_looks_is_no_division_by_nothing() {
    let same = look(10, &[("orders", [0; 6], [0; 4])]);
    let rates = Rates::between(&same, &same);
    assert!(rates.rows.is_empty() && rates.all.p99_ms.is_none());
    assert!(rates.to_json().to_string().contains("\"calls\":0.0"));
    assert!(picture(&rates, None).contains("no calls"));
}

#[test]
fn a_picture_fits_into_its_terminal_and_no_subject_steers_it() {
    let names: Vec<String> = (0..200)
        .map(|number| format!("an-api-with-a-long-name-{number}"))
        .collect();
    let rows: Vec<_> = names
        .iter()
        .map(|name| (&**name, [0, 0, 7, 0, 0, 0], [7, 0, 0, 0]))
        .collect();
    let rates = Rates::between(&look(10, &[]), &look(20, &rows));
    for (columns, lines) in [(20, 5), (40, 10), (80, 24), (200, 60)] {
        let drawn = picture(&rates, Some(Size { columns, lines }));
        assert!(
            drawn.lines().count() <= lines.max(7),
            "{columns}x{lines}:\n{drawn}"
        );
        assert!(
            drawn.lines().all(|line| line.chars().count() <= columns),
            "{columns}x{lines}:\n{drawn}"
        );
        assert!(!drawn.contains('\u{1b}'));
    }
    let plain = picture(&rates, None);
    assert!(
        plain.contains("an-api-with-a-long-name-199/v1") && plain.contains("al\\u001b[2Jice"),
        "{plain}"
    );
}
