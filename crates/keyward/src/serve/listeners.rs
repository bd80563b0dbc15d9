//! The gateway's listeners as the data plane takes them.

use super::failed;
use crate::command::Failure;
use crate::configuration::NodeConfiguration;
use crate::configuration::listener::ListenerRole;
use keyward_gateway::ListenerSettings;
use keyward_gateway::tls::TlsServer;
use keyward_model::Clock;
use std::sync::Arc;

/// Reads certificates, and looks at their files from now on. Needs the control plane's runtime.
pub(super) fn gateway_listeners(
    configuration: &NodeConfiguration,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<ListenerSettings>, Failure> {
    let gateway = configuration
        .listeners
        .iter()
        .filter(|listener| listener.serves == ListenerRole::Gateway);
    gateway
        .map(|listener| {
            let tls = match &listener.tls {
                Some(settings) => {
                    let server = TlsServer::load(settings.clone(), Arc::clone(clock))
                        .map_err(|error| failed("tls", &error, error.code()))?;
                    let server = Arc::new(server);
                    tokio::spawn(Arc::clone(&server).watch());
                    Some(server)
                }
                None => None,
            };
            Ok(ListenerSettings {
                address: listener.address,
                proxy_protocol: listener.proxy_protocol.clone(),
                tls,
            })
        })
        .collect()
}
