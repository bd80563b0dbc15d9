//! What operators see of upstreams.

use super::plan::UpstreamPlan;
use keyward_model::Moment;

/// An upstream as it is now.
#[derive(Clone, Debug)]
pub struct UpstreamCounts {
    /// The owner's name.
    pub team: String,
    /// Its name; of a provider of AI models, with `provider/` in front.
    pub upstream: String,
    /// Attempts after the first, since the process was started or the upstream was new.
    pub retries: u64,
    /// Its targets.
    pub targets: Vec<TargetCounts>,
}

/// A target as it is now.
#[derive(Clone, Debug)]
pub struct TargetCounts {
    /// Its address, as configured.
    pub url: String,
    /// Whether it gets calls: neither ejected, nor ill, nor spared.
    pub healthy: bool,
    /// Whether it is left out because calls to it failed.
    pub ejected: bool,
    /// How often it was.
    pub ejections: u64,
    /// Whether its breaker is open, or only tried.
    pub breaker_open: bool,
    /// Calls under way.
    pub in_flight: u32,
    /// Calls that wait for a connection.
    pub pending: u32,
    /// Connections, idle ones included.
    pub connections: u32,
}

impl UpstreamPlan {
    /// How it is now.
    pub(crate) fn read(&self, now: Moment) -> UpstreamCounts {
        let targets = self.targets.iter().map(|target| {
            let state = &target.endpoint.state;
            let breaker_open = state.breaker.is_open();
            TargetCounts {
                url: target.target.url(),
                healthy: !breaker_open && !self.is_out(state, now),
                ejected: state.ejection.is_out(now),
                ejections: state.ejection.total(),
                breaker_open,
                in_flight: state.in_flight(),
                pending: state.limit.pending(),
                connections: state.connections(),
            }
        });
        UpstreamCounts {
            team: self.team.to_string(),
            upstream: if self.is_provider {
                // No upstream's name has a slash.
                format!("provider/{}", self.name)
            } else {
                self.name.to_string()
            },
            retries: self.counts.retries(),
            targets: targets.collect(),
        }
    }
}
