//! What is told of issuers and their keys.

use super::page::{Kind, Labels, Page};
use keyward_gateway::issuer::{IssuerStatus, Issuers};
use keyward_model::Timestamp;

pub(super) fn issuers(page: &mut Page, issuers: &Issuers, now: Timestamp) {
    let statuses: Vec<(Labels, IssuerStatus)> = issuers
        .statuses()
        .into_iter()
        .map(|status| {
            let labels = Labels::of(&[
                ("team", status.team_name.as_str()),
                ("issuer", status.name.as_str()),
            ]);
            (labels, status)
        })
        .collect();
    let mut family = page.family(
        Kind::Gauge,
        "keyward_issuer_verifiers",
        "Keys that verify the issuer's tokens, each with each algorithm.",
    );
    for (labels, status) in &statuses {
        family.sample(labels, status.verifiers);
    }
    let mut family = page.family(
        Kind::Gauge,
        "keyward_issuer_keys_age_seconds",
        "Since the issuer's keys were last confirmed.",
    );
    for (labels, status) in &statuses {
        if let Some(confirmed) = status.confirmed {
            family.sample(labels, now.since(confirmed).as_secs());
        }
    }
    let mut family = page.family(
        Kind::Counter,
        "keyward_issuer_readings_total",
        "Fetches and looks at an issuer's keys, by outcome.",
    );
    for (labels, status) in &statuses {
        let counts = status.counts;
        for (outcome, count) in [
            ("changed", counts.changed),
            ("unchanged", counts.unchanged),
            ("failed", counts.failed),
            ("refused", counts.refused),
        ] {
            family.sample_with(labels, "outcome", outcome, count);
        }
    }
    let mut family = page.family(
        Kind::Counter,
        "keyward_issuer_unknown_kids_total",
        "Tokens with an unknown kid, by whether they led to a fetch.",
    );
    for (labels, status) in &statuses {
        let counts = status.counts;
        for (effect, count) in [
            ("fetched", counts.asked_by_unknown_kid),
            ("suppressed", counts.suppressed),
            ("not_waited", counts.waiters_refused),
        ] {
            family.sample_with(labels, "effect", effect, count);
        }
    }
}
