//! What is known of an upstream's targets, shared by all workers, and kept while configurations come and
//! go.

use super::addresses::Addresses;
use super::breaker::BreakerState;
use super::ejection::EjectionState;
use super::health::HealthState;
use super::latency::Latency;
use super::limit::ConnectionLimit;
use super::sliding::SlidingCount;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

static SERIALS: AtomicU64 = AtomicU64::new(0);

/// One target of one upstream.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct TargetState {
    /// Another one for each that there ever was.
    serial: u64,
    in_flight: AtomicU32,
    pub(crate) ejection: EjectionState,
    pub(crate) health: HealthState,
    pub(crate) breaker: BreakerState,
    pub(crate) latency: Latency,
    pub(crate) limit: ConnectionLimit,
    pub(crate) addresses: Addresses,
    connections: AtomicU32,
}

impl TargetState {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            serial: SERIALS.fetch_add(1, Ordering::Relaxed),
            in_flight: AtomicU32::new(0),
            ejection: EjectionState::default(),
            health: HealthState::default(),
            breaker: BreakerState::default(),
            latency: Latency::default(),
            limit: ConnectionLimit::default(),
            addresses: Addresses::default(),
            connections: AtomicU32::new(0),
        })
    }

    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// Calls under way.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn call_begins(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn call_ends(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Connections that are open, in use or idle.
    pub(crate) fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Counts a connection as long as the value lives.
    pub(super) fn connection(self: &Arc<Self>) -> OpenConnection {
        self.connections.fetch_add(1, Ordering::Relaxed);
        OpenConnection(Arc::clone(self))
    }
}

/// A connection that is counted.
#[derive(Debug)]
pub(super) struct OpenConnection(Arc<TargetState>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One upstream.
#[derive(Debug, Default)]
pub(crate) struct UpstreamState {
    /// By their addresses as configured.
    pub(super) targets: HashMap<Box<str>, Arc<TargetState>>,
    pub(crate) counts: Arc<CallCounts>,
}

impl UpstreamState {
    /// Drops what is known of targets that neither a configuration nor a call nor a connection holds.
    pub(crate) fn forget_unused(&mut self) {
        self.targets.retain(|_, state| Arc::strong_count(state) > 1);
    }

    /// Whether no target is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }
}

/// What is counted of all its targets.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct CallCounts {
    /// Calls, for the budget of retries.
    pub(super) calls: SlidingCount,
    /// Attempts after the first of calls that were sent, for the same.
    pub(super) repeated: SlidingCount,
    retries: AtomicU64,
}

impl CallCounts {
    /// Attempts after the first, since the process was started.
    pub(crate) fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }
}
