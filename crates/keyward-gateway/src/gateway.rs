//! The data plane as a whole: bound, configured, served, drained.

use crate::ai::ProviderCounts;
use crate::ai::prompt::{CallIds, FEEDBACK_WINDOW, PromptCounts};
use crate::credentials::{CredentialIndex, LeftOutCredential, PreparedCredentials};
use crate::issuer::Issuers;
use crate::metrics::{LimitCounts, RouteCounts, WorkerCounts, WorkerMetrics};
use crate::policy::cache::{CacheCounts, ResponseCache};
use crate::policy::idempotency::{KeyCounts, KeyMemory};
use crate::policy::memory::Memory;
use crate::policy::validation;
use crate::policy::whole::{ANSWERS_MAX, BODIES_MAX};
use crate::published_keys::PublishedKeySets;
use crate::request::authenticate::{Nonces, PasswordChecks, REPLAY_WINDOW};
use crate::settings::{ListenerSettings, Settings};
use crate::shared::Shared;
use crate::snapshot::{CompileError, Continuity, LimitPolicy, MadeOf, Route, Snapshot, Snapshots};
use crate::tls::Challenges;
use crate::top::{TopCaller, TopCallers};
use crate::upstream::{UpstreamCounts, Watch};
use crate::usage::UsageQueue;
use crate::worker::{self, Phase, Seeds, WorkerSockets};
use crate::{http3, listener};
use arc_swap::ArcSwap;
use aws_lc_rs::rand;
use keyward_jose::jwe::Decrypters;
use keyward_model::id::TeamId;
use keyward_model::resource::{Issuer, Resource};
use keyward_model::{Clock, Name, Revision, Secret, UsageRecord};
use keyward_state::failed_attempts::FailedAttempts;
use keyward_state::limit::LimitCells;
use keyward_state::replay::ReplayMemory;
use keyward_state::revocation::Revocations;
use keyward_state::shared::{SharedCounts, SharedState};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Where the records of calls come out, in batches. It ends when the gateway has drained.
pub type UsageReceiver = Receiver<Vec<UsageRecord>>;

/// What the data plane works with and does not own.
#[derive(Debug)]
pub struct GatewayContext {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Whose tokens are believed.
    pub issuers: Arc<Issuers>,
    /// Where limits are counted on this node.
    pub limits: Arc<LimitCells>,
    /// What several nodes count limits in together; `None`: this one counts by itself.
    pub shared_limits: Option<Arc<SharedState>>,
    /// What is no longer believed.
    pub revocations: Arc<Revocations>,
    /// This node's own keys for encrypted tokens; replaced when they rotate.
    pub decrypters: Arc<ArcSwap<Decrypters>>,
    /// What this node publishes of them, and of its teams' keys; replaced when they rotate.
    pub published: Arc<ArcSwap<PublishedKeySets>>,
    /// Where targets are asked whether they are well, and names resolved.
    pub runtime: Handle,
    /// What certificate authorities ask for.
    pub challenges: Arc<Challenges>,
    /// API keys and passwords.
    pub credentials: Arc<CredentialIndex>,
    /// Under which nonces are made that clients put into their proofs; all nodes of a database have the same.
    pub nonce_key: Secret<[u8; 32]>,
}

/// The data plane.
#[derive(Debug)]
pub struct Gateway {
    settings: Arc<Settings>,
    shared: Arc<Shared>,
    continuity: Mutex<Continuity>,
    watch: Mutex<Watch>,
    runtime: Handle,
    addresses: Vec<SocketAddr>,
    /// Handed to the workers when they start.
    start: Mutex<Option<Start>>,
    threads: Mutex<Vec<JoinHandle<io::Result<()>>>>,
    phase: watch::Sender<Phase>,
}

/// What is remembered of callers who prove themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProvingCounts {
    /// Addresses from which credentials came that were not good, and that are counted.
    pub failing_addresses: usize,
    /// Failures that were not counted for want of room.
    pub uncounted_failures: u64,
    /// Proofs of possession that were used lately.
    pub remembered_proofs: usize,
}

/// What the workers get when they start.
#[derive(Debug)]
struct Start {
    /// For each worker.
    sockets: Vec<WorkerSockets>,
    usage: UsageQueue,
}

/// A configuration that was compiled and is not served yet.
#[derive(Debug)]
pub struct PreparedConfiguration {
    credentials: PreparedCredentials,
    snapshot: Snapshot,
    made_of: MadeOf,
}

impl PreparedConfiguration {
    /// The credentials of the database that would not be taken beside those of this configuration.
    pub fn left_out(&self) -> impl Iterator<Item = &LeftOutCredential> {
        self.credentials.left_out()
    }
}

impl Gateway {
    /// Opens the listening sockets, but at addresses with sockets that were `given` to the process: these
    /// are served instead, each of them. Nothing is accepted before [`serve`](Self::serve).
    ///
    /// # Errors
    /// With the address, when one can't be listened on.
    pub fn bind(
        mut settings: Settings,
        mut given: Vec<(SocketAddr, TcpListener)>,
        context: GatewayContext,
    ) -> io::Result<(Self, UsageReceiver)> {
        let workers = settings.workers.max(1);
        let mut addresses = Vec::with_capacity(settings.listeners.len());
        let mut sockets: Vec<WorkerSockets> =
            (0..workers).map(|_| WorkerSockets::default()).collect();
        for (index, ListenerSettings { address, http3, .. }) in
            settings.listeners.iter_mut().enumerate()
        {
            let given = given.extract_if(.., |(at, _)| at == address);
            let given: Vec<_> = given.map(|(_, socket)| socket).collect();
            let taken_over = !given.is_empty();
            let opened = listener::sockets(*address, workers, given).map_err(|error| {
                io::Error::new(error.kind(), format!("can't listen on {address}: {error}"))
            })?;
            if let Some(first) = opened.iter().flatten().next() {
                let bound = first.local_addr()?;
                addresses.push(bound);
                if let Some(http3) = http3 {
                    let opened = http3::sockets(bound, workers, taken_over).map_err(|error| {
                        io::Error::new(
                            error.kind(),
                            format!("can't listen on {bound} over UDP (http3): {error}"),
                        )
                    })?;
                    http3.bound(bound.port());
                    for (worker, socket) in sockets.iter_mut().zip(opened) {
                        worker.udp.push((index, socket));
                    }
                }
            }
            for (worker, opened) in sockets.iter_mut().zip(opened) {
                let opened = opened.into_iter().map(|socket| (index, socket));
                worker.tcp.extend(opened);
            }
        }
        let dropped_records = Arc::new(AtomicU64::new(0));
        let (usage, receiver) = UsageQueue::new(Arc::clone(&dropped_records));
        let started = context.clock.now();
        let shared = Shared {
            clock: context.clock,
            snapshots: Snapshots::new(Snapshot::empty()),
            limits: context.limits,
            shared_limits: context.shared_limits,
            bodies: Memory::new(BODIES_MAX),
            answers: Memory::new(ANSWERS_MAX),
            kept_answers: Memory::new(crate::ai::KEPT_MAX),
            guardrails: crate::metrics::GuardrailCounters::default(),
            responses: ResponseCache::new(settings.limits.cache_bytes),
            keys: KeyMemory::new(settings.limits.idempotency_bytes),
            revocations: context.revocations,
            issuers: context.issuers,
            decrypters: context.decrypters,
            published: context.published,
            challenges: context.challenges,
            credentials: context.credentials,
            failed_attempts: FailedAttempts::new(settings.failed_attempts),
            replays: ReplayMemory::new(REPLAY_WINDOW, started),
            nonces: Nonces::new(&context.nonce_key),
            call_ids: CallIds::new(&context.nonce_key),
            rated: ReplayMemory::new(FEEDBACK_WINDOW, started),
            passwords: PasswordChecks::new(context.runtime.clone()),
            dropped_records,
            metrics: (0..workers)
                .map(|_| Arc::new(WorkerMetrics::default()))
                .collect(),
            top: TopCallers::new(workers),
        };
        let gateway = Self {
            continuity: Mutex::new(Continuity::guarded(
                settings.upstream_guard.clone(),
                Arc::clone(&settings.machine),
            )),
            settings: Arc::new(settings),
            shared: Arc::new(shared),
            watch: Mutex::default(),
            runtime: context.runtime,
            addresses,
            start: Mutex::new(Some(Start { sockets, usage })),
            threads: Mutex::default(),
            phase: watch::Sender::new(Phase::Serving),
        };
        Ok((gateway, receiver))
    }

    /// The listening sockets once more, each with the address that the settings call it by, to be handed to
    /// another process. Whoever holds them keeps the addresses open: they are closed for good when both the
    /// workers and the holder have closed theirs.
    ///
    /// # Errors
    /// Once the workers have them; when there are no descriptors left.
    pub fn sockets(&self) -> io::Result<Vec<(SocketAddr, TcpListener)>> {
        let start = self.start.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(start) = start.as_ref() else {
            return Err(io::Error::other("the workers were started before"));
        };
        let sockets = start
            .sockets
            .iter()
            .flat_map(|sockets| &sockets.tcp)
            .filter_map(|(listener, socket)| {
                Some((self.settings.listeners.get(*listener)?, socket))
            });
        sockets
            .map(|(listener, socket)| Ok((listener.address, socket.try_clone()?)))
            .collect()
    }

    /// Where it listens, ports that were chosen by the system included.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Makes a configuration the one that is served. Calls that run keep the one they began with.
    ///
    /// # Errors
    /// When it can't be served; the one before stays.
    pub fn apply(
        &self,
        revision: Revision,
        resources: &[Arc<Resource>],
        own: Option<&Issuer>,
    ) -> Result<(), CompileError> {
        let prepared = self.prepare(revision, resources, own)?;
        self.publish(prepared);
        Ok(())
    }

    /// Compiles a configuration, to be served later or never. Between this and [`publish`](Self::publish) no other is
    /// to be compiled.
    ///
    /// # Errors
    /// When it can't be served.
    pub fn prepare(
        &self,
        revision: Revision,
        resources: &[Arc<Resource>],
        own: Option<&Issuer>,
    ) -> Result<PreparedConfiguration, CompileError> {
        let mut continuity = self
            .continuity
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let credentials = self.shared.credentials.prepare(resources);
        let credentials = credentials.map_err(|(credential, error)| CompileError::Credential {
            credential,
            why: error.to_string(),
        })?;
        let (snapshot, made_of) = Snapshot::prepare(
            revision,
            resources,
            &self.shared.issuers,
            own,
            &mut continuity,
            self.shared.metrics.len(),
            &self.shared.clock,
        )?;
        Ok(PreparedConfiguration {
            credentials,
            snapshot,
            made_of,
        })
    }

    /// Serves what was prepared last. Calls that run keep the one they began with.
    pub fn publish(&self, prepared: PreparedConfiguration) {
        let mut continuity = self
            .continuity
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        continuity.remember(prepared.made_of);
        // Whoever only looks at a configuration asks nobody for tokens.
        continuity.begin_providers();
        self.shared.credentials.publish(prepared.credentials);
        self.shared.snapshots.publish(prepared.snapshot);
        continuity.forget_unused();
        validation::forget_unused();
        let served = continuity.served_upstreams().map(Arc::clone);
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        watch.follow(served, &self.runtime, &self.shared.clock);
    }

    /// The credentials.
    #[must_use]
    pub fn credentials(&self) -> &CredentialIndex {
        &self.shared.credentials
    }

    /// Starts the workers.
    ///
    /// # Errors
    /// When a thread can't be started.
    pub fn serve(&self) -> io::Result<()> {
        let start = self
            .start
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(Start { sockets, usage }) = start else {
            return Err(io::Error::other("the workers were started before"));
        };
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, sockets) in sockets.into_iter().enumerate() {
            let (settings, shared) = (Arc::clone(&self.settings), Arc::clone(&self.shared));
            let (usage, phase) = (usage.clone(), self.phase.subscribe());
            let mut random = [0; 32];
            rand::fill(&mut random).map_err(|_| io::Error::other("the random generator failed"))?;
            let seeds = Seeds::from_random(random);
            let thread = std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    worker::run(index, settings, shared, sockets, usage, seeds, phase)
                })?;
            threads.push(thread);
        }
        Ok(())
    }

    /// Takes no more connections, lets calls finish as long as the settings allow, and waits for the
    /// workers to end. Blocks.
    ///
    /// # Errors
    /// When a worker ended badly.
    pub fn shut_down(&self) -> io::Result<()> {
        self.phase.send_replace(Phase::Draining);
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            thread
                .join()
                .map_err(|_| io::Error::other("a worker panicked"))??;
        }
        Ok(())
    }

    /// The revision that is served.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.shared.snapshots.load().1.revision
    }

    /// What each worker has counted.
    #[must_use]
    pub fn worker_counts(&self) -> Vec<WorkerCounts> {
        self.shared
            .metrics
            .iter()
            .map(|worker| worker.read())
            .collect()
    }

    /// What was counted for each route that is served and has been called.
    #[must_use]
    pub fn route_counts(&self) -> Vec<RouteCounts> {
        let (_, snapshot) = self.shared.snapshots.load();
        snapshot
            .routes()
            .filter_map(|route| route.metrics.read(&route.labels))
            .collect()
    }

    /// What each limit has refused.
    #[must_use]
    pub fn limit_counts(&self) -> Vec<LimitCounts> {
        let (_, snapshot) = self.shared.snapshots.load();
        let counts = |route: &Route, limit: &LimitPolicy| LimitCounts {
            team: route.labels.team_name.clone(),
            api: route.labels.api.clone(),
            version: route.labels.version.clone(),
            route: (!limit.of_api).then(|| route.labels.route.clone()),
            limit: limit.name.clone(),
            refused: limit.metrics.read(),
            spent: None,
        };
        let of_apis = snapshot.route_of_each_api().flat_map(|route| {
            let limits = route.limits.limits.iter().filter(|limit| limit.of_api);
            limits.map(|limit| counts(route, limit))
        });
        let of_routes = snapshot.routes().flat_map(|route| {
            let limits = route.limits.limits.iter().filter(|limit| !limit.of_api);
            limits.map(|limit| counts(route, limit))
        });
        let of_models = snapshot.route_of_each_api().flat_map(|route| {
            let ai = route.ai.iter();
            ai.flat_map(move |ai| ai.plan.limit_counts(&route.labels))
        });
        of_apis.chain(of_routes).chain(of_models).collect()
    }

    /// What was counted of what nodes share, where they do.
    #[must_use]
    pub fn shared_counts(&self) -> Option<SharedCounts> {
        let shared = self.shared.shared_limits.as_ref();
        shared.map(|shared| shared.counts())
    }

    /// What was counted of each version of the prompts that are served, since this node started.
    #[must_use]
    pub fn prompt_counts(&self) -> Vec<PromptCounts> {
        let continuity = self
            .continuity
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let served = continuity.served_prompts();
        served.map(|prompt| prompt.read_metrics()).collect()
    }

    /// The same of one prompt.
    #[must_use]
    pub fn prompt_counts_of(&self, team: TeamId, prompt: &Name) -> Vec<PromptCounts> {
        let continuity = self
            .continuity
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let served = continuity.served_prompts();
        served
            .filter(|one| one.team() == team && one.name() == prompt)
            .map(|one| one.read_metrics())
            .collect()
    }

    /// How the upstreams are that are served.
    #[must_use]
    pub fn upstream_counts(&self) -> Vec<UpstreamCounts> {
        let now = self.shared.clock.moment();
        let continuity = self
            .continuity
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let served = continuity.served_upstreams();
        served.map(|upstream| upstream.read(now)).collect()
    }

    /// How the providers of AI models are that are served, and what was counted of their models.
    #[must_use]
    pub fn provider_counts(&self) -> Vec<ProviderCounts> {
        let now = self.shared.clock.moment();
        let continuity = self
            .continuity
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let served = continuity.served_providers();
        served.map(|provider| provider.read(now)).collect()
    }

    /// Who has called most in the last seconds, and over how long that was. Workers count callers only while
    /// this is asked for, so that the first answer is empty.
    #[must_use]
    pub fn top_callers(&self, most: usize) -> (Vec<TopCaller>, Duration) {
        self.shared.top.look(self.shared.clock.moment(), most)
    }

    /// Records of calls that were dropped because their reader was too slow.
    #[must_use]
    pub fn dropped_records(&self) -> u64 {
        self.shared.dropped_records.load(Ordering::Relaxed)
    }

    /// What is remembered of callers who prove themselves.
    #[must_use]
    pub fn proving_counts(&self) -> ProvingCounts {
        ProvingCounts {
            failing_addresses: self.shared.failed_attempts.len(),
            uncounted_failures: self.shared.failed_attempts.uncounted(),
            remembered_proofs: self.shared.replays.len(),
        }
    }

    /// What the cache of answers has.
    #[must_use]
    pub fn cache_counts(&self) -> CacheCounts {
        self.shared.responses.counts()
    }

    /// How often guardrails have fired.
    #[must_use]
    pub fn guardrail_counts(&self) -> Vec<(crate::metrics::GuardrailLabels, u64)> {
        self.shared.guardrails.read()
    }

    /// Memory that answers of AI models that are kept take, those included that are only being sent still, and the most
    /// of it.
    #[must_use]
    pub fn kept_answer_bytes(&self) -> (usize, usize) {
        let memory = &self.shared.kept_answers;
        (memory.used(), memory.most())
    }

    /// What is remembered of idempotency keys.
    #[must_use]
    pub fn key_counts(&self) -> KeyCounts {
        self.shared.keys.counts()
    }

    /// How many subjects of limits are being counted.
    #[must_use]
    pub fn counted_subjects(&self) -> usize {
        self.shared.limits.len()
    }

    /// How many there may be at one time.
    #[must_use]
    pub fn counted_subjects_max(&self) -> usize {
        self.shared.limits.max()
    }
}
