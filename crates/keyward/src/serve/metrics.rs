//! `/metrics`, in Prometheus' text format.

use super::reload::ReloadCounts;
use keyward_gateway::issuer::{IssuerStatus, Issuers};
use keyward_gateway::metrics::{LATENCY_BOUNDS_US, RouteCounts, WorkerCounts};
use keyward_gateway::{Gateway, TargetCounts, UpstreamCounts};
use keyward_model::Timestamp;
use std::fmt::Write as _;

/// All metrics as they are now.
pub(super) fn text(
    gateway: &Gateway,
    issuers: &Issuers,
    now: Timestamp,
    reloads: &ReloadCounts,
) -> String {
    let mut page = Page(String::with_capacity(16 * 1024));
    let workers = gateway.worker_counts();
    let total = |of: fn(&WorkerCounts) -> u64| workers.iter().map(of).sum::<u64>();
    let opened = total(|worker| worker.connections_opened);
    let closed = total(|worker| worker.connections_closed);
    page.single(
        "keyward_connections_total",
        "counter",
        "Client connections accepted.",
        opened,
    );
    page.single(
        "keyward_connections_open",
        "gauge",
        "Client connections open now.",
        opened.saturating_sub(closed),
    );
    page.single(
        "keyward_unrouted_requests_total",
        "counter",
        "Requests that no API took, or that could not be read.",
        total(|worker| worker.unrouted),
    );
    page.single(
        "keyward_token_cache_hits_total",
        "counter",
        "Tokens found among those verified before.",
        total(|worker| worker.token_cache_hits),
    );
    page.single(
        "keyward_token_cache_misses_total",
        "counter",
        "Tokens that were verified.",
        total(|worker| worker.token_cache_misses),
    );
    page.single(
        "keyward_shed_requests_total",
        "counter",
        "Calls that were refused because there was too much to do.",
        total(|worker| worker.shed),
    );
    page.single(
        "keyward_access_records_dropped_total",
        "counter",
        "Access records dropped because the log was too slow.",
        gateway.dropped_records(),
    );
    page.single(
        "keyward_counted_subjects",
        "gauge",
        "Subjects whose rate limits are being counted.",
        gateway.counted_subjects() as u64,
    );
    page.single(
        "keyward_revision",
        "gauge",
        "The configuration's revision.",
        gateway.revision().0,
    );
    page.reloads(reloads);
    let routes = gateway.route_counts();
    page.routes(&routes);
    page.copies(&routes);
    page.upstreams(&gateway.upstream_counts());
    page.issuers(issuers, now);
    page.0
}

/// What is told of each target.
struct TargetMetric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&TargetCounts) -> u64,
}

const TARGET_METRICS: [TargetMetric; 7] = [
    TargetMetric {
        name: "keyward_upstream_healthy",
        kind: "gauge",
        help: "1 while the target gets calls: neither ejected, nor ill, nor spared by its breaker.",
        value: |target| u64::from(target.healthy),
    },
    TargetMetric {
        name: "keyward_upstream_ejected",
        kind: "gauge",
        help: "1 while the target is left out because calls to it failed.",
        value: |target| u64::from(target.ejected),
    },
    TargetMetric {
        name: "keyward_upstream_ejections_total",
        kind: "counter",
        help: "How often the target was left out because calls to it failed.",
        value: |target| target.ejections,
    },
    TargetMetric {
        name: "keyward_upstream_breaker_open",
        kind: "gauge",
        help: "1 while the target's breaker is open or tried.",
        value: |target| u64::from(target.breaker_open),
    },
    TargetMetric {
        name: "keyward_upstream_in_flight",
        kind: "gauge",
        help: "Calls under way at the target.",
        value: |target| u64::from(target.in_flight),
    },
    TargetMetric {
        name: "keyward_upstream_pending",
        kind: "gauge",
        help: "Calls that wait for a connection to the target.",
        value: |target| u64::from(target.pending),
    },
    TargetMetric {
        name: "keyward_upstream_connections",
        kind: "gauge",
        help: "Connections to the target, idle ones included.",
        value: |target| u64::from(target.connections),
    },
];

struct Page(String);

impl Page {
    fn line(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _infallible = self.0.write_fmt(arguments);
        self.0.push('\n');
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        self.line(format_args!("{name} {value}"));
    }

    fn reloads(&mut self, reloads: &ReloadCounts) {
        self.single(
            "keyward_configuration_reloads_total",
            "counter",
            "Configurations that were read anew and served.",
            reloads.done(),
        );
        self.single(
            "keyward_configuration_reload_failures_total",
            "counter",
            "Configurations that were read anew and refused.",
            reloads.failed(),
        );
        self.single(
            "keyward_configuration_refused",
            "gauge",
            "1 while the configuration in the files is refused and the one before it is served.",
            u64::from(reloads.refused()),
        );
    }

    fn routes(&mut self, routes: &[RouteCounts]) {
        self.head(
            "keyward_requests_total",
            "counter",
            "Calls by API, version, route and status class; `none`: the client left.",
        );
        for route in routes {
            let labels = labels(route);
            for (class, count) in route.classes.iter().enumerate() {
                let class = if class == 0 {
                    "none".to_owned()
                } else {
                    format!("{class}xx")
                };
                self.line(format_args!(
                    "keyward_requests_total{{{labels},status=\"{class}\"}} {count}"
                ));
            }
        }
        self.head(
            "keyward_rate_limited_total",
            "counter",
            "Calls that a limit refused.",
        );
        for route in routes {
            self.line(format_args!(
                "keyward_rate_limited_total{{{}}} {}",
                labels(route),
                route.limited
            ));
        }
        self.head(
            "keyward_request_bytes_total",
            "counter",
            "Body bytes, from clients (in) and to them (out).",
        );
        for route in routes {
            let labels = labels(route);
            self.line(format_args!(
                "keyward_request_bytes_total{{{labels},direction=\"in\"}} {}",
                route.bytes_in
            ));
            self.line(format_args!(
                "keyward_request_bytes_total{{{labels},direction=\"out\"}} {}",
                route.bytes_out
            ));
        }
        self.head(
            "keyward_request_duration_seconds",
            "histogram",
            "From the request's head to the end of its answer.",
        );
        for route in routes {
            let labels = labels(route);
            let mut sum = 0;
            let bounds = LATENCY_BOUNDS_US.map(seconds).into_iter();
            for (bound, count) in bounds
                .chain(std::iter::once("+Inf".to_owned()))
                .zip(route.latency)
            {
                sum += count;
                self.line(format_args!(
                    "keyward_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {sum}"
                ));
            }
            self.line(format_args!(
                "keyward_request_duration_seconds_sum{{{labels}}} {}",
                seconds(route.latency_sum_us)
            ));
            self.line(format_args!(
                "keyward_request_duration_seconds_count{{{labels}}} {sum}"
            ));
        }
        self.head(
            "keyward_upstream_seconds_total",
            "counter",
            "Time spent waiting for upstreams.",
        );
        for route in routes {
            self.line(format_args!(
                "keyward_upstream_seconds_total{{{}}} {}",
                labels(route),
                seconds(route.upstream_us)
            ));
        }
    }
}

impl Page {
    fn copies(&mut self, routes: &[RouteCounts]) {
        self.head(
            "keyward_mirrored_total",
            "counter",
            "Copies of calls for mirrors, by what became of them.",
        );
        for route in routes {
            for (outcome, count) in route.copies.iter().flatten() {
                self.line(format_args!(
                    "keyward_mirrored_total{{{},outcome=\"{}\"}} {count}",
                    labels(route),
                    outcome.as_str()
                ));
            }
        }
    }

    fn upstreams(&mut self, upstreams: &[UpstreamCounts]) {
        self.head(
            "keyward_upstream_retries_total",
            "counter",
            "Attempts after the first.",
        );
        for upstream in upstreams {
            self.line(format_args!(
                "keyward_upstream_retries_total{{team=\"{}\",upstream=\"{}\"}} {}",
                upstream.team, upstream.upstream, upstream.retries
            ));
        }
        for TargetMetric {
            name,
            kind,
            help,
            value,
        } in TARGET_METRICS
        {
            self.head(name, kind, help);
            for upstream in upstreams {
                for target in &upstream.targets {
                    // Addresses of targets are plain: nothing to escape.
                    self.line(format_args!(
                        "{name}{{team=\"{}\",upstream=\"{}\",target=\"{}\"}} {}",
                        upstream.team,
                        upstream.upstream,
                        target.url,
                        value(target)
                    ));
                }
            }
        }
    }

    fn issuers(&mut self, issuers: &Issuers, now: Timestamp) {
        let statuses = issuers.statuses();
        let label = |status: &IssuerStatus| {
            format!("team=\"{}\",issuer=\"{}\"", status.team_name, status.name)
        };
        self.head(
            "keyward_issuer_verifiers",
            "gauge",
            "Keys that verify the issuer's tokens, each with each algorithm.",
        );
        for status in &statuses {
            self.line(format_args!(
                "keyward_issuer_verifiers{{{}}} {}",
                label(status),
                status.verifiers
            ));
        }
        self.head(
            "keyward_issuer_keys_age_seconds",
            "gauge",
            "Since the issuer's keys were last confirmed.",
        );
        for status in &statuses {
            if let Some(confirmed) = status.confirmed {
                let age = now.since(confirmed).as_secs();
                self.line(format_args!(
                    "keyward_issuer_keys_age_seconds{{{}}} {age}",
                    label(status)
                ));
            }
        }
        self.head(
            "keyward_issuer_readings_total",
            "counter",
            "Fetches and looks at an issuer's keys, by outcome.",
        );
        for status in &statuses {
            let counts = status.counts;
            let outcomes = [
                ("changed", counts.changed),
                ("unchanged", counts.unchanged),
                ("failed", counts.failed),
                ("refused", counts.refused),
            ];
            for (outcome, count) in outcomes {
                self.line(format_args!(
                    "keyward_issuer_readings_total{{{},outcome=\"{outcome}\"}} {count}",
                    label(status)
                ));
            }
        }
        self.head(
            "keyward_issuer_unknown_kids_total",
            "counter",
            "Tokens with an unknown kid, by whether they led to a fetch.",
        );
        for status in &statuses {
            let counts = status.counts;
            let effects = [
                ("fetched", counts.asked_by_unknown_kid),
                ("suppressed", counts.suppressed),
                ("not_waited", counts.waiters_refused),
            ];
            for (effect, count) in effects {
                self.line(format_args!(
                    "keyward_issuer_unknown_kids_total{{{},effect=\"{effect}\"}} {count}",
                    label(status)
                ));
            }
        }
    }
}

fn labels(route: &RouteCounts) -> String {
    let labels = &route.labels;
    // Names, methods and paths have no quote, backslash or line break: nothing to escape.
    format!(
        "team=\"{}\",api=\"{}\",version=\"{}\",route=\"{}\"",
        labels.team_name, labels.api, labels.version, labels.route
    )
}

fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}
