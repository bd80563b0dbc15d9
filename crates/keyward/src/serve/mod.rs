//! `keyward serve`: the process, put together.

mod access_log;
mod demo;
mod metrics;
mod operations;
mod signals;

use crate::command::Failure;
use crate::configuration::NodeConfiguration;
use crate::configuration::node::ListenerRole;
use crate::own_keys::OwnKeys;
use keyward_egress::{Egress, Policy};
use keyward_gateway::issuer::{Issuers, IssuersContext};
use keyward_gateway::{Gateway, GatewayContext, Limits, OwnIssuer, Settings};
use keyward_model::resource::Resource;
use keyward_model::{Clock, Revision, SystemClock};
use keyward_state::revocation::Revocations;
use operations::Operations;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::TcpListener;

/// The control plane's threads: it fetches key sets and answers operators, none of it in a hurry.
const CONTROL_THREADS: usize = 2;

/// Runs a node until it is told to stop.
pub(crate) fn run(configuration: NodeConfiguration, with_demo: bool) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|error| Failure::new("serve", error.to_string(), "runtime"))?;
    runtime.block_on(serve(configuration, with_demo))
}

async fn serve(configuration: NodeConfiguration, with_demo: bool) -> Result<(), Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let stop = signals::listen().map_err(|error| Failure::new("serve", error.to_string(), "signals"))?;
    let own_keys = OwnKeys::open(&configuration, Arc::clone(&clock)).await?;
    let egress = Egress::new(Policy::default().allow(configuration.egress_allow.clone()))
        .map_err(|error| Failure::new("egress", error.to_string(), "egress"))?;
    let issuers = Arc::new(Issuers::new(IssuersContext {
        clock: Arc::clone(&clock),
        egress,
        runtime: tokio::runtime::Handle::current(),
    }));
    let revocations = Arc::new(Revocations::default());
    let (gateway, records) = Gateway::bind(
        settings(&configuration, &own_keys),
        GatewayContext {
            clock: Arc::clone(&clock),
            issuers: Arc::clone(&issuers),
            revocations,
            decrypters: own_keys.decrypters(),
        },
    )
    .map_err(|error| Failure::new("gateway", error.to_string(), "listen"))?;
    let gateway = Arc::new(gateway);
    let mut resources: Vec<Resource> =
        configuration.resources.iter().map(|declared| declared.resource.clone()).collect();
    let demo = if with_demo { Some(demo::Demo::start(&mut resources).await?) } else { None };
    issuers
        .set_own_keys(own_keys.key_set())
        .map_err(|error| Failure::new("own keys", error.to_string(), "own_keys"))?;
    gateway
        .apply(Revision(1), &resources, Some(own_keys.issuer(&configuration.site_url)))
        .map_err(|error| Failure::new("configuration", error.to_string(), "configuration"))?;
    let serving = Arc::new(AtomicBool::new(false));
    let operations = Operations {
        gateway: Arc::clone(&gateway),
        issuers,
        clock,
        serving: Arc::clone(&serving),
    };
    listen_for_operators(&configuration, &operations).await?;
    let log = access_log::start(&configuration.access_log, records)
        .map_err(|error| Failure::new("access log", error.to_string(), "access_log"))?;
    gateway.serve().map_err(|error| Failure::new("gateway", error.to_string(), "workers"))?;
    serving.store(true, Ordering::Relaxed);
    tell(&gateway, &configuration);
    if let Some(demo) = demo {
        demo.print(&gateway, &own_keys)?;
    }
    let signal = stop.await;
    tracing::info!(signal, "shutting down: calls that run may finish");
    serving.store(false, Ordering::Relaxed);
    shut_down(gateway, log).await
}

async fn shut_down(
    gateway: Arc<Gateway>,
    log: std::thread::JoinHandle<()>,
) -> Result<(), Failure> {
    let failed = |why: String| Failure::new("shutdown", why, "shutdown");
    let drained = tokio::task::spawn_blocking(move || gateway.shut_down());
    drained.await.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))?;
    // The workers are gone, and with them the last sender of records.
    drop(log);
    Ok(())
}

fn settings(configuration: &NodeConfiguration, own_keys: &OwnKeys) -> Settings {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = configuration.workers.unwrap_or(cores);
    let limits = &configuration.limits;
    Settings {
        node: own_keys.node(),
        listeners: addresses(configuration, ListenerRole::Gateway),
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
    listeners.filter(|listener| listener.serves == role).map(|listener| listener.address).collect()
}

async fn listen_for_operators(
    configuration: &NodeConfiguration,
    operations: &Operations,
) -> Result<(), Failure> {
    for address in addresses(configuration, ListenerRole::Operations) {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            Failure::new("operations", format!("can't listen on {address}: {error}"), "listen")
        })?;
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "operations: /healthz, /readyz, /metrics");
        }
        tokio::spawn(operations::serve(operations.clone(), listener));
    }
    Ok(())
}

fn tell(gateway: &Gateway, configuration: &NodeConfiguration) {
    for address in gateway.addresses() {
        tracing::info!(%address, resources = configuration.resources.len(), "gateway: serving");
    }
    for address in addresses(configuration, ListenerRole::Site) {
        tracing::warn!(%address, "nothing is served on site listeners in this version");
    }
}
