//! `keyward audit`: the log of what was done.

use super::node_configuration::node_configuration;
use super::node_store::in_store;
use super::{Failure, terminal};
use clap::{Args, Subcommand};
use keyward_model::Timestamp;
use keyward_store::AuditEvent;
use serde_json::{Value, json};
use std::path::PathBuf;

/// How many events are read at once.
const PAGE: u32 = 1_000;

/// The log of what was done, and by whom
#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    Verify(Verify),
    Export(Export),
}

impl Audit {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Verify(command) => command.run(),
            Self::Export(command) => command.run(),
        }
    }
}

/// Look whether the log is as it was written
///
/// Computes the chain of hashes from its first event on, and looks at the anchors, which only who has the master key
/// can make. Note the head that is printed in another place: it shows later whether the newest events were cut off.
#[derive(Args, Debug)]
pub(super) struct Verify {
    /// The node's configuration. Without this option KEYWARD_CONFIG names it; without that it is keyward.yaml
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,

    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    fn run(self) -> Result<(), Failure> {
        let configuration = node_configuration(self.config.as_ref())?;
        let chain = in_store(&configuration, async |store| {
            store.verify_audit_chain().await
        })?;
        if self.json {
            let found = json!({
                "intact": true, "first": chain.first, "last": chain.events, "anchored": chain.anchored,
                "head": chain.head,
            });
            return terminal::write_line(&found.to_string());
        }
        if chain.events == 0 {
            return terminal::write_line("intact: there is no event yet");
        }
        terminal::write_line(&format!(
            "intact: events {} to {}, anchored up to {}; head {}",
            chain.first, chain.events, chain.anchored, chain.head
        ))
    }
}

/// Print the events, one a line, as JSON
///
/// The oldest first. What was printed last goes on with `--after` the sequence of its last event.
#[derive(Args, Debug)]
pub(super) struct Export {
    /// Only events behind the one of this number
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    after: i64,

    /// The node's configuration. Without this option KEYWARD_CONFIG names it; without that it is keyward.yaml
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
}

impl Export {
    fn run(self) -> Result<(), Failure> {
        let configuration = node_configuration(self.config.as_ref())?;
        in_store(&configuration, async |store| {
            let mut after = self.after;
            loop {
                let events = store.audit_events(after, PAGE).await?;
                for event in &events {
                    if let Err(failure) = terminal::write_line(&told(event).to_string()) {
                        return Ok(Err(failure));
                    }
                    after = event.sequence;
                }
                if events.len() < PAGE as usize {
                    return Ok(Ok(()));
                }
            }
        })?
    }
}

fn told(event: &AuditEvent) -> Value {
    let detail: Value = serde_json::from_str(&event.detail).unwrap_or_default();
    json!({
        "sequence": event.sequence,
        "id": event.id,
        "happened_at": Timestamp::from_micros(event.happened_at).to_string(),
        "team": event.team,
        "node": event.node,
        "actor": event.actor,
        "action": event.action,
        "object": event.object,
        "detail": detail,
        "previous_hash": event.previous_hash,
        "hash": event.hash,
    })
}
