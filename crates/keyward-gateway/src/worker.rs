//! A worker: one thread, one current-thread runtime, its own listening sockets, its own upstream
//! connections, its own cache of verified tokens.

use crate::capture::CapturedCall;
use crate::coding::CodingBudget;
use crate::deadlines::Deadlines;
use crate::drain::Drain;
use crate::http3::DatagramSocket;
use crate::load::{self, Gate};
use crate::message::RequestHead;
use crate::metrics::{State, WorkerMetrics};
use crate::queue::Batch;
use crate::request::token_cache::TokenCache;
use crate::request::{Client, is_trusted};
use crate::settings::{ListenerSettings, Settings};
use crate::shared::Shared;
use crate::snapshot::{LocalSnapshot, RouteRef};
use crate::top::WorkerTop;
use crate::trace::{CallTrace, Ids, TracedCall};
use crate::transport::{ApplicationProtocol, Transport};
use crate::upstream::Pools;
use crate::usage::{UsageBatch, UsageQueue};
use crate::{http1, http2, http3, listener, transport};
use keyward_model::id::RequestId;
use keyward_model::usage::{HttpVersion, Times, UsageRecord};
use keyward_model::{Clock, Fault, Moment, Revision, Timestamp};
use keyward_state::shared::SharedWorker;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::watch;

/// How long a draining worker leaves idle connections open. A client that has its next call on the way is
/// answered, and told that the connection closes, rather than cut off; one that has been silent for as long
/// as this is not likely to begin just now.
const IDLE_GRACE: Duration = Duration::from_millis(500);

/// What the process asks of its workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    /// Take no new connection, finish what runs.
    Draining,
}

/// What one worker has. Nothing in it is shared with another thread but through `shared`.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) settings: Arc<Settings>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) drain: Rc<Drain>,
    pub(crate) deadlines: Rc<Deadlines>,
    pub(crate) gate: Rc<Gate>,
    pub(crate) pools: Pools,
    /// Memory for bodies that are compressed or decompressed.
    pub(crate) coding: Rc<CodingBudget>,
    pub(crate) tokens: RefCell<TokenCache>,
    /// `None` where limits are this node's alone.
    pub(crate) shared_limits: Option<Rc<SharedWorker>>,
    pub(crate) metrics: Arc<WorkerMetrics>,
    /// Ids for traces and spans.
    pub(crate) ids: Ids,
    /// Recorded calls, where calls are traced.
    spans: Option<RefCell<Batch<TracedCall>>>,
    /// Captured calls, where any may be.
    captures: Option<RefCell<Batch<CapturedCall>>>,
    top: WorkerTop,
    usage: RefCell<UsageBatch>,
    snapshot: RefCell<Rc<LocalSnapshot>>,
    request_ids: Cell<RequestIds>,
    turn: Cell<u32>,
    date: RefCell<WrittenDate>,
    /// What both clocks showed at the last tick.
    clocks: Cell<(Moment, Timestamp)>,
}

/// The date as answers have it, written once a second (RFC 9110, section 6.6.1).
#[derive(Debug, Default)]
struct WrittenDate {
    second: i64,
    text: String,
}

/// Request ids of one worker: unguessable where it starts, then counted, so that an id costs an addition.
#[derive(Clone, Copy)]
struct RequestIds {
    next: u128,
}

/// Where a worker's ids begin, from a secure generator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seeds {
    requests: u128,
    spans: u128,
}

impl Seeds {
    pub(crate) fn from_random(random: [u8; 32]) -> Self {
        let (requests, spans) = random.split_at(16);
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |all, byte| all << 8 | u128::from(*byte))
        };
        Self {
            requests: number(requests),
            spans: number(spans),
        }
    }
}

impl Worker {
    fn new(
        index: usize,
        settings: Arc<Settings>,
        shared: Arc<Shared>,
        usage: UsageQueue,
        seeds: Seeds,
    ) -> Rc<Self> {
        let pools = Pools::default();
        let snapshot = Rc::new(LocalSnapshot::new(shared.snapshots.load()));
        let metrics = shared.worker_metrics(index);
        Rc::new(Self {
            index,
            clock: Arc::clone(&shared.clock),
            drain: Rc::default(),
            deadlines: Deadlines::new(Arc::clone(&shared.clock)),
            gate: Gate::new(settings.limits.calls_in_flight),
            date: RefCell::default(),
            clocks: Cell::new((shared.clock.moment(), shared.clock.now())),
            pools,
            coding: CodingBudget::new(),
            tokens: RefCell::new(TokenCache::new(settings.limits.cached_tokens)),
            metrics,
            shared_limits: shared.shared_limits.as_ref().map(|state| {
                SharedWorker::new(Arc::clone(state), Arc::clone(&shared.clock), index)
            }),
            top: WorkerTop::default(),
            usage: RefCell::new(UsageBatch::new(usage)),
            snapshot: RefCell::new(snapshot),
            request_ids: Cell::new(RequestIds {
                next: seeds.requests,
            }),
            ids: Ids::new(seeds.spans),
            spans: settings
                .tracing
                .as_ref()
                .map(|tracing| RefCell::new(Batch::new(tracing.queue.clone()))),
            captures: settings
                .captures
                .as_ref()
                .map(|captures| RefCell::new(Batch::new(captures.queue.clone()))),
            turn: Cell::new(0),
            settings,
            shared,
        })
    }

    /// The configuration as it is now. A call keeps the one it began with.
    pub(crate) fn snapshot(&self) -> Rc<LocalSnapshot> {
        let mut current = self.snapshot.borrow_mut();
        if current.generation() != self.shared.snapshots.generation() {
            *current = Rc::new(LocalSnapshot::new(self.shared.snapshots.load()));
        }
        Rc::clone(&current)
    }

    pub(crate) fn revision(&self) -> Revision {
        self.snapshot.borrow().revision()
    }

    /// An id that no other request of this node has.
    pub(crate) fn request_id(&self) -> RequestId {
        let ids = self.request_ids.get();
        self.request_ids.set(RequestIds {
            next: ids.next.wrapping_add(1),
        });
        RequestId::from_u128(ids.next)
    }

    /// A number that is another one at each call, for taking turns.
    pub(crate) fn turn(&self) -> u32 {
        let turn = self.turn.get().wrapping_add(1);
        self.turn.set(turn);
        turn
    }

    /// The time now.
    pub(crate) fn moment(&self) -> Moment {
        self.deadlines.now()
    }

    /// The civil time of a moment, by what both clocks showed at the last tick: one clock is read for a call,
    /// not two.
    pub(crate) fn civil(&self, moment: Moment) -> Timestamp {
        let (at, civil) = self.clocks.get();
        civil.plus(moment.since(at))
    }

    /// Writes the date of now as a header's value.
    pub(crate) fn write_date(&self, out: &mut Vec<u8>) {
        let second = self.civil(self.deadlines.latest()).as_seconds();
        let mut date = self.date.borrow_mut();
        if date.second != second || date.text.is_empty() {
            let since = Duration::from_secs(u64::try_from(second).unwrap_or_default());
            date.second = second;
            date.text = httpdate::fmt_http_date(std::time::UNIX_EPOCH + since);
        }
        out.extend_from_slice(date.text.as_bytes());
    }

    /// Counts the call and hands its record on.
    pub(crate) fn record(&self, route: Option<&RouteRef>, usage: UsageRecord) {
        self.metrics.count(&usage);
        self.top.count(&usage);
        if let Some(route) = route {
            route.route.metrics.count(self.index, &usage);
        }
        self.usage.borrow_mut().push(usage);
    }

    /// The trace of a call that begins, where calls are traced.
    pub(crate) fn trace(&self, client: &Client, head: &RequestHead) -> Option<Rc<CallTrace>> {
        let tracing = self.settings.tracing.as_ref()?;
        let trusted = is_trusted(self, client.address());
        Some(CallTrace::begin(tracing, &self.ids, client, head, trusted))
    }

    /// Hands a recorded call on.
    pub(crate) fn record_trace(&self, traced: TracedCall) {
        if let Some(spans) = &self.spans {
            spans.borrow_mut().push(traced);
        }
    }

    /// Hands a captured call on.
    pub(crate) fn record_capture(&self, captured: CapturedCall) {
        if let Some(captures) = &self.captures {
            captures.borrow_mut().push(captured);
        }
    }

    /// Records a request that could not be read, so that it was never a call.
    pub(crate) fn record_unreadable(
        &self,
        client: &Client,
        protocol: HttpVersion,
        request_id: RequestId,
        fault: &Fault,
    ) {
        self.record(
            None,
            UsageRecord {
                request_id,
                trace_id: None,
                node: self.settings.node,
                revision: self.revision(),
                started: self.clock.now(),
                route: None,
                address: Some(client.address()),
                application: None,
                credential: None,
                caller: None,
                protocol,
                method: Cow::Borrowed("-"),
                path: "-".into(),
                status: fault.code().status(),
                grpc_status: None,
                code: Some(fault.code()),
                blame: Some(fault.code().blame()),
                because: Some(fault.detail().into()),
                limit: None,
                policy: None,
                guardrails: None,
                answer_cache: None,
                model: None,
                bytes_in: 0,
                bytes_out: 0,
                times: Times::default(),
            },
        );
    }

    fn tick(&self) {
        self.clocks.set((self.clock.moment(), self.clock.now()));
        self.usage.borrow_mut().flush();
        if let Some(spans) = &self.spans {
            spans.borrow_mut().flush();
        }
        if let Some(captures) = &self.captures {
            captures.borrow_mut().flush();
        }
        self.pools.reap(self.clock.moment());
        let now = self.clock.moment();
        self.top.tick(self.index, &self.shared.top, now);
        self.metrics.state(State {
            cached_tokens: self.tokens.borrow().len(),
            idle_upstream: self.pools.idle(),
            in_flight: self.gate.in_flight(),
            delay: self.gate.delay(),
            busy: tokio::runtime::Handle::current()
                .metrics()
                .worker_total_busy_duration(0),
        });
    }
}

/// A worker's sockets, each with the place of the listener that it belongs to.
#[derive(Debug, Default)]
pub(crate) struct WorkerSockets {
    pub(crate) tcp: Vec<(usize, TcpListener)>,
    pub(crate) udp: Vec<(usize, DatagramSocket)>,
}

/// Runs a worker until it has drained.
pub(crate) fn run(
    index: usize,
    settings: Arc<Settings>,
    shared: Arc<Shared>,
    sockets: WorkerSockets,
    usage: UsageQueue,
    seeds: Seeds,
    phase: watch::Receiver<Phase>,
) -> std::io::Result<()> {
    let runtime: LocalRuntime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    runtime.block_on(async move {
        let worker = Worker::new(index, settings, shared, usage, seeds);
        let ticking = tokio::task::spawn_local({
            let worker = Rc::clone(&worker);
            async move { worker.deadlines.watch(|| worker.tick()).await }
        });
        let mut keeping = None;
        if let Some(shared) = &worker.shared_limits {
            shared.begin().await;
            keeping = Some(tokio::task::spawn_local(Rc::clone(shared).keep()));
        }
        let gate = Rc::clone(&worker.gate);
        let measuring = load::measure(gate, Arc::clone(&worker.clock));
        let measuring = tokio::task::spawn_local(measuring);
        let settings = worker.settings.listeners.clone();
        let settings: Vec<Rc<ListenerSettings>> = settings.into_iter().map(Rc::new).collect();
        let listening = sockets
            .tcp
            .into_iter()
            .filter_map(|(listener, socket)| Some((settings.get(listener).cloned()?, socket)))
            .map(|(settings, socket)| {
                listener::accept(Rc::clone(&worker), settings, socket, phase.clone())
            })
            .collect::<std::io::Result<Vec<_>>>()?;
        let mut quic = Vec::new();
        for (listener, socket) in sockets.udp {
            if let Some(settings) = settings.get(listener) {
                quic.extend(http3::accept(
                    Rc::clone(&worker),
                    settings,
                    socket,
                    phase.clone(),
                )?);
            }
        }
        for accepting in listening {
            // A listener's task ends when draining begins; it does not fail.
            let _joined = accepting.await;
        }
        let mut farewells = Vec::with_capacity(quic.len());
        for accepting in quic {
            if let Some(farewell) = http3::Accepting::stopped(accepting).await {
                farewells.push(farewell);
            }
        }
        drain(&worker).await;
        for farewell in farewells {
            farewell.wait().await;
        }
        if let Some(keeping) = keeping {
            // Two that tell the same would tell some of it twice, and some not at all.
            keeping.abort();
            let _aborted = keeping.await;
        }
        if let Some(shared) = &worker.shared_limits {
            shared.finish().await;
        }
        ticking.abort();
        measuring.abort();
        worker.tick();
        Ok(())
    })
}

/// Finishes what runs, as long as the bound allows, then cuts the rest.
async fn drain(worker: &Rc<Worker>) {
    const LOOK: Duration = Duration::from_millis(10);
    worker.drain.begin();
    worker.deadlines.wake_all();
    let begun = worker.clock.moment();
    let end = begun.plus(worker.settings.limits.drain_timeout);
    while worker.drain.connections() > 0 && worker.clock.moment() < end {
        tokio::time::sleep(LOOK).await;
        if worker.clock.moment() >= begun.plus(IDLE_GRACE) && !worker.drain.closing() {
            worker.drain.close_idle();
            worker.deadlines.wake_all();
        }
    }
    if worker.drain.connections() > 0 {
        tracing::warn!(
            worker = worker.index,
            connections = worker.drain.connections(),
            "calls that did not finish in time are cut"
        );
        worker.drain.cut_all();
        worker.deadlines.wake_all();
        tokio::time::sleep(LOOK).await;
    }
}

/// Serves one accepted connection in a task of its own.
pub(crate) fn serve(
    worker: &Rc<Worker>,
    listener: &Rc<ListenerSettings>,
    socket: tokio::net::TcpStream,
    peer: std::net::SocketAddr,
) {
    worker.metrics.connection_opened();
    let (worker, listener) = (Rc::clone(worker), Rc::clone(listener));
    // From before the task's first turn to its end, so that draining waits for it and the bound on
    // connections covers those that are being refused too.
    let open = worker.drain.connection();
    tokio::task::spawn_local(async move {
        match transport::accept(&worker.settings.limits, &listener, socket, peer).await {
            Ok((transport, peer)) => {
                if let Some(tls) = &peer.tls {
                    worker.metrics.handshake(tls.resumed);
                    tracing::debug!(
                        address = %peer.address,
                        server_name = ?tls.server_name,
                        protocol = ?tls.protocol,
                        certificate = ?tls.certificate,
                        "a TLS connection is open"
                    );
                }
                speak(&worker, &listener, transport, peer).await;
            }
            Err(failure) => {
                worker.metrics.accept_failed(&failure);
                tracing::debug!(%peer, %failure, "a connection ended before its first request");
            }
        }
        drop(open);
        worker.metrics.connection_closed();
    });
}

/// Speaks the version of HTTP that was agreed upon. In clear it is the client's first line that tells.
async fn speak(
    worker: &Rc<Worker>,
    listener: &ListenerSettings,
    transport: Transport,
    peer: transport::Peer,
) {
    let spoken = match &listener.tls {
        Some(server) => server.settings().protocols,
        None => listener.protocols,
    };
    let agreed = peer.tls.as_ref().map(|tls| tls.protocol);
    let client = Rc::new(Client::new(peer.address).with_tls(peer.tls));
    let (http1, http2) = match agreed {
        Some(Some(ApplicationProtocol::Http2)) => (false, true),
        // Without ALPN nobody may begin with HTTP/2 inside TLS (RFC 9113, section 3.2).
        Some(Some(ApplicationProtocol::Http1 | ApplicationProtocol::Http3) | None) => {
            (spoken.http1, false)
        }
        None => (spoken.http1, spoken.http2),
    };
    let opening = if http1 {
        let Some(opening) = http1::serve(Rc::clone(worker), transport, client, http2).await else {
            return;
        };
        opening
    } else if http2 {
        http2::Opening {
            transport,
            read_ahead: Vec::new(),
            client,
        }
    } else {
        return;
    };
    http2::serve(Rc::clone(worker), opening).await;
}
