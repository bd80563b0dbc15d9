//! What runs beside the gateway and can follow another configuration: TLS of listeners, traces, captures.

use super::captures::RunningCaptures;
use super::listeners::{ListeningTls, PreparedListener};
use super::sample_of;
use super::traces::RunningExport;
use crate::configuration::NodeConfiguration;
use crate::configuration::reload::listeners_can_follow;
use keyward_gateway::trace::TraceRules;

/// What runs, as it was started.
pub(super) struct Running {
    pub(super) listening: ListeningTls,
    /// `None` where calls are not traced.
    pub(super) rules: Option<TraceRules>,
    pub(super) export: Option<RunningExport>,
    /// `None` where nothing is captured.
    pub(super) captures: Option<RunningCaptures>,
}

impl Running {
    /// What has to be read before anything is changed. Listeners that differ from those of the start in what only
    /// another process can follow change in nothing: half of what was asked for would be neither the one nor the other,
    /// such as a certificate that is to be obtained and that no task obtains.
    pub(super) fn prepare(
        &self,
        started_with: &NodeConfiguration,
        configuration: &NodeConfiguration,
    ) -> Result<Vec<PreparedListener>, String> {
        if !listeners_can_follow(&started_with.listeners, &configuration.listeners) {
            return Ok(Vec::new());
        }
        self.listening.prepare(configuration)
    }

    /// Follows a configuration that is served. What is on or off from the start stays so.
    pub(super) fn follow(
        &self,
        configuration: &NodeConfiguration,
        listeners: Vec<PreparedListener>,
    ) {
        for listener in listeners {
            listener.take_effect();
        }
        if let (Some(tracing), Some(rules), Some(export)) =
            (&configuration.tracing, &self.rules, &self.export)
        {
            rules.set(sample_of(tracing), tracing.believed);
            if let Err(error) = export.replace(tracing) {
                tracing::error!(%error, "tracing: the collector can't be used, and the one before stays");
            }
        }
        if let (Some(captures), Some(running)) = (&configuration.captures, &self.captures) {
            running.replace(captures);
        }
    }
}
