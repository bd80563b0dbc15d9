//! What is told of the state that several nodes share.

use super::page::{Kind, Labels, Page, Seconds};
use keyward_state::shared::SharedCounts;

pub(super) fn write(page: &mut Page, counts: &SharedCounts) {
    page.gauge(
        "keyward_shared_state_connected",
        "Workers that are connected to the shared state.",
        counts.connected,
    );
    page.counter(
        "keyward_shared_state_outages_total",
        "How often a worker lost the shared state: a connection broke, or an answer was late.",
        counts.outages,
    );
    page.counter(
        "keyward_shared_state_unreachable_total",
        "Attempts to connect to the shared state that failed.",
        counts.unreachable,
    );
    page.counter(
        "keyward_shared_state_slots_failed_total",
        "How often the shared state, which was there, did not keep or give back a slot.",
        counts.slots_failed,
    );
    let mut family = page.family(
        Kind::Counter,
        "keyward_shared_state_round_trips_total",
        "Questions to the shared state, by outcome.",
    );
    for (outcome, count) in [
        ("answered", counts.answered),
        ("failed", counts.failed),
        ("late", counts.late),
    ] {
        family.sample_with(&Labels::NONE, "outcome", outcome, count);
    }
    page.counter(
        "keyward_shared_state_round_trip_seconds_total",
        "How long the answered ones took, all together.",
        Seconds(u64::try_from(counts.time.as_micros()).unwrap_or(u64::MAX)),
    );
    let mut family = page.family(
        Kind::Counter,
        "keyward_shared_state_spared_total",
        "Calls that needed no round trip: a call of a lease, or a refusal that was known to hold.",
    );
    for (why, count) in [
        ("lease", counts.leased),
        ("known_refusal", counts.known_refusals),
    ] {
        family.sample_with(&Labels::NONE, "why", why, count);
    }
    let mut family = page.family(
        Kind::Counter,
        "keyward_shared_state_outage_decisions_total",
        "Calls that came while the shared state was away, by what became of them.",
    );
    for (outcome, count) in [
        ("allowed_locally", counts.allowed_locally),
        ("refused_locally", counts.refused_locally),
        ("refused", counts.unavailable),
    ] {
        family.sample_with(&Labels::NONE, "outcome", outcome, count);
    }
    page.gauge(
        "keyward_shared_state_slots",
        "Slots of limits on concurrency that this node holds.",
        counts.slots,
    );
    page.gauge(
        "keyward_shared_state_evicts",
        "1 while the shared state forgets what it likes when its memory is full.",
        u64::from(counts.evicts),
    );
}
