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
