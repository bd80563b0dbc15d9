//! `keyward serve`: the process, put together.

mod access_log;
mod demo;
mod descriptors;
mod listeners;
mod metrics;
mod operations;
mod own_issuer;
mod signals;

use crate::acme::RenewalContext;
use crate::command::Failure;
use crate::configuration::NodeConfiguration;
use crate::configuration::listener::ListenerRole;
use crate::own_keys::{self, OwnKeys};
use arc_swap::ArcSwap;
use keyward_egress::{Egress, Policy};
use keyward_gateway::issuer::{Issuers, IssuersContext};
use keyward_gateway::tls::Challenges;
use keyward_gateway::{
    Gateway, GatewayContext, Limits, ListenerSettings, OwnIssuer, Settings, UsageReceiver,
};
use keyward_jose::JwkSet;
use keyward_jose::key::KeyUse;
use keyward_model::id::NodeId;
use keyward_model::resource::Resource;
use keyward_model::{Clock, Revision, Secret, SystemClock};
use keyward_state::revocation::Revocations;
use keyward_store::Store;
use listeners::GatewayListeners;
use operations::Operations;
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};

/// The control plane's threads: it fetches key sets and answers operators, none of it in a hurry.
const CONTROL_THREADS: usize = 2;

/// What `serve` was asked to do.
pub(crate) struct Request {
    /// How the node runs.
    pub(crate) configuration: NodeConfiguration,
    /// Whether the demo runs with it.
    pub(crate) demo: bool,
    /// The master key, when the environment gives it.
    pub(crate) master_key: Option<Secret<String>>,
}

/// Runs a node until it is told to stop.
pub(crate) fn run(request: Request) -> Result<(), Failure> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|error| failed("serve", &error, "runtime"))?;
    runtime.block_on(Box::pin(serve(request)))
}

async fn serve(request: Request) -> Result<(), Failure> {
    let Request {
        configuration,
        demo: with_demo,
        master_key,
    } = request;
    descriptors::raise(configuration.limits.connections);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let stop = signals::listen().map_err(|error| failed("serve", &error, "signals"))?;
    let (store, source) =
        own_keys::data_dir::open_store(&configuration.data_dir, master_key, clock.now()).await?;
    if let Some(notice) = source.notice() {
        tracing::warn!("{notice}");
    }
    let own_keys = OwnKeys::load(&store, clock.now()).await?;
    let issuers = issuers(&configuration, &clock)?;
    let (gateway, records) = gateway(
        &configuration,
        store.node(),
        &store,
        &own_keys,
        &issuers,
        &clock,
    )
    .await?;
    let mut resources: Vec<Resource> = configuration
        .resources
        .iter()
        .map(|declared| declared.resource.clone())
        .collect();
    if with_demo {
        demo::start(&mut resources).await?;
    }
    let own = own_issuer(&configuration, &own_keys, &issuers, clock.as_ref())?;
    let issuer = own.issuer.issuer.clone();
    gateway
        .apply(Revision(1), &resources, Some(own))
        .map_err(|error| failed("configuration", &error, "configuration"))?;
    let serving = Arc::new(AtomicBool::new(false));
    let operations = Operations {
        gateway: Arc::clone(&gateway),
        issuers,
        clock: Arc::clone(&clock),
        serving: Arc::clone(&serving),
    };
    listen_for_operators(&configuration, &operations).await?;
    let log = access_log::start(&configuration.access_log, records)
        .map_err(|error| failed("access log", &error, "access_log"))?;
    gateway
        .serve()
        .map_err(|error| failed("gateway", &error, "workers"))?;
    serving.store(true, Ordering::Relaxed);
    tell(&gateway, &configuration, resources.len());
    if with_demo {
        demo::tell(&gateway, &own_keys, &issuer, clock.now())?;
    }
    let signal = stop.await;
    tracing::info!(signal, "shutting down: calls that run may finish");
    serving.store(false, Ordering::Relaxed);
    let drained = tokio::task::spawn_blocking(move || {
        gateway.shut_down()?;
        // The workers are gone, and with them the last sender of records.
        log.join()
            .map_err(|_| std::io::Error::other("the access log's thread panicked"))
    });
    let drained = drained
        .await
        .map_err(|error| failed("shutdown", &error, "shutdown"))?;
    drained.map_err(|error| failed("shutdown", &error, "shutdown"))?;
    store.close().await;
    Ok(())
}

fn failed(what: &str, error: &dyn Display, code: &'static str) -> Failure {
    Failure::new(what, error.to_string(), code)
}

/// Where anything but proxied traffic may go.
fn egress_policy(configuration: &NodeConfiguration) -> Policy {
    Policy {
        allow: configuration.egress_allow.clone(),
        own_listeners: configuration
            .listeners
            .iter()
            .map(|listener| listener.address)
            .collect(),
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

async fn gateway(
    configuration: &NodeConfiguration,
    node: NodeId,
    store: &Store,
    own_keys: &OwnKeys,
    issuers: &Arc<Issuers>,
    clock: &Arc<dyn Clock>,
) -> Result<(Arc<Gateway>, UsageReceiver), Failure> {
    let now = clock.now();
    let stored = store
        .revocations(now)
        .await
        .map_err(|error| failed("revocations", &error, error.code()))?;
    let revocations = Revocations::default();
    revocations
        .replace(&stored, now)
        .map_err(|error| failed("revocations", &error, "revocations"))?;
    let challenges = Arc::new(Challenges::default());
    let context = GatewayContext {
        clock: Arc::clone(clock),
        issuers: Arc::clone(issuers),
        revocations: Arc::new(revocations),
        decrypters: Arc::new(ArcSwap::from_pointee(own_keys.decrypters(now))),
        challenges: Arc::clone(&challenges),
    };
    let listeners = GatewayListeners::load(configuration, &challenges, clock)?;
    let settings = settings(configuration, node, listeners.settings.clone());
    let (gateway, records) =
        Gateway::bind(settings, context).map_err(|error| failed("gateway", &error, "listen"))?;
    let renewals = RenewalContext {
        clock: Arc::clone(clock),
        store: store.clone(),
        challenges,
        policy: egress_policy(configuration),
    };
    listeners.keep(renewals).await;
    Ok((Arc::new(gateway), records))
}

fn own_issuer(
    configuration: &NodeConfiguration,
    own_keys: &OwnKeys,
    issuers: &Issuers,
    clock: &dyn Clock,
) -> Result<OwnIssuer, Failure> {
    let now = clock.now();
    // What others encrypt to us with is published too, and verifies nothing.
    let all = own_keys.key_set(now)?;
    let signing = all
        .keys()
        .iter()
        .filter(|key| key.key_use() != Some(KeyUse::Encryption));
    let signing = JwkSet::from_keys(signing.cloned())
        .map_err(|error| failed("own keys", &error, error.code()))?;
    issuers
        .set_own_keys(signing)
        .map_err(|error| failed("own keys", &error, "own_keys"))?;
    own_issuer::own_issuer(&configuration.site_url, &own_keys.published(now)?)
        .map_err(|error| failed("own keys", &error, "own_keys"))
}

fn settings(
    configuration: &NodeConfiguration,
    node: NodeId,
    listeners: Vec<ListenerSettings>,
) -> Settings {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = configuration.workers.unwrap_or(cores);
    let limits = &configuration.limits;
    Settings {
        node,
        listeners,
        workers,
        limits: Limits {
            head_bytes: limits.head_bytes,
            head_timeout: limits.head_timeout,
            connections: (limits.connections as usize).div_ceil(workers),
            drain_timeout: limits.shutdown_timeout,
            ..Limits::default()
        },
        trusted_proxies: configuration.trusted_proxies.clone(),
    }
}

fn addresses(configuration: &NodeConfiguration, role: ListenerRole) -> Vec<SocketAddr> {
    let listeners = configuration.listeners.iter();
    listeners
        .filter(|listener| listener.serves == role)
        .map(|listener| listener.address)
        .collect()
}

async fn listen_for_operators(
    configuration: &NodeConfiguration,
    operations: &Operations,
) -> Result<(), Failure> {
    for address in addresses(configuration, ListenerRole::Operations) {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            failed(
                "operations",
                &format_args!("can't listen on {address}: {error}"),
                "listen",
            )
        })?;
        let address = listener.local_addr().unwrap_or(address);
        tracing::info!(%address, "operations: /healthz, /readyz, /metrics");
        tokio::spawn(operations::serve(operations.clone(), listener));
    }
    Ok(())
}

fn tell(gateway: &Gateway, configuration: &NodeConfiguration, resources: usize) {
    for address in gateway.addresses() {
        tracing::info!(%address, resources, "gateway: serving");
    }
    for address in addresses(configuration, ListenerRole::Site) {
        tracing::warn!(%address, "nothing is served on site listeners in this version");
    }
}
