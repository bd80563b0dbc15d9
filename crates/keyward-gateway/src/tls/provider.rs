//! The cryptography below TLS, and its time.

use keyward_model::Clock;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// The hybrid with ML-KEM first: what is recorded today must not be readable by tomorrow's machines.
static GROUPS: [&dyn SupportedKxGroup; 4] = [
    kx_group::X25519MLKEM768,
    kx_group::X25519,
    kx_group::SECP256R1,
    kx_group::SECP384R1,
];

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    Arc::new(CryptoProvider {
        kx_groups: GROUPS.to_vec(),
        ..aws_lc_rs::default_provider()
    })
});

/// aws-lc-rs, with our order of key exchanges.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}

/// [`Clock`] as the TLS library asks for it.
#[derive(Debug)]
pub(crate) struct ClockTime(pub(crate) Arc<dyn Clock>);

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().as_seconds()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}
