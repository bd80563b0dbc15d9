//! Asking a node.

use super::WHAT;
use crate::command::Failure;
use keyward_egress::{AllowRule, Egress, Limits, Policy, Request};
use serde::Deserialize;
use std::time::Duration;

/// What one look may cost: ten thousand routes of some 300 bytes each, and more.
const LIMITS: Limits = Limits {
    max_bytes: 16 << 20,
    total: Duration::from_secs(5),
    connect: Duration::from_secs(2),
    max_redirects: 0,
};

/// A node's operations listener.
#[derive(Debug)]
pub(super) struct Node {
    egress: Egress,
    url: String,
}

/// What the node has counted since it started, as `/top` tells it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Look {
    pub(super) version: String,
    pub(super) revision: u64,
    pub(super) up_s: u64,
    pub(super) at_us: u64,
    pub(super) latency_bounds_us: Vec<u64>,
    pub(super) workers: Vec<Worker>,
    pub(super) calls: Vec<Calls>,
    pub(super) callers_over_s: f64,
    pub(super) callers: Vec<Caller>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Worker {
    pub(super) connections: u64,
    pub(super) in_flight: u64,
    pub(super) delay_us: u64,
    pub(super) busy_us: u64,
    pub(super) unrouted: u64,
    pub(super) shed: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Calls {
    pub(super) team: String,
    pub(super) api: String,
    pub(super) version: String,
    pub(super) route: Option<String>,
    /// By the first digit of the status; at 0 those whose client left.
    pub(super) classes: Vec<u64>,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) latency: Vec<u64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Caller {
    pub(super) issuer: Option<String>,
    pub(super) name: String,
    pub(super) calls: u64,
    pub(super) failed: u64,
}

impl Node {
    /// The node at an address that the operator has named: whatever it is, it may be asked.
    pub(super) fn at(url: &str, by: &str) -> Result<Self, Failure> {
        let everywhere: Option<Vec<AllowRule>> = ["0.0.0.0/0", "::/0"]
            .iter()
            .map(|network| network.parse().ok())
            .collect();
        let policy = Policy {
            allow: everywhere.unwrap_or_default(),
            ..Policy::default()
        };
        let egress = Egress::new(policy).map_err(unreachable)?;
        let url = format!("{}/top?by={by}", url.trim_end_matches('/'));
        Request::get(&url).map_err(unreachable)?;
        Ok(Self { egress, url })
    }

    /// What it tells now.
    pub(super) async fn look(&self) -> Result<Look, Failure> {
        let request = Request::get(&self.url).map_err(unreachable)?;
        let request = request.accept("application/json");
        let answer = self
            .egress
            .fetch(request, LIMITS)
            .await
            .map_err(unreachable)?;
        if answer.status != 200 {
            return Err(foreign(format!("answered with status {}", answer.status)));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|error| foreign(format!("answered what can't be read: {error}")))
    }
}

fn unreachable(error: keyward_egress::Error) -> Failure {
    Failure::new(
        WHAT,
        format!(
            "{error}: is a node running, and is this its operations listener? `--url` names another"
        ),
        "unreachable",
    )
}

fn foreign(what: String) -> Failure {
    Failure::new(
        WHAT,
        format!(
            "the address {what}: is it the operations listener of a node of this version? `--url` names another"
        ),
        "not_a_node",
    )
}
