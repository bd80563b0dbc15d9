//! `/top`: what `keyward top` shows, as JSON. Numbers go up from the process's start, and whoever asks twice
//! makes rates of them; only callers are told of the last seconds.

use super::operations::Operations;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use keyward_gateway::metrics::{LATENCY_BOUNDS_US, RouteCounts};
use keyward_gateway::top::TopCaller;
use keyward_model::Moment;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The most callers that are told of.
const CALLERS_MAX: usize = 100;

/// What calls are added up by.
#[derive(Clone, Copy, Debug)]
enum By {
    Api,
    Route,
}

/// Answers, and has callers counted from now on for a while.
pub(super) async fn answer(
    State(operations): State<Operations>,
    RawQuery(query): RawQuery,
) -> Response {
    let by = match query.as_deref() {
        None | Some("" | "by=api") => By::Api,
        Some("by=route") => By::Route,
        Some(_) => {
            return (StatusCode::BAD_REQUEST, "ask for by=api or by=route\n").into_response();
        }
    };
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, told(&operations, by).to_string()).into_response()
}

fn told(operations: &Operations, by: By) -> Value {
    let gateway = &operations.gateway;
    let (callers, over) = gateway.top_callers(CALLERS_MAX);
    let workers: Vec<Value> = gateway
        .worker_counts()
        .iter()
        .map(|worker| {
            json!({
                "connections": worker.connections_opened.saturating_sub(worker.connections_closed),
                "in_flight": worker.in_flight,
                "delay_us": worker.delay_us,
                "busy_us": worker.busy_us,
                "unrouted": worker.unrouted,
                "shed": worker.shed,
            })
        })
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "revision": gateway.revision().0,
        "up_s": operations.clock.now().since(operations.started).as_secs(),
        "at_us": micros(operations.clock.moment()),
        "latency_bounds_us": LATENCY_BOUNDS_US,
        "workers": workers,
        "calls": calls(gateway.route_counts(), by),
        "callers_over_s": over.as_secs_f64(),
        "callers": callers.iter().map(caller).collect::<Vec<_>>(),
    })
}

fn micros(moment: Moment) -> u64 {
    moment.as_nanos() / 1_000
}

/// What was counted of calls, added up.
#[derive(Debug, Default)]
struct Sum {
    classes: [u64; 6],
    bytes_in: u64,
    bytes_out: u64,
    latency: [u64; LATENCY_BOUNDS_US.len() + 1],
}

impl Sum {
    fn add(&mut self, counts: &RouteCounts) {
        for (sum, count) in self.classes.iter_mut().zip(counts.classes) {
            *sum += count;
        }
        for (sum, count) in self.latency.iter_mut().zip(counts.whole.buckets) {
            *sum += count;
        }
        self.bytes_in += counts.bytes_in;
        self.bytes_out += counts.bytes_out;
    }
}

fn calls(routes: Vec<RouteCounts>, by: By) -> Vec<Value> {
    let mut sums: BTreeMap<_, Sum> = BTreeMap::new();
    for counts in routes {
        let labels = counts.labels.clone();
        let route = match by {
            By::Api => None,
            By::Route => Some(labels.route),
        };
        let key = (labels.team_name, labels.api, labels.version, route);
        sums.entry(key).or_default().add(&counts);
    }
    sums.into_iter()
        .map(|((team, api, version, route), sum)| {
            json!({
                "team": team,
                "api": api,
                "version": version,
                "route": route,
                "classes": sum.classes,
                "bytes_in": sum.bytes_in,
                "bytes_out": sum.bytes_out,
                "latency": sum.latency,
            })
        })
        .collect()
}

fn caller(caller: &TopCaller) -> Value {
    json!({
        "issuer": caller.issuer,
        "name": caller.name,
        "calls": caller.calls,
        "overcounted": caller.overcounted,
        "failed": caller.failed,
    })
}
