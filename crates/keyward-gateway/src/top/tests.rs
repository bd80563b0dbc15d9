use super::*;
use crate::metrics::tests::call as of_status;

fn call(address: &str) -> UsageRecord {
    UsageRecord {
        address: Some(address.parse().unwrap()),
        ..of_status(404, 1, 1, 1)
    }
}

#[test]
fn callers_are_counted_while_somebody_looks_and_forgotten_then() {
    let top = TopCallers::new(2);
    let workers = [WorkerTop::default(), WorkerTop::default()];
    let second = |number: u64| Moment::from_nanos((100 + number) * 1_000_000_000);
    let tick = |at: Moment| {
        for (index, worker) in workers.iter().enumerate() {
            worker.tick(index, &top, at);
        }
    };
    workers[0].count(&call("192.0.2.1"));
    tick(second(0));
    assert_eq!(top.look(second(0), 10).0, []);
    tick(second(0));
    for worker in &workers {
        worker.count(&call("192.0.2.1"));
        worker.count(&call("::ffff:192.0.2.1"));
    }
    workers[1].count(&call("2001:db8::1"));
    tick(second(2));
    let (callers, over) = top.look(second(2), 10);
    let told: Vec<_> = callers
        .iter()
        .map(|caller| (&*caller.name, caller.calls, caller.failed))
        .collect();
    assert_eq!(told, [("192.0.2.1", 4, 4), ("2001:db8::1", 1, 1)]);
    assert_eq!(over, Duration::from_secs(2));
    assert_eq!(top.look(second(2), 1).0.len(), 1);

    // A window later they are the past, and two later forgotten.
    tick(second(6));
    tick(second(7));
    let (callers, over) = top.look(second(7), 10);
    assert_eq!((callers.len(), over), (2, Duration::from_secs(7)));
    tick(second(12));
    tick(second(13));
    assert_eq!(top.look(second(13), 10).0, []);

    workers[0].count(&call("192.0.2.1"));
    tick(second(14));
    assert_eq!(top.look(second(14), 10).0.len(), 1);
    // Nobody looks for long enough.
    tick(second(60));
    workers[0].count(&call("192.0.2.1"));
    tick(second(61));
    assert_eq!(top.look(second(61), 10).0, []);
}
