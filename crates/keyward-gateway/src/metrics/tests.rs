use super::*;
use keyward_model::id::{NodeId, RequestId, TeamId};
use keyward_model::usage::{HttpVersion, RouteLabels, Times, UsageRecord};
use keyward_model::{Code, Name, Revision, Timestamp};
use std::time::Duration;

/// A call that ended so, with its times in microseconds.
pub(crate) fn call(status: u16, total: u64, first_byte: u64, upstream: u64) -> UsageRecord {
    UsageRecord {
        protocol: HttpVersion::Http11,
        grpc_status: None,
        request_id: RequestId::from_u128(1),
        trace_id: None,
        node: NodeId::from_u128(1),
        revision: Revision(1),
        started: Timestamp::EPOCH,
        route: None,
        address: None,
        application: None,
        credential: None,
        caller: None,
        method: "GET".into(),
        path: "/".into(),
        status,
        code: (status == 429).then_some(Code::RateLimited),
        blame: None,
        because: None,
        limit: (status == 429).then(|| "whole".into()),
        policy: None,
        guardrails: None,
        answer_cache: None,
        model: None,
        bytes_in: 1,
        bytes_out: 10,
        times: Times {
            total: Duration::from_micros(total),
            first_byte: Duration::from_micros(first_byte),
            upstream: Duration::from_micros(upstream),
        },
    }
}

fn labels() -> RouteLabels {
    let name = |text: &str| text.parse::<Name>().unwrap();
    RouteLabels {
        team: TeamId::DEFAULT,
        team_name: name("default"),
        api: name("orders"),
        version: name("v1"),
        route: "/orders".into(),
    }
}

#[test]
fn what_workers_count_is_merged_and_a_route_without_a_call_has_nothing_to_tell() {
    let metrics = RouteMetrics::new(3);
    assert!(metrics.read(&labels()).is_none());
    metrics.count(0, &call(200, 1_000, 900, 800));
    metrics.count(2, &call(200, 31_000_000, 100, 50));
    metrics.count(2, &call(429, 40, 40, 0));
    metrics.count(2, &call(0, 70, 0, 60));
    // There is no such worker.
    metrics.count(3, &call(200, 1, 1, 1));
    let counts = metrics.read(&labels()).unwrap();
    assert_eq!(counts.classes, [1, 0, 2, 0, 1, 0]);
    assert_eq!(
        (counts.limited, counts.bytes_in, counts.bytes_out),
        (1, 4, 40)
    );
    assert_eq!(counts.whole.count(), 4);
    assert_eq!(counts.first_byte.count(), 3);
    assert_eq!(counts.upstream.count(), 3);
    assert_eq!(counts.whole.sum_us, 31_001_110);
    assert_eq!(counts.whole.buckets.last(), Some(&1));
}

#[test]
fn a_duration_falls_in_the_bucket_whose_bound_it_does_not_pass() {
    for (index, bound) in LATENCY_BOUNDS_US.into_iter().enumerate() {
        for (micros, expected) in [(bound, index), (bound + 1, index + 1)] {
            let histogram = histogram::Histogram::default();
            histogram.count(Duration::from_micros(micros));
            let mut counts = HistogramCounts::default();
            counts.merge(&histogram);
            assert_eq!(counts.buckets[expected], 1, "{micros} µs");
            assert_eq!(counts.count(), 1);
        }
    }
}

#[test]
fn refusals_are_counted_by_their_code_and_by_their_limit() {
    let worker = WorkerMetrics::default();
    worker.count(&call(200, 1, 1, 1));
    worker.count(&call(429, 1, 1, 0));
    let counts = worker.read();
    let at = Code::ALL.iter().position(|code| *code == Code::RateLimited);
    assert_eq!(counts.codes[at.unwrap()], 1);
    assert_eq!(counts.codes.iter().sum::<u64>(), 1);

    let limit = LimitMetrics::new(2);
    for worker in [0, 1, 1, 2] {
        limit.refused(worker);
    }
    assert_eq!(limit.read(), 3);
}
