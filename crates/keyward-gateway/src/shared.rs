//! What the workers of a node share.

use crate::credentials::CredentialIndex;
use crate::issuer::Issuers;
use crate::metrics::{GuardrailCounters, WorkerMetrics};
use crate::policy::cache::ResponseCache;
use crate::policy::idempotency::KeyMemory;
use crate::policy::memory::Memory;
use crate::published_keys::PublishedKeySets;
use crate::request::authenticate::{Nonces, PasswordChecks};
use crate::snapshot::Snapshots;
use crate::tls::Challenges;
use crate::top::TopCallers;
use arc_swap::ArcSwap;
use keyward_jose::jwe::Decrypters;
use keyward_model::Clock;
use keyward_state::failed_attempts::FailedAttempts;
use keyward_state::limit::LimitCells;
use keyward_state::replay::ReplayMemory;
use keyward_state::revocation::Revocations;
use keyward_state::shared::SharedState;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Shared by all workers. Nothing here takes a lock on the common path.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) snapshots: Snapshots,
    pub(crate) limits: Arc<LimitCells>,
    pub(crate) shared_limits: Option<Arc<SharedState>>,
    /// Answers that are kept for other calls.
    pub(crate) responses: Arc<ResponseCache>,
    /// Idempotency keys, and the answers to their calls.
    pub(crate) keys: Arc<KeyMemory>,
    /// Memory for bodies of requests that are read whole.
    pub(crate) bodies: Arc<Memory>,
    /// The same for answers.
    pub(crate) answers: Arc<Memory>,
    /// What answers of AI models that are kept may take.
    pub(crate) kept_answers: Arc<Memory>,
    /// Which guardrails have fired.
    pub(crate) guardrails: GuardrailCounters,
    pub(crate) revocations: Arc<Revocations>,
    pub(crate) issuers: Arc<Issuers>,
    pub(crate) decrypters: Arc<ArcSwap<Decrypters>>,
    pub(crate) published: Arc<ArcSwap<PublishedKeySets>>,
    pub(crate) challenges: Arc<Challenges>,
    /// API keys and passwords.
    pub(crate) credentials: Arc<CredentialIndex>,
    /// Who has shown credentials that were not good, by address.
    pub(crate) failed_attempts: FailedAttempts,
    /// Which proofs were used.
    pub(crate) replays: ReplayMemory,
    pub(crate) nonces: Nonces,
    /// Where passwords are checked that take long.
    pub(crate) passwords: PasswordChecks,
    /// Records of calls that were dropped because their reader was too slow.
    pub(crate) dropped_records: Arc<AtomicU64>,
    pub(crate) metrics: Box<[Arc<WorkerMetrics>]>,
    pub(crate) top: TopCallers,
}

impl Shared {
    pub(crate) fn worker_metrics(&self, index: usize) -> Arc<WorkerMetrics> {
        self.metrics.get(index).cloned().unwrap_or_default()
    }
}
