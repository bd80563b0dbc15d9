//! The gateway's listeners as the data plane takes them, and what keeps their certificates.

use super::failed;
use crate::acme::{AcmeDeclaration, Renewal, RenewalContext};
use crate::command::Failure;
use crate::configuration::NodeConfiguration;
use crate::configuration::listener::ListenerRole;
use keyward_gateway::ListenerSettings;
use keyward_gateway::tls::{Challenges, TlsServer};
use keyward_model::Clock;
use std::sync::Arc;

/// The listeners, with their certificates read.
pub(super) struct GatewayListeners {
    pub(super) settings: Vec<ListenerSettings>,
    /// Each certificate that is obtained, with those who show it.
    obtained: Vec<(AcmeDeclaration, Vec<Arc<TlsServer>>)>,
}

impl GatewayListeners {
    /// Reads certificates.
    pub(super) fn load(
        configuration: &NodeConfiguration,
        challenges: &Arc<Challenges>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let mut listeners = Self {
            settings: Vec::new(),
            obtained: Vec::new(),
        };
        let gateway = configuration
            .listeners
            .iter()
            .filter(|listener| listener.serves == ListenerRole::Gateway);
        for listener in gateway {
            let tls = match &listener.tls {
                Some(tls) => {
                    let server = TlsServer::load(tls.settings.clone(), Arc::clone(clock))
                        .map_err(|error| failed("tls", &error, error.code()))?;
                    let server = Arc::new(server.with_challenges(Arc::clone(challenges)));
                    for declaration in &tls.acme {
                        listeners.obtain(declaration, &server);
                    }
                    Some(server)
                }
                None => None,
            };
            listeners.settings.push(ListenerSettings {
                address: listener.address,
                proxy_protocol: listener.proxy_protocol.clone(),
                tls,
                protocols: listener.protocols,
                http3: listener.http3.clone(),
            });
        }
        Ok(listeners)
    }

    fn obtain(&mut self, declaration: &AcmeDeclaration, server: &Arc<TlsServer>) {
        let known = self
            .obtained
            .iter_mut()
            .find(|(other, _)| other.id() == declaration.id());
        match known {
            Some((_, servers)) => servers.push(Arc::clone(server)),
            None => self
                .obtained
                .push((declaration.clone(), vec![Arc::clone(server)])),
        }
    }

    /// Looks at files, and obtains and renews certificates, from now on. Needs the control plane's runtime.
    pub(super) async fn keep(self, context: RenewalContext) {
        for listener in &self.settings {
            if let Some(server) = &listener.tls {
                tokio::spawn(Arc::clone(server).watch());
            }
        }
        for (declaration, servers) in self.obtained {
            let renewal = Renewal::new(context.clone(), declaration, servers);
            let due = renewal.show_kept().await;
            tokio::spawn(renewal.run(due));
        }
    }
}
