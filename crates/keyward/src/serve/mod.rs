//! `keyward serve`: the process, put together.

mod access_log;
mod audit;
mod captures;
mod changes;
mod demo;
mod descriptors;
mod event;
mod given_sockets;
mod handover;
mod listeners;
mod metrics;
mod operations;
pub(crate) mod own_issuer;
pub(crate) mod own_keys;
mod quotas;
mod reload;
mod revocations;
mod running;
pub(crate) mod site;
mod supervisor;
mod top;
mod traces;
mod watched_files;
mod webhooks;

pub(crate) use given_sockets::GivenSockets;
pub(crate) use supervisor::Supervisor;

use crate::acme::RenewalContext;
use crate::command::Failure;
use crate::configuration::NodeConfiguration;
use crate::configuration::kept::Kept;
use crate::configuration::listener::ListenerRole;
use crate::environment;
use crate::own_keys as secrets;
use crate::own_keys::data_dir;
use access_log::RunningLog;
use arc_swap::ArcSwap;
use captures::RunningCaptures;
use changes::{FollowCounts, Follower};
use event::{Event, Events};
use handover::{Offer, Successor, TakeOver};
use keyward_egress::{Egress, Policy};
use keyward_gateway::capture::CaptureSettings;
use keyward_gateway::issuer::{Issuers, IssuersContext};
use keyward_gateway::tls::Challenges;
use keyward_gateway::trace::{SpanQueue, TraceRules, TraceSample, Tracing};
use keyward_gateway::{
    CredentialIndex, Gateway, GatewayContext, Limits, ListenerSettings, PublicUrl,
    PublishedKeySets, Settings, UpstreamGuard, UsageReceiver,
};
use keyward_jose::jwe::Decrypters;
use keyward_model::id::NodeId;
use keyward_model::resource::Resource;
use keyward_model::{Clock, Secret, SystemClock};
use keyward_state::limit::LimitCells;
use keyward_state::revocation::Revocations;
use keyward_state::shared::SharedState;
use keyward_store::Store;
use keyward_web::server::Closing;
use listeners::{GatewayListeners, ListeningTls};
use operations::Operations;
use own_keys::FollowedByGateway;
use quotas::KeepingQuotas;
use reload::{ReloadCounts, Reloader};
use revocations::RevocationFeed;
use running::Running;
use site::{Held, ServedNode, Serving};
use std::fmt::Display;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;
use traces::RunningExport;
use watched_files::WatchedFiles;
use webhooks::Teller;

/// The control plane's threads: it fetches key sets and answers operators, none of it in a hurry.
const CONTROL_THREADS: usize = 2;

/// How long the process waits, when all is done, for what its threads still do: not for a PKCS#11 module that never answers.
const THREADS_WAITED_FOR: Duration = Duration::from_secs(5);

/// What `serve` was asked to do.
pub(crate) struct Request {
    /// How the node runs.
    pub(crate) kept: Kept,
    /// Where that was read from, to read it anew; `None` for defaults.
    pub(crate) path: Option<PathBuf>,
    /// Whether the demo runs with it.
    pub(crate) demo: bool,
    /// The master key, when the environment gives it.
    pub(crate) master_key: Option<Secret<String>>,
    /// Listening sockets that the service manager passed.
    pub(crate) sockets: GivenSockets,
    /// Whether the sockets come from the process that serves from the same data directory.
    pub(crate) take_over: bool,
    /// Who is told how the process is.
    pub(crate) supervisor: Supervisor,
}

/// Runs a node until it is told to stop.
pub(crate) fn run(request: Request) -> Result<(), Failure> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|error| failed("serve", &error, "runtime"))?;
    let served = runtime.block_on(Box::pin(serve(request)));
    runtime.shutdown_timeout(THREADS_WAITED_FOR);
    served
}

async fn serve(request: Request) -> Result<(), Failure> {
    let Request {
        mut kept,
        path,
        demo: with_demo,
        master_key,
        sockets: mut given,
        take_over,
        supervisor,
    } = request;
    let configuration = kept.settings();
    descriptors::raise(configuration.limits.connections);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut events = Events::of_signals().map_err(|error| failed("serve", &error, "signals"))?;
    let successor =
        Successor::of_this_process().map_err(|error| failed("serve", &error, "own_program"))?;
    let mut taking_over = None;
    if take_over {
        let (begun, sockets) = begin_take_over(&configuration).await?;
        given = GivenSockets::handed_over(sockets);
        taking_over = Some(begun);
    }
    let (store, source) =
        data_dir::open_store(&configuration.data_place(), master_key, clock.now()).await?;
    if let Some(notice) = source.notice() {
        tracing::warn!("{notice}");
    }
    let issuers = issuers(&configuration, &clock)?;
    let followed = FollowedByGateway::new(&issuers);
    let (decrypters, published) = (
        Arc::clone(&followed.decrypters),
        Arc::clone(&followed.published),
    );
    let keys = own_keys::open(&store, &clock, followed, &configuration).await?;
    let keys = Arc::new(keys);
    let spans = configuration.tracing.as_ref().map(|_| SpanQueue::new());
    let captures = configuration.captures.as_ref().map(RunningCaptures::start);
    // Where several nodes count together, what has passed is in what they share.
    let limits = Arc::new(match &configuration.shared_state {
        Some(shared) => LimitCells::new(configuration.limits.counted_subjects)
            .shared_under(shared.settings().prefix),
        None => quotas::restored(configuration.limits.counted_subjects, &store, &*clock).await?,
    });
    let keeping = configuration
        .shared_state
        .is_none()
        .then(|| KeepingQuotas::start(Arc::clone(&limits), store.clone(), Arc::clone(&clock)));
    let following = Arc::new(FollowCounts::default());
    let follower = follower(&store, &following).await?;
    let feed = revocation_feed(&store, &follower, &following, &clock).await?;
    let traced = tracing(&configuration, spans.as_ref().map(|(queue, _)| queue));
    let rules = traced.as_ref().map(|tracing| tracing.rules.clone());
    let (gateway, records, listening) = gateway(
        &configuration,
        Observed {
            tracing: traced,
            captures: captures.as_ref().map(RunningCaptures::settings),
        },
        given.take(&addresses(&configuration, ListenerRole::Gateway)),
        &feed,
        (decrypters, published),
        (&issuers, &limits),
        &clock,
    )
    .await?;
    let mut beside = Vec::new();
    if with_demo {
        demo::start(&mut beside).await?;
    }
    let watched = kept.files().to_vec();
    let beside: Vec<Arc<Resource>> = beside.into_iter().map(Arc::new).collect();
    let issuer = configuration.site_url.clone();
    let held = Held::new(kept, beside);
    let egress = Egress::new(egress_policy(&configuration))
        .map_err(|error| failed("egress", &error, "egress"))?;
    let teller = Arc::new(Teller::new(
        store.clone(),
        Arc::clone(&clock),
        Arc::clone(&keys),
        egress,
    ));
    let serving_with = Serving {
        webhooks: Arc::clone(&teller),
        gateway: Arc::clone(&gateway),
        keys: Arc::clone(&keys),
        credential_keys: secrets::credential_keys(&store, clock.now()).await?,
        data_dir: configuration.data_dir.clone(),
        status: Arc::default(),
        trusted_proxies: configuration.trusted_proxies.clone(),
    };
    let node = Arc::new(ServedNode::new(held, serving_with));
    let site = site::open(
        &configuration,
        &store,
        (&keys, &feed.revocations),
        &node,
        &clock,
    )
    .await?;
    let resources = node
        .serve_first(site.everything().await)
        .await
        .map_err(|why| Failure::new("configuration", why, "configuration"))?;
    let export = match (&configuration.tracing, spans) {
        (Some(tracing), Some(spans)) => {
            let egress = Egress::new(egress_policy(&configuration))
                .map_err(|error| failed("egress", &error, "egress"))?;
            let clock = Arc::clone(&clock);
            let export = RunningExport::start(tracing, store.node(), egress, clock, spans)
                .map_err(|error| failed("tracing", &error, "tracing"))?;
            Some(export)
        }
        (None, _) | (_, None) => None,
    };
    let serving = Arc::new(AtomicBool::new(false));
    let reloads = Arc::new(ReloadCounts::default());
    let operations = Operations {
        gateway: Arc::clone(&gateway),
        issuers: Arc::clone(&issuers),
        clock: Arc::clone(&clock),
        serving: Arc::clone(&serving),
        reloads: Arc::clone(&reloads),
        started: clock.now(),
        export: export.as_ref().map(RunningExport::status),
        captures: captures.as_ref().map(RunningCaptures::status),
        revocations: Arc::clone(&feed.revocations),
        following,
        database: node.status(),
    };
    let for_operators = sockets_of(
        &configuration,
        ListenerRole::Operations,
        &mut given,
        "operations",
    )?;
    let for_site = site::sockets(&configuration, &mut given)?;
    given.finish()?;
    // Once more, for the process that will take over from this one.
    let to_hand_over = gateway
        .sockets()
        .and_then(|mut sockets| {
            for (address, socket) in for_operators.iter().chain(&for_site) {
                sockets.push((*address, socket.try_clone()?));
            }
            Ok(sockets)
        })
        .map_err(|error| failed("hand-over", &error, "handover"))?;
    let answering = listen_for_operators(for_operators, &operations)?;
    let log = RunningLog::start(&configuration.access_log, &configuration.data_dir, records)
        .map_err(|error| failed("access log", &error, "access_log"))?;
    gateway
        .serve()
        .map_err(|error| failed("gateway", &error, "workers"))?;
    let (revisions, key_marks) = (follower.marks(), follower.marks());
    let telling = tokio::spawn(teller.run(follower.marks()));
    let feeding = [tokio::spawn(follower.run()), tokio::spawn(feed.run())];
    let closing = Closing::default();
    let site_tasks = site::listen(for_site, &site, &node, (&store, &clock), &closing);
    let site_tasks = Box::pin(site_tasks).await?;
    let following = [
        tokio::spawn(Arc::clone(&site).follow(revisions)),
        tokio::spawn(Arc::clone(&site).tidy_up()),
    ];
    let auditing = tokio::spawn(audit::keep(
        store.clone(),
        Arc::clone(&clock),
        configuration.audit_kept,
    ));
    let keeper = Arc::clone(&keys);
    let keeping_keys = tokio::spawn(async move { keeper.run(key_marks).await });
    serving.store(true, Ordering::Relaxed);
    if let Some(taking_over) = taking_over {
        tokio::task::spawn_blocking(move || taking_over.finish())
            .await
            .map_err(|error| failed("take over", &error, "take_over"))??;
    }
    let offer = Offer::open(
        &configuration.data_dir,
        to_hand_over,
        supervisor.clone(),
        events.sender(),
    );
    tell(&gateway, resources);
    supervisor.ready(&status(&gateway));
    if with_demo {
        demo::tell(&gateway, &keys, &issuer, clock.now()).await?;
    }
    let files = WatchedFiles::new(watched);
    tokio::spawn(watched_files::watch(files.clone(), events.sender()));
    let mut reloader = Reloader {
        path,
        access_log: configuration.access_log.clone(),
        started_with: configuration,
        node,
        running: Running {
            listening,
            rules,
            export,
            captures,
        },
        gateway: Arc::clone(&gateway),
        clock,
        files,
        counts: reloads,
    };
    let mut upgrading = false;
    loop {
        match events.next().await {
            Event::Stop(signal) => {
                tracing::info!(signal, "shutting down: calls that run may finish");
                supervisor.stopping("finishing the calls that run");
                break;
            }
            Event::HandedOver(process) => {
                tracing::info!(
                    process,
                    "upgrade: the new process serves; calls that run here may finish"
                );
                // The new process answers operators, and the site, from now on.
                closing.begin();
                for answering in &answering {
                    answering.abort();
                }
                break;
            }
            Event::Reload(because) => {
                supervisor.reloading();
                reloader.reload(because, &log).await;
                supervisor.ready(&status(&gateway));
            }
            Event::Upgrade if upgrading => {
                tracing::warn!("upgrade: one is under way already");
            }
            Event::Upgrade => match successor.start(events.sender()) {
                Ok(()) => upgrading = true,
                Err(error) => tracing::error!(
                    "upgrade: no new process could be started ({error}); this one goes on serving"
                ),
            },
            Event::SuccessorEnded => upgrading = false,
        }
    }
    let Running {
        export, captures, ..
    } = reloader.into_running();
    if let Some(offer) = offer {
        offer.close();
    }
    serving.store(false, Ordering::Relaxed);
    closing.begin();
    let drained = tokio::task::spawn_blocking(move || {
        gateway.shut_down()?;
        // The workers are gone, and with them the last sender of records.
        log.finish()
    });
    let drained = drained
        .await
        .map_err(|error| failed("shutdown", &error, "shutdown"))?;
    drained.map_err(|error| failed("shutdown", &error, "shutdown"))?;
    if let Some(captures) = captures {
        captures.finish().await;
    }
    if let Some(export) = export {
        export.finish().await;
    }
    // To the last: calls that run until then may be revoked.
    for feeding in feeding {
        feeding.abort();
    }
    for following in following {
        following.abort();
    }
    keeping_keys.abort();
    auditing.abort();
    telling.abort();
    // What was written has its answer before the database goes.
    for task in site_tasks {
        if let Err(error) = task.await {
            tracing::error!(%error, "site: a listener ended badly");
        }
    }
    for answering in &answering {
        answering.abort();
    }
    if let Some(keeping) = keeping {
        keeping.finish().await;
    }
    store.close().await;
    Ok(())
}

async fn begin_take_over(
    configuration: &NodeConfiguration,
) -> Result<(TakeOver, Vec<(SocketAddr, TcpListener)>), Failure> {
    let data_dir = configuration.data_dir.clone();
    tokio::task::spawn_blocking(move || TakeOver::begin(&data_dir))
        .await
        .map_err(|error| failed("take over", &error, "take_over"))?
}

/// How the node is, in a line for the service manager.
fn status(gateway: &Gateway) -> String {
    format!("serving revision {}", gateway.revision().0)
}

fn failed(what: &str, error: &dyn Display, code: &'static str) -> Failure {
    Failure::new(what, error.to_string(), code)
}

/// Where anything but proxied traffic may go.
fn egress_policy(configuration: &NodeConfiguration) -> Policy {
    Policy {
        allow: configuration.egress_allow.clone(),
        own_listeners: own_listeners(configuration),
        ..Policy::default()
    }
}

fn issuers(
    configuration: &NodeConfiguration,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<Issuers>, Failure> {
    let egress = Egress::new(egress_policy(configuration))
        .map_err(|error| failed("egress", &error, "egress"))?;
    Ok(Arc::new(Issuers::new(IssuersContext {
        clock: Arc::clone(clock),
        egress,
        runtime: Handle::current(),
    })))
}

/// What is told of calls beside the access log, and where it goes.
struct Observed {
    tracing: Option<Tracing>,
    captures: Option<CaptureSettings>,
}

/// What tells of changes in the database.
async fn follower(store: &Store, counts: &Arc<FollowCounts>) -> Result<Follower, Failure> {
    let feed = store.change_feed().await;
    let feed = feed.map_err(|error| failed("changes", &error, error.code()))?;
    Ok(Follower::new(feed, Arc::clone(counts)))
}

/// The revocations in force, and what keeps them so.
async fn revocation_feed(
    store: &Store,
    follower: &Follower,
    counts: &Arc<FollowCounts>,
    clock: &Arc<dyn Clock>,
) -> Result<RevocationFeed, Failure> {
    let now = clock.now();
    // The marks are from before the rows: what comes in between is taken in again, and missed never.
    let marks = follower.marks();
    let seen = *marks.borrow();
    let stored = store.revocations(now).await;
    let stored = stored.map_err(|error| failed("revocations", &error, error.code()))?;
    let revocations = Revocations::default();
    revocations
        .replace(&stored, now)
        .map_err(|error| failed("revocations", &error, "revocations"))?;
    Ok(RevocationFeed {
        store: store.clone(),
        revocations: Arc::new(revocations),
        clock: Arc::clone(clock),
        seen,
        marks,
        counts: Arc::clone(counts),
    })
}

async fn gateway(
    configuration: &NodeConfiguration,
    observed: Observed,
    given: Vec<(SocketAddr, TcpListener)>,
    RevocationFeed {
        store, revocations, ..
    }: &RevocationFeed,
    (decrypters, published): (Arc<ArcSwap<Decrypters>>, Arc<ArcSwap<PublishedKeySets>>),
    (issuers, limits): (&Arc<Issuers>, &Arc<LimitCells>),
    clock: &Arc<dyn Clock>,
) -> Result<(Arc<Gateway>, UsageReceiver, ListeningTls), Failure> {
    let now = clock.now();
    let challenges = Arc::new(Challenges::default());
    let shared_limits = configuration
        .shared_state
        .as_ref()
        .map(|shared| SharedState::new(&shared.settings(), store.node()))
        .transpose()
        .map_err(|error| failed("shared state", &error, "shared_state"))?;
    let context = GatewayContext {
        limits: Arc::clone(limits),
        shared_limits,
        clock: Arc::clone(clock),
        issuers: Arc::clone(issuers),
        revocations: Arc::clone(revocations),
        decrypters,
        published,
        runtime: Handle::current(),
        challenges: Arc::clone(&challenges),
        credentials: Arc::new(CredentialIndex::new(
            secrets::credential_keys(store, now).await?,
        )),
        nonce_key: secrets::nonce_key(store, now).await?,
    };
    let listeners = GatewayListeners::load(configuration, &challenges, clock)?;
    let mut settings = settings(configuration, store.node(), listeners.settings.clone())?;
    settings.tracing = observed.tracing;
    settings.captures = observed.captures;
    let (gateway, records) = Gateway::bind(settings, given, context)
        .map_err(|error| failed("gateway", &error, "listen"))?;
    let renewals = RenewalContext {
        clock: Arc::clone(clock),
        store: store.clone(),
        challenges,
        policy: egress_policy(configuration),
    };
    let listening = listeners.tls();
    listeners.keep(renewals).await;
    Ok((Arc::new(gateway), records, listening))
}

fn settings(
    configuration: &NodeConfiguration,
    node: NodeId,
    listeners: Vec<ListenerSettings>,
) -> Result<Settings, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = configuration.workers.unwrap_or(cores);
    let limits = &configuration.limits;
    let public_url = PublicUrl::parse(&configuration.gateway_url).ok_or_else(|| {
        let why = "it is no address that anything can be called by: write https://host";
        failed("gateway_url", &why, "configuration")
    })?;
    Ok(Settings {
        public_url,
        failed_attempts: configuration.failed_attempts,
        node,
        listeners,
        workers,
        limits: Limits {
            head_bytes: limits.head_bytes,
            head_timeout: limits.head_timeout,
            connections: (limits.connections as usize).div_ceil(workers),
            calls_in_flight: (limits.calls_in_flight as usize).div_ceil(workers),
            cache_bytes: limits.cache_bytes,
            idempotency_bytes: limits.idempotency_bytes,
            drain_timeout: limits.shutdown_timeout,
            http2: limits.http2,
            http3: limits.http3,
            ..Limits::default()
        },
        trusted_proxies: configuration.trusted_proxies.clone(),
        tracing: None,
        captures: None,
        upstream_guard: UpstreamGuard {
            allow: configuration.upstreams_allow.clone(),
            own_listeners: own_listeners(configuration),
        },
        machine: Arc::new(environment::machine()),
    })
}

fn sample_of(tracing: &crate::configuration::traces::Tracing) -> TraceSample {
    TraceSample::of_millionths(tracing.sample.millionths())
}

fn tracing(configuration: &NodeConfiguration, spans: Option<&SpanQueue>) -> Option<Tracing> {
    let tracing = configuration.tracing.as_ref()?;
    Some(Tracing {
        rules: TraceRules::new(sample_of(tracing), tracing.believed),
        queue: spans?.clone(),
    })
}

fn own_listeners(configuration: &NodeConfiguration) -> Vec<SocketAddr> {
    let listeners = configuration.listeners.iter();
    listeners.map(|listener| listener.address).collect()
}

fn addresses(configuration: &NodeConfiguration, role: ListenerRole) -> Vec<SocketAddr> {
    let listeners = configuration.listeners.iter();
    listeners
        .filter(|listener| listener.serves == role)
        .map(|listener| listener.address)
        .collect()
}

/// The sockets of the listeners with this role, called `what` where they can't be had.
fn sockets_of(
    configuration: &NodeConfiguration,
    role: ListenerRole,
    given: &mut GivenSockets,
    what: &str,
) -> Result<Vec<(SocketAddr, TcpListener)>, Failure> {
    let mut sockets = Vec::new();
    for address in addresses(configuration, role) {
        let given = given.take(&[address]);
        if !given.is_empty() {
            sockets.extend(given);
            continue;
        }
        let socket = TcpListener::bind(address).map_err(|error| {
            failed(
                what,
                &format_args!("can't listen on {address}: {error}"),
                "listen",
            )
        })?;
        sockets.push((address, socket));
    }
    Ok(sockets)
}

fn listen_for_operators(
    sockets: Vec<(SocketAddr, TcpListener)>,
    operations: &Operations,
) -> Result<Vec<JoinHandle<()>>, Failure> {
    let listen = |(address, socket): (SocketAddr, TcpListener)| {
        socket.set_nonblocking(true)?;
        let address = socket.local_addr().unwrap_or(address);
        let listener = tokio::net::TcpListener::from_std(socket)?;
        tracing::info!(%address, "operations: /healthz, /readyz, /metrics, /top");
        Ok(tokio::spawn(operations::serve(
            operations.clone(),
            listener,
        )))
    };
    sockets
        .into_iter()
        .map(listen)
        .collect::<io::Result<_>>()
        .map_err(|error| failed("operations", &error, "listen"))
}

fn tell(gateway: &Gateway, resources: usize) {
    for address in gateway.addresses() {
        tracing::info!(%address, resources, "gateway: serving");
    }
}
