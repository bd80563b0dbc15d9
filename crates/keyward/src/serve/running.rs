//! What runs beside the gateway and can follow another configuration: TLS of listeners, traces, captures.

use super::captures::RunningCaptures;
use super::listeners::{ListeningTls, PreparedListener};
use super::sample_of;
use super::traces::RunningExport;
use crate::configuration::NodeConfiguration;
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
    /// What has to be read before anything is changed.
    pub(super) fn prepare(
        &self,
        configuration: &NodeConfiguration,
    ) -> Result<Vec<PreparedListener>, String> {
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
