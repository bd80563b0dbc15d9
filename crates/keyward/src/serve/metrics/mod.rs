//! `/metrics`, in Prometheus' text format.
//!
//! What becomes a label is configured or fixed: names of teams, APIs, routes, limits, upstreams and issuers,
//! codes, status classes. Nothing that a caller can choose, so that nobody makes the page grow.

mod issuers;
mod models;
mod page;
mod process;
mod shared_state;
mod upstreams;

use super::captures::CaptureStatus;
use super::changes::FollowCounts;
use super::reload::ReloadCounts;
use super::site::DatabaseStatus;
use super::traces::ExportStatus;
use keyward_gateway::Gateway;
use keyward_gateway::issuer::Issuers;
use keyward_gateway::metrics::{
    HistogramCounts, LimitCounts, PolicyEvent, RouteCounts, WorkerCounts,
};
use keyward_model::limit::Unit;
use keyward_model::usage::RouteLabels;
use keyward_model::{Code, Timestamp};
use keyward_state::revocation::Revocations;
use page::{Family, Kind, Labels, Page, Seconds};
use std::sync::atomic::Ordering;

/// What the page is made from.
pub(super) struct Sources<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) issuers: &'a Issuers,
    pub(super) reloads: &'a ReloadCounts,
    /// `None` where calls are not traced.
    pub(super) export: Option<&'a ExportStatus>,
    /// `None` where no body is captured.
    pub(super) captures: Option<&'a CaptureStatus>,
    pub(super) revocations: &'a Revocations,
    pub(super) following: &'a FollowCounts,
    pub(super) database: &'a DatabaseStatus,
    /// When the process began to serve.
    pub(super) started: Timestamp,
    pub(super) now: Timestamp,
}

/// All metrics as they are now.
pub(super) fn text(sources: &Sources<'_>) -> String {
    let mut page = Page::default();
    let version = Labels::of(&[("version", env!("CARGO_PKG_VERSION"))]);
    page.family(Kind::Gauge, "keyward_build_info", "1, of this version.")
        .sample(&version, 1);
    page.gauge(
        "process_start_time_seconds",
        "When the process began to serve, since 1970.",
        sources.started.as_seconds(),
    );
    process::write(&mut page);
    let workers = sources.gateway.worker_counts();
    totals(&mut page, &workers);
    each_worker(&mut page, &workers);
    codes(&mut page, &workers);
    policies(&mut page, &workers);
    node(&mut page, sources.gateway);
    if let Some(export) = sources.export {
        traces(&mut page, export);
    }
    if let Some(status) = sources.captures {
        captures(&mut page, status);
    }
    cache(&mut page, sources.gateway);
    guardrails(&mut page, sources.gateway);
    idempotency_keys(&mut page, sources.gateway);
    reloads(&mut page, sources.reloads);
    page.gauge(
        "keyward_configuration_left_out",
        "Resources of the database that this node does not serve: they don't fit beside its files, or can't be read.",
        sources.database.left_out(),
    );
    page.gauge(
        "keyward_configuration_behind",
        "1 while what others changed in the database can't be taken in.",
        u64::from(sources.database.is_behind()),
    );
    revocations(&mut page, sources);
    routes(&mut page, &sources.gateway.route_counts());
    limits(&mut page, sources.gateway);
    if let Some(counts) = sources.gateway.shared_counts() {
        shared_state::write(&mut page, &counts);
    }
    upstreams::upstreams(&mut page, sources.gateway);
    models::models(&mut page, sources.gateway);
    issuers::issuers(&mut page, sources.issuers, sources.now);
    page.into_text()
}

fn revocations(page: &mut Page, sources: &Sources<'_>) {
    page.gauge(
        "keyward_revocations",
        "Revocations that are held against tokens.",
        sources.revocations.load().len(),
    );
    page.counter(
        "keyward_revocation_feed_failures_total",
        "How often revocations could not be taken in from the database.",
        sources.following.failures.load(Ordering::Relaxed),
    );
    page.gauge(
        "keyward_database_away",
        "Whether the database does not answer: what is known goes on to hold.",
        u64::from(sources.following.away.load(Ordering::Relaxed)),
    );
}

/// One of a worker's numbers.
type OfWorker = fn(&WorkerCounts) -> u64;

/// What all workers have counted together.
fn totals(page: &mut Page, workers: &[WorkerCounts]) {
    let total = |of: OfWorker| workers.iter().map(of).sum::<u64>();
    let opened = total(|worker| worker.connections_opened);
    let closed = total(|worker| worker.connections_closed);
    page.counter(
        "keyward_connections_total",
        "Client connections accepted.",
        opened,
    );
    page.gauge(
        "keyward_connections_open",
        "Client connections open now.",
        opened.saturating_sub(closed),
    );
    let mut handshakes = page.family(
        Kind::Counter,
        "keyward_tls_handshakes_total",
        "TLS handshakes with clients, by how they ended; those of HTTP/3 that took up a session count as full.",
    );
    let outcomes: [(&str, OfWorker); 5] = [
        ("full", |worker| worker.handshakes.full),
        ("resumed", |worker| worker.handshakes.resumed),
        ("failed", |worker| worker.handshakes.failed),
        ("late", |worker| worker.handshakes.late),
        ("refused", |worker| worker.handshakes.refused),
    ];
    for (outcome, of) in outcomes {
        handshakes.sample_with(&Labels::NONE, "outcome", outcome, total(of));
    }
    page.counter(
        "keyward_proxy_protocol_failures_total",
        "Connections of trusted balancers that did not begin with a PROXY header.",
        total(|worker| worker.balancer_failures),
    );
    page.counter(
        "keyward_unrouted_requests_total",
        "Requests that no API took, or that could not be read.",
        total(|worker| worker.unrouted),
    );
    page.counter(
        "keyward_token_cache_hits_total",
        "Tokens found among those verified before.",
        total(|worker| worker.token_cache_hits),
    );
    page.counter(
        "keyward_token_cache_misses_total",
        "Tokens that were verified.",
        total(|worker| worker.token_cache_misses),
    );
    page.gauge(
        "keyward_token_cache_entries",
        "Verified tokens that are remembered.",
        total(|worker| worker.cached_tokens),
    );
    page.counter(
        "keyward_shed_requests_total",
        "Calls that were refused because there was too much to do.",
        total(|worker| worker.shed),
    );
    let mut leases = page.family(
        Kind::Counter,
        "keyward_upstream_connection_uses_total",
        "Attempts at upstreams, by whether their connection was new or had carried a call before.",
    );
    let kinds: [(&str, OfWorker); 2] = [
        ("new", |worker| worker.upstream_opened),
        ("reused", |worker| worker.upstream_reused),
    ];
    for (kind, of) in kinds {
        leases.sample_with(&Labels::NONE, "connection", kind, total(of));
    }
}

/// What is told of each worker.
struct WorkerMetric {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    write: fn(&mut Family<'_>, &Labels, &WorkerCounts),
}

const WORKER_METRICS: [WorkerMetric; 5] = [
    WorkerMetric {
        name: "keyward_worker_connections",
        kind: Kind::Gauge,
        help: "Client connections that the worker has open.",
        write: |family, labels, worker| {
            let open = worker.connections_opened;
            family.sample(labels, open.saturating_sub(worker.connections_closed));
        },
    },
    WorkerMetric {
        name: "keyward_worker_calls_in_flight",
        kind: Kind::Gauge,
        help: "Calls of the worker that are not answered to their end.",
        write: |family, labels, worker| family.sample(labels, worker.in_flight),
    },
    WorkerMetric {
        name: "keyward_worker_idle_upstream_connections",
        kind: Kind::Gauge,
        help: "Connections to upstreams that wait for a call of the worker.",
        write: |family, labels, worker| family.sample(labels, worker.idle_upstream),
    },
    WorkerMetric {
        name: "keyward_worker_delay_seconds",
        kind: Kind::Gauge,
        help: "How long what was ready waited for its turn, when last measured.",
        write: |family, labels, worker| family.sample(labels, Seconds(worker.delay_us)),
    },
    WorkerMetric {
        name: "keyward_worker_busy_seconds_total",
        kind: Kind::Counter,
        help: "For how long the worker has worked, rather than waited; its rate is the worker's load.",
        write: |family, labels, worker| family.sample(labels, Seconds(worker.busy_us)),
    },
];

fn each_worker(page: &mut Page, workers: &[WorkerCounts]) {
    for WorkerMetric {
        name,
        kind,
        help,
        write,
    } in WORKER_METRICS
    {
        let mut family = page.family(kind, name, help);
        for (index, worker) in workers.iter().enumerate() {
            let labels = Labels::of(&[("worker", &index.to_string())]);
            write(&mut family, &labels, worker);
        }
    }
}

/// Refusals and failures by their codes: all of them, so that a rate begins at nothing.
fn codes(page: &mut Page, workers: &[WorkerCounts]) {
    let mut family = page.family(
        Kind::Counter,
        "keyward_problems_total",
        "Calls that were refused or failed, by the problem's code and by who is at fault.",
    );
    for (place, code) in Code::ALL.iter().enumerate() {
        let of = |worker: &WorkerCounts| worker.codes.get(place).copied().unwrap_or_default();
        let labels = Labels::of(&[("code", code.as_str()), ("blame", code.blame().as_str())]);
        family.sample(&labels, workers.iter().map(of).sum::<u64>());
    }
}

fn policies(page: &mut Page, workers: &[WorkerCounts]) {
    let mut family = page.family(
        Kind::Counter,
        "keyward_policy_decisions_total",
        "Decisions of policies, by policy and by what was decided.",
    );
    for (place, event) in PolicyEvent::ALL.iter().enumerate() {
        let of = |worker: &WorkerCounts| worker.policies.get(place).copied().unwrap_or_default();
        let labels = Labels::of(&[("policy", event.policy()), ("decision", event.decision())]);
        family.sample(&labels, workers.iter().map(of).sum::<u64>());
    }
}

fn node(page: &mut Page, gateway: &Gateway) {
    page.counter(
        "keyward_access_records_dropped_total",
        "Access records dropped because the log was too slow.",
        gateway.dropped_records(),
    );
    page.gauge(
        "keyward_counted_subjects",
        "Subjects whose limits are being counted.",
        gateway.counted_subjects(),
    );
    page.gauge(
        "keyward_counted_subjects_max",
        "The most subjects whose limits are counted at one time.",
        gateway.counted_subjects_max(),
    );
    let proving = gateway.proving_counts();
    page.gauge(
        "keyward_failing_addresses",
        "Addresses from which credentials came that were not good, and that are counted.",
        proving.failing_addresses,
    );
    page.counter(
        "keyward_failures_uncounted_total",
        "Credentials that were not good and were not counted, since as many addresses failed as are.",
        proving.uncounted_failures,
    );
    page.gauge(
        "keyward_remembered_proofs",
        "Proofs of possession that were used lately.",
        proving.remembered_proofs,
    );
    page.gauge(
        "keyward_revision",
        "The configuration's revision.",
        gateway.revision().0,
    );
}

fn cache(page: &mut Page, gateway: &Gateway) {
    let counts = gateway.cache_counts();
    page.gauge(
        "keyward_cache_entries",
        "Answers that are kept for other calls.",
        counts.entries,
    );
    page.gauge(
        "keyward_cache_bytes",
        "Memory that kept answers take, those included that are no longer kept but still being sent.",
        counts.bytes,
    );
    page.gauge(
        "keyward_cache_max_bytes",
        "The most memory that kept answers may take.",
        counts.max_bytes,
    );
    page.counter(
        "keyward_cache_evictions_total",
        "Keys whose answers were given up to make room for others.",
        counts.evicted,
    );
}

fn guardrails(page: &mut Page, gateway: &Gateway) {
    let mut family = page.family(
        Kind::Counter,
        "keyward_guardrails_total",
        "Calls in which a guardrail fired, by API, guardrail and what it did.",
    );
    for (fired, count) in gateway.guardrail_counts() {
        let labels = Labels::of(&[
            ("team", fired.team.as_str()),
            ("api", fired.api.as_str()),
            ("guardrail", &fired.guardrail),
            ("action", fired.action),
        ]);
        family.sample(&labels, count);
    }
    let (bytes, most) = gateway.kept_answer_bytes();
    page.gauge(
        "keyward_ai_cache_bytes",
        "Memory that answers of AI models that are kept for other calls take, those included that are only being sent still.",
        bytes,
    );
    page.gauge(
        "keyward_ai_cache_max_bytes",
        "The most memory that they may take.",
        most,
    );
}

fn idempotency_keys(page: &mut Page, gateway: &Gateway) {
    let counts = gateway.key_counts();
    page.gauge(
        "keyward_idempotency_keys",
        "Idempotency keys that are remembered.",
        counts.keys,
    );
    page.gauge(
        "keyward_idempotency_bytes",
        "Memory that keys and the answers to their calls take, with what is set aside for calls under way.",
        counts.bytes,
    );
    page.gauge(
        "keyward_idempotency_max_bytes",
        "The most memory that they may take.",
        counts.max_bytes,
    );
}

fn traces(page: &mut Page, export: &ExportStatus) {
    let mut calls = page.family(
        Kind::Counter,
        "keyward_traced_calls_total",
        "Calls that were to be recorded, by whether the collector has them, was too slow, or did not take them.",
    );
    for (outcome, count) in [
        ("exported", export.exported()),
        ("dropped", export.dropped()),
        ("given_up", export.given_up()),
    ] {
        calls.sample_with(&Labels::NONE, "outcome", outcome, count);
    }
    page.counter(
        "keyward_trace_spans_rejected_total",
        "Spans that the collector says it does not take, of calls that it took.",
        export.rejected_spans(),
    );
    page.counter(
        "keyward_trace_export_failures_total",
        "Exports that failed, repeated ones included.",
        export.failures(),
    );
}

fn captures(page: &mut Page, captures: &CaptureStatus) {
    let mut calls = page.family(
        Kind::Counter,
        "keyward_captured_calls_total",
        "Calls whose bodies were captured, by whether they are written.",
    );
    for (outcome, count) in [
        ("written", captures.written()),
        ("dropped", captures.dropped()),
    ] {
        calls.sample_with(&Labels::NONE, "outcome", outcome, count);
    }
    page.gauge(
        "keyward_capture_memory_bytes",
        "Memory of captured bodies that are not written yet.",
        captures.memory(),
    );
}

fn reloads(page: &mut Page, reloads: &ReloadCounts) {
    page.counter(
        "keyward_configuration_reloads_total",
        "Configurations that were read anew and served.",
        reloads.done(),
    );
    page.counter(
        "keyward_configuration_reload_failures_total",
        "Configurations that were read anew and refused.",
        reloads.failed(),
    );
    page.gauge(
        "keyward_configuration_refused",
        "1 while the configuration in the files is refused and the one before it is served.",
        u64::from(reloads.refused()),
    );
    let mut last = page.family(
        Kind::Gauge,
        "keyward_configuration_last_reload_timestamp_seconds",
        "When a configuration was last read anew, since 1970, by what became of it.",
    );
    for (outcome, at) in [
        ("served", reloads.last_done()),
        ("refused", reloads.last_failed()),
    ] {
        if let Some(at) = at {
            last.sample_with(&Labels::NONE, "outcome", outcome, at.as_seconds());
        }
    }
    page.gauge(
        "keyward_configuration_last_reload_duration_seconds",
        "How long the last reload took that was served: from when it began to when calls are answered by it.",
        Seconds(u64::try_from(reloads.last_took().as_micros()).unwrap_or(u64::MAX)),
    );
}

fn routes(page: &mut Page, routes: &[RouteCounts]) {
    let routes: Vec<_> = routes
        .iter()
        .map(|route| (labels(&route.labels), route))
        .collect();
    let mut family = page.family(
        Kind::Counter,
        "keyward_requests_total",
        "Calls by API, version, route and status class; `none`: the client left.",
    );
    const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
    for (labels, route) in &routes {
        for (class, count) in CLASSES.iter().zip(route.classes) {
            family.sample_with(labels, "status", class, count);
        }
    }
    let mut family = page.family(
        Kind::Counter,
        "keyward_rate_limited_total",
        "Calls that a limit refused.",
    );
    for (labels, route) in &routes {
        family.sample(labels, route.limited);
    }
    let mut family = page.family(
        Kind::Counter,
        "keyward_request_bytes_total",
        "Body bytes, from clients (in) and to them (out).",
    );
    for (labels, route) in &routes {
        family.sample_with(labels, "direction", "in", route.bytes_in);
        family.sample_with(labels, "direction", "out", route.bytes_out);
    }
    let mut family = page.family(
        Kind::Counter,
        "keyward_mirrored_total",
        "Copies of calls for mirrors, by what became of them.",
    );
    for (labels, route) in &routes {
        for (outcome, count) in route.copies.iter().flatten() {
            family.sample_with(labels, "outcome", outcome.as_str(), *count);
        }
    }
    let mut family = page.family(
        Kind::Counter,
        "keyward_cache_requests_total",
        "Calls to routes with a cache, by what that did: answered (`hit`, `stale`, `revalidated`, `collapsed`), or let the upstream answer (`missed`, `bypassed`).",
    );
    for (labels, route) in &routes {
        for (outcome, count) in route.cache.iter().flatten() {
            family.sample_with(labels, "outcome", outcome.as_str(), *count);
        }
    }
    type OfRoute = fn(&RouteCounts) -> &HistogramCounts;
    let histograms: [(&str, &str, OfRoute); 3] = [
        (
            "keyward_request_duration_seconds",
            "From the request's head to the end of its answer.",
            |route| &route.whole,
        ),
        (
            "keyward_first_byte_seconds",
            "From the request's head to the head of its answer.",
            |route| &route.first_byte,
        ),
        (
            "keyward_upstream_answer_seconds",
            "From when an upstream is looked for to the head of its answer, retries included.",
            |route| &route.upstream,
        ),
    ];
    for (name, help, of) in histograms {
        let mut family = page.family(Kind::Histogram, name, help);
        for (labels, route) in &routes {
            family.histogram(labels, of(route));
        }
    }
}

fn labels(route: &RouteLabels) -> Labels {
    Labels::of(&[
        ("team", route.team_name.as_str()),
        ("api", route.api.as_str()),
        ("version", route.version.as_str()),
        ("route", &route.route),
    ])
}

fn limits(page: &mut Page, gateway: &Gateway) {
    let counts = gateway.limit_counts();
    let labels = |limit: &LimitCounts| {
        Labels::of(&[
            ("team", limit.team.as_str()),
            ("api", limit.api.as_str()),
            ("version", limit.version.as_str()),
            // Empty of one that all routes of the API share.
            ("route", limit.route.as_deref().unwrap_or_default()),
            ("limit", limit.limit.as_str()),
        ])
    };
    let mut family = page.family(
        Kind::Counter,
        "keyward_limit_refusals_total",
        "Calls that each limit has refused.",
    );
    for limit in &counts {
        family.sample(&labels(limit), limit.refused);
    }
    for (unit, name, help) in [
        (
            Unit::Tokens,
            "keyward_limit_spent_tokens_total",
            "Tokens that ended calls took under each limit in tokens.",
        ),
        (
            Unit::Cost,
            "keyward_limit_spent_pico_usd_total",
            "Money that ended calls cost under each limit in money, in units of 10^-12 US dollars.",
        ),
    ] {
        let mut family = page.family(Kind::Counter, name, help);
        for limit in &counts {
            if let Some((_, spent)) = limit.spent.filter(|(of, _)| *of == unit) {
                family.sample(&labels(limit), spent);
            }
        }
    }
}
