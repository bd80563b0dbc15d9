//! The site on this node: its listeners, what it serves with the gateway, and the setup secret.

mod credentials;
mod fitting;
mod served;
mod setup;
mod status;

pub(super) use fitting::{Fitted, Fitting};
pub(super) use served::{Held, ServedNode, Serving};
pub(super) use status::DatabaseStatus;

use super::given_sockets::GivenSockets;
use super::{addresses, failed};
use crate::command::Failure;
use crate::configuration::NodeConfiguration;
use crate::configuration::listener::ListenerRole;
use keyward_authority::Keeper;
use keyward_authority::key_set::TOKEN_LIFE_MAX;
use keyward_model::Clock;
use keyward_state::revocation::Revocations;
use keyward_store::Store;
use keyward_web::server::Closing;
use keyward_web::{Site, SiteSettings};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Opens the site over what the database holds.
pub(super) async fn open(
    configuration: &NodeConfiguration,
    store: &Store,
    (keys, revocations): (&Arc<Keeper>, &Arc<Revocations>),
    node: &Arc<ServedNode>,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<Site>, Failure> {
    let hosts = addresses(configuration, ListenerRole::Site);
    let settings = SiteSettings {
        store: store.clone(),
        clock: Arc::clone(clock),
        node: Arc::clone(node) as Arc<dyn keyward_web::node::Node>,
        keys: Arc::clone(keys),
        revocations: Arc::clone(revocations),
        site_url: configuration.site_url.to_string(),
        // Names can be made to point here by whoever owns them; addresses can't.
        hosts: hosts.iter().map(ToString::to_string).collect(),
        token_life: TOKEN_LIFE_MAX,
        limits: configuration.site,
        trusted_proxies: configuration.trusted_proxies.clone(),
    };
    let site = Box::pin(Site::open(settings))
        .await
        .map_err(|why| Failure::new("database", why, "database"))?;
    Ok(Arc::new(site))
}

/// The site's sockets, each with the address that the configuration calls it by.
pub(super) fn sockets(
    configuration: &NodeConfiguration,
    given: &mut GivenSockets,
) -> Result<Vec<(SocketAddr, TcpListener)>, Failure> {
    super::sockets_of(configuration, ListenerRole::Site, given, "site")
}

/// Serves the site there, and makes the setup secret where one is needed.
pub(super) async fn listen(
    sockets: Vec<(SocketAddr, TcpListener)>,
    site: &Arc<Site>,
    node: &ServedNode,
    (store, clock): (&Store, &Arc<dyn Clock>),
    closing: &Closing,
) -> Result<Vec<JoinHandle<()>>, Failure> {
    if sockets.is_empty() {
        return Ok(Vec::new());
    }
    setup::make_if_needed(store, node.data_dir(), clock.now()).await?;
    let mut serving = Vec::with_capacity(sockets.len());
    for (address, socket) in sockets {
        let listener = socket
            .set_nonblocking(true)
            .and_then(|()| tokio::net::TcpListener::from_std(socket))
            .map_err(|error| failed("site", &error, "listen"))?;
        tracing::info!(%address, "site: /api/v1, described at /api/v1/openapi.json");
        let served = keyward_web::server::serve(Arc::clone(site), listener, closing.clone());
        serving.push(tokio::spawn(served));
    }
    Ok(serving)
}

pub(crate) use setup::reset;
