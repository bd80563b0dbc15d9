//! What is told of upstreams and their targets.

use super::page::{Kind, Labels, Page};
use keyward_gateway::{Gateway, TargetCounts};

/// What is told of each target.
struct TargetMetric {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    value: fn(&TargetCounts) -> u64,
}

const TARGET_METRICS: [TargetMetric; 7] = [
    TargetMetric {
        name: "keyward_upstream_healthy",
        kind: Kind::Gauge,
        help: "1 while the target gets calls: neither ejected, nor ill, nor spared by its breaker.",
        value: |target| u64::from(target.healthy),
    },
    TargetMetric {
        name: "keyward_upstream_ejected",
        kind: Kind::Gauge,
        help: "1 while the target is left out because calls to it failed.",
        value: |target| u64::from(target.ejected),
    },
    TargetMetric {
        name: "keyward_upstream_ejections_total",
        kind: Kind::Counter,
        help: "How often the target was left out because calls to it failed.",
        value: |target| target.ejections,
    },
    TargetMetric {
        name: "keyward_upstream_breaker_open",
        kind: Kind::Gauge,
        help: "1 while the target's breaker is open or tried.",
        value: |target| u64::from(target.breaker_open),
    },
    TargetMetric {
        name: "keyward_upstream_in_flight",
        kind: Kind::Gauge,
        help: "Calls under way at the target.",
        value: |target| u64::from(target.in_flight),
    },
    TargetMetric {
        name: "keyward_upstream_pending",
        kind: Kind::Gauge,
        help: "Calls that wait for a connection to the target.",
        value: |target| u64::from(target.pending),
    },
    TargetMetric {
        name: "keyward_upstream_connections",
        kind: Kind::Gauge,
        help: "Connections to the target, idle ones included.",
        value: |target| u64::from(target.connections),
    },
];

pub(super) fn upstreams(page: &mut Page, gateway: &Gateway) {
    let upstreams = gateway.upstream_counts();
    let mut family = page.family(
        Kind::Counter,
        "keyward_upstream_retries_total",
        "Attempts after the first.",
    );
    for upstream in &upstreams {
        let labels = Labels::of(&[("team", &upstream.team), ("upstream", &upstream.upstream)]);
        family.sample(&labels, upstream.retries);
    }
    let targets: Vec<_> = upstreams
        .iter()
        .flat_map(|upstream| {
            upstream.targets.iter().map(|target| {
                let labels = Labels::of(&[
                    ("team", &upstream.team),
                    ("upstream", &upstream.upstream),
                    ("target", &target.url),
                ]);
                (labels, target)
            })
        })
        .collect();
    for TargetMetric {
        name,
        kind,
        help,
        value,
    } in TARGET_METRICS
    {
        let mut family = page.family(kind, name, help);
        for (labels, target) in &targets {
            family.sample(labels, value(target));
        }
    }
}
