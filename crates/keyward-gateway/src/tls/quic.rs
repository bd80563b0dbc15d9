//! TLS inside QUIC (RFC 9001): version 1.3 alone, with the listener's certificates.

use super::error::TlsError;
use quinn::crypto::rustls::QuicServerConfig;
use rustls::ServerConfig;
use rustls::server::ProducesTickets;
use std::sync::Arc;

/// HTTP/3 by its name in RFC 7301's registry.
const HTTP3: &[u8] = b"h3";

/// What QUIC shakes hands with. Nothing is taken before a handshake's end (`max_early_data_size` is zero as it
/// comes): what a client sends so early can be sent again by anyone who has seen it (RFC 8470).
pub(super) fn config(
    mut config: ServerConfig,
    tickets: Arc<dyn ProducesTickets>,
) -> Result<Arc<QuicServerConfig>, TlsError> {
    config.alpn_protocols = vec![HTTP3.to_vec()];
    config.ticketer = tickets;
    let config = QuicServerConfig::try_from(Arc::new(config))
        .map_err(|error| TlsError::Setup(error.to_string()))?;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Authority, Files, client, settings};
    use super::super::{TlsServer, TlsSettings};
    use super::*;
    use quinn::crypto::rustls::QuicClientConfig;
    use quinn::{ClientConfig, Endpoint, ServerConfig};
    use rustls::crypto::aws_lc_rs::kx_group;
    use rustls::version::TLS13;
    use std::net::{Ipv4Addr, SocketAddr};

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    fn server(authority: &Authority, files: &Files, http3: bool) -> Arc<TlsServer> {
        let certificate = files.put("server", &authority.issue(&["a.example"]));
        let settings = TlsSettings {
            http3,
            ..settings(&[certificate])
        };
        files.load(settings).unwrap()
    }

    fn quic_client(config: rustls::ClientConfig) -> ClientConfig {
        ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()))
    }

    #[test]
    fn quic_is_spoken_only_where_it_is_asked_for() {
        let (authority, files) = (Authority::new(), Files::new());
        assert!(server(&authority, &files, true).quic().is_some());
        assert!(server(&authority, &files, false).quic().is_none());
    }

    #[tokio::test]
    async fn nothing_is_taken_before_the_handshakes_end() {
        let (authority, files) = (Authority::new(), Files::new());
        let address = serve(&server(&authority, &files, true));
        let mut config = rustls::ClientConfig::clone(&client(&authority, &[&TLS13], None));
        config.alpn_protocols = vec![HTTP3.to_vec()];
        config.enable_early_data = true;
        let config = quic_client(config);
        let endpoint = Endpoint::client(ANY).unwrap();
        for _ in 0..3 {
            let connecting = endpoint
                .connect_with(config.clone(), address, "a.example")
                .unwrap();
            // A client that could would be let: the session of the one before is there.
            let Err(connecting) = connecting.into_0rtt() else {
                panic!("0-RTT was offered");
            };
            let connection = connecting.await.unwrap();
            // The tickets come with the handshake's end, before any stream.
            connection.accept_uni().await.unwrap();
            connection.close(0_u32.into(), b"");
        }
    }

    #[tokio::test]
    async fn the_hybrid_key_exchange_is_spoken_and_another_protocol_is_not() {
        let (authority, files) = (Authority::new(), Files::new());
        let address = serve(&server(&authority, &files, true));
        let mut provider = rustls::crypto::CryptoProvider::clone(&crate::tls::provider());
        provider.kx_groups = vec![kx_group::X25519MLKEM768];
        let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_root_certificates(authority.roots())
            .with_no_client_auth();
        let endpoint = Endpoint::client(ANY).unwrap();
        for (protocol, agreed) in [(&b"h3"[..], true), (b"h2", false), (b"hq-interop", false)] {
            config.alpn_protocols = vec![protocol.to_vec()];
            let connecting = endpoint
                .connect_with(quic_client(config.clone()), address, "a.example")
                .unwrap();
            assert_eq!(connecting.await.is_ok(), agreed, "{protocol:?}");
        }
    }

    /// An endpoint that keeps each connection until its client closes it.
    fn serve(server: &TlsServer) -> SocketAddr {
        let config = ServerConfig::with_crypto(server.quic().unwrap());
        let endpoint = Endpoint::server(config, ANY).unwrap();
        let address = endpoint.local_addr().unwrap();
        tokio::spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                tokio::spawn(async move {
                    if let Ok(connection) = incoming.await {
                        let mut stream = connection.open_uni().await.unwrap();
                        stream.write_all(b"!").await.unwrap();
                        connection.closed().await;
                    }
                });
            }
        });
        address
    }
}
