//! What went on between two looks at a node.

use super::node::{Calls, Look};
use serde_json::{Value, json};
use std::collections::HashMap;

/// What went on.
#[derive(Clone, Debug)]
pub(super) struct Rates {
    pub(super) version: String,
    pub(super) revision: u64,
    pub(super) up_s: u64,
    pub(super) seconds: f64,
    pub(super) all: Row,
    pub(super) unrouted: f64,
    pub(super) shed: f64,
    pub(super) in_flight: u64,
    pub(super) connections: u64,
    /// How much of its time the busiest worker has worked, from 0 to 1.
    pub(super) load: f64,
    /// What waited longest for its turn, in milliseconds.
    pub(super) delay_ms: f64,
    /// Those that had calls, the most called first.
    pub(super) rows: Vec<Row>,
    pub(super) callers: Vec<CallerRate>,
}

/// Calls of one API or route, or of all. Rates are by the second.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) calls: f64,
    /// The shares of calls that ended with 4xx, and with 5xx or without an answer.
    pub(super) refused: f64,
    pub(super) failed: f64,
    /// In milliseconds; none without a call.
    pub(super) p50_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
    pub(super) bytes_in: f64,
    pub(super) bytes_out: f64,
}

/// A caller among those that call most.
#[derive(Clone, Debug)]
pub(super) struct CallerRate {
    pub(super) name: String,
    pub(super) issuer: Option<String>,
    pub(super) calls: f64,
    /// The share of its calls that was refused or failed.
    pub(super) failed: f64,
}

/// The differences of one row, or the sums of all.
#[derive(Clone, Debug, Default)]
struct Difference {
    classes: [u64; 6],
    bytes_in: u64,
    bytes_out: u64,
    latency: Vec<u64>,
}

impl Rates {
    /// What went on from `before` to `now`. A node that was started anew in between has counted from nothing.
    pub(super) fn between(before: &Look, now: &Look) -> Self {
        let restarted = now.at_us < before.at_us || now.up_s < before.up_s;
        let seconds = if restarted {
            now.up_s.max(1) as f64
        } else {
            (now.at_us - before.at_us).max(1) as f64 / 1e6
        };
        let known: HashMap<_, &Calls> = match restarted {
            true => HashMap::new(),
            false => before
                .calls
                .iter()
                .map(|calls| (key(calls), calls))
                .collect(),
        };
        let mut all = Difference::default();
        let mut rows = Vec::new();
        for calls in &now.calls {
            let difference = Difference::of(calls, known.get(&key(calls)).copied());
            all.add(&difference);
            let row = difference.row(name(calls), seconds, &now.latency_bounds_us);
            if row.calls > 0.0 {
                rows.push(row);
            }
        }
        rows.sort_by(|one, other| {
            other
                .calls
                .total_cmp(&one.calls)
                .then(one.name.cmp(&other.name))
        });
        let sum = |look: &Look, of: fn(&super::node::Worker) -> u64| -> u64 {
            look.workers.iter().map(of).sum()
        };
        let rate = |of: fn(&super::node::Worker) -> u64| {
            let from = if restarted { 0 } else { sum(before, of) };
            sum(now, of).saturating_sub(from) as f64 / seconds
        };
        let busy = now.workers.iter().enumerate().map(|(index, worker)| {
            let from = before.workers.get(index).filter(|_| !restarted);
            let from = from.map_or(0, |worker| worker.busy_us);
            worker.busy_us.saturating_sub(from) as f64 / 1e6 / seconds
        });
        let delay = now.workers.iter().map(|worker| worker.delay_us).max();
        let over = now.callers_over_s;
        let callers = now.callers.iter().filter(|_| over > 0.0);
        Self {
            version: now.version.clone(),
            revision: now.revision,
            up_s: now.up_s,
            seconds,
            all: all.row("all".to_owned(), seconds, &now.latency_bounds_us),
            unrouted: rate(|worker| worker.unrouted),
            shed: rate(|worker| worker.shed),
            in_flight: sum(now, |worker| worker.in_flight),
            connections: sum(now, |worker| worker.connections),
            load: busy.fold(0.0, f64::max).min(1.0),
            delay_ms: delay.unwrap_or_default() as f64 / 1e3,
            rows,
            callers: callers
                .map(|caller| CallerRate {
                    name: caller.name.clone(),
                    issuer: caller.issuer.clone(),
                    calls: caller.calls as f64 / over,
                    failed: share(caller.failed, caller.calls),
                })
                .collect(),
        }
    }

    /// For programs. Rates are by the second, shares from 0 to 1.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "version": self.version,
            "revision": self.revision,
            "up_s": self.up_s,
            "seconds": self.seconds,
            "in_flight": self.in_flight,
            "connections": self.connections,
            "load": self.load,
            "delay_ms": self.delay_ms,
            "unrouted": self.unrouted,
            "shed": self.shed,
            "all": self.all.to_json(),
            "calls": self.rows.iter().map(Row::to_json).collect::<Vec<_>>(),
            "callers": self.callers.iter().map(|caller| json!({
                "name": caller.name,
                "issuer": caller.issuer,
                "calls": caller.calls,
                "failed": caller.failed,
            })).collect::<Vec<_>>(),
        })
    }
}

impl Row {
    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "calls": self.calls,
            "refused": self.refused,
            "failed": self.failed,
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
        })
    }
}

type Key<'a> = (&'a str, &'a str, &'a str, Option<&'a str>);

fn key(calls: &Calls) -> Key<'_> {
    (
        &calls.team,
        &calls.api,
        &calls.version,
        calls.route.as_deref(),
    )
}

/// The team stands before the name where it is not the one that is always there.
fn name(calls: &Calls) -> String {
    let Calls {
        team, api, version, ..
    } = calls;
    let api = match team.as_str() {
        "default" => format!("{api}/{version}"),
        team => format!("{team}:{api}/{version}"),
    };
    match &calls.route {
        Some(route) => format!("{api} {route}"),
        None => api,
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

impl Difference {
    fn of(now: &Calls, before: Option<&Calls>) -> Self {
        let less = |now: &[u64], before: Option<&Vec<u64>>| -> Vec<u64> {
            let from = |index: usize| before.and_then(|before| before.get(index)).copied();
            let counts = now.iter().enumerate();
            counts
                .map(|(index, count)| count.saturating_sub(from(index).unwrap_or_default()))
                .collect()
        };
        let classes = less(&now.classes, before.map(|before| &before.classes));
        Self {
            classes: std::array::from_fn(|class| classes.get(class).copied().unwrap_or_default()),
            bytes_in: now
                .bytes_in
                .saturating_sub(before.map_or(0, |before| before.bytes_in)),
            bytes_out: now
                .bytes_out
                .saturating_sub(before.map_or(0, |before| before.bytes_out)),
            latency: less(&now.latency, before.map(|before| &before.latency)),
        }
    }

    fn add(&mut self, other: &Self) {
        for (sum, count) in self.classes.iter_mut().zip(other.classes) {
            *sum += count;
        }
        self.latency
            .resize(other.latency.len().max(self.latency.len()), 0);
        for (sum, count) in self.latency.iter_mut().zip(&other.latency) {
            *sum += count;
        }
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
    }

    fn row(&self, name: String, seconds: f64, bounds_us: &[u64]) -> Row {
        let [left, _, _, _, refused, failed] = self.classes;
        let calls: u64 = self.classes.iter().sum();
        Row {
            name,
            calls: calls as f64 / seconds,
            refused: share(refused, calls),
            failed: share(failed + left, calls),
            p50_ms: quantile(0.5, &self.latency, bounds_us),
            p99_ms: quantile(0.99, &self.latency, bounds_us),
            bytes_in: self.bytes_in as f64 / seconds,
            bytes_out: self.bytes_out as f64 / seconds,
        }
    }
}

/// The duration in milliseconds that a share of the calls does not pass, as if those of a bucket were spread
/// evenly over it (as Prometheus' `histogram_quantile` has it). What is beyond the last bound counts as that.
fn quantile(share: f64, buckets: &[u64], bounds_us: &[u64]) -> Option<f64> {
    let all: u64 = buckets.iter().sum();
    if all == 0 {
        return None;
    }
    let wanted = share * all as f64;
    let (mut below, mut from) = (0.0, 0.0);
    for (index, count) in buckets.iter().enumerate() {
        let Some(to) = bounds_us.get(index) else {
            break;
        };
        let (to, count) = (*to as f64, *count as f64);
        if count > 0.0 && below + count >= wanted {
            let within = ((wanted - below) / count).clamp(0.0, 1.0);
            return Some((from + (to - from) * within) / 1e3);
        }
        below += count;
        from = to;
    }
    Some(from / 1e3)
}

#[cfg(test)]
mod tests;
