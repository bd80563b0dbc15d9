//! The gateway's listeners as the data plane takes them, and what keeps their certificates.

use super::failed;
use crate::acme::{AcmeDeclaration, Renewal, RenewalContext};
use crate::command::Failure;
use crate::configuration::NodeConfiguration;
use crate::configuration::listener::ListenerRole;
use keyward_gateway::ListenerSettings;
use keyward_gateway::tls::{Challenges, PreparedTls, TlsServer};
use keyward_model::Clock;
use std::net::SocketAddr;
use std::sync::Arc;

/// The listeners that speak TLS, by their addresses.
#[derive(Debug)]
pub(super) struct ListeningTls(Vec<(SocketAddr, Arc<TlsServer>)>);

/// Other settings of a listener's TLS, ready to be used.
pub(super) struct PreparedListener {
    server: Arc<TlsServer>,
    address: SocketAddr,
    prepared: PreparedTls,
}

impl ListeningTls {
    /// Reads what other settings name, for listeners whose settings have changed. Nothing is changed yet.
    pub(super) fn prepare(
        &self,
        configuration: &NodeConfiguration,
    ) -> Result<Vec<PreparedListener>, String> {
        let mut changed = Vec::new();
        for listener in &configuration.listeners {
            let speaking = self
                .0
                .iter()
                .find(|(address, _)| *address == listener.address);
            let (Some((address, server)), Some(tls)) = (speaking, &listener.tls) else {
                continue;
            };
            if *server.settings() == tls.settings {
                continue;
            }
            let prepared = server.prepare(tls.settings.clone());
            changed.push(PreparedListener {
                server: Arc::clone(server),
                address: *address,
                prepared: prepared
                    .map_err(|error| format!("{address}: {error} [{}]", error.code()))?,
            });
        }
        Ok(changed)
    }
}

impl PreparedListener {
    /// Uses them from the next handshake on.
    pub(super) fn take_effect(self) {
        match self.server.replace(self.prepared) {
            Ok(()) => {
                tracing::info!(address = %self.address, "tls: other settings hold for new connections")
            }
            Err(error) => {
                tracing::error!(address = %self.address, %error, "tls: other settings can't be used: those before stay");
            }
        }
    }
}

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

    /// The listeners that speak TLS.
    pub(super) fn tls(&self) -> ListeningTls {
        let speaking = self.settings.iter().filter_map(|listener| {
            let server = listener.tls.as_ref()?;
            Some((listener.address, Arc::clone(server)))
        });
        ListeningTls(speaking.collect())
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
